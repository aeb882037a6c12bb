//! One file per token type: enrolment, right and wrong values, replay, lock (reference tokens 8).

mod dpw;
mod forward;
mod motp;
mod ocra2;
mod pw;
mod spass;
mod yubico;
mod yubikey;

use tessera_core::decide::enroll::Init;
use tessera_core::decision::Refusal;

use crate::state::TestState;
use crate::tokens::{check, init};

/// An enrolment of alice's token `A` of a type, with seed and the PIN `pin`.
fn of_type(token_type: &str, seed: &str) -> Init {
    Init { token_type: Some(token_type.to_owned()), ..init("A", seed, "pin", "alice") }
}

/// Why an enrolment is refused.
#[track_caller]
fn refused(request: &Init) -> Refusal {
    TestState::with_users().run(request).unwrap_err()
}

/// Logs in as alice and expects the reason in the audit trail.
#[track_caller]
fn login(state: &mut TestState, submitted: &str, accepted: bool) {
    let verdict = check(state, "alice", submitted);
    assert_eq!(verdict, accepted, "{submitted}: {}", state.last_audit().action_detail);
}

/// Ten wrong values lock a token; a right one is of no use then, until the fail counter is reset.
#[track_caller]
fn locks(state: &mut TestState, wrong: &str, right: &str) {
    for _ in 0..10 {
        login(state, wrong, false);
    }
    login(state, right, false);
    assert_eq!(&*state.last_audit().action_detail, "Failcounter exceeded");
    state.change_usage("A", |usage| usage.fail_count = 0);
    login(state, right, true);
}
