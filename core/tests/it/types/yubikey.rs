//! Yubikeys in AES mode (reference tokens 8.11, values 14.6), and in HOTP mode.

use tessera_core::decide::enroll::{Init, SeedSource};
use tessera_core::decide::resync::Resync;
use tessera_core::decide::selection::Selection;
use tessera_core::decision::Refusal;
use tessera_core::record::{InfoValue, TokenType};
use tessera_core::secret::SecretText;

use super::{locks, login, of_type, refused};
use crate::state::TestState;
use crate::tokens::{RFC_OTPS, RFC_SEED, enroll, init};

const KEY: &str = "9163508031b20d2fbb1868954e041729";
const PREFIX: &str = "ecebeeejedecebeg";
const AT_256: &str = "fcniufvgvjturjgvinhebbbertjnihit";
const AT_257: &str = "tbkfkdhnfjbjnkcbtbcckklhvgkljifu";
const AT_258: &str = "ktvkekfgufndgbfvctgfrrkinergbtdj";
const AT_512: &str = "hutbgchjucnjnhlcnfijckbniegbglrt";
const AT_768: &str = "kehbefcrnlfejedfdulubuldfbhdlicc";
const BROKEN: &str = "fcniufvgvjturjgvinhebbvvvvvvvvvv";

fn state(public_uid: Option<&str>) -> TestState {
    let mut state = TestState::with_users();
    let request = Init { public_uid: public_uid.map(str::to_owned), ..of_type("yubikey", KEY) };
    let enrolled = enroll(&mut state, &request);
    assert_eq!(enrolled.seed_text.unwrap().expose(), KEY);
    assert_eq!(state.token("A").token_type, TokenType::Yubikey);
    state
}

fn submitted(otp: &str) -> String {
    format!("pin{PREFIX}{otp}")
}

#[test]
fn otp_is_accepted_once_and_older_ones_never() {
    let mut state = state(Some(PREFIX));
    assert_eq!(state.token("A").digits, 48);
    login(&mut state, &submitted(AT_257), true);
    assert_eq!(state.usage("A").next_counter, 258);
    for used in [AT_257, AT_256] {
        login(&mut state, &submitted(used), false);
    }
    login(&mut state, &submitted(AT_258).to_uppercase().replace("PIN", "pin"), true);
    login(&mut state, &submitted(AT_768), true);
    login(&mut state, &submitted(AT_512), false);
    assert_eq!(state.usage("A").next_counter, 769);
}

#[test]
fn anything_but_an_otp_of_the_key_is_refused() {
    let mut state = state(Some(PREFIX));
    let other_prefix = format!("pin{}{AT_256}", "c".repeat(16));
    let table = [
        submitted(BROKEN),
        submitted(&AT_256[1..]),
        format!("{}c", submitted(AT_256)),
        format!("pin{AT_256}"),
        format!("{PREFIX}{AT_256}"),
        submitted(&AT_256.replace('f', "a")),
        submitted(&AT_256.replace('f', "ü")),
        other_prefix,
        "pin".to_owned(),
    ];
    for wrong in table {
        login(&mut state, &wrong, false);
        state.change_usage("A", |usage| usage.fail_count = 0);
        assert_eq!((state.usage("A").next_counter, state.usage("A").info.len()), (0, 0), "{wrong}");
    }
    locks(&mut state, &submitted(BROKEN), &submitted(AT_256));
}

#[test]
fn without_public_identity_the_prefix_is_free() {
    let mut state = state(None);
    assert_eq!(state.token("A").digits, 48);
    login(&mut state, &format!("pin{}{AT_256}", "c".repeat(16)), true);
    login(&mut state, &submitted(AT_257), true);
}

