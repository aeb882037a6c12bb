//! Challenges of types that can do both, as the login of the self-service triggers them (reference tokens 6.5, 7).
//! There the password of the user store takes the PIN's place.

use std::collections::BTreeMap;

use tessera_core::decide::transaction::{ChallengeStatus, CheckStatus, CheckTransaction, TransactionVerdict};
use tessera_core::decide::user::UserParams;
use tessera_core::decide::validate::{ChallengeReply, Check};
use tessera_core::decision::Refusal;
use tessera_core::secret::SecretText;

use crate::state::TestState;
use crate::tokens::{OTPS, RFC_OTPS, RFC_SEED, SEED, check, check_request, enroll, init, run};

const PASSWORD: &str = "alice-password";

/// Alice owns the tokens `A` and, if wanted, `B`; she logs in to the self-service.
fn state(both: bool) -> TestState {
    let mut state = TestState::with_users();
    enroll(&mut state, &init("A", SEED, "", "alice"));
    if both {
        enroll(&mut state, &init("B", RFC_SEED, "", "alice"));
    }
    state.caller.action = "userservice/login".to_owned();
    state
}

fn trigger(state: &mut TestState) -> ChallengeReply {
    let verdict = run(state, &check_request("alice", PASSWORD));
    assert!(!verdict.accepted);
    assert_eq!(&*state.last_audit().action_detail, "challenge created");
    verdict.challenge.expect("a challenge")
}

fn one(reply: ChallengeReply) -> String {
    match reply {
        ChallengeReply::One(token) => token.transaction_id.as_str().to_owned(),
        several @ ChallengeReply::Several { .. } => panic!("{several:?}"),
    }
}

fn answer(transaction: &str, otp: &str) -> Check {
    Check { transaction_id: Some(transaction.to_owned()), ..check_request("alice", otp) }
}

fn check_t(state: &mut TestState, transaction: &str, otp: &str) -> TransactionVerdict {
    let request = CheckTransaction {
        transaction_id: Some(transaction.to_owned()),
        pass: Some(SecretText::from(otp)),
        ..CheckTransaction::default()
    };
    state.run(&request).unwrap()
}

/// Accepted, serial and fail counter.
fn summary(verdict: &TransactionVerdict) -> Option<(bool, &str, u32)> {
    match verdict {
        TransactionVerdict::Unknown => None,
        TransactionVerdict::Checked { verdict, token, fail_count } => {
            Some((verdict.accepted, token.0.as_str(), *fail_count))
        }
    }
}

fn status(state: &mut TestState, transaction: &str) -> Vec<ChallengeStatus> {
    let request = CheckStatus {
        transaction_id: Some(transaction.to_owned()),
        pass: Some(SecretText::from(PASSWORD)),
        user: UserParams::login("alice"),
        serial: None,
    };
    state.run(&request).unwrap()
}

#[test]
fn password_triggers_and_the_bare_otp_answers() {
    let mut state = state(false);
    let reply = trigger(&mut state);
    let ChallengeReply::One(token) = &reply else { panic!("{reply:?}") };
    assert_eq!(token.message, "Please enter your otp value: ");
    assert_eq!((token.serial.as_str(), token.token_type), ("A", "HMAC"));
    assert_eq!(state.usage("A").fail_count, 0);
    let transaction = one(reply);
    assert!(!run(&mut state, &answer(&transaction, "000000")).accepted);
    assert!(
        !run(&mut state, &answer(&transaction, &format!("{PASSWORD}{}", OTPS[0]))).accepted,
        "the bare OTP"
    );
    assert!(run(&mut state, &answer(&transaction, OTPS[0])).accepted);
    assert!(!run(&mut state, &answer(&transaction, OTPS[1])).accepted, "closed");
    assert_eq!(state.usage("A").next_counter, 1);
}

#[test]
fn password_and_otp_together_still_log_in() {
    let mut state = state(false);
    let transaction = one(trigger(&mut state));
    assert!(check(&mut state, "alice", &format!("{PASSWORD}{}", OTPS[0])));
    assert!(!check(&mut state, "alice", &format!("{PASSWORD}{}", OTPS[0])));
    assert!(run(&mut state, &answer(&transaction, OTPS[1])).accepted, "the challenge was not answered by it");
}

