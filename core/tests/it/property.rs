//! What holds for every sequence of requests: no OTP is accepted twice, counters do not go back, an overtaken decision
//! does not commit.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use tessera_core::algo::hotp::Hotp;
use tessera_core::decide::enroll::Init;
use tessera_core::decide::resync::Resync;
use tessera_core::decide::selection::Selection;
use tessera_core::record::HashAlgorithm;
use tessera_core::secret::SecretText;
use tessera_core::txn::Outcome;

use crate::state::TestState;
use crate::tokens::{RFC_SEED, check, check_request, check_serial, enroll, init};

/// Something that happens to the token between two logins.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The device's OTP this far from where the server expects it.
    Login(i64),
    /// The same with a wrong PIN.
    WrongPin(i64),
    /// The same by serial.
    LoginBySerial(i64),
    /// An OTP accepted earlier, the how manieth.
    Replay(usize),
    /// Two consecutive OTPs this far from where the server expects them.
    Resync(i64),
    /// A resynchronisation with an OTP accepted earlier and the one after it.
    ResyncWithUsed(usize),
    /// The fail counter is set to 0.
    ResetFailures,
    Enable,
    Disable,
    AutoResync(bool),
    /// Time passes.
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (-30_i64..40).prop_map(Event::Login),
        1 => (-5_i64..20).prop_map(Event::WrongPin),
        1 => (-5_i64..20).prop_map(Event::LoginBySerial),
        4 => (0_usize..8).prop_map(Event::Replay),
        2 => (-20_i64..60).prop_map(Event::Resync),
        2 => (0_usize..8).prop_map(Event::ResyncWithUsed),
        1 => Just(Event::ResetFailures),
        1 => Just(Event::Enable),
        1 => Just(Event::Disable),
        1 => any::<bool>().prop_map(Event::AutoResync),
        2 => select(vec![1_u64, 29, 30, 31, 90, 300, 3600]).prop_map(Event::Wait),
    ]
}

/// A device and the server it logs in to.
struct Run {
    state: TestState,
    device: Hotp,
    time_based: bool,
    /// Counters of accepted OTPs, those of resynchronisations included.
    accepted: Vec<u64>,
}

impl Run {
    fn new(token_type: &str) -> Self {
        let mut state = TestState::with_users();
        let request = Init {
            token_type: Some(token_type.to_owned()),
            // Eight digits make it unlikely that two counters of a window have the same value.
            otplen: Some(8),
            ..init("A", RFC_SEED, "pin", "alice")
        };
        enroll(&mut state, &request);
        let device = Hotp::new(b"12345678901234567890", HashAlgorithm::Sha1, 8).unwrap();
        Self { state, device, time_based: token_type == "totp", accepted: Vec::new() }
    }

    /// The counter the server expects, moved.
    fn counter(&self, distance: i64) -> u64 {
        let usage = self.state.usage("A");
        let expected = if self.time_based {
            self.state.now.seconds().saturating_add_signed(usage.time_shift) / 30
        } else {
            usage.next_counter
        };
        expected.saturating_add_signed(distance)
    }

    fn otp(&self, counter: u64) -> String {
        self.device.code(counter).as_str().to_owned()
    }

    fn login(&mut self, prefix: &str, counter: u64) -> bool {
        let submitted = format!("{prefix}{}", self.otp(counter));
        check(&mut self.state, "alice", &submitted)
    }

    fn resync(&mut self, counter: u64) -> bool {
        let request = Resync {
            selection: Selection::serial("A"),
            otp1: SecretText::new(self.otp(counter)),
            otp2: SecretText::new(self.otp(counter + 1)),
            challenges: None,
        };
        self.state.run(&request).unwrap()
    }

