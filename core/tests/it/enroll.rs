//! Enrolment: parameter rules, what is stored, what is told (reference tokens 4).

use tessera_core::decide::enroll::{Init, SeedSource};
use tessera_core::decide::user::UserParams;
use tessera_core::decision::Refusal;
use tessera_core::record::{InfoValue, Pin, TokenType};
use tessera_core::secret::{Purpose, SecretText};
use tessera_core::time::UnixMillis;
use tessera_core::user::Owner;

use crate::state::TestState;
use crate::tokens::{RFC_OTPS, RFC_SEED, SEED, alice_with_token, check, enroll, init};

fn generated(token_type: &str, hashlib: Option<&str>) -> Init {
    Init {
        token_type: Some(token_type.to_owned()),
        seed: SeedSource { given: None, generate: true },
        hashlib: hashlib.map(str::to_owned),
        ..Init::default()
    }
}

#[track_caller]
fn refused(request: &Init) -> Refusal {
    let mut state = TestState::with_users();
    let refusal = state.run(request).unwrap_err();
    let row = state.last_audit();
    assert!(!row.success);
    assert!(row.info.contains(&refusal.to_string()));
    refusal
}

#[test]
fn new_token_has_the_defaults() {
    let mut state = TestState::with_users();
    state.now = UnixMillis(1_795_293_016_789);
    let enrolled = enroll(&mut state, &init("A", RFC_SEED, "pin", "alice"));
    assert_eq!(enrolled.serial.as_str(), "A");
    assert_eq!(enrolled.seed_text.unwrap().expose(), RFC_SEED);
    assert_eq!(
        enrolled.otpauth_url.unwrap().expose(),
        "otpauth://hotp/LinOTP:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&counter=0&issuer=LinOTP"
    );
    let token = state.token("A");
    assert_eq!(token.token_type, TokenType::Hmac);
    assert_eq!(
        (token.digits, token.count_window, token.sync_window, token.fail_count_max),
        (6, 10, 1000, 10)
    );
    assert_eq!((token.active, &*token.description), (true, ""));
    assert_eq!(token.created_at, UnixMillis::from_seconds(1_795_293_016), "whole seconds");
    assert_eq!(token.realms, ["corp".into()]);
    assert_eq!(token.owner, Some(Owner { resolver: TestState::spec("staff"), user_id: "u1".into() }));
    assert_eq!(token.info.get("hashlib"), Some(&InfoValue::Text("sha1".into())));
    assert_eq!(token.info.len(), 1);
    assert!(matches!(token.pin, Pin::Hashed(_)));
    let row = state.last_audit();
    assert_eq!((row.success, &*row.serial, &*row.token_type), (true, "A", "HMAC"));
    assert_eq!((&*row.user, &*row.realm), ("alice", "corp"));
}

#[test]
fn seed_is_stored_as_typed_and_sealed_for_its_token() {
    let mut state = TestState::with_users();
    enroll(&mut state, &init("A", "31 32-33 aB", "", ""));
    let sealed = state.token("A").seed.clone().unwrap();
    assert_eq!(state.keyring.open(Purpose::Seed, "A", &sealed).unwrap().as_slice(), b"313233aB");
    assert!(state.keyring.open(Purpose::Seed, "B", &sealed).is_err());
}

