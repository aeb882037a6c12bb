//! Which token has this OTP, and when: `getSerialByOtp`, `totp_lookup` (reference http-api 11.2, 11.5).

use tessera_core::decide::enroll::{Init, SeedSource};
use tessera_core::decide::find::{OtpMoment, OtpOwner, SerialByOtp, TotpLookup};
use tessera_core::decide::user::UserParams;
use tessera_core::decision::Refusal;
use tessera_core::secret::SecretText;
use tessera_core::time::UnixMillis;
use tessera_core::user::Serial;

use crate::state::TestState;

/// The seed of RFC 4226 appendix D, and of RFC 6238 appendix B.
const SEED: &str = "3132333435363738393031323334353637383930";

fn init(token_type: &str, serial: &str, seed: &str, user: &str) -> Init {
    Init {
        token_type: Some(token_type.to_owned()),
        serial: Some(serial.to_owned()),
        seed: SeedSource { given: Some(SecretText::from(seed)), generate: false },
        otplen: (token_type == "totp").then_some(8),
        user: UserParams::login(user),
        ..Init::default()
    }
}

fn search(otp: &str) -> SerialByOtp {
    SerialByOtp { otp: Some(SecretText::from(otp)), ..SerialByOtp::default() }
}

/// RFC 4226 appendix D: counter 0 is 755224, counter 9 is 520489.
#[test]
fn an_otp_in_the_next_ten_finds_its_token_and_stays_good() {
    let mut state = TestState::with_users();
    state.run(&init("hmac", "H1", SEED, "alice")).unwrap();
    state.run(&init("hmac", "H2", "00112233445566778899", "")).unwrap();
    state.run(&init("pw", "P1", "755224", "bob")).unwrap();
    let before = state.usage("H1");
    for otp in ["755224", "520489"] {
        let found = state.run(&search(otp)).unwrap().unwrap();
        let expected = OtpOwner {
            serial: Serial::from("H1"),
            login: "alice".to_owned(),
            resolver: Some(TestState::spec("staff")),
        };
        assert_eq!(found, expected, "{otp}; a password is no OTP");
    }
    assert_eq!(state.usage("H1"), before, "nothing is used up");
    state.change_usage("H1", |usage| usage.next_counter = 1);
    assert_eq!(state.run(&search("755224")).unwrap(), None, "a used one is not found");
    assert!(!state.last_audit().success);
}

#[test]
fn filters_narrow_the_search_and_two_hits_are_refused() {
    let mut state = TestState::with_users();
    state.run(&init("hmac", "H1", SEED, "alice")).unwrap();
    state.run(&init("hmac", "H2", SEED, "")).unwrap();
    assert_eq!(state.run(&search("755224")), Err(Refusal::SeveralTokens));
    let serial = |found: Option<OtpOwner>| found.map(|owner| owner.serial.to_string());
    for (assigned, expected) in [(true, "H1"), (false, "H2")] {
        let found = state.run(&SerialByOtp { assigned: Some(assigned), ..search("755224") }).unwrap();
        assert_eq!(serial(found).as_deref(), Some(expected));
    }
    let in_realm = |realm: &str| SerialByOtp { realm: Some(realm.to_owned()), ..search("755224") };
    assert_eq!(serial(state.run(&in_realm("CORP")).unwrap()).as_deref(), Some("H1"));
    assert_eq!(state.run(&in_realm("lab")).unwrap(), None);
    let of_type = |name: &str| SerialByOtp { token_type: Some(name.to_owned()), ..search("755224") };
    assert_eq!(state.run(&of_type("totp")).unwrap(), None);
    assert_eq!(state.run(&of_type("sundial")), Err(Refusal::UnknownTokenType("sundial".to_owned())));
    assert_eq!(state.run(&SerialByOtp::default()), Err(Refusal::MissingParameter("otp")));
}

fn lookup(otp: &str, window: Option<&str>) -> TotpLookup {
    TotpLookup {
        serial: Some("T1".to_owned()),
        otp: Some(SecretText::from(otp)),
        window: window.map(str::to_owned),
    }
}

/// RFC 6238 appendix B: at 1111111109 the value is 07081804, which is step 37037036; at 1111111111 it is 14050471.
#[test]
fn the_moment_of_an_otp_is_found_in_the_past() {
    let mut state = TestState::with_users();
    state.now = UnixMillis::from_seconds(1_111_111_109);
    state.run(&init("totp", "T1", SEED, "")).unwrap();
    state.now = UnixMillis::from_seconds(1_111_111_109 + 3600);
    let before = state.usage("T1");
    let expected =
        OtpMoment { serial: Serial::from("T1"), counter: 37_037_036, seconds: 37_037_036 * 30, span: 30 };
    assert_eq!(state.run(&lookup("07081804", None)).unwrap(), Some(expected.clone()));
    assert_eq!(state.run(&lookup("07081804", Some("2h"))).unwrap(), Some(expected));
    assert_eq!(state.run(&lookup("07081804", Some("30m"))).unwrap(), None, "outside of the window");
    assert_eq!(state.usage("T1"), before);
    state.now = UnixMillis::from_seconds(1_111_111_109);
    assert_eq!(state.run(&lookup("07081804", None)).unwrap(), None, "the present step is not over");
}

#[test]
fn a_look_up_needs_a_time_based_token_and_a_bounded_window() {
    let mut state = TestState::with_users();
    state.run(&init("totp", "T1", SEED, "")).unwrap();
    state.run(&init("hmac", "H1", SEED, "")).unwrap();
    let hmac = TotpLookup { serial: Some("H1".to_owned()), ..lookup("755224", None) };
    assert_eq!(state.run(&hmac).unwrap(), None);
    let unknown = TotpLookup { serial: Some("T9".to_owned()), ..lookup("755224", None) };
    assert_eq!(state.run(&unknown), Err(Refusal::UnknownSerial("T9".to_owned())));
    for window in ["soon", "32d", "P1Y"] {
        let refused = state.run(&lookup("755224", Some(window)));
        assert!(matches!(refused, Err(Refusal::InvalidParameter { .. })), "{window}");
    }
}