/// Register 17: LinOTP learns the private identity before it knows the PIN.
#[test]
fn private_identity_is_learnt_by_a_full_success_only() {
    let mut state = state(None);
    login(&mut state, &format!("nip{PREFIX}{AT_256}"), false);
    assert_eq!(state.usage("A").info.get("yubikey.tokenid"), None);
    login(&mut state, &submitted(AT_256), true);
    let known = Some(InfoValue::Text("adb0ee7dd24a".into()));
    assert_eq!(state.usage("A").info.get("yubikey.tokenid"), known.as_ref());
    state.change_usage("A", |usage| {
        usage.info.insert("yubikey.tokenid".into(), InfoValue::Text("adb0ee7dd24b".into()));
    });
    login(&mut state, &submitted(AT_257), false);
    // A second enrolment forgets it: the key may be another one.
    enroll(&mut state, &of_type("yubikey", KEY));
    assert_eq!(state.usage("A").info.get("yubikey.tokenid"), None);
    login(&mut state, &submitted(AT_257), true);
}

#[test]
fn resync_needs_consecutive_otps_not_below_the_counter() {
    for (next, first, second, expected) in [
        (0, AT_256, AT_257, true),
        (256, AT_256, AT_257, true),
        (257, AT_256, AT_257, false),
        (0, AT_257, AT_256, false),
        (0, AT_256, AT_258, false),
        (0, AT_256, AT_256, false),
        (0, AT_256, BROKEN, false),
    ] {
        let mut state = state(None);
        state.change_usage("A", |usage| usage.next_counter = next);
        let otp = |otp: &str| SecretText::new(format!("{PREFIX}{otp}"));
        let request = Resync {
            selection: Selection::serial("A"),
            otp1: otp(first),
            otp2: otp(second),
            challenges: None,
        };
        assert_eq!(state.run(&request), Ok(expected), "{next} {first} {second}");
        assert_eq!(state.usage("A").next_counter, if expected { 258 } else { next });
    }
}

#[test]
fn key_and_identity_are_checked() {
    let seed = |given: Option<&str>, generate| SeedSource { given: given.map(SecretText::from), generate };
    let with = |seed| Init { seed, ..of_type("yubikey", KEY) };
    assert_eq!(refused(&with(seed(None, false))), Refusal::MissingParameter("otpkey"));
    assert_eq!(refused(&with(seed(Some(KEY), true))), Refusal::SeedGivenAndGenerated);
    for key in ["00", &KEY[1..], &format!("{KEY}00")] {
        assert!(matches!(refused(&with(seed(Some(key), false))), Refusal::InvalidParameter { .. }), "{key}");
    }
    let long = "c".repeat(33);
    for uid in ["abc", long.as_str(), "ecebeeejedecebe\u{fc}"] {
        let request = Init { public_uid: Some(uid.to_owned()), ..of_type("yubikey", KEY) };
        assert!(matches!(refused(&request), Refusal::InvalidParameter { .. }), "{uid}");
    }
    for chars in [31, 65] {
        let request = Init { otplen: Some(chars), ..of_type("yubikey", KEY) };
        assert!(matches!(refused(&request), Refusal::InvalidParameter { .. }), "{chars}");
    }
    let mut state = TestState::with_users();
    let enrolled = enroll(&mut state, &with(seed(None, true)));
    assert_eq!(enrolled.seed_text.unwrap().expose().len(), 32);
    let shorter = Init { public_uid: Some("CCCCCC".to_owned()), otplen: Some(64), ..of_type("yubikey", KEY) };
    enroll(&mut state, &shorter);
    assert_eq!(state.token("A").digits, 38, "the identity decides");
}

/// Reference tokens 13.3: a slot in OATH-HOTP mode is an `hmac` token with a serial of its own.
#[test]
fn slot_in_hotp_mode_is_an_event_based_token() {
    let mut state = TestState::with_users();
    enroll(&mut state, &init("UBOM01382015_2", RFC_SEED, "pin", "alice"));
    login(&mut state, &format!("pin{}", RFC_OTPS[0]), true);
    login(&mut state, &format!("pin{}", RFC_OTPS[0]), false);
}
