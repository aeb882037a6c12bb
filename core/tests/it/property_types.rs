//! What holds for the further types: no value is accepted twice, counters do not go back, a value outside of the window
//! is refused.

use std::collections::BTreeSet;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use proptest::prelude::*;
use proptest::sample::select;
use tessera_core::algo::motp::Motp;
use tessera_core::algo::ocra::{Input, Suite, code};
use tessera_core::decide::enroll::{Init, OcraParams};
use tessera_core::decide::validate::{ChallengeReply, Check};
use tessera_core::secret::SecretText;

use crate::state::TestState;
use crate::tokens::{check, check_request, enroll, init};

const SUITE: &str = "OCRA-1:HOTP-SHA256-8:C-QN08";
const QUESTION: &str = "12345678";

#[derive(Clone, Copy, Debug)]
enum Kind {
    Motp,
    Yubikey,
    Ocra2,
}

/// Something that happens to the token between two logins.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The device's value this far from where the server expects it.
    Login(i64),
    /// The same with a wrong PIN.
    WrongPin(i64),
    /// A value accepted earlier, the how manieth.
    Replay(usize),
    ResetFailures,
    AutoResync(bool),
    /// Seconds pass.
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (-30_i64..40).prop_map(Event::Login),
        1 => (-5_i64..20).prop_map(Event::WrongPin),
        4 => (0_usize..8).prop_map(Event::Replay),
        2 => Just(Event::ResetFailures),
        1 => any::<bool>().prop_map(Event::AutoResync),
        2 => select(vec![1_u64, 9, 10, 11, 90, 300]).prop_map(Event::Wait),
    ]
}

/// A device and the server it logs in to.
struct Run {
    state: TestState,
    kind: Kind,
    /// Counters or slots of accepted values.
    accepted: Vec<u64>,
}

impl Run {
    fn new(kind: Kind) -> Self {
        let (name, seed) = match kind {
            Kind::Motp => ("motp", "0123456789abcdef"),
            Kind::Yubikey => ("yubikey", "9163508031b20d2fbb1868954e041729"),
            Kind::Ocra2 => ("ocra2", "3132333435363738393031323334353637383930"),
        };
        let request = Init {
            token_type: Some(name.to_owned()),
            // Eight characters make it unlikely that two slots of a window have the same value.
            otplen: matches!(kind, Kind::Motp).then_some(8),
            device_pin: matches!(kind, Kind::Motp).then(|| SecretText::from("1234")),
            ocra: OcraParams { suite: Some(SUITE.to_owned()), ..OcraParams::default() },
            ..init("A", seed, "pin", "alice")
        };
        let mut state = TestState::with_users();
        enroll(&mut state, &request);
        state.change_usage("A", |usage| usage.next_counter = 300);
        state.change_token("A", |token| token.fail_count_max = 1000);
        Self { state, kind, accepted: Vec::new() }
    }

    /// The counter or slot the server expects, moved.
    fn place(&self, distance: i64) -> u64 {
        let expected = match self.kind {
            Kind::Motp => self.state.now.seconds() / 10,
            Kind::Yubikey | Kind::Ocra2 => self.state.usage("A").next_counter,
        };
        expected.saturating_add_signed(distance)
    }

    fn value(&self, place: u64) -> String {
        match self.kind {
            Kind::Motp => Motp::new(b"0123456789abcdef", b"1234", 8).unwrap().code(place),
            Kind::Yubikey => format!("ecebeeejedecebeg{}", yubikey(place)),
            Kind::Ocra2 => {
                let input = Input { counter: place, question: QUESTION, ..Input::default() };
                code(&Suite::parse(SUITE).unwrap(), b"12345678901234567890", &input)
                    .unwrap()
                    .as_str()
                    .to_owned()
            }
        }
    }