#[test]
fn prompt_comes_from_the_configuration() {
    let mut state = state(false);
    state.set("HMAC_CHALLENGE_PROMPT", "Your OTP, please");
    let ChallengeReply::One(token) = trigger(&mut state) else { panic!("several") };
    assert_eq!(token.message, "Your OTP, please");
}

#[test]
fn wrong_password_triggers_nothing() {
    let mut state = state(false);
    for wrong in ["alice-passwort", "", "pin"] {
        let verdict = run(&mut state, &check_request("alice", wrong));
        assert_eq!((verdict.accepted, verdict.challenge), (false, None), "{wrong}");
    }
    assert_eq!(state.usage("A").fail_count, 3);
}

/// Reference http-api 7.1: sub-transactions of a root that is three digits shorter.
#[test]
fn several_tokens_share_a_root() {
    let mut state = state(true);
    let ChallengeReply::Several { transaction_id, challenges } = trigger(&mut state) else { panic!("one") };
    let root = transaction_id.as_str();
    assert_eq!(root.len(), 14);
    let ids: Vec<&str> = challenges.iter().map(|token| token.transaction_id.as_str()).collect();
    assert_eq!(ids, [format!("{root}.01"), format!("{root}.02")]);
    assert_eq!(challenges[1].serial.as_str(), "B");
    // A sub-id stands for its root; the answer of either token closes both.
    assert!(run(&mut state, &answer(ids[0], RFC_OTPS[0])).accepted);
    assert_eq!((state.usage("A").next_counter, state.usage("B").next_counter), (0, 1));
    let shown: Vec<(String, bool, bool)> = status(&mut state, root)
        .iter()
        .map(|shown| (shown.serial.as_str().to_owned(), shown.open, shown.valid))
        .collect();
    assert_eq!(shown, [("B".to_owned(), false, true), ("A".to_owned(), false, false)]);
    assert!(!run(&mut state, &answer(root, OTPS[0])).accepted);
}

/// Register 4: LinOTP punishes the tokens it tries first.
#[test]
fn transaction_is_checked_as_one_list() {
    let mut state = state(true);
    let ChallengeReply::Several { transaction_id, .. } = trigger(&mut state) else { panic!("one") };
    let root = transaction_id.as_str().to_owned();
    state.caller.action = "validate/check_t".to_owned();
    assert_eq!(summary(&check_t(&mut state, &root, "000000")), Some((false, "A", 1)));
    assert_eq!(state.usage("B").fail_count, 1);
    assert_eq!(summary(&check_t(&mut state, &root, OTPS[0])), Some((true, "A", 0)));
    assert_eq!(state.usage("B").fail_count, 0);
    assert_eq!(summary(&check_t(&mut state, &root, OTPS[1])), Some((false, "A", 1)), "closed");
    assert_eq!(check_t(&mut state, "12345678901234", OTPS[1]), TransactionVerdict::Unknown);
    let without = CheckTransaction { transaction_id: Some(root), ..CheckTransaction::default() };
    assert_eq!(state.run(&without), Err(Refusal::MissingParameter("pass")));
}

/// Where PIN and OTP are asked for together, a transaction in which the token was not challenged means nothing
/// (reference tokens 6.5); one in which it was is answered by the bare OTP wherever it was triggered.
#[test]
fn transaction_of_another_login_does_not_disturb() {
    let mut state = state(false);
    let transaction = one(trigger(&mut state));
    enroll(&mut state, &init("A", SEED, "pin", "alice"));
    state.caller.action = "validate/check".to_owned();
    let stale = "98765432101234567";
    assert!(run(&mut state, &answer(stale, &format!("pin{}", OTPS[0]))).accepted);
    assert!(!run(&mut state, &answer(stale, OTPS[1])).accepted);
    assert!(!run(&mut state, &answer(&transaction, &format!("pin{}", OTPS[2]))).accepted);
    assert!(run(&mut state, &answer(&transaction, OTPS[3])).accepted);
}

/// Reference tokens 7.2: only the full length names a single challenge, everything shorter or longer is a root.
#[test]
fn shortened_ids_find_nothing() {
    let mut state = state(false);
    let transaction = one(trigger(&mut state));
    for other in [&transaction[..16], &format!("{transaction}.01"), "*", ""] {
        assert!(!run(&mut state, &answer(other, OTPS[0])).accepted, "{other}");
    }
    assert!(run(&mut state, &answer(&transaction, OTPS[0])).accepted);
}

