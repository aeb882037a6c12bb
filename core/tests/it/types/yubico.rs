//! Yubikeys that a validation server checks (reference tokens 8.12). Signatures by
//! `printf 'nonce=…&otp=…&status=…' | openssl dgst -sha1 -hmac secret -binary | base64`.

use tessera_core::decide::enroll::{Init, SeedSource};
use tessera_core::decision::Refusal;
use tessera_core::facts::{Answer, Question};
use tessera_core::secret::SecretText;

use super::{login, of_type, refused};
use crate::state::TestState;
use crate::tokens::enroll;

const OTP: &str = "vvincredibletrerdegkkrkkneieultcjdghrejjbckh";

fn yubico(id: Option<&str>) -> Init {
    Init { seed: SeedSource::default(), yubico_id: id.map(str::to_owned), ..of_type("yubico", "") }
}

fn question(otp: &str) -> Question {
    Question::ValidateYubico {
        urls: vec!["https://one.example/verify".to_owned(), "https://two.example/verify".to_owned()],
        client_id: "87".to_owned(),
        otp: SecretText::from(otp),
    }
}

/// A server that gives this status with this signature.
fn state(status: &str, signature: &str) -> TestState {
    let mut state = TestState::with_users();
    let enrolled = enroll(&mut state, &yubico(Some("vvincrediblexxxx")));
    assert_eq!(enrolled.seed_text, None);
    assert_eq!(state.token("A").digits, 44);
    state.set("yubico.url", "https://one.example/verify, https://two.example/verify");
    state.set("yubico.id", "87");
    // base64 of `secret`
    state.set("yubico.secret", "c2VjcmV0");
    let body = format!("h={signature}\r\notp={OTP}\r\nnonce=n0\r\nstatus={status}\r\n");
    state.answers.push((question(OTP), Answer::Yubico { nonce: "n0".to_owned(), body }));
    state
}

#[test]
fn signed_yes_of_the_server_is_accepted() {
    let mut state = state("OK", OK);
    login(&mut state, &format!("pin{OTP}"), true);
    assert_eq!(state.asked.iter().filter(|asked| **asked == question(OTP)).count(), 1);
}

#[test]
fn anything_else_of_the_server_is_not() {
    for (status, signature) in [("REPLAYED_OTP", REPLAYED), ("OK", REPLAYED), ("OK", "")] {
        let mut state = state(status, signature);
        login(&mut state, &format!("pin{OTP}"), false);
        assert_eq!(&*state.last_audit().action_detail, "wrong otp value");
        assert_eq!(state.usage("A").fail_count, 1);
    }
}

#[test]
fn server_is_asked_only_behind_the_pin_and_about_its_own_otps() {
    let mut state = state("OK", OK);
    for wrong in [format!("nip{OTP}"), format!("pin{}", OTP.replace("vvin", "vvit")), "pin".to_owned()] {
        login(&mut state, &wrong, false);
    }
    assert!(!state.asked.iter().any(|asked| matches!(asked, Question::ValidateYubico { .. })));
}

/// Not a wrong OTP, hence nobody is blamed.
#[test]
fn without_server_or_configuration_the_token_takes_no_part() {
    let mut state = state("OK", OK);
    state.answers.clear();
    login(&mut state, &format!("pin{OTP}"), false);
    assert!(state.last_audit().info.contains("no validation server"), "{}", state.last_audit().info);
    state.set("yubico.id", "");
    login(&mut state, &format!("pin{OTP}"), false);
    assert!(state.last_audit().info.contains("yubico.id and yubico.secret"));
    state.set("yubico.id", "87");
    state.set("yubico.url", "http://api.yubico.com/wsapi/verify");
    login(&mut state, &format!("pin{OTP}"), false);
    assert!(state.last_audit().info.contains("https only"));
    assert_eq!(state.usage("A").fail_count, 0);
}

#[test]
fn identity_is_required() {
    for id in [None, Some(""), Some("vvincredibl")] {
        assert!(matches!(refused(&yubico(id)), Refusal::InvalidParameter { .. }), "{id:?}");
    }
}

const OK: &str = "VHkQet05qvUjKZQBgwUZu0IyK2k=";
const REPLAYED: &str = "fKbEyGzWyBkS7fWEABdrcCZLFRo=";
