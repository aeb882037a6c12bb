//! Logins with time-based tokens (reference tokens 8.2 and 14.2).
//!
//! The clock stands at 1111111109, the last second but one of step 37037036. Expected OTPs: RFC 6238 where it lists
//! them, else `oathtool --totp -d 8 -N @<time> 3132…3930`.

use tessera_core::decide::enroll::Init;
use tessera_core::decide::resync::Resync;
use tessera_core::decide::selection::Selection;
use tessera_core::record::{AutoResync, InfoValue, TokenType};
use tessera_core::secret::SecretText;
use tessera_core::time::UnixMillis;

use crate::state::TestState;
use crate::tokens::{RFC_SEED, check, enroll, init};

const STEP: u64 = 37_037_036;

/// OTPs by their distance from the current step.
fn otp(distance: i32) -> &'static str {
    match distance {
        -11 => "04787670",
        -10 => "39338819",
        -1 => "89731029",
        0 => "07081804",
        1 => "14050471",
        2 => "44266759",
        4 => "98466594",
        9 => "39655883",
        10 => "12272560",
        11 => "78536305",
        20 => "07638063",
        21 => "22580710",
        22 => "01494068",
        23 => "70407348",
        24 => "26753982",
        25 => "60300613",
        other => panic!("no OTP at distance {other}"),
    }
}

fn init_totp() -> Init {
    Init { token_type: Some("TOTP".to_owned()), otplen: Some(8), ..init("T", RFC_SEED, "", "alice") }
}

fn state() -> TestState {
    let mut state = TestState::with_users();
    state.now = UnixMillis::from_seconds(1_111_111_109);
    enroll(&mut state, &init_totp());
    state
}

#[track_caller]
fn expect(state: &mut TestState, distance: i32, accepted: bool) {
    assert_eq!(check(state, "alice", otp(distance)), accepted, "distance {distance}");
}

/// The run of reference tokens 14.2.
#[test]
fn clock_of_the_device_is_followed() {
    let mut state = state();
    for (distance, shift) in [(0, 0), (1, 30), (4, 120)] {
        expect(&mut state, distance, true);
        assert_eq!(state.usage("T").time_shift, shift);
        expect(&mut state, distance, false);
    }
    for older in [0, 1, 2] {
        expect(&mut state, older, false);
    }
    assert_eq!(state.usage("T").next_counter, STEP + 5);
}

#[test]
fn window_reaches_ten_steps_back_and_nine_ahead() {
    for (distance, accepted) in [(-11, false), (-10, true), (9, true), (10, false)] {
        expect(&mut state(), distance, accepted);
    }
}

#[test]
fn neighbours_of_the_right_otp_are_refused() {
    for submitted in ["07081805", "0708180", "070818044", "", "7081804 ", "x07081804"] {
        assert!(!check(&mut state(), "alice", submitted), "{submitted}");
    }
}

#[test]
fn next_step_of_the_clock_needs_the_next_otp() {
    let mut state = state();
    expect(&mut state, 0, true);
    state.now = state.now.plus_seconds(30);
    expect(&mut state, 0, false);
    expect(&mut state, 1, true);
    assert_eq!(state.usage("T").time_shift, 0);
}

#[test]
fn window_follows_the_shift() {
    let mut state = state();
    expect(&mut state, 9, true);
    expect(&mut state, 20, false);
    state.change_usage("T", |usage| usage.time_shift = 330);
    expect(&mut state, 20, true);
}

/// KEEP: `timeWindow` is shown and settable, without effect.
#[test]
fn time_window_has_no_effect() {
    let mut state = TestState::with_users();
    state.now = UnixMillis::from_seconds(1_111_111_109);
    enroll(&mut state, &Init { time_window: Some(30), ..init_totp() });
    assert_eq!(state.token("T").info.get("timeWindow"), Some(&InfoValue::Integer(30)));
    expect(&mut state, 9, true);
}

#[test]
fn steps_of_a_minute() {
    let mut state = TestState::with_users();
    state.now = UnixMillis::from_seconds(1_111_111_109);
    enroll(&mut state, &Init { time_step: Some(60), ..init_totp() });
    assert!(!check(&mut state, "alice", "07081804"), "that of a step of 30 s");
    assert!(check(&mut state, "alice", "19360094"));
    assert_eq!(state.usage("T").next_counter, 1_111_111_109 / 60 + 1);
    assert!(check(&mut state, "alice", "68593113"));
    assert_eq!(state.usage("T").time_shift, 60);
}

#[test]
fn step_may_be_written_in_any_way() {
    for value in [InfoValue::Text("30".into()), InfoValue::Json("30.0".into()), InfoValue::Integer(30)] {
        let mut state = state();
        state.change_token("T", |token| {
            token.info.insert("timeStep".into(), value);
        });
        expect(&mut state, 0, true);
    }
    for value in [InfoValue::Integer(0), InfoValue::Integer(-30), InfoValue::Text("half a minute".into())] {
        let mut state = state();
        state.change_token("T", |token| {
            token.info.insert("timeStep".into(), value);
        });
        expect(&mut state, 0, false);
        assert!(state.last_audit().info.contains("timeStep"));
    }
}

/// FIX 9: neither shift nor counter is stored before the password is known to be right.
#[test]
fn otp_behind_a_wrong_password_changes_nothing() {
    let mut state = state();
    state.caller.action = "userservice/login".to_owned();
    let before = state.usage("T");
    assert!(!check(&mut state, "alice", &format!("wrong{}", otp(1))));
    let after = state.usage("T");
    assert_eq!((after.next_counter, after.time_shift), (before.next_counter, before.time_shift));
    assert!(check(&mut state, "alice", &format!("alice-password{}", otp(1))));
}