#[test]
fn length_of_ids_is_configured() {
    for (length, legal) in [("11", false), ("12", true), ("17", true), ("18", false)] {
        let mut state = state(false);
        state.set("TransactionIdLength", length);
        let reply = state.run(&check_request("alice", PASSWORD));
        assert_eq!(reply.is_ok(), legal, "{length}");
        if let Ok(verdict) = reply {
            assert_eq!(one(verdict.challenge.unwrap()).len().to_string(), length);
        }
    }
}

/// Register 8: LinOTP counts wrong answers in closed challenges, too.
#[test]
fn status_tells_how_far_a_challenge_is() {
    let mut state = state(false);
    let transaction = one(trigger(&mut state));
    let told = |state: &mut TestState| {
        let shown = status(state, &transaction);
        assert_eq!(shown.len(), 1);
        (shown[0].received_count, shown[0].received, shown[0].valid, shown[0].open)
    };
    assert_eq!(told(&mut state), (0, false, false, true));
    assert!(!run(&mut state, &answer(&transaction, "000000")).accepted);
    assert_eq!(told(&mut state), (1, true, false, true));
    assert!(run(&mut state, &answer(&transaction, OTPS[0])).accepted);
    assert_eq!(told(&mut state), (2, true, true, false));
    assert!(!run(&mut state, &answer(&transaction, "000000")).accepted);
    assert_eq!(told(&mut state), (2, true, true, false));
    state.now = state.now.plus_seconds(121);
    assert_eq!(status(&mut state, &transaction), []);
}

#[test]
fn status_is_told_to_whoever_knows_the_pin() {
    let mut state = state(false);
    let transaction = one(trigger(&mut state));
    let request = |user: &str, pass: &str, serial: Option<&str>| CheckStatus {
        transaction_id: Some(transaction.clone()),
        pass: Some(SecretText::from(pass)),
        user: UserParams::login(user),
        serial: serial.map(str::to_owned),
    };
    let table = [
        ("alice", PASSWORD, None, 1),
        ("alice", PASSWORD, Some("A"), 1),
        ("alice", PASSWORD, Some("B"), 0),
        ("alice", "wrong", None, 0),
        ("bob", "bob-password", None, 0),
        ("nobody", PASSWORD, None, 0),
    ];
    for (user, pass, serial, shown) in table {
        assert_eq!(state.run(&request(user, pass, serial)).unwrap().len(), shown, "{user} {pass} {serial:?}");
    }
    assert_eq!(state.usage("A").fail_count, 0);
}

#[test]
fn overtaken_answer_conflicts() {
    let mut state = state(false);
    let transaction = one(trigger(&mut state));
    let decisions = [OTPS[0], OTPS[1]].map(|otp| state.decide(&answer(&transaction, otp)));
    let [winner, loser] = decisions;
    assert!(winner.reply.unwrap().accepted && loser.reply.unwrap().accepted);
    assert!(matches!(state.apply(winner.txn), tessera_core::txn::Outcome::Committed(_)));
    assert!(matches!(state.apply(loser.txn), tessera_core::txn::Outcome::Conflict(..)));
    assert!(!run(&mut state, &answer(&transaction, OTPS[1])).accepted);
}

/// A Yubikey names its own token (reference http-api 7.9, values of tokens 14.6).
#[test]
fn yubikey_names_its_token() {
    use tessera_core::decide::enroll::Init;
    use tessera_core::decide::transaction::CheckYubikey;
    let mut state = TestState::with_users();
    let key = "9163508031b20d2fbb1868954e041729";
    let request =
        Init { token_type: Some("yubikey".to_owned()), ..init("UBAM01382015_1", key, "pin", "alice") };
    enroll(&mut state, &request);
    let mut check = |pass: &str| {
        let request = CheckYubikey { pass: Some(SecretText::from(pass)), options: BTreeMap::new() };
        let verdict = state.run(&request).unwrap();
        (verdict.accepted, verdict.owner)
    };
    let otp = "ecebeeejedecebegfcniufvgvjturjgvinhebbbertjnihit";
    assert_eq!(check(otp), (false, None), "no PIN");
    let owner = Some(("alice".to_owned(), "corp".to_owned()));
    assert_eq!(check(&format!("pin{otp}")), (true, owner));
    assert_eq!(check(&format!("pin{otp}")), (false, None));
    assert_eq!(check("pinccccccccfcniufvgvjturjgvinhebbbertjnihit"), (false, None));
}
