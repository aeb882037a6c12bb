//! Tokens whose PIN is the credential (reference tokens 8.5).

use tessera_core::decide::enroll::{Init, SeedSource};
use tessera_core::decide::validate::Check;

use super::{locks, login, of_type};
use crate::state::TestState;
use crate::tokens::{SEED, check_request, enroll, init, run};

fn spass() -> Init {
    Init { seed: SeedSource::default(), ..of_type("spass", "") }
}

#[test]
fn pin_alone_logs_in_again_and_again() {
    let mut state = TestState::with_users();
    let enrolled = enroll(&mut state, &spass());
    assert_eq!(enrolled.seed_text.unwrap().expose().len(), 40, "a seed nobody uses");
    for _ in 0..2 {
        login(&mut state, "pin", true);
    }
    for wrong in ["", "pi", "pin1", "pin123456", "Pin"] {
        login(&mut state, wrong, false);
        assert_eq!(&*state.last_audit().action_detail, "wrong otp pin -1");
    }
    locks(&mut state, "nip", "pin");
}

#[test]
fn only_the_length_of_the_pin_is_told() {
    let mut state = TestState::with_users();
    enroll(&mut state, &spass());
    let verdict = run(&mut state, &Check { auth_info: true, ..check_request("alice", "pin") });
    assert_eq!(verdict.auth_info, Some(vec![("pin_length".to_owned(), 3)]));
}

#[test]
fn spass_once_is_good_for_one_login() {
    let mut state = TestState::with_users();
    enroll(&mut state, &Init { once: true, ..spass() });
    login(&mut state, "pin", true);
    login(&mut state, "pin", false);
}

/// Reference tokens 5.1: what lets other types ignore the PIN does not open this one; where the password of the user
/// store takes the PIN's place, it does.
#[test]
fn pin_is_checked_in_every_mode() {
    let mut state = TestState::with_users();
    enroll(&mut state, &spass());
    state.caller.action = "userservice/verify".to_owned();
    login(&mut state, "anything", false);
    login(&mut state, "pin", true);
    state.caller.action = "userservice/login".to_owned();
    login(&mut state, "pin", false);
    login(&mut state, "alice-password", true);
}

/// Reference tokens 6.6: the success of one token clears the failures of the others.
#[test]
fn spass_stands_beside_other_tokens() {
    let mut state = TestState::with_users();
    enroll(&mut state, &spass());
    enroll(&mut state, &init("B", SEED, "pin", "alice"));
    login(&mut state, "pin870580", false);
    assert_eq!((state.usage("A").fail_count, state.usage("B").fail_count), (0, 1), "A's PIN is not right");
    login(&mut state, "pin", true);
    assert_eq!(state.usage("B").fail_count, 0);
    login(&mut state, "pin870581", true);
}
