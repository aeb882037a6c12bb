//! Manual resynchronisation of event-based tokens (reference tokens 8.1 and 12.10).

use tessera_core::decide::resync::Resync;
use tessera_core::decide::selection::Selection;
use tessera_core::decide::user::UserParams;
use tessera_core::decision::Refusal;
use tessera_core::secret::SecretText;

use crate::state::TestState;
use crate::tokens::{OTPS, OTPS_FROM_35, RFC_SEED, SEED, alice_with_token, check, enroll, init};

fn request(selection: Selection, first: &str, second: &str) -> Resync {
    Resync { selection, otp1: SecretText::from(first), otp2: SecretText::from(second), challenges: None }
}

#[track_caller]
fn resync(state: &mut TestState, first: &str, second: &str) -> bool {
    state.run(&request(Selection::serial("A"), first, second)).unwrap()
}

/// Reference tokens 14.1.
#[test]
fn two_consecutive_otps_move_the_counter() {
    let mut state = alice_with_token();
    assert!(resync(&mut state, "719818", "204809"));
    assert_eq!(state.usage("A").next_counter, 40);
    assert!(!check(&mut state, "alice", "pin204809"), "used by the resynchronisation");
    assert!(check(&mut state, "alice", "pin957690"));
    assert_eq!(state.usage("A").next_counter, 41);
    assert!(!resync(&mut state, "719818", "204809"), "they lie below the counter");
}

#[test]
fn audit_row_names_the_token() {
    let mut state = alice_with_token();
    assert!(resync(&mut state, "719818", "204809"));
    let row = state.last_audit();
    assert_eq!((row.success, &*row.serial, &*row.token_type), (true, "A", "HMAC"));
    assert!(!resync(&mut state, "719818", "204809"));
    assert!(!state.last_audit().success);
}

#[test]
fn other_pairs_are_refused() {
    for (first, second) in [
        ("204809", "719818"),
        ("719818", "957690"),
        ("719818", "719818"),
        ("719818", "204808"),
        ("719818", ""),
        ("", "204809"),
        ("pin719818", "pin204809"),
    ] {
        let mut state = alice_with_token();
        assert!(!resync(&mut state, first, second), "{first} {second}");
        assert_eq!(state.usage("A").next_counter, 0);
    }
}

#[test]
fn search_begins_at_the_counter_and_ends_with_the_window() {
    let mut state = alice_with_token();
    state.change_token("A", |token| token.sync_window = 38);
    assert!(!resync(&mut state, OTPS_FROM_35[3], OTPS_FROM_35[4]));
    state.change_token("A", |token| token.sync_window = 39);
    assert!(resync(&mut state, OTPS_FROM_35[3], OTPS_FROM_35[4]));
    let mut state = alice_with_token();
    assert!(resync(&mut state, OTPS[0], OTPS[1]));
    let mut state = alice_with_token();
    state.change_usage("A", |usage| usage.next_counter = 1);
    assert!(!resync(&mut state, OTPS[0], OTPS[1]));
}

#[test]
fn fail_counter_is_reset_by_the_very_word_only() {
    for (setting, active, fail_count, expected) in [
        (Some("True"), true, 9, 0),
        (Some("true"), true, 9, 9),
        (Some("1"), true, 9, 9),
        (None, true, 9, 9),
        (Some("True"), false, 9, 9),
        (Some("True"), true, 10, 10),
    ] {
        let mut state = alice_with_token();
        if let Some(setting) = setting {
            state.set("DefaultResetFailCount", setting);
        }
        state.change_token("A", |token| token.active = active);
        state.change_usage("A", |usage| usage.fail_count = fail_count);
        assert!(resync(&mut state, "719818", "204809"));
        assert_eq!(state.usage("A").fail_count, expected, "{setting:?} {active} {fail_count}");
    }
}

#[test]
fn all_tokens_of_a_user_are_tried() {
    let mut state = alice_with_token();
    enroll(&mut state, &init("B", SEED, "other", "alice"));
    enroll(&mut state, &init("C", RFC_SEED, "third", "alice"));
    let of = |user: &str| Selection { serial: None, user: UserParams::login(user) };
    assert_eq!(state.run(&request(of("alice"), "719818", "204809")), Ok(true));
    assert_eq!(["A", "B", "C"].map(|serial| state.usage(serial).next_counter), [40, 40, 0]);
    assert_eq!(state.run(&request(of("bob"), "719818", "204809")), Ok(false));
}

#[test]
fn unknown_serial_is_no_error() {
    let mut state = alice_with_token();
    assert_eq!(state.run(&request(Selection::serial("none"), "719818", "204809")), Ok(false));
    let none: Result<bool, Refusal> = state.run(&request(Selection::default(), "719818", "204809"));
    assert_eq!(none, Ok(false));
}

#[test]
fn last_counters_do_not_overflow() {
    for next_counter in [u64::MAX - 1, u64::MAX] {
        let mut state = alice_with_token();
        state.change_usage("A", |usage| usage.next_counter = next_counter);
        assert!(!resync(&mut state, "719818", "204809"));
        assert_eq!(state.usage("A").next_counter, next_counter);
    }
}
