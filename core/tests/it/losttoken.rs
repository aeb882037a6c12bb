//! Replacing a lost token (reference tokens 12.1).

use tessera_core::decide::enroll::Init;
use tessera_core::decide::losttoken::{LostToken, Replacement};
use tessera_core::decision::Refusal;
use tessera_core::record::{InfoValue, TokenType};

use crate::state::TestState;
use crate::tokens::{SEED, alice_with_token, check, enroll, init};

fn lost(serial: &str) -> LostToken {
    LostToken { serial: Some(serial.to_owned()), ..LostToken::default() }
}

#[track_caller]
fn replace(state: &mut TestState, serial: &str) -> Replacement {
    state.run(&lost(serial)).unwrap()
}

/// The clock stands at 2026-11-21T20:30:00Z.
#[test]
fn password_stands_in_for_the_lost_token() {
    let mut state = alice_with_token();
    let replacement = replace(&mut state, "A");
    assert_eq!((replacement.serial.as_str(), replacement.token_type), ("lostA", "pw"));
    assert_eq!((replacement.end_date.as_str(), replacement.copies_pin), ("01/12/26 23:59", true));
    let password = replacement.password.expose().to_owned();
    assert!(password.len() == 10 && password.chars().all(|c| c.is_ascii_alphanumeric()), "{password}");
    let (old, new) = (state.token("A"), state.token("lostA"));
    assert!(!old.active && new.active);
    assert_eq!((&new.owner, &new.realms, &new.pin), (&old.owner, &old.realms, &old.pin));
    assert_eq!(&*new.description, "temporary replacement for A");
    assert_eq!(new.info.get("validity_period_end"), Some(&InfoValue::Text("01/12/26 23:59".into())));
    assert!(!check(&mut state, "alice", "pin870581"), "disabled");
    assert!(!check(&mut state, "alice", &password), "the PIN comes first");
    assert!(check(&mut state, "alice", &format!("pin{password}")));
    assert!(check(&mut state, "alice", &format!("pin{password}")), "again and again");
    state.now = state.now.plus_seconds(11 * 86_400);
    assert!(!check(&mut state, "alice", &format!("pin{password}")));
}

#[test]
fn second_loss_gives_another_password() {
    let mut state = alice_with_token();
    let first = replace(&mut state, "A").password;
    state.change_usage("lostA", |usage| usage.fail_count = 10);
    state.change_token("lostA", |token| token.active = false);
    let second = replace(&mut state, "A").password;
    assert_ne!(first, second);
    assert!(!check(&mut state, "alice", &format!("pin{}", first.expose())));
    assert!(check(&mut state, "alice", &format!("pin{}", second.expose())));
}

#[test]
fn reversible_pin_is_sealed_for_the_replacement() {
    let mut state = TestState::with_users();
    enroll(&mut state, &Init { encrypt_pin: true, ..init("A", SEED, "pin", "alice") });
    let password = replace(&mut state, "A").password;
    assert!(check(&mut state, "alice", &format!("pin{}", password.expose())));
}

#[test]
fn pin_of_a_spass_token_is_not_copied() {
    let mut state = TestState::with_users();
    let spass = Init { token_type: Some("spass".to_owned()), ..init("A", SEED, "pin", "alice") };
    enroll(&mut state, &spass);
    let replacement = replace(&mut state, "A");
    assert!(!replacement.copies_pin);
    assert!(check(&mut state, "alice", replacement.password.expose()));
}

#[test]
fn only_tokens_of_existing_users_can_be_lost() {
    let mut state = alice_with_token();
    enroll(&mut state, &init("N", SEED, "", ""));
    assert!(matches!(state.run(&lost("N")), Err(Refusal::Other(_))));
    assert_eq!(state.run(&lost("X")), Err(Refusal::UnknownSerial("X".to_owned())));
    assert!(matches!(state.run(&lost("")), Err(Refusal::Other(_))));
    enroll(&mut state, &init("lostA", SEED, "", ""));
    assert!(matches!(state.run(&lost("A")), Err(Refusal::TokenTypeMismatch { .. })));
    assert!(state.token("A").active);
    assert_eq!(state.token("lostA").token_type, TokenType::Hmac);
    state.directory.clear();
    enroll(&mut TestState::new(), &init("B", SEED, "", ""));
    assert!(matches!(state.run(&lost("A")), Err(Refusal::Other(_))));
}

/// Message tokens do not exist yet: who can be reached is not given a password instead, who cannot be is.
#[test]
fn kind_falls_back_to_a_password() {
    for (kind, email, accepted) in [
        ("email", None, true),
        ("sms", Some("alice@example.com"), true),
        ("something", Some("alice@example.com"), true),
        ("email", Some("alice@example.com"), false),
    ] {
        let request = LostToken { kind: Some(kind.to_owned()), email: email.map(str::to_owned), ..lost("A") };
        assert_eq!(alice_with_token().run(&request).is_ok(), accepted, "{kind} {email:?}");
    }
}