    fn login(&mut self, pin: &str, place: u64) -> bool {
        let value = self.value(place);
        if !matches!(self.kind, Kind::Ocra2) {
            return check(&mut self.state, "alice", &format!("{pin}{value}"));
        }
        let options = [("data".to_owned(), QUESTION.to_owned())].into();
        let posed = self.state.run(&Check { options, ..check_request("alice", pin) }).unwrap();
        let Some(ChallengeReply::One(posed)) = posed.challenge else { return false };
        let transaction_id = Some(posed.transaction_id.as_str().to_owned());
        self.state.run(&Check { transaction_id, ..check_request("alice", &value) }).unwrap().accepted
    }

    /// Lets something happen and returns what was accepted by it.
    fn happen(&mut self, event: Event) -> Option<u64> {
        let (pin, place) = match event {
            Event::Login(distance) => ("pin", self.place(distance)),
            Event::WrongPin(distance) => ("nip", self.place(distance)),
            Event::Replay(index) => ("pin", *self.accepted.get(index)?),
            Event::ResetFailures => {
                self.state.change_usage("A", |usage| usage.fail_count = 0);
                return None;
            }
            Event::AutoResync(on) => {
                self.state.set("AutoResync", if on { "True" } else { "False" });
                return None;
            }
            Event::Wait(seconds) => {
                self.state.now = self.state.now.plus_seconds(seconds);
                return None;
            }
        };
        self.login(pin, place).then_some(place)
    }
}

/// What a Yubikey of the key above sends at a counter (reference tokens 8.11).
fn yubikey(counter: u64) -> String {
    let mut block = [0_u8; 16];
    block[..6].copy_from_slice(&[0xad, 0xb0, 0xee, 0x7d, 0xd2, 0x4a]);
    block[6..8].copy_from_slice(&u16::try_from(counter / 256).unwrap().to_le_bytes());
    block[11] = u8::try_from(counter % 256).unwrap();
    let crc = !block[..14].iter().fold(0xffff_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 })
    });
    block[14..].copy_from_slice(&crc.to_le_bytes());
    let key: [u8; 16] = *b"\x91\x63\x50\x80\x31\xb2\x0d\x2f\xbb\x18\x68\x95\x4e\x04\x17\x29";
    let mut block = aes::Block::from(block);
    Aes128::new(&key.into()).encrypt_block(&mut block);
    let digits = b"cbdefghijklnrtuv";
    block
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(digits[usize::from(nibble)]))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_value_is_accepted_twice_and_no_counter_goes_back(
        kind in select(vec![Kind::Motp, Kind::Yubikey, Kind::Ocra2]),
        events in proptest::collection::vec(event(), 1..30),
    ) {
        let mut run = Run::new(kind);
        let mut used = BTreeSet::new();
        for event in events {
            let before = run.state.usage("A").next_counter;
            let accepted = run.happen(event);
            let after = run.state.usage("A").next_counter;
            prop_assert!(after >= before, "{event:?} moved the counter from {before} back to {after}");
            match accepted {
                None => prop_assert_eq!(after, before, "{:?} was refused but moved the counter", event),
                Some(place) => {
                    prop_assert!(used.insert(place), "{event:?} accepted {place} again");
                    run.accepted.push(place);
                }
            }
        }
    }

    /// Reference tokens 8.3: twice the window, in slots; 10.4: half the window back, but never below the counter;
    /// 8.11: no upper window.
    #[test]
    fn value_is_accepted_exactly_inside_the_window(
        kind in select(vec![Kind::Motp, Kind::Yubikey, Kind::Ocra2]),
        distance in -60_i64..60,
        window in 1_u32..20,
    ) {
        let mut run = Run::new(kind);
        run.state.change_token("A", |token| token.count_window = window);
        let reach = i64::from(window);
        let expected = match kind {
            Kind::Motp => (-2 * reach..2 * reach).contains(&distance),
            Kind::Yubikey => distance >= 0,
            Kind::Ocra2 => (0..reach).contains(&distance),
        };
        let place = run.place(distance);
        prop_assert_eq!(run.login("pin", place), expected);
    }
}