#[test]
fn settings_give_the_defaults_of_new_tokens() {
    let mut state = TestState::with_users();
    for (key, value) in [
        ("DefaultOtpLen", "8"),
        ("DefaultCountWindow", "11"),
        ("DefaultSyncWindow", "12"),
        ("DefaultMaxFailCount", "13"),
        ("totp.timeStep", "60"),
        ("totp.timeWindow", "300"),
        ("totp.timeShift", "-60"),
        ("totp.hashlib", "sha256"),
    ] {
        state.set(key, value);
    }
    let serial = enroll(&mut state, &generated("totp", None)).serial;
    let token = state.token(serial.as_str());
    assert_eq!((token.digits, token.count_window, token.sync_window, token.fail_count_max), (8, 11, 12, 13));
    assert_eq!(token.info.get("timeStep"), Some(&InfoValue::Integer(60)));
    assert_eq!(token.info.get("timeWindow"), Some(&InfoValue::Integer(300)));
    assert_eq!(token.info.get("hashlib"), Some(&InfoValue::Text("sha256".into())));
    assert_eq!(state.usage(serial.as_str()).time_shift, -60);
    let own = Init {
        otplen: Some(6),
        time_step: Some(30),
        time_window: Some(90),
        time_shift: Some(30),
        ..generated("totp", Some("SHA512"))
    };
    let enrolled = enroll(&mut state, &own);
    let token = state.token(enrolled.serial.as_str());
    assert_eq!(token.digits, 6);
    assert_eq!(token.info.get("timeStep"), Some(&InfoValue::Integer(30)));
    assert_eq!(token.info.get("timeWindow"), Some(&InfoValue::Integer(90)));
    assert_eq!(token.info.get("hashlib"), Some(&InfoValue::Text("sha512".into())));
    assert_eq!(state.usage(enrolled.serial.as_str()).time_shift, 30);
}

#[test]
fn uri_of_a_time_based_token() {
    let mut state = TestState::with_users();
    let request = Init {
        token_type: Some("totp".to_owned()),
        otplen: Some(8),
        hashlib: Some("sha256".to_owned()),
        time_step: Some(60),
        ..init("T 1", RFC_SEED, "", "")
    };
    assert_eq!(
        enroll(&mut state, &request).otpauth_url.unwrap().expose(),
        "otpauth://totp/LinOTP:T%201?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
         &digits=8&algorithm=SHA256&period=60&issuer=LinOTP"
    );
}

