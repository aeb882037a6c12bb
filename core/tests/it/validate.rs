//! Logins with event-based tokens: every way in, and what stands next to it.

use tessera_core::decide::user::UserParams;
use tessera_core::decide::validate::{Check, CheckSerial, Constant};
use tessera_core::decision::Refusal;
use tessera_core::facts::Question;
use tessera_core::record::{IndexKey, InfoValue, Key};
use tessera_core::secret::SecretText;
use tessera_core::time::UnixMillis;
use tessera_core::txn::Dependency;
use tessera_core::user::{Owner, Serial, UserId};

use crate::state::TestState;
use crate::tokens::{
    OTPS, OTPS_FROM_35, RFC_OTPS, RFC_SEED, SEED, alice_with_token, check, check_request, check_serial,
    enroll, expect, init, run,
};

const ALICE: &str = "user 'alice'@'corp' successfully authenticated.";

fn text(value: &str) -> InfoValue {
    InfoValue::Text(value.into())
}

#[track_caller]
fn set_info(state: &mut TestState, key: &str, value: InfoValue) {
    state.change_token("A", |token| {
        token.info.insert(key.into(), value);
    });
}

#[test]
fn pin_and_otp_are_accepted_once() {
    let mut state = alice_with_token();
    expect(&mut state, "alice", "pin870581", true, ALICE);
    let row = state.last_audit().clone();
    assert_eq!((&*row.serial, &*row.token_type, &*row.user, &*row.realm), ("A", "HMAC", "alice", "corp"));
    assert_eq!((&*row.action, &*row.client, &*row.server), ("validate/check", "192.0.2.7", "node1"));
    assert_eq!(state.usage("A").next_counter, 1);
    expect(&mut state, "alice", "pin870581", false, "wrong otp value");
    expect(&mut state, "alice", "pin793334", true, ALICE);
}

#[test]
fn anything_but_pin_and_otp_is_refused() {
    for (submitted, detail) in [
        ("pin870580", "wrong otp value"),
        ("pin87058", "wrong otp pin -1"),
        ("pin8705811", "wrong otp pin -1"),
        ("pin", "wrong otp pin -1"),
        ("", "wrong otp pin -1"),
        ("870581", "wrong otp pin -1"),
        ("Pin870581", "wrong otp pin -1"),
        ("pin 870581", "wrong otp pin -1"),
        ("pinn870581", "wrong otp pin -1"),
        ("870581pin", "wrong otp pin -1"),
        ("pin８70581", "wrong otp value"),
        ("pin\0\0\0\0\0\0", "wrong otp value"),
    ] {
        let mut state = alice_with_token();
        expect(&mut state, "alice", submitted, false, detail);
        assert_eq!((state.usage("A").fail_count, state.usage("A").next_counter), (1, 0), "{submitted}");
        expect(&mut state, "alice", "pin870581", true, ALICE);
    }
}

#[test]
fn window_ends_where_it_says() {
    for (otp, accepted) in [(OTPS[9], true), (OTPS[10], false)] {
        let mut state = alice_with_token();
        assert_eq!(check(&mut state, "alice", &format!("pin{otp}")), accepted, "{otp}");
    }
    let mut state = alice_with_token();
    assert!(check(&mut state, "alice", &format!("pin{}", OTPS[4])));
    for skipped in &OTPS[..5] {
        assert!(!check(&mut state, "alice", &format!("pin{skipped}")), "{skipped} lies below the counter");
    }
}

#[test]
fn empty_pin_matches_only_if_there_is_none() {
    for reversible in [false, true] {
        let mut state = TestState::with_users();
        let mut request = init("A", SEED, "", "alice");
        request.encrypt_pin = reversible;
        enroll(&mut state, &request);
        assert!(!check(&mut state, "alice", "x870581"));
        assert!(check(&mut state, "alice", "870581"));
    }
    let mut state = TestState::with_users();
    let mut request = init("A", SEED, "", "alice");
    request.pin = None;
    enroll(&mut state, &request);
    assert!(!check(&mut state, "alice", "x870581"));
    assert!(check(&mut state, "alice", "870581"));
}

