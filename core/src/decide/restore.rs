//! What becomes of a state that is restored from a backup into a new cluster.
//!
//! Counters stay as they are in the backup unless the operator asks for a margin: an OTP that was accepted after the
//! backup was taken would be accepted again, because nobody knows of it any more. What would be dangerous in any case is
//! not restored: open challenges, which may have been answered since, and the validity of administrators' sessions, of
//! which some may have been logged out since.

use std::ops::ControlFlow;

use super::bootstrap::{KEY_CHECK, put_cluster_secret};
use super::session::SIGNING_KEY;
use super::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::record::{Key, Record, TokenV1};
use crate::token::Spent;
use crate::user::Serial;

/// Makes a state that was read from a backup fit for a new cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restore {
    /// Where the state comes from, for the audit trail.
    pub origin: String,
    /// How many OTPs of each token are given up, with all time steps up to now; `None` leaves all counters alone.
    pub advance: Option<u64>,
}

/// What a [`Restore`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Challenges, revocations and kept replies that were left out.
    pub left_out: u64,
    /// Tokens whose counter was advanced.
    pub advanced: u64,
    /// Tokens whose counter should have been advanced but that are unusable anyway.
    pub unusable: u64,
}

impl Request for Restore {
    type Reply = Restored;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Restored, Stop> {
        let state = cx.view.unrecorded();
        if state.record(&Key::ClusterSecret(KEY_CHECK.into())).is_none() {
            let problem = "the backup is of a cluster whose first start was not complete";
            return Err(Refusal::Other(problem.to_owned()).into());
        }
        let mut restored = Restored::default();
        let mut left_out = Vec::new();
        let mut tokens = Vec::new();
        state.scan(&Key::Token("".into()), &mut |key, slot| {
            if !survives(key) {
                left_out.push(key.clone());
            }
            if let (Key::Token(serial), Record::Token(token)) = (key, &slot.record) {
                tokens.push((serial.clone(), token.clone()));
            }
            ControlFlow::Continue(())
        });
        for key in left_out {
            restored.left_out += u64::from(!matches!(key, Key::Nodes | Key::HistoryAnchor));
            cx.view.delete(key);
        }
        if let Some(counters) = self.advance {
            for (serial, token) in tokens {
                advance(cx, &serial, &token, counters, &mut restored);
            }
        }
        let signing_key: [u8; 32] = cx.random.bytes();
        put_cluster_secret(cx, SIGNING_KEY, &signing_key)?;
        cx.audit.success = true;
        cx.note(&self.origin);
        if let Some(counters) = self.advance {
            cx.note(&format!("{} counters advanced by {counters}", restored.advanced));
        }
        Ok(restored)
    }
}

/// Whether a record lives on in the new cluster.
const fn survives(key: &Key) -> bool {
    match key {
        Key::Token(_)
        | Key::Usage(_)
        | Key::Realm(_)
        | Key::Resolver(_)
        | Key::Setting(_)
        | Key::Admin(_)
        | Key::ClusterSecret(_)
        | Key::FormatLevel
        | Key::Policy(_) => true,
        // The new cluster has nodes and an audit trail of its own.
        Key::Challenge(_) | Key::Revocation(_) | Key::Reply(_) | Key::Nodes | Key::HistoryAnchor => false,
    }
}

