//! Fixed passwords (reference tokens 8.4).

use tessera_core::decide::enroll::{Init, SeedSource};
use tessera_core::decision::Refusal;
use tessera_core::record::{InfoValue, TokenType};
use tessera_core::secret::{Purpose, SecretText};

use super::{locks, login, of_type, refused};
use crate::state::TestState;
use crate::tokens::enroll;

#[test]
fn password_follows_the_pin_and_can_be_used_again() {
    let mut state = TestState::with_users();
    let enrolled = enroll(&mut state, &of_type("pw", "Grüße!"));
    assert_eq!(enrolled.seed_text.unwrap().expose(), "Grüße!", "shown once");
    assert_eq!(enrolled.otpauth_url, None);
    assert_eq!((state.token("A").token_type, state.token("A").digits), (TokenType::Pw, 6));
    for _ in 0..3 {
        login(&mut state, "pinGrüße!", true);
    }
    for wrong in ["Grüße!", "pinGrüße", "pingrüße!", "pinGrüße!!", "pin", "", "Grüße!pin"] {
        login(&mut state, wrong, false);
    }
    locks(&mut state, "pinGruße!", "pinGrüße!");
}

#[test]
fn password_length_wins_over_the_one_sent() {
    let mut state = TestState::with_users();
    enroll(&mut state, &Init { otplen: Some(6), ..of_type("pw", "a longer one") });
    assert_eq!(state.token("A").digits, 12);
    login(&mut state, "pina longer one", true);
}

#[test]
fn password_is_stored_one_way() {
    let mut state = TestState::with_users();
    enroll(&mut state, &of_type("pw", "hunter2"));
    let sealed = state.token("A").seed.clone().unwrap();
    let stored = state.keyring.open(Purpose::Seed, "A", &sealed).unwrap();
    let stored = std::str::from_utf8(&stored).unwrap();
    assert!(stored.starts_with("pin-hash-1:1:") && !stored.contains("hunter2"), "{stored}");
    // The same password looks different for another token.
    let mut other = of_type("pw", "hunter2");
    other.serial = Some("B".to_owned());
    enroll(&mut state, &other);
    let sealed = state.token("B").seed.clone().unwrap();
    assert_ne!(state.keyring.open(Purpose::Seed, "B", &sealed).unwrap().as_slice(), stored.as_bytes());
}

#[test]
fn password_once_is_good_for_one_login() {
    let mut state = TestState::with_users();
    let once = Init { once: true, ..of_type("pw", "secret") };
    enroll(&mut state, &once);
    assert_eq!(state.token("A").info.get("count_auth_success_max"), Some(&InfoValue::Integer(1)));
    login(&mut state, "pinwrong!", false);
    login(&mut state, "pinsecret", true);
    login(&mut state, "pinsecret", false);
    assert_eq!(&*state.last_audit().action_detail, "Authentication sucess counter exceeded");
    enroll(&mut state, &once);
    login(&mut state, "pinsecret", true);
}

#[test]
fn password_is_required_and_bounded() {
    let without = |generate| Init { seed: SeedSource { given: None, generate }, ..of_type("pw", "") };
    assert_eq!(refused(&without(false)), Refusal::MissingParameter("otpkey"));
    assert!(matches!(refused(&without(true)), Refusal::InvalidParameter { .. }));
    assert_eq!(refused(&of_type("pw", "")), Refusal::MissingParameter("otpkey"));
    let of_length = |length| {
        let given = Some(SecretText::new("ü".repeat(length)));
        Init { seed: SeedSource { given, generate: false }, ..of_type("pw", "") }
    };
    assert!(matches!(refused(&of_length(256)), Refusal::InvalidParameter { .. }));
    enroll(&mut TestState::with_users(), &of_length(255));
}