/// FIX 12: the length follows the hash for both types.
#[test]
fn generated_seeds_are_as_long_as_the_hash() {
    let mut state = TestState::with_users();
    for token_type in ["hmac", "totp"] {
        for (hashlib, bytes) in [(None, 20), (Some("sha1"), 20), (Some("sha256"), 32), (Some("sha512"), 64)] {
            let seed = enroll(&mut state, &generated(token_type, hashlib)).seed_text.unwrap();
            assert_eq!(seed.expose().len(), bytes * 2, "{token_type} {hashlib:?}");
            assert!(seed.expose().chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
        }
    }
}

#[test]
fn generated_seeds_differ() {
    let mut state = TestState::with_users();
    let first = enroll(&mut state, &generated("hmac", None)).seed_text.unwrap();
    assert_ne!(first, enroll(&mut state, &generated("hmac", None)).seed_text.unwrap());
}

#[test]
fn unknown_hash_behaves_as_sha1_unless_a_seed_must_fit_it() {
    let mut state = TestState::with_users();
    let odd = Init { hashlib: Some("whirlpool".to_owned()), ..init("A", RFC_SEED, "", "alice") };
    let url = enroll(&mut state, &odd).otpauth_url.unwrap();
    assert!(!url.expose().contains("algorithm"));
    assert!(check(&mut state, "alice", RFC_OTPS[0]));
    assert_eq!(
        enroll(&mut state, &generated("hmac", Some("whirlpool"))).seed_text.unwrap().expose().len(),
        40
    );
    assert!(matches!(refused(&generated("totp", Some("whirlpool"))), Refusal::InvalidParameter { .. }));
}

#[test]
fn seed_must_come_from_one_place() {
    let both = SeedSource { given: Some(SecretText::from(SEED)), generate: true };
    let typed = |token_type: &str, seed: SeedSource| Init {
        token_type: Some(token_type.to_owned()),
        seed,
        ..Init::default()
    };
    assert_eq!(refused(&typed("hmac", both.clone())), Refusal::SeedGivenAndGenerated);
    let mut state = TestState::with_users();
    let seed = enroll(&mut state, &typed("totp", both)).seed_text.unwrap();
    assert_ne!(seed.expose(), SEED, "generated");
    for token_type in ["hmac", "totp"] {
        assert_eq!(refused(&typed(token_type, SeedSource::default())), Refusal::MissingParameter("otpkey"));
        let empty = SeedSource { given: Some(SecretText::from("")), generate: false };
        assert_eq!(refused(&typed(token_type, empty)), Refusal::MissingParameter("otpkey"));
    }
}

#[test]
fn unusable_seeds_are_refused() {
    for token_type in ["hmac", "totp"] {
        let with = |seed: &str| Init { token_type: Some(token_type.to_owned()), ..init("A", seed, "", "") };
        assert_eq!(
            refused(&with("31323z")).to_string(),
            "The provided token seed contains non-hexadecimal characters"
        );
        assert!(matches!(refused(&with("313")), Refusal::Other(_)), "odd number of digits");
        assert!(matches!(refused(&with(&"ab".repeat(600))), Refusal::Other(_)), "too long");
    }
}

#[test]
fn only_what_authenticator_apps_know_is_enrolled() {
    for digits in [0, 5, 7, 9, 10, u32::MAX] {
        let request = Init { otplen: Some(digits), ..init("A", SEED, "", "") };
        assert!(matches!(refused(&request), Refusal::InvalidParameter { .. }), "{digits} digits");
    }
    for step in [0, 1, 29, 45, u64::MAX] {
        let request =
            Init { token_type: Some("totp".to_owned()), time_step: Some(step), ..init("A", SEED, "", "") };
        assert!(
            matches!(refused(&request), Refusal::InvalidParameter { .. } | Refusal::Other(_)),
            "{step} s"
        );
    }
}

#[test]
fn refused_enrolment_leaves_nothing_behind() {
    let mut state = TestState::with_users();
    let decision = state.decide(&Init { otplen: Some(7), ..init("A", SEED, "", "") });
    assert!(decision.reply.is_err());
    assert!(decision.txn.writes.is_empty());
}

#[test]
fn type_must_be_known_and_stay() {
    let unknown = Init { token_type: Some("tagespasswort".to_owned()), ..init("A", SEED, "", "") };
    assert_eq!(refused(&unknown), Refusal::UnknownTokenType("tagespasswort".to_owned()));
    let mut state = alice_with_token();
    let other = Init { token_type: Some("totp".to_owned()), ..init("A", SEED, "", "") };
    assert!(matches!(state.run(&other), Err(Refusal::TokenTypeMismatch { .. })));
    let same = Init { token_type: Some("HmAc".to_owned()), ..init("A", SEED, "", "") };
    assert!(state.run(&same).is_ok());
}

#[test]
fn owner_must_exist() {
    let request = init("A", SEED, "", "mallory");
    assert_eq!(
        refused(&request),
        Refusal::UnknownOwner { login: "mallory".to_owned(), realm: "corp".to_owned() }
    );
    let elsewhere = init("A", SEED, "", "alice@lab");
    assert_eq!(
        refused(&elsewhere),
        Refusal::UnknownOwner { login: "alice".to_owned(), realm: "lab".to_owned() }
    );
}

#[test]
fn realms_are_those_of_the_user_and_the_one_named() {
    let enrolled = |user: &str, realm: Option<&str>| {
        let mut state = TestState::with_users();
        state.add_realm("second", &["staff"]);
        let user = UserParams { user: user.to_owned(), realm: realm.map(str::to_owned), res_conf: None };
        enroll(&mut state, &Init { user, ..init("A", SEED, "", "") });
        let realms: Vec<String> = state.token("A").realms.iter().map(ToString::to_string).collect();
        realms.join(" ")
    };
    assert_eq!(enrolled("alice", None), "corp second");
    assert_eq!(enrolled("alice", Some("SECOND")), "corp second");
    assert_eq!(enrolled("", Some("Lab")), "lab");
    assert_eq!(enrolled("", Some("nowhere")), "");
    assert_eq!(enrolled("", None), "");
}

#[test]
fn second_enrolment_keeps_what_it_does_not_set() {
    let mut state = alice_with_token();
    state.change_token("A", |token| {
        token.description = "blue one".into();
        (token.count_window, token.sync_window, token.fail_count_max) = (3, 4, 5);
        token.info.insert("colour".into(), InfoValue::Text("blue".into()));
        token.active = false;
    });
    state.change_usage("A", |usage| {
        (usage.next_counter, usage.fail_count, usage.count_auth) = (9, 2, Some(7));
    });
    let before = state.token("A");
    state.now = state.now.plus_seconds(1000);
    enroll(&mut state, &Init { pin: None, ..init("A", RFC_SEED, "", "") });
    let token = state.token("A");
    assert_eq!((&token.pin, &token.owner, token.created_at), (&before.pin, &before.owner, before.created_at));
    assert_eq!((&*token.description, token.active), ("blue one", false));
    assert_eq!((token.count_window, token.sync_window, token.fail_count_max), (3, 4, 5));
    assert_eq!(token.info.get("colour"), Some(&InfoValue::Text("blue".into())));
    assert_eq!(token.realms, [], "the realms are replaced");
    let usage = state.usage("A");
    assert_eq!((usage.next_counter, usage.fail_count, usage.count_auth), (0, 0, Some(7)));
    enroll(&mut state, &Init { pin: None, enable: Some(true), ..init("A", RFC_SEED, "", "bob") });
    assert!(check(&mut state, "bob", "pin755224"));
    assert!(!check(&mut state, "alice", "pin287082"));
}

#[test]
fn pin_is_reversible_on_request_only() {
    let mut state = TestState::with_users();
    enroll(&mut state, &Init { encrypt_pin: true, ..init("A", SEED, "pin", "") });
    let Pin::Reversible(sealed) = state.token("A").pin.clone() else { panic!("hashed") };
    assert_eq!(state.keyring.open(Purpose::UserPin, "A", &sealed).unwrap().as_slice(), b"pin");
    enroll(&mut state, &Init { pin: None, ..init("B", SEED, "", "") });
    assert_eq!(state.token("B").pin, Pin::Unset);
}

#[test]
fn token_may_be_enrolled_disabled() {
    let mut state = TestState::with_users();
    enroll(&mut state, &Init { enable: Some(false), ..init("A", SEED, "", "alice") });
    assert!(!check(&mut state, "alice", "870581"));
    assert_eq!(&*state.last_audit().action_detail, "Token inactive");
}

#[test]
fn description_is_cut_at_eighty_characters() {
    let mut state = TestState::with_users();
    enroll(&mut state, &Init { description: Some("ü".repeat(81)), ..init("A", SEED, "", "") });
    assert_eq!(&*state.token("A").description, "ü".repeat(80));
}

#[test]
fn scope_is_stored_and_described() {
    let path = |list: &str| Some(format!(r#"{{"path":[{list}]}}"#));
    for (scope, rollout, description, stored, expected) in [
        (None, false, None, None, ""),
        (None, true, None, path(r#""userservice""#), "rollout token"),
        (path(r#""validate""#), true, None, path(r#""validate""#), "rollout token"),
        (path(r#""userservice""#), false, Some("mine"), path(r#""userservice""#), "mine"),
        (path(r#""elsewhere""#), false, None, path(r#""elsewhere""#), ""),
        (path(""), false, None, path(""), ""),
    ] {
        let mut state = TestState::with_users();
        let request = Init {
            scope: scope.clone(),
            rollout,
            description: description.map(str::to_owned),
            ..init("A", SEED, "", "")
        };
        enroll(&mut state, &request);
        let token = state.token("A");
        assert_eq!(token.info.get("scope"), stored.map(|json| InfoValue::Json(json.into())).as_ref());
        assert_eq!(&*token.description, expected, "{scope:?}");
    }
    for malformed in ["{", r#"{"path":"validate"}"#, "validate", "[1]"] {
        let request = Init { scope: Some(malformed.to_owned()), ..init("A", SEED, "", "") };
        assert!(matches!(refused(&request), Refusal::Other(_)), "{malformed}");
    }
}

#[test]
fn secrets_are_not_in_debug_output() {
    let mut state = TestState::with_users();
    let request = init("A", SEED, "geheim", "");
    let enrolled = enroll(&mut state, &request);
    let shown = format!("{request:?} {enrolled:?} {:?} {:?}", state.token("A"), state.last_audit());
    for secret in [SEED, "geheim", "secret="] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
