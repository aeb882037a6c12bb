//! Enrolling and using tokens in tests.

use tessera_core::decide::enroll::{Enrolled, Init, SeedSource};
use tessera_core::decide::user::UserParams;
use tessera_core::decide::validate::{Check, CheckSerial, Verdict};
use tessera_core::decision::Refusal;
use tessera_core::secret::SecretText;

use crate::state::TestState;

/// The second seed of reference tokens 14.1, and its first OTPs.
pub(crate) const SEED: &str = "AD8EABE235FC57C815B26CEF3709075580B44738";
pub(crate) const OTPS: [&str; 12] = [
    "870581", "793334", "088491", "013126", "818771", "454594", "217219", "250710", "478893", "517407",
    "341582", "058477",
];
/// The OTPs 35 to 40 of the same seed.
pub(crate) const OTPS_FROM_35: [&str; 6] = ["732866", "920079", "328973", "719818", "204809", "957690"];
/// The seed of RFC 4226 and its first OTPs.
pub(crate) const RFC_SEED: &str = "3132333435363738393031323334353637383930";
pub(crate) const RFC_OTPS: [&str; 4] = ["755224", "287082", "359152", "969429"];

/// An enrolment of an event-based token.
pub(crate) fn init(serial: &str, seed: &str, pin: &str, user: &str) -> Init {
    Init {
        serial: Some(serial.to_owned()),
        seed: SeedSource { given: Some(SecretText::from(seed)), generate: false },
        pin: Some(SecretText::from(pin)),
        user: UserParams::login(user),
        ..Init::default()
    }
}

#[track_caller]
pub(crate) fn enroll(state: &mut TestState, request: &Init) -> Enrolled {
    let action = std::mem::replace(&mut state.caller.action, "admin/init".to_owned());
    let enrolled = state.run(request).unwrap();
    state.caller.action = action;
    enrolled
}

/// A state with the usual users in which alice owns the token `A`.
pub(crate) fn alice_with_token() -> TestState {
    let mut state = TestState::with_users();
    enroll(&mut state, &init("A", SEED, "pin", "alice"));
    state
}

pub(crate) fn check_request(user: &str, submitted: &str) -> Check {
    Check { user: UserParams::login(user), pass: Some(SecretText::from(submitted)), ..Check::default() }
}

#[track_caller]
pub(crate) fn check(state: &mut TestState, user: &str, submitted: &str) -> bool {
    run(state, &check_request(user, submitted)).accepted
}

#[track_caller]
pub(crate) fn run(state: &mut TestState, request: &Check) -> Verdict {
    state.run(request).unwrap()
}

#[track_caller]
pub(crate) fn check_serial(state: &mut TestState, serial: &str, submitted: &str) -> Result<bool, Refusal> {
    let request = CheckSerial {
        serial: Some(serial.to_owned()),
        pass: Some(SecretText::from(submitted)),
        ..CheckSerial::default()
    };
    state.run(&request).map(|verdict| verdict.accepted)
}

/// Checks the verdict and the reason in the audit trail.
#[track_caller]
pub(crate) fn expect(state: &mut TestState, user: &str, submitted: &str, accepted: bool, detail: &str) {
    let verdict = check(state, user, submitted);
    assert_eq!((verdict, &*state.last_audit().action_detail), (accepted, detail), "{user} {submitted}");
    assert_eq!(state.last_audit().success, accepted);
}