fn advance(cx: &mut Context<'_>, serial: &Serial, token: &TokenV1, counters: u64, restored: &mut Restored) {
    let configuration = cx.view.configuration();
    let spent = Spent { counters, now: cx.facts.now, settings: &configuration.settings };
    // Nothing can overtake this decision, so that reading a hundred thousand records need not be recorded.
    let mut usage = match cx.view.unrecorded().record(&Key::Usage(serial.clone())).map(|slot| slot.record) {
        Some(Record::Usage(usage)) => (*usage).clone(),
        _ => Default::default(),
    };
    match token.token_type.rules().give_up(token, &mut usage, spent) {
        Ok(()) => {
            restored.advanced += 1;
            cx.view.put_usage(serial, usage);
        }
        Err(_) => restored.unusable += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap::Bootstrap;
    use super::super::enroll::Init;
    use super::super::sample::add_challenge;
    use super::super::session::signing_key;
    use super::super::validate::CheckSerial;
    use super::*;
    use crate::record::{AutoResync, RevocationV1};
    use crate::secret::SecretText;
    use crate::test_state::TestState;
    use crate::time::UnixMillis;
    use crate::view::StateRead as _;

    /// RFC 4226 appendix D and RFC 6238 appendix B use this seed.
    const SEED: &str = "3132333435363738393031323334353637383930";

    fn state() -> TestState {
        let mut state = TestState::with_users();
        state.run(&Bootstrap::default()).unwrap();
        for (serial, token_type) in [("H1", "hmac"), ("H2", "hmac"), ("T1", "totp")] {
            let mut init = Init {
                serial: Some(serial.to_owned()),
                token_type: Some(token_type.to_owned()),
                ..Init::default()
            };
            init.seed.given = Some(SEED.into());
            state.run(&init).unwrap();
        }
        state
    }

    fn check(state: &mut TestState, serial: &str, otp: &str) -> bool {
        let (serial, pass) = (Some(serial.to_owned()), Some(SecretText::from(otp)));
        state.run(&CheckSerial { serial, pass, ..CheckSerial::default() }).unwrap().accepted
    }

    fn restore(advance: Option<u64>) -> Restore {
        Restore { origin: "from a backup".to_owned(), advance }
    }

    #[test]
    fn without_a_margin_counters_stay_exactly_as_they_were() {
        let mut state = state();
        assert!(check(&mut state, "H1", "755224"));
        let before = [state.usage("H1"), state.usage("H2"), state.usage("T1")];
        assert_eq!(state.run(&restore(None)), Ok(Restored::default()));
        assert_eq!([state.usage("H1"), state.usage("H2"), state.usage("T1")], before);
        assert!(!check(&mut state, "H1", "755224"));
        assert!(check(&mut state, "H1", "287082"));
        let row = state.audit.iter().rev().nth(2).unwrap();
        assert!(row.success && &*row.info == "from a backup", "{row:?}");
    }

    /// The OTPs at counters 1 to 3 may have been used after the backup.
    #[test]
    fn a_margin_gives_up_the_next_otps_of_every_token_used_or_not() {
        let mut state = state();
        assert!(check(&mut state, "H1", "755224"));
        state.change_usage("H1", |usage| {
            usage.auto_resync = Some(AutoResync { counter: 3, due_at: None });
        });
        let expected = Restored { left_out: 0, advanced: 3, unusable: 0 };
        assert_eq!(state.run(&restore(Some(3))), Ok(expected));
        for spent in ["287082", "359152", "969429"] {
            assert!(!check(&mut state, "H1", spent), "{spent}");
        }
        assert!(check(&mut state, "H1", "338314"), "counter 4");
        assert!(!check(&mut state, "H2", "359152"), "counter 2 of a token never used before the backup");
        assert!(check(&mut state, "H2", "969429"), "counter 3");
        assert_eq!(state.usage("H1").auto_resync, None);
    }

    /// RFC 6238 appendix B, SHA-1, six digits: times 1111111109 and 1111111111 are consecutive steps of 30 s.
    #[test]
    fn all_time_steps_up_to_the_restore_are_spent() {
        let mut state = state();
        state.now = UnixMillis::from_seconds(1_111_111_109);
        let before = state.usage("T1").next_counter;
        assert_eq!(before, 0);
        state.run(&restore(Some(0))).unwrap();
        assert!(!check(&mut state, "T1", "081804"), "the step of the restore");
        state.now = UnixMillis::from_seconds(1_111_111_111);
        assert!(check(&mut state, "T1", "050471"), "the step after it");
        assert!(check(&mut state, "H1", "755224"), "a margin of 0 leaves counters of uses alone");
    }

    /// Reference tokens 14.4: the OTPs of two slots of ten seconds.
    #[test]
    fn all_slots_of_a_motp_token_up_to_the_restore_are_spent() {
        let mut state = TestState::with_users();
        state.run(&Bootstrap::default()).unwrap();
        let mut init = Init {
            serial: Some("M1".to_owned()),
            token_type: Some("motp".to_owned()),
            device_pin: Some("6666".into()),
            ..Init::default()
        };
        init.seed.given = Some("0123456789abcdef".into());
        state.run(&init).unwrap();
        state.now = UnixMillis::from_seconds(1_296_121_200);
        state.run(&restore(Some(0))).unwrap();
        assert!(!check(&mut state, "M1", "6ed4e4"), "the slot of the restore");
        state.now = UnixMillis::from_seconds(1_296_121_300);
        assert!(check(&mut state, "M1", "502a59"), "a later one");
    }

    /// Reference tokens 14.6: the OTPs at the counters 256, 512 and 513. The one used after the backup may have been the
    /// first after the key was plugged in.
    #[test]
    fn a_yubikey_gives_up_whole_uses() {
        let mut state = TestState::with_users();
        state.run(&Bootstrap::default()).unwrap();
        let mut init = Init {
            serial: Some("Y1".to_owned()),
            token_type: Some("yubikey".to_owned()),
            otplen: Some(32),
            ..Init::default()
        };
        init.seed.given = Some("9163508031b20d2fbb1868954e041729".into());
        state.run(&init).unwrap();
        assert!(check(&mut state, "Y1", "fcniufvgvjturjgvinhebbbertjnihit"));
        state.run(&restore(Some(1))).unwrap();
        assert!(!check(&mut state, "Y1", "hutbgchjucnjnhlcnfijckbniegbglrt"));
        assert!(check(&mut state, "Y1", "vneienejjnedbfnjnnrfhhjudjgghckl"));
    }

    #[test]
    fn a_token_whose_time_step_is_unreadable_is_counted_and_left() {
        let mut state = state();
        state.change_token("T1", |token| {
            token.info.insert("timeStep".into(), crate::record::InfoValue::Text("soon".into()));
        });
        let expected = Restored { left_out: 0, advanced: 2, unusable: 1 };
        assert_eq!(state.run(&restore(Some(1))), Ok(expected));
    }

    #[test]
    fn challenges_and_sessions_do_not_live_on() {
        let mut state = state();
        add_challenge(&mut state, "1", "H1");
        let revocation = RevocationV1 { expires_at: state.now.plus_seconds(60) };
        state.put(Key::Revocation("jti".into()), Record::Revocation(revocation));
        let key = signing_key(&state, &state.keyring).unwrap().unwrap();
        assert_eq!(state.run(&restore(None)).unwrap().left_out, 2);
        assert_ne!(signing_key(&state, &state.keyring).unwrap().unwrap(), key);
        assert!(state.record(&Key::Challenge("1".into())).is_none());
        assert!(state.record(&Key::Revocation("jti".into())).is_none());
    }

    #[test]
    fn a_state_without_a_finished_first_start_is_refused() {
        let mut state = TestState::with_users();
        let refusal = state.run(&restore(None)).unwrap_err();
        assert!(refusal.to_string().contains("first start"), "{refusal}");
    }
}