    /// Lets something happen and returns the counters that were accepted by it.
    fn happen(&mut self, event: Event) -> Vec<u64> {
        match event {
            Event::Login(distance) => {
                let counter = self.counter(distance);
                if self.login("pin", counter) { vec![counter] } else { Vec::new() }
            }
            Event::WrongPin(distance) => {
                let counter = self.counter(distance);
                if self.login("pim", counter) { vec![counter] } else { Vec::new() }
            }
            Event::LoginBySerial(distance) => {
                let counter = self.counter(distance);
                let submitted = format!("pin{}", self.otp(counter));
                let accepted = check_serial(&mut self.state, "A", &submitted).unwrap();
                if accepted { vec![counter] } else { Vec::new() }
            }
            Event::Replay(index) => match self.accepted.get(index).copied() {
                Some(counter) if self.login("pin", counter) => vec![counter],
                _ => Vec::new(),
            },
            Event::Resync(distance) => {
                let counter = self.counter(distance);
                if self.resync(counter) { vec![counter, counter + 1] } else { Vec::new() }
            }
            Event::ResyncWithUsed(index) => match self.accepted.get(index).copied() {
                Some(counter) if self.resync(counter) => vec![counter, counter + 1],
                _ => Vec::new(),
            },
            Event::ResetFailures => {
                self.state.change_usage("A", |usage| usage.fail_count = 0);
                Vec::new()
            }
            Event::Enable | Event::Disable => {
                self.state.change_token("A", |token| token.active = matches!(event, Event::Enable));
                Vec::new()
            }
            Event::AutoResync(on) => {
                self.state.set("AutoResync", if on { "True" } else { "False" });
                Vec::new()
            }
            Event::Wait(seconds) => {
                self.state.now = self.state.now.plus_seconds(seconds);
                Vec::new()
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_otp_is_accepted_twice_and_no_counter_goes_back(
        token_type in select(vec!["hmac", "totp"]),
        events in proptest::collection::vec(event(), 1..40),
    ) {
        let mut run = Run::new(token_type);
        let mut used = BTreeSet::new();
        for event in events {
            let before = run.state.usage("A").next_counter;
            let accepted = run.happen(event);
            let after = run.state.usage("A").next_counter;
            prop_assert!(after >= before, "{event:?} moved the counter from {before} back to {after}");
            if accepted.is_empty() {
                prop_assert_eq!(after, before, "{:?} was refused but moved the counter", event);
            }
            for counter in accepted {
                prop_assert!(counter >= before, "{event:?} accepted {counter} below {before}");
                prop_assert!(counter < after, "{event:?} accepted {counter} but left it usable at {after}");
                prop_assert!(used.insert(counter), "{event:?} accepted {counter} again");
                run.accepted.push(counter);
            }
        }
    }

    #[test]
    fn otp_is_accepted_exactly_inside_the_window(
        token_type in select(vec!["hmac", "totp"]),
        distance in -40_i64..40,
        window in 0_u32..20,
    ) {
        let mut run = Run::new(token_type);
        run.state.change_token("A", |token| token.count_window = window);
        run.state.change_usage("A", |usage| usage.next_counter = 100);
        let counter = run.counter(distance);
        let ahead = distance < i64::from(window);
        let behind = distance >= if run.time_based { -i64::from(window) } else { 0 };
        prop_assert_eq!(run.login("pin", counter), ahead && behind);
    }

    /// Reference tokens 8.1: the first OTP lies in `[Count, Count + SyncWindow)`; 8.2: the first in
    /// `[cur - 1 - S, cur - 1 + S)` and not below `Count`, the second in `[cur - S, cur + S)`.
    #[test]
    fn resync_accepts_exactly_what_the_reference_says(
        token_type in select(vec!["hmac", "totp"]),
        distance in -40_i64..40,
        window in 0_u32..30,
        bar in -50_i64..50,
    ) {
        let mut run = Run::new(token_type);
        run.state.change_token("A", |token| token.sync_window = window);
        let reach = i64::from(window);
        let expected = if run.time_based {
            let next_counter = run.counter(bar);
            run.state.change_usage("A", |usage| usage.next_counter = next_counter);
            distance >= bar && (-1 - reach..reach - 1).contains(&distance) && (-reach..reach).contains(&(distance + 1))
        } else {
            run.state.change_usage("A", |usage| usage.next_counter = 100);
            (0..reach).contains(&distance)
        };
        let counter = run.counter(distance);
        prop_assert_eq!(run.resync(counter), expected);
        if expected {
            prop_assert_eq!(run.state.usage("A").next_counter, counter + 2);
        }
    }

    /// Two nodes decide the same login on the same state: whoever comes second conflicts, decides again, and refuses.
    #[test]
    fn overtaken_login_conflicts(
        token_type in select(vec!["hmac", "totp"]),
        first in 0_i64..9,
        second in 0_i64..9,
    ) {
        let mut run = Run::new(token_type);
        let request = |run: &Run, distance| {
            check_request("alice", &format!("pin{}", run.otp(run.counter(distance))))
        };
        let (early, late) = (request(&run, first), request(&run, second));
        let decisions = [run.state.decide(&early), run.state.decide(&late)];
        let [winner, loser] = decisions;
        prop_assert!(winner.reply.unwrap().accepted && loser.reply.unwrap().accepted);
        prop_assert!(matches!(run.state.apply(winner.txn), Outcome::Committed(_)));
        prop_assert!(matches!(run.state.apply(loser.txn), Outcome::Conflict(..)));
        prop_assert_eq!(run.state.run(&late).unwrap().accepted, second > first);
    }

    /// Whatever an administrator changes about the token or its surroundings makes a login decide again.
    #[test]
    fn login_overtaken_by_a_change_conflicts(change in 0_u8..6) {
        let mut run = Run::new("hmac");
        let request = check_request("alice", &format!("pin{}", run.otp(0)));
        let decision = run.state.decide(&request);
        match change {
            0 => run.state.change_token("A", |token| token.active = false),
            1 => run.state.change_usage("A", |usage| usage.fail_count = 10),
            2 => run.state.set("PrependPin", "False"),
            3 => run.state.add_realm("corp", &["guests"]),
            4 => { enroll(&mut run.state, &init("B", RFC_SEED, "pin", "alice")); }
            _ => run.state.delete(tessera_core::record::Key::Token("A".into())),
        }
        prop_assert!(matches!(run.state.apply(decision.txn), Outcome::Conflict(..)));
    }
}