#[test]
fn reversibly_stored_pin_is_checked() {
    let mut state = TestState::with_users();
    let mut request = init("A", SEED, "pïn", "alice");
    request.encrypt_pin = true;
    enroll(&mut state, &request);
    assert!(!check(&mut state, "alice", "pin870581"));
    assert!(check(&mut state, "alice", "pïn870581"));
}

#[test]
fn pin_may_stand_behind_the_otp() {
    let mut state = alice_with_token();
    state.set("PrependPin", "False");
    assert!(!check(&mut state, "alice", "pin870581"));
    let verdict = run(&mut state, &Check { auth_info: true, ..check_request("alice", "870581pin") });
    let lengths = vec![("otp_length".to_owned(), 6), ("pin_length".to_owned(), 3)];
    assert_eq!((verdict.accepted, verdict.auth_info), (true, Some(lengths)));
}

#[test]
fn lengths_are_told_only_on_success_and_request() {
    let mut state = alice_with_token();
    let ask = |submitted: &str| Check { auth_info: true, ..check_request("alice", submitted) };
    let lengths = vec![("pin_length".to_owned(), 3), ("otp_length".to_owned(), 6)];
    assert_eq!(run(&mut state, &ask("pin870581")).auth_info, Some(lengths));
    assert_eq!(run(&mut state, &ask("pin870581")).auth_info, None);
    assert_eq!(run(&mut state, &check_request("alice", "pin793334")).auth_info, None);
}

#[test]
fn user_must_exist_in_the_realm() {
    for user in ["mallory", "alice@lab", "alice@nowhere", "carol", "Alice"] {
        let mut state = alice_with_token();
        expect(&mut state, user, "pin870581", false, "User not found");
        state.set("PassOnUserNotFound", "true");
        expect(&mut state, user, "anything", true, "authenticated by PassOnUserNotFound");
    }
    let mut state = alice_with_token();
    state.set("PassOnUserNotFound", "true");
    expect(&mut state, "alice", "pin000000", false, "wrong otp value");
    expect(&mut state, "alice@corp", "pin870581", true, ALICE);
}

#[test]
fn user_without_token_is_refused_unless_configured() {
    let mut state = alice_with_token();
    expect(&mut state, "bob", "x", false, "User has no tokens assigned");
    state.set("PassOnUserNoToken", "True");
    expect(&mut state, "bob", "x", true, "authenticated by PassOnUserNoToken");
    expect(&mut state, "alice", "x", false, "wrong otp pin -1");
}

/// `PassOnUserNoToken` is about the user: asking for a token that does not exist must not let the owner of another in.
#[test]
fn narrowing_a_request_does_not_make_a_user_without_token() {
    let mut state = alice_with_token();
    state.set("PassOnUserNoToken", "True");
    let requests = [
        Check { serial: Some("none".to_owned()), ..check_request("alice", "x") },
        Check { token_type: Some("totp".to_owned()), ..check_request("alice", "x") },
        Check { token_type: Some("nonsense".to_owned()), ..check_request("alice", "x") },
        Check { serial: Some("none".to_owned()), ..check_request("", "x") },
    ];
    for request in requests {
        assert!(!run(&mut state, &request).accepted, "{request:?}");
        assert_eq!(&*state.last_audit().action_detail, "no token found!");
    }
}

#[test]
fn missing_password_is_answered_like_a_wrong_one() {
    let mut state = alice_with_token();
    let request = Check { pass: None, ..check_request("alice", "") };
    assert!(!run(&mut state, &request).accepted);
    assert_eq!(&*state.last_audit().info, "Missing parameter: 'pass'");
    assert_eq!(state.usage("A").fail_count, 0);
}

#[test]
fn request_without_user_and_serial_is_refused() {
    let mut state = alice_with_token();
    expect(&mut state, "", "pin870581", false, "no token found!");
}

