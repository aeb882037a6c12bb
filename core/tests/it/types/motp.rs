//! Mobile-OTP (reference tokens 8.3). Values of tokens 14.4 where it lists them, else
//! `printf '%s%s%s' SLOT SEED PIN | md5sum | cut -c1-6`.

use tessera_core::decide::enroll::{Init, SeedSource};
use tessera_core::decide::lifecycle::SetPin;
use tessera_core::decision::Refusal;
use tessera_core::record::{InfoValue, TokenType};
use tessera_core::secret::{Purpose, SecretText};
use tessera_core::time::UnixMillis;

use super::{locks, login, of_type, refused};
use crate::state::TestState;
use crate::tokens::enroll;

const SEED: &str = "0123456789abcdef";

fn motp() -> Init {
    Init { device_pin: Some(SecretText::from("6666")), ..of_type("motp", SEED) }
}

/// The clock stands at the first of the listed slots, moved by some slots.
fn state_at(moved: i64) -> TestState {
    let mut state = TestState::with_users();
    enroll(&mut state, &motp());
    state.now = UnixMillis::from_seconds(129_612_120_u64.saturating_add_signed(moved) * 10 + 9);
    state
}

#[test]
fn value_of_a_slot_is_accepted_once() {
    let mut state = state_at(0);
    login(&mut state, "pin6ed4e4", true);
    assert_eq!(state.usage("A").next_counter, 129_612_120, "the last slot used");
    login(&mut state, "pin6ed4e4", false);
    state.now = state.now.plus_seconds(100);
    login(&mut state, "pin502a59", true);
    login(&mut state, "pin6ed4e4", false);
    for wrong in ["pin502a58", "502a59", "pin502A59", "pin", ""] {
        login(&mut state, wrong, false);
    }
}

/// Reference tokens 8.3: twice the count window, which is 10, in slots of 10 s.
#[test]
fn window_reaches_twenty_slots_back_and_nineteen_ahead() {
    for (moved, accepted) in [(20, true), (21, false), (-19, true), (-20, false)] {
        login(&mut state_at(moved), "pin6ed4e4", accepted);
    }
}

#[test]
fn wrong_values_lock() {
    locks(&mut state_at(0), "pin000000", "pin6ed4e4");
}

#[test]
fn device_pin_is_sealed_and_can_be_changed() {
    let mut state = state_at(124);
    let sealed = state.token("A").user_pin.clone().unwrap();
    assert_eq!(state.keyring.open(Purpose::UserPin, "A", &sealed).unwrap().as_slice(), b"6666");
    login(&mut state, "pin7abf75", false);
    let pin = |serial: &str| SetPin {
        serial: Some(serial.to_owned()),
        user_pin: Some(SecretText::from("77777777")),
    };
    state.run(&pin("A")).unwrap();
    assert!(state.last_audit().success);
    login(&mut state, "pin7abf75", true);
    assert_eq!(state.run(&pin("B")), Err(Refusal::UnknownSerial("B".to_owned())));
    enroll(&mut state, &Init { serial: Some("H".to_owned()), ..of_type("hmac", "3132") });
    let unsupported = Refusal::Unsupported { operation: "setPin", token_type: "hmac" };
    assert_eq!(state.run(&pin("H")), Err(unsupported));
}

#[test]
fn generated_seed_is_upper_case_and_wins() {
    let mut state = TestState::with_users();
    let both = SeedSource { given: Some(SecretText::from(SEED)), generate: true };
    let enrolled = enroll(&mut state, &Init { seed: both, ..motp() });
    let seed = enrolled.seed_text.unwrap();
    let upper = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
    assert!(seed.expose().len() == 16 && seed.expose().chars().all(upper), "{}", seed.expose());
    assert_eq!(state.token("A").token_type, TokenType::Motp);
    assert_eq!(state.token("A").info.get("hashlib"), Some(&InfoValue::Text("sha1".into())));
}

/// Reference tokens 14.8: the text is encoded, not the bytes behind it.
#[test]
fn uri_carries_the_text_of_the_seed() {
    let mut state = TestState::with_users();
    let seed = SeedSource { given: Some(SecretText::from("DEADBEEFDEADBEEF")), generate: false };
    let enrolled = enroll(&mut state, &Init { seed, ..motp() });
    assert_eq!(
        enrolled.otpauth_url.unwrap().expose(),
        "otpauth://motp/LinOTP:alice?secret=IRCUCRCCIVCUMRCFIFCEERKFIY&issuer=LinOTP"
    );
}

#[test]
fn seed_and_device_pin_are_required() {
    let without = Init { seed: SeedSource::default(), ..motp() };
    assert_eq!(refused(&without), Refusal::MissingParameter("otpkey"));
    for pin in [None, Some(SecretText::from(""))] {
        assert_eq!(refused(&Init { device_pin: pin, ..motp() }), Refusal::MissingParameter("otppin"));
    }
    let text = SeedSource { given: Some(SecretText::from("xyz")), generate: false };
    let sentence = "The provided token seed contains non-hexadecimal characters";
    assert_eq!(refused(&Init { seed: text, ..motp() }).to_string(), sentence);
    assert!(matches!(refused(&Init { otplen: Some(7), ..motp() }), Refusal::InvalidParameter { .. }));
}