#[test]
fn otps_outside_of_the_window_resynchronise() {
    let remembered = |state: &TestState| state.usage("T").auto_resync;
    let memory = |distance| Some(AutoResync { counter: STEP + distance, due_at: None });
    let mut state = state();
    expect(&mut state, 20, false);
    assert_eq!(remembered(&state), None, "switched off");
    state.set("AutoResync", "True");
    expect(&mut state, 20, false);
    assert_eq!(remembered(&state), memory(20));
    expect(&mut state, 20, false);
    expect(&mut state, 11, false);
    assert_eq!(remembered(&state), memory(20), "the same and an earlier one do not count");
    expect(&mut state, 24, false);
    assert_eq!(remembered(&state), memory(24), "more than three steps apart");
    state.now = state.now.plus_seconds(3600);
    state.change_usage("T", |usage| usage.time_shift = -3600);
    expect(&mut state, 25, true);
    assert_eq!(remembered(&state), None);
    assert_eq!(state.usage("T").next_counter, STEP + 26);
    assert_eq!(state.usage("T").time_shift, 25 * 30 - 3600);
}

#[test]
fn three_steps_apart_still_resynchronise() {
    let mut state = state();
    state.set("AutoResync", "True");
    expect(&mut state, 20, false);
    expect(&mut state, 23, true);
}

#[test]
fn used_steps_do_not_resynchronise() {
    let mut state = state();
    state.set("AutoResync", "True");
    state.change_usage("T", |usage| usage.next_counter = STEP + 22);
    for distance in [20, 21] {
        expect(&mut state, distance, false);
        assert_eq!(state.usage("T").auto_resync, None, "distance {distance}");
    }
    expect(&mut state, 9, false);
    assert_eq!(state.usage("T").auto_resync, None, "found in the window but used");
}

fn resync(state: &mut TestState, first: &str, second: &str) -> bool {
    let request = Resync {
        selection: Selection::serial("T"),
        otp1: SecretText::from(first),
        otp2: SecretText::from(second),
        challenges: None,
    };
    state.run(&request).unwrap()
}

#[test]
fn manual_resync_moves_the_clock_to_the_middle_of_the_step() {
    let mut state = state();
    state.change_usage("T", |usage| usage.fail_count = 5);
    assert!(resync(&mut state, otp(20), otp(21)));
    let usage = state.usage("T");
    assert_eq!(usage.next_counter, STEP + 22);
    assert_eq!(usage.time_shift, i64::try_from((STEP + 21) * 30 + 15).unwrap() - 1_111_111_109);
    assert_eq!(usage.fail_count, 5, "untouched for this type");
    expect(&mut state, 21, false);
    expect(&mut state, 22, true);
}

#[test]
fn manual_resync_wants_two_unused_consecutive_otps_within_reach() {
    for (first, second) in [(20, 22), (21, 20), (20, 20)] {
        assert!(!resync(&mut state(), otp(first), otp(second)), "{first}, {second}");
    }
    assert!(!resync(&mut state(), "", ""));
    assert!(!resync(&mut state(), otp(20), "22580711"), "one digit off");
    let mut used = state();
    used.change_usage("T", |usage| usage.next_counter = STEP + 21);
    assert!(!resync(&mut used, otp(20), otp(21)));
    used.change_usage("T", |usage| usage.next_counter = STEP + 20);
    assert!(resync(&mut used, otp(20), otp(21)));
    for (sync_window, in_step) in [(21, false), (22, true)] {
        let mut state = state();
        state.change_token("T", |token| token.sync_window = sync_window);
        assert_eq!(resync(&mut state, otp(20), otp(21)), in_step, "sync window {sync_window}");
    }
}

#[test]
fn change_of_the_step_keeps_the_replay_bar_in_time() {
    let state = state();
    let rules = TokenType::Totp.rules();
    for (from, to, counter, expected) in
        [(30, 60, 101, 50), (60, 30, 50, 100), (30, 30, 7, 7), (60, 30, u64::MAX, u64::MAX)]
    {
        let mut token = (*state.token("T")).clone();
        token.info.insert("timeStep".into(), InfoValue::Integer(from));
        let mut usage = (*state.usage("T")).clone();
        usage.next_counter = counter;
        rules.change_time_step(&mut token, &mut usage, to).unwrap();
        assert_eq!(usage.next_counter, expected, "{from} to {to}");
        assert_eq!(token.info.get("timeStep"), Some(&InfoValue::Integer(i64::try_from(to).unwrap())));
    }
    for impossible in [0, 1, 29, 31, 45, 90] {
        let mut token = (*state.token("T")).clone();
        let mut usage = (*state.usage("T")).clone();
        assert!(rules.change_time_step(&mut token, &mut usage, impossible).is_err(), "{impossible}");
        assert_eq!((&token, &usage), (&*state.token("T"), &*state.usage("T")));
    }
    let (mut token, mut usage) = ((*state.token("T")).clone(), (*state.usage("T")).clone());
    assert!(TokenType::Hmac.rules().change_time_step(&mut token, &mut usage, 30).is_err());
}

#[test]
fn absurd_clocks_and_counters_do_not_panic() {
    for (seconds, shift, next) in [
        (0, 0, 0),
        (0, i64::MIN, u64::MAX),
        (u64::MAX / 1000, i64::MAX, u64::MAX - 1),
        (1_111_111_109, i64::MIN, 0),
        (1_111_111_109, i64::MAX, 0),
    ] {
        let mut state = state();
        state.set("AutoResync", "True");
        state.now = UnixMillis::from_seconds(seconds);
        state.change_usage("T", |usage| (usage.time_shift, usage.next_counter) = (shift, next));
        expect(&mut state, 0, false);
        assert!(!resync(&mut state, otp(0), otp(1)));
    }
}