/// The example of reference tokens 6.6.
#[test]
fn only_tokens_whose_pin_matches_are_blamed() {
    let mut state = TestState::with_users();
    for (serial, seed, pin) in [("A", SEED, "a"), ("B", RFC_SEED, "b"), ("C", "00", "b")] {
        enroll(&mut state, &init(serial, seed, pin, "alice"));
    }
    let counts = |state: &TestState| ["A", "B", "C"].map(|serial| state.usage(serial).fail_count);
    expect(&mut state, "alice", "b123456", false, "wrong otp value");
    assert_eq!(counts(&state), [0, 1, 1]);
    assert_eq!(&*state.last_audit().serial, "B C");
    expect(&mut state, "alice", "x123456", false, "wrong otp pin -1");
    assert_eq!(counts(&state), [1, 2, 2]);
    expect(&mut state, "alice", "b755224", true, ALICE);
    assert_eq!(counts(&state), [0, 0, 0], "a success resets all that took part");
    assert_eq!(&*state.last_audit().serial, "B");
}

#[test]
fn long_lists_are_cut_in_the_audit_row() {
    let mut state = TestState::with_users();
    for number in 0..9 {
        enroll(&mut state, &init(&format!("SERIAL-{number}"), SEED, "a", "alice"));
    }
    expect(&mut state, "alice", "x123456", false, "wrong otp pin -1");
    assert_eq!(&*state.last_audit().serial, "SERIAL-0 SERIAL-1 SERIAL-2 SE");
    assert_eq!(&*state.last_audit().token_type, "HMAC");
}

#[test]
fn locked_token_refuses_and_keeps_counting() {
    let mut state = alice_with_token();
    for _ in 0..10 {
        expect(&mut state, "alice", "pin000000", false, "wrong otp value");
    }
    expect(&mut state, "alice", "pin870581", false, "Failcounter exceeded");
    assert_eq!((state.usage("A").fail_count, state.usage("A").next_counter), (11, 0));
    state.change_usage("A", |usage| usage.fail_count = 9);
    expect(&mut state, "alice", "pin870581", true, ALICE);
    state.change_usage("A", |usage| usage.fail_count = u32::MAX);
    expect(&mut state, "alice", "pin793334", false, "Failcounter exceeded");
    assert_eq!(state.usage("A").fail_count, u32::MAX);
}

