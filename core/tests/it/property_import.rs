//! Imports between logins: whatever was imported again in between, no value is good twice and no counter goes back; and
//! a forward token and its target never accept the same value.

use std::sync::Arc;

use proptest::prelude::*;
use tessera_core::algo::hotp::Hotp;
use tessera_core::decide::enroll::Init;
use tessera_core::decide::import::{Fate, ImportBatch};
use tessera_core::decide::validate::CheckSerial;
use tessera_core::facts::Random;
use tessera_core::import::Row;
use tessera_core::import::format::{Format, Options, read};
use tessera_core::record::HashAlgorithm;
use tessera_core::secret::SecretText;

use crate::state::TestState;

const SEED: &str = "3132333435363738393031323334353637383930";

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A login with the value this far behind the expected one, at the token or at the one that forwards to it.
    Login { distance: i64, forwarded: bool },
    /// A value that was accepted before.
    Replay { index: usize, forwarded: bool },
    /// The file once more.
    Import,
    /// The file once more, without effect.
    DryRun,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (-3_i64..12, any::<bool>()).prop_map(|(distance, forwarded)| Event::Login { distance, forwarded }),
        3 => (0_usize..10, any::<bool>()).prop_map(|(index, forwarded)| Event::Replay { index, forwarded }),
        2 => Just(Event::Import),
        1 => Just(Event::DryRun),
    ]
}

fn rows() -> Arc<[Row]> {
    let text = format!("A,{SEED}\n");
    read(Format::OathCsv, &text, &Options::default(), &mut Random::new(&[1; 32])).unwrap().rows.into()
}

fn import(state: &mut TestState, dry_run: bool) -> Fate {
    let request = ImportBatch { rows: rows(), batch: 0..1, realm: None, enable: true, dry_run };
    state.run(&request).unwrap().remove(0).fate
}

fn login(state: &mut TestState, forwarded: bool, counter: u64) -> bool {
    let hotp = Hotp::new(b"12345678901234567890", HashAlgorithm::Sha1, 6).unwrap();
    let request = CheckSerial {
        serial: Some(if forwarded { "F" } else { "A" }.to_owned()),
        pass: Some(SecretText::from(hotp.code(counter).as_str())),
        ..CheckSerial::default()
    };
    state.run(&request).unwrap().accepted
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_value_is_good_twice_whatever_is_imported_again(events in proptest::collection::vec(event(), 1..40)) {
        let mut state = TestState::with_users();
        prop_assert_eq!(import(&mut state, false), Fate::Created);
        let forward = Init {
            token_type: Some("forward".to_owned()),
            serial: Some("F".to_owned()),
            forward_serial: Some("A".to_owned()),
            ..Init::default()
        };
        state.run(&forward).unwrap();
        for serial in ["A", "F"] {
            state.change_token(serial, |token| token.fail_count_max = 1000);
        }
        let mut accepted: Vec<u64> = Vec::new();
        for event in events {
            let before = state.usage("A").next_counter;
            match event {
                Event::Login { distance, forwarded } => {
                    let counter = before.saturating_add_signed(distance);
                    if login(&mut state, forwarded, counter) {
                        prop_assert!(!accepted.contains(&counter), "{counter} was accepted twice");
                        accepted.push(counter);
                    }
                }
                Event::Replay { index, forwarded } => {
                    if let Some(counter) = accepted.get(index) {
                        prop_assert!(!login(&mut state, forwarded, *counter), "{counter} was replayed");
                    }
                }
                Event::Import => prop_assert_eq!(import(&mut state, false), Fate::Unchanged),
                Event::DryRun => prop_assert_eq!(import(&mut state, true), Fate::Unchanged),
            }
            prop_assert!(state.usage("A").next_counter >= before, "the counter went back");
        }
    }
}