#[test]
fn tokens_that_may_not_be_used_are_passed_over() {
    type Change = fn(&mut TestState);
    let rows: [(Change, &str, u32); 9] = [
        (|state| state.change_token("A", |token| token.active = false), "Token inactive", 0),
        (
            |state| set_info(state, "validity_period_start", text("21/11/26 20:31")),
            "Authentication validity period mismatch!",
            1,
        ),
        (
            |state| set_info(state, "validity_period_end", text("21/11/26 20:29")),
            "Authentication validity period exceeded",
            1,
        ),
        (
            |state| set_info(state, "count_auth_max", InfoValue::Integer(1)),
            "Authentication counter exceeded",
            1,
        ),
        (
            |state| set_info(state, "count_auth_success_max", text("1")),
            "Authentication sucess counter exceeded",
            1,
        ),
        (
            |state| set_info(state, "scope", InfoValue::Json(r#"{"path":["userservice"]}"#.into())),
            "no token found!",
            0,
        ),
        (|state| set_info(state, "validity_period_end", text("soon")), "no token found!", 0),
        (|state| set_info(state, "count_auth_max", text("many")), "no token found!", 0),
        (|state| state.change_token("A", |token| token.seed = None), "no token found!", 0),
    ];
    for (change, detail, failures) in rows {
        let mut state = alice_with_token();
        state.change_usage("A", |usage| (usage.count_auth, usage.count_auth_success) = (Some(1), Some(1)));
        change(&mut state);
        expect(&mut state, "alice", "pin870581", false, detail);
        assert_eq!((state.usage("A").fail_count, state.usage("A").next_counter), (failures, 0), "{detail}");
    }
}

#[test]
fn limits_not_reached_do_not_matter() {
    let mut state = alice_with_token();
    for (key, value) in [
        ("validity_period_start", text("21/11/26 20:30")),
        ("validity_period_end", text("21/11/26 20:30")),
        ("count_auth_max", InfoValue::Integer(2)),
        ("count_auth_success_max", text("2")),
        ("scope", InfoValue::Json(r#"{"path":["validate"]}"#.into())),
    ] {
        set_info(&mut state, key, value);
    }
    expect(&mut state, "alice", "pin870581", true, ALICE);
    let usage = state.usage("A");
    assert_eq!((usage.count_auth, usage.count_auth_success), (Some(1), Some(1)));
    expect(&mut state, "alice", "pin793334", true, ALICE);
    expect(&mut state, "alice", "pin088491", false, "Authentication counter exceeded");
}

#[test]
fn empty_and_zero_limits_are_none() {
    let mut state = alice_with_token();
    for key in ["count_auth_max", "count_auth_success_max", "validity_period_start", "validity_period_end"] {
        set_info(&mut state, key, text(""));
    }
    expect(&mut state, "alice", "pin870581", true, ALICE);
    set_info(&mut state, "count_auth_max", InfoValue::Integer(0));
    expect(&mut state, "alice", "pin793334", true, ALICE);
    let usage = state.usage("A");
    assert_eq!(
        (usage.count_auth, usage.count_auth_success),
        (None, None),
        "nothing is counted without a limit"
    );
}

/// KEEP: a wrong OTP behind a right PIN is counted with or without a limit.
#[test]
fn wrong_answers_are_counted() {
    let mut state = alice_with_token();
    expect(&mut state, "alice", "pin000000", false, "wrong otp value");
    assert_eq!(state.usage("A").count_auth, Some(1));
    expect(&mut state, "alice", "x000000", false, "wrong otp pin -1");
    assert_eq!(state.usage("A").count_auth, Some(1));
    set_info(&mut state, "count_auth_max", InfoValue::Integer(9));
    expect(&mut state, "alice", "x000000", false, "wrong otp pin -1");
    assert_eq!(state.usage("A").count_auth, Some(2));
}

#[test]
fn realm_of_user_and_token_must_agree() {
    let mut state = alice_with_token();
    let by_serial = |user: &str| Check { serial: Some("A".to_owned()), ..check_request(user, "pin870581") };
    assert!(!run(&mut state, &by_serial("carol@lab")).accepted);
    assert_eq!(&*state.last_audit().action_detail, "Realm mismatch for token and user");
    assert_eq!(state.usage("A").fail_count, 0);
    assert!(run(&mut state, &by_serial("bob")).accepted, "the serial overrides the user within the realm");
}

#[test]
fn token_in_another_realm_is_not_the_users() {
    let mut state = alice_with_token();
    state.change_token("A", |token| token.realms = vec!["lab".into()]);
    expect(&mut state, "alice", "pin870581", false, "User has no tokens assigned");
    state.change_token("A", |token| token.realms = Vec::new());
    expect(&mut state, "alice", "pin870581", true, ALICE);
}

/// FIX 5: the OTP is used up on every token it is right for, and nothing else changes.
#[test]
fn several_valid_tokens_refuse_and_use_up_the_otp() {
    let mut state = TestState::with_users();
    for serial in ["A", "B"] {
        enroll(&mut state, &init(serial, SEED, "pin", "alice"));
    }
    enroll(&mut state, &init("C", RFC_SEED, "pin", "alice"));
    state.change_usage("A", |usage| usage.fail_count = 3);
    expect(&mut state, "alice", "pin793334", false, "Multiple valid tokens found!");
    assert_eq!(&*state.last_audit().serial, "A B");
    let usage = ["A", "B", "C"].map(|serial| state.usage(serial));
    assert_eq!(usage.each_ref().map(|usage| usage.next_counter), [2, 2, 0]);
    assert_eq!(usage.each_ref().map(|usage| usage.fail_count), [3, 0, 0]);
    expect(&mut state, "alice", "pin793334", false, "wrong otp value");
}

#[test]
fn type_narrows_the_tokens() {
    let mut state = alice_with_token();
    for (wanted, accepted) in [("totp", false), ("HMAC", true)] {
        let request = Check { token_type: Some(wanted.to_owned()), ..check_request("alice", "pin870581") };
        assert_eq!(run(&mut state, &request).accepted, accepted, "{wanted}");
    }
}

#[test]
fn broken_token_does_not_keep_the_user_out() {
    let mut state = alice_with_token();
    enroll(&mut state, &init("B", RFC_SEED, "pin", "alice"));
    let foreign = state.token("B").seed.clone();
    state.change_token("A", |token| token.seed = foreign);
    expect(&mut state, "alice", "pin755224", true, ALICE);
    let info = state.last_audit().info.clone();
    assert_eq!(&*info, "token A: sealed secret does not verify under cluster key 1");
}

#[test]
fn unreachable_resolver_is_noted() {
    let mut state = alice_with_token();
    state.unavailable.insert(TestState::spec("staff"));
    let spec = TestState::spec("staff");
    expect(&mut state, "alice", "pin870581", false, &format!("Failed to connect to:{spec}, User not found"));
}

#[test]
fn serial_alone_is_checked_without_user() {
    let mut state = alice_with_token();
    assert_eq!(check_serial(&mut state, "A", "pin870580"), Ok(false));
    assert_eq!(check_serial(&mut state, "A", "pin870581"), Ok(true));
    assert_eq!(&*state.last_audit().action_detail, "serial 'A' successfully authenticated.");
    assert_eq!(check_serial(&mut state, "A", "pin870581"), Ok(false));
    assert_eq!(check_serial(&mut state, "a", "pin793334"), Ok(false), "serials are case-sensitive");
    assert_eq!(check_serial(&mut state, "none", "pin793334"), Ok(false));
    assert_eq!(&*state.last_audit().action_detail, "no token found!");
}

#[test]
fn serial_may_be_found_by_its_owner() {
    let mut state = alice_with_token();
    let by_user = |user: &str, submitted: &str| CheckSerial {
        user: UserParams::login(user),
        pass: Some(SecretText::from(submitted)),
        ..CheckSerial::default()
    };
    assert!(state.run(&by_user("alice", "pin870581")).unwrap().accepted);
    assert!(state.run(&by_user("bob", "pin793334")).is_err(), "no token");
    assert_eq!(state.run(&by_user("mallory", "x")), Err(Refusal::UnknownUser("mallory".to_owned())));
    assert_eq!(state.run(&by_user("", "x")), Err(Refusal::NoSelection));
    enroll(&mut state, &init("B", RFC_SEED, "pin", "alice"));
    assert!(state.run(&by_user("alice", "pin793334")).is_err(), "two tokens");
    assert_eq!(state.usage("A").next_counter, 1);
}

#[test]
fn check_by_serial_needs_a_password() {
    let mut state = alice_with_token();
    for serial in ["A", "none"] {
        let request = CheckSerial { serial: Some(serial.to_owned()), ..CheckSerial::default() };
        assert_eq!(state.run(&request), Err(Refusal::MissingParameter("pass")), "{serial}");
    }
}

/// FIX 31: one request must not be tried against tokens of different owners.
#[test]
fn wild_card_works_within_one_owner() {
    let mut state = alice_with_token();
    enroll(&mut state, &init("A2", RFC_SEED, "pin", "alice"));
    assert_eq!(check_serial(&mut state, "A*", "pin755224"), Ok(true));
    assert_eq!(&*state.last_audit().serial, "A2");
    assert_eq!(check_serial(&mut state, "*", "pin870581"), Ok(true));
    enroll(&mut state, &init("A3", "00", "pin", "bob"));
    for pattern in ["A*", "*"] {
        assert_eq!(check_serial(&mut state, pattern, "pin793334"), Ok(false), "{pattern}");
    }
    assert_eq!(state.usage("A").fail_count, 0, "none of them was checked");
    assert_eq!(check_serial(&mut state, "*2", "pin287082"), Ok(true));
    assert_eq!(check_serial(&mut state, "X*", "pin287082"), Ok(false));
}

#[test]
fn tokens_without_owner_are_not_a_group() {
    let mut state = TestState::with_users();
    enroll(&mut state, &init("N1", SEED, "pin", ""));
    assert_eq!(check_serial(&mut state, "N*", "pin870581"), Ok(true));
    enroll(&mut state, &init("N2", RFC_SEED, "pin", ""));
    assert_eq!(check_serial(&mut state, "N*", "pin793334"), Ok(false));
}

#[test]
fn self_service_login_wants_the_password_of_the_user_store() {
    let mut state = alice_with_token();
    enroll(&mut state, &init("B", RFC_SEED, "pin", "alice"));
    state.caller.action = "userservice/login".to_owned();
    expect(&mut state, "alice", "pin870581", false, "wrong user password -1");
    expect(&mut state, "alice", "alice-password000000", false, "wrong user password -1");
    assert_eq!(state.usage("A").fail_count, 2, "every token is blamed in this mode");
    assert_eq!(state.usage("A").next_counter, 0, "the OTP behind a wrong password was not used up");
    state.asked.clear();
    expect(&mut state, "alice", "alice-password000000", false, "wrong user password -1");
    let asks_password = |state: &TestState| {
        state.asked.iter().filter(|question| matches!(question, Question::CheckPassword { .. })).count()
    };
    assert_eq!(asks_password(&state), 1, "all of it, which could be the password that triggers a challenge");
    expect(&mut state, "alice", "alice-password870581", true, ALICE);
    assert_eq!(asks_password(&state), 2);
    assert_eq!(state.usage("A").fail_count, 0);
}

#[test]
fn self_service_verification_ignores_the_pin() {
    let mut state = alice_with_token();
    state.caller.action = "userservice/verify".to_owned();
    expect(&mut state, "alice", "anything000000", false, "wrong otp value");
    expect(&mut state, "alice", "anything870581", true, ALICE);
    expect(&mut state, "alice", "793334", true, ALICE);
}

/// Reference tokens 14.1.
#[test]
fn two_consecutive_otps_behind_the_window_resynchronise() {
    let mut state = alice_with_token();
    expect(&mut state, "alice", "pin732866", false, "wrong otp value");
    expect(&mut state, "alice", "pin920079", false, "wrong otp value");
    assert_eq!(state.usage("A").auto_resync, None, "switched off");
    state.set("AutoResync", "True");
    expect(&mut state, "alice", "pin732866", false, "wrong otp value");
    expect(&mut state, "alice", "pin920079", true, ALICE);
    assert_eq!((state.usage("A").next_counter, state.usage("A").auto_resync), (37, None));
    expect(&mut state, "alice", "pin920079", false, "wrong otp value");
}

#[test]
fn otps_that_do_not_follow_each_other_do_not_resynchronise() {
    let mut state = alice_with_token();
    state.set("AutoResync", "True");
    for submitted in ["pin732866", "pin328973"] {
        expect(&mut state, "alice", submitted, false, "wrong otp value");
    }
    assert_eq!((state.usage("A").next_counter, state.usage("A").auto_resync), (0, None));
}

#[test]
fn second_otp_has_to_come_in_time() {
    for (later, accepted) in [(299, true), (300, false)] {
        let mut state = alice_with_token();
        state.set("AutoResync", "yes");
        assert!(!check(&mut state, "alice", &format!("pin{}", OTPS_FROM_35[0])));
        state.now = state.now.plus_seconds(later);
        assert_eq!(check(&mut state, "alice", &format!("pin{}", OTPS_FROM_35[1])), accepted, "{later} s");
    }
}

/// FIX 9 and reference tokens 5.3: nothing is learnt from an OTP behind a wrong PIN.
#[test]
fn wrong_pin_leaves_no_memory() {
    let mut state = alice_with_token();
    state.set("AutoResync", "1");
    assert!(!check(&mut state, "alice", "x732866"));
    assert_eq!(state.usage("A").auto_resync, None);
    assert!(!check(&mut state, "alice", "pin920079"));
    assert_eq!(state.usage("A").auto_resync.map(|seen| seen.counter), Some(36));
}

#[test]
fn search_behind_the_window_is_limited() {
    let mut state = alice_with_token();
    state.set("AutoResync", "on");
    state.change_token("A", |token| token.sync_window = 25);
    assert!(!check(&mut state, "alice", "pin732866"));
    assert_eq!(state.usage("A").auto_resync, None, "35 = 0 + 10 + 25 is just outside");
    state.change_token("A", |token| token.sync_window = 26);
    assert!(!check(&mut state, "alice", "pin732866"));
    assert_eq!(state.usage("A").auto_resync.map(|seen| seen.counter), Some(35));
}

#[test]
fn last_counters_do_not_overflow() {
    let mut state = alice_with_token();
    state.set("AutoResync", "on");
    for next_counter in [u64::MAX - 3, u64::MAX] {
        state.change_usage("A", |usage| usage.next_counter = next_counter);
        assert!(!check(&mut state, "alice", "pin870581"));
    }
}

#[test]
fn last_use_is_recorded_if_configured() {
    let at = |seconds| Some(UnixMillis::from_seconds(seconds));
    let times = |state: &TestState| (state.usage("A").last_match_at, state.usage("A").last_success_at);
    let mut state = alice_with_token();
    assert!(check(&mut state, "alice", "pin870581"));
    assert_eq!(times(&state), (None, None));
    state.set("token.last_access", "true");
    set_info(&mut state, "last_access", text("an older program wrote this"));
    assert!(!check(&mut state, "alice", "pin000000"));
    assert_eq!(times(&state), (at(1_795_293_000), None));
    assert!(!state.token("A").info.contains_key("last_access"));
    state.set("token.last_access", "%Y-%m-%d");
    assert!(check(&mut state, "alice", "pin793334"));
    assert_eq!(times(&state), (at(1_795_219_200), at(1_795_219_200)));
}

/// What a login depends on, and nothing else: every further dependency is a further reason to decide again.
#[test]
fn fresh_otp_depends_on_four_things() {
    let mut state = alice_with_token();
    let decision = state.decide(&check_request("alice", "pin870581"));
    let depends: Vec<Dependency> =
        decision.txn.expects.into_iter().map(|expected| expected.dependency).collect();
    let serial = Serial::from("A");
    let owner = Owner { resolver: TestState::spec("staff"), user_id: UserId::from("u1") };
    assert_eq!(
        depends,
        [
            Dependency::Record(Key::Token(serial.clone())),
            Dependency::Record(Key::Usage(serial.clone())),
            Dependency::Index(IndexKey::Configuration),
            Dependency::Index(IndexKey::TokensOfOwner(owner)),
        ]
    );
    let written: Vec<Key> = decision.txn.writes.into_iter().map(|(key, _)| key).collect();
    assert_eq!(written, [Key::Usage(serial)]);
}

#[test]
fn otp_of_one_token_is_nothing_to_another() {
    let mut state = alice_with_token();
    enroll(&mut state, &init("B", RFC_SEED, "pin", "bob"));
    for otp in RFC_OTPS {
        assert!(!check(&mut state, "alice", &format!("pin{otp}")));
    }
    assert!(check(&mut state, "bob", "pin755224"));
}

#[test]
fn probes_answer_what_they_are_asked_for() {
    let mut state = TestState::new();
    for answer in [true, false] {
        assert_eq!(state.run(&Constant(answer)).unwrap().accepted, answer);
        assert_eq!(state.last_audit().success, answer);
    }
}
