//! OCRA tokens: challenges, answers, roll-out (reference tokens 10). The device is [`tessera_core::algo::ocra`], which
//! has the tables of RFC 6287 beside it.

use std::collections::BTreeMap;

use tessera_core::algo::ocra::{Input, Suite, code};
use tessera_core::algo::pbkdf2;
use tessera_core::decide::enroll::{Init, OcraParams, SeedSource, Shown};
use tessera_core::decide::resync::Resync;
use tessera_core::decide::selection::Selection;
use tessera_core::decide::transaction::{CheckTransaction, TransactionVerdict};
use tessera_core::decide::validate::{Attribute, ChallengeReply, ChallengedToken, Check, CheckSerial};
use tessera_core::decision::Refusal;
use tessera_core::record::{InfoValue, TokenType};
use tessera_core::secret::SecretText;

use super::{of_type, refused};
use crate::state::TestState;
use crate::tokens::{check_request, enroll, run};

const KEY: &[u8] = b"12345678901234567890";
const HEX: &str = "3132333435363738393031323334353637383930";
const QN08: &str = "OCRA-1:HOTP-SHA1-6:QN08";
const COUNTER: &str = "OCRA-1:HOTP-SHA256-8:C-QN08";
const TIME: &str = "OCRA-1:HOTP-SHA512-8:QA10-T1M";

fn ocra2(suite: &str) -> Init {
    let ocra = OcraParams { suite: Some(suite.to_owned()), ..OcraParams::default() };
    Init { ocra, ..of_type("ocra2", HEX) }
}

fn state(suite: &str) -> TestState {
    let mut state = TestState::with_users();
    enroll(&mut state, &ocra2(suite));
    assert_eq!(state.token("A").token_type, TokenType::Ocra2);
    state
}

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Triggers a challenge by PIN.
#[track_caller]
fn trigger(state: &mut TestState, pairs: &[(&str, &str)]) -> ChallengedToken {
    let verdict = run(state, &Check { options: options(pairs), ..check_request("alice", "pin") });
    assert!(!verdict.accepted);
    assert_eq!(&*state.last_audit().action_detail, "challenge created");
    match verdict.challenge {
        Some(ChallengeReply::One(token)) => token,
        other => panic!("{other:?}"),
    }
}

/// The challenge `Q`.
fn question(token: &ChallengedToken) -> &str {
    match token.attributes.iter().find(|(name, _)| name == "challenge") {
        Some((_, Attribute::Text(question))) => question,
        other => panic!("{other:?}"),
    }
}

/// What the device answers.
fn otp(suite: &str, input: Input<'_>) -> String {
    code(&Suite::parse(suite).unwrap(), KEY, &input).unwrap().as_str().to_owned()
}

fn answer_to(suite: &str, question: &str, counter: u64) -> String {
    otp(suite, Input { question, counter, ..Input::default() })
}

/// Answers a challenge by its transaction.
#[track_caller]
fn answer(state: &mut TestState, transaction: &str, pass: &str) -> bool {
    let request = CheckTransaction {
        transaction_id: Some(transaction.to_owned()),
        pass: Some(SecretText::from(pass)),
        ..CheckTransaction::default()
    };
    match state.run(&request).unwrap() {
        TransactionVerdict::Unknown => false,
        TransactionVerdict::Checked { verdict, token: (serial, token_type), fail_count } => {
            assert_eq!((serial.as_str(), token_type), ("A", "ocra2"));
            assert_eq!(fail_count, state.usage("A").fail_count);
            verdict.accepted
        }
    }
}

#[test]
fn challenge_is_answered_once() {
    let mut state = state(QN08);
    assert_eq!(state.token("A").digits, 6);
    let token = trigger(&mut state, &[("data", "12345678")]);
    let transaction = token.transaction_id.as_str().to_owned();
    assert!(transaction.len() == 17 && !transaction.starts_with('0'), "{transaction}");
    assert_eq!((question(&token), token.serial.as_str(), token.token_type), ("12345678", "A", "ocra2"));
    let url = format!("lseqr://req?tr={transaction}&ch=12345678&me=12345678&si=");
    assert!(token.message.starts_with(&url) && token.message.len() == url.len() + 40, "{}", token.message);
    let right = answer_to(QN08, "12345678", 0);
    assert!(!answer(&mut state, &transaction, "000000"));
    assert_eq!(state.usage("A").fail_count, 1);
    assert!(!answer(&mut state, &transaction[1..], &right), "another transaction");
    assert!(answer(&mut state, &transaction, &right));
    assert_eq!((state.usage("A").fail_count, state.usage("A").next_counter), (0, 1));
    assert!(!answer(&mut state, &transaction, &right), "closed");
}

/// RFC 6287 appendix C.1: the same challenge with the RFC's key.
#[test]
fn answer_is_that_of_the_rfc() {
    let mut state = state(QN08);
    let token = trigger(&mut state, &[("data", "11111111")]);
    assert!(answer(&mut state, token.transaction_id.as_str(), "243178"));
}

#[test]
fn pin_and_answer_together_need_no_transaction() {
    let mut state = state(QN08);
    let token = trigger(&mut state, &[("challenge", "12345678")]);
    let right = answer_to(QN08, question(&token), 0);
    for wrong in [format!("nip{right}"), right.clone(), "pin000000".to_owned()] {
        assert!(!run(&mut state, &check_request("alice", &wrong)).accepted, "{wrong}");
    }
    assert!(run(&mut state, &check_request("alice", &format!("pin{right}"))).accepted);
    assert!(!run(&mut state, &check_request("alice", &format!("pin{right}"))).accepted);
}

#[test]
fn pin_needs_something_to_be_asked_about() {
    let mut state = state(QN08);
    let verdict = run(&mut state, &check_request("alice", "pin"));
    assert_eq!((verdict.accepted, verdict.challenge), (false, None));
    let wrong = Check { options: options(&[("data", "1")]), ..check_request("alice", "nip") };
    assert_eq!(run(&mut state, &wrong).challenge, None);
    assert_eq!(state.usage("A").fail_count, 2);
}

/// Reference http-api 7.3.
#[test]
fn challenge_by_serial_needs_no_pin() {
    let mut state = state(QN08);
    let request = |pairs: &[(&str, &str)]| CheckSerial {
        serial: Some("A".to_owned()),
        options: options(pairs),
        ..CheckSerial::default()
    };
    let verdict = state.run(&request(&[("data", "99999999")])).unwrap();
    let Some(ChallengeReply::One(token)) = verdict.challenge else { panic!("no challenge") };
    assert!(answer(&mut state, token.transaction_id.as_str(), "294470"));
    assert_eq!(state.run(&request(&[])), Err(Refusal::MissingParameter("pass")));
    state.change_token("A", |token| token.active = false);
    assert_eq!(state.run(&request(&[("data", "1")])), Err(Refusal::MissingParameter("pass")));
}

#[test]
fn challenge_expires() {
    let mut state = state(QN08);
    let token = trigger(&mut state, &[("data", "12345678")]);
    let right = answer_to(QN08, "12345678", 0);
    state.set("Ocra2ChallengeValidityTime", "60");
    state.now = state.now.plus_seconds(61);
    assert!(!answer(&mut state, token.transaction_id.as_str(), &right));
    state.set("Ocra2ChallengeValidityTime", "61");
    assert!(
        answer(&mut state, token.transaction_id.as_str(), &right),
        "the configuration counts when it is read"
    );
}

#[test]
fn answering_the_newest_closes_older_ones() {
    let mut state = state(QN08);
    let first = trigger(&mut state, &[("data", "11111111")]);
    let second = trigger(&mut state, &[("data", "22222222")]);
    let third = trigger(&mut state, &[("data", "33333333")]);
    assert!(answer(&mut state, second.transaction_id.as_str(), "653583"));
    assert!(!answer(&mut state, first.transaction_id.as_str(), "243178"));
    assert!(answer(&mut state, third.transaction_id.as_str(), "740991"));
}

/// `Ocra2MaxChallengeRequests`, 3 unless configured: the fourth wrong answer is the last.
#[test]
fn challenge_is_burnt_by_wrong_answers() {
    let mut state = state(QN08);
    let token = trigger(&mut state, &[("data", "12345678")]);
    let other = trigger(&mut state, &[("data", "11111111")]);
    for _ in 0..4 {
        assert!(!answer(&mut state, token.transaction_id.as_str(), "000000"));
    }
    assert!(!answer(&mut state, token.transaction_id.as_str(), &answer_to(QN08, "12345678", 0)));
    assert!(answer(&mut state, other.transaction_id.as_str(), "243178"), "bound to their transaction");
}

#[test]
fn counter_moves_on_and_answers_below_it_are_refused() {
    let mut state = state(COUNTER);
    let ask = |state: &mut TestState| {
        let token = trigger(state, &[("data", "12345678")]);
        token.transaction_id.as_str().to_owned()
    };
    // The device was used three times without the server.
    let transaction = ask(&mut state);
    assert!(answer(&mut state, &transaction, &answer_to(COUNTER, "12345678", 3)));
    assert_eq!(state.usage("A").next_counter, 4);
    for (counter, accepted) in [(3, false), (0, false), (14, false), (13, true)] {
        let transaction = ask(&mut state);
        let otp = answer_to(COUNTER, "12345678", counter);
        assert_eq!(answer(&mut state, &transaction, &otp), accepted, "{counter}");
    }
    assert_eq!(state.usage("A").next_counter, 14);
}

/// A challenge that the client makes up is good only where counter or time forbid to send it again.
#[test]
fn challenge_of_the_client_cannot_be_replayed() {
    let direct = |state: &mut TestState, otp: &str| {
        let options = options(&[("challenge", "12345678")]);
        run(state, &Check { options, ..check_request("alice", &format!("pin{otp}")) }).accepted
    };
    let mut counted = state(COUNTER);
    let right = answer_to(COUNTER, "12345678", 0);
    assert!(direct(&mut counted, &right));
    assert!(!direct(&mut counted, &right));
    assert!(direct(&mut counted, &answer_to(COUNTER, "12345678", 1)));
    assert!(!direct(&mut state(QN08), &answer_to(QN08, "12345678", 0)));
}

#[test]
fn time_step_of_the_device_counts() {
    let mut state = state(TIME);
    let step = |state: &TestState, moved: i64| (state.now.seconds() / 60).saturating_add_signed(moved);
    let otp_at = |step, question: &str| otp(TIME, Input { question, step, ..Input::default() });
    for (moved, accepted) in [(-4, false), (-3, true), (3, false), (2, true), (0, true)] {
        let token = trigger(&mut state, &[("data", "SIG1000000")]);
        let otp = otp_at(step(&state, moved), question(&token));
        assert_eq!(answer(&mut state, token.transaction_id.as_str(), &otp), accepted, "{moved}");
    }
    // Without a transaction the step must lie behind the last one used.
    trigger(&mut state, &[("data", "SIG1000000")]);
    let used = otp_at(step(&state, 2), "SIG1000000");
    state.now = state.now.plus_seconds(120);
    assert!(run(&mut state, &check_request("alice", &format!("pin{used}"))).accepted, "later second of it");
    trigger(&mut state, &[("data", "SIG1000000")]);
    let older = otp_at(step(&state, -1), "SIG1000000");
    assert!(!run(&mut state, &check_request("alice", &format!("pin{older}"))).accepted);
}

#[test]
fn pin_and_session_go_into_the_answer() {
    let suite = "OCRA-1:HOTP-SHA256-8:QA08-PSHA1-S064";
    let mut state = TestState::with_users();
    let device_pin = Some(SecretText::from("1234"));
    enroll(&mut state, &Init { device_pin, ..ocra2(suite) });
    let pairs = [("data", "SIG10000"), ("ocra_session", "session-1")];
    let input = Input { question: "SIG10000", pin: b"1234", session: "session-1", ..Input::default() };
    for wrong in [Input { pin: b"1235", ..input }, Input { session: "session-2", ..input }] {
        let token = trigger(&mut state, &pairs);
        assert!(!answer(&mut state, token.transaction_id.as_str(), &otp(suite, wrong)), "{wrong:?}");
    }
    let token = trigger(&mut state, &pairs);
    assert!(answer(&mut state, token.transaction_id.as_str(), &otp(suite, input)));
    let long = "s".repeat(65);
    let request = Check {
        options: options(&[("data", "1"), ("ocra_session", &long)]),
        ..check_request("alice", "pin")
    };
    assert!(state.run(&request).is_err());
}

#[test]
fn manual_resync_needs_two_challenges() {
    let otps = |first: u64, second: u64| {
        (answer_to(COUNTER, "11111111", first), answer_to(COUNTER, "22222222", second))
    };
    let request = |(otp1, otp2): (String, String), challenges: Option<(&str, &str)>| Resync {
        selection: Selection::serial("A"),
        otp1: SecretText::new(otp1),
        otp2: SecretText::new(otp2),
        challenges: challenges.map(|(first, second)| (first.to_owned(), second.to_owned())),
    };
    let mut state = state(COUNTER);
    let named = Some(("11111111", "22222222"));
    assert_eq!(state.run(&request(otps(500, 501), None)), Ok(false), "no challenge");
    assert_eq!(state.run(&request(otps(500, 502), named)), Ok(false));
    assert_eq!(state.run(&request(otps(1000, 1001), named)), Ok(false), "behind the window");
    assert_eq!(state.run(&request(otps(500, 501), named)), Ok(true));
    assert_eq!(state.usage("A").next_counter, 502);
    trigger(&mut state, &[("data", "11111111")]);
    trigger(&mut state, &[("data", "22222222")]);
    assert_eq!(state.run(&request(otps(501, 502), None)), Ok(false), "below the counter");
    assert_eq!(state.run(&request(otps(700, 701), None)), Ok(true), "second newest and newest");
}

#[test]
fn automatic_resync_needs_two_answers_in_a_row() {
    let mut state = state(COUNTER);
    state.set("AutoResync", "True");
    let ask = |state: &mut TestState, counter| {
        let token = trigger(state, &[("data", "12345678")]);
        answer(state, token.transaction_id.as_str(), &answer_to(COUNTER, "12345678", counter))
    };
    assert!(!ask(&mut state, 100));
    assert!(!ask(&mut state, 102));
    assert!(!ask(&mut state, 102), "the same one again");
    assert!(ask(&mut state, 103));
    assert_eq!(state.usage("A").next_counter, 104);
}

fn rollout(state: &mut TestState) -> BTreeMap<&'static str, String> {
    let ocra = OcraParams { shared_secret: true, ..OcraParams::default() };
    let seed = SeedSource { given: None, generate: true };
    members(state, &Init { ocra, seed, ..of_type("ocra2", "") })
}

fn activation(code: &str) -> Init {
    let ocra = OcraParams {
        activation_code: Some(SecretText::from(code)),
        message: Some("TestTA".to_owned()),
        ..OcraParams::default()
    };
    Init { serial: None, ocra, seed: SeedSource { given: None, generate: true }, ..of_type("ocra2", "") }
}

fn members(state: &mut TestState, request: &Init) -> BTreeMap<&'static str, String> {
    let enrolled = enroll(state, request);
    assert_eq!(enrolled.seed_text, None);
    let text = |shown: Shown| match shown {
        Shown::Text(text) | Shown::Code(text) => text.expose().to_owned(),
    };
    enrolled.detail.into_iter().map(|(name, shown)| (name, text(shown))).collect()
}

/// The app's side, as reference tokens 10.2 describes it.
fn app_key(secret: &str, nonce: &str) -> Vec<u8> {
    let bytes = |hex: &str| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
    let nonce = bytes(nonce);
    let password = [bytes(secret), b"1234567890".to_vec(), nonce[..56].to_vec()].concat();
    pbkdf2::with_sha256(&password, &nonce[56..], 10_000, 32).to_vec()
}

const CODE: &str = "GEZDGNBVGY3TQOJQ01";

#[test]
fn roll_out_ends_with_the_answer_to_its_challenge() {
    let mut state = TestState::with_users();
    let begun = rollout(&mut state);
    let secret = &begun["sharedsecret"];
    let import = format!("lseqr://init?sh={secret}&os=OCRA-1%3AHOTP-SHA256-6%3AC-QA64&se=A");
    assert_eq!((secret.len(), &begun["app_import"], &begun["ocraurl"]), (40, &import, &import));
    assert!(!state.token("A").active);
    assert_eq!(state.token("A").info.get("rollout"), Some(&InfoValue::Text("1".into())));
    assert!(!format!("{:?}", state.token("A").info).contains(secret.as_str()), "sealed");

    let active = members(&mut state, &activation(CODE));
    assert!(state.token("A").active);
    let (nonce, transaction) = (&active["nonce"], &active["transactionid"]);
    let challenge = &active["challenge"];
    assert!(nonce.len() == 128 && challenge.starts_with("TestTA0000") && challenge.len() == 64);
    let import = format!(
        "lseqr://nonce?se=A&no={nonce}&tr={transaction}&ch={challenge}&me=TestTA&si={}",
        active["signature"]
    );
    assert_eq!((&active["app_import"], active["signature"].len()), (&import, 64));

    let key = app_key(secret, nonce);
    let suite = Suite::parse("OCRA-1:HOTP-SHA256-6:C-QA64").unwrap();
    let input = Input { question: challenge, ..Input::default() };
    let otp = code(&suite, &key, &input).unwrap().as_str().to_owned();
    assert!(answer(&mut state, transaction, &otp));
    let info = &state.token("A").info;
    assert!(["rollout", "sharedSecret", "nonce"].iter().all(|key| !info.contains_key(*key)), "{info:?}");
    assert!(state.run(&Init { serial: Some("A".to_owned()), ..activation(CODE) }).is_err(), "it is over");
}

#[test]
fn activation_falls_back_after_wrong_answers() {
    let mut state = TestState::with_users();
    let secret = rollout(&mut state)["sharedsecret"].clone();
    let first = members(&mut state, &activation(CODE));
    for _ in 0..3 {
        assert!(!answer(&mut state, &first["transactionid"], "000000"));
    }
    assert_eq!(state.token("A").info.get("rollout"), Some(&InfoValue::Text("1".into())));
    let suite = Suite::parse("OCRA-1:HOTP-SHA256-6:C-QA64").unwrap();
    let otp = |active: &BTreeMap<&'static str, String>| {
        let input = Input { question: &active["challenge"], ..Input::default() };
        code(&suite, &app_key(&secret, &active["nonce"]), &input).unwrap().as_str().to_owned()
    };
    assert!(!answer(&mut state, &first["transactionid"], &otp(&first)), "to be activated again");
    let second = members(&mut state, &activation(CODE));
    assert!(answer(&mut state, &second["transactionid"], &otp(&second)));
}

#[test]
fn activation_needs_a_begun_roll_out_and_its_code() {
    let mut state = TestState::with_users();
    let by_serial = Init { serial: Some("A".to_owned()), ..activation(CODE) };
    assert!(state.run(&activation(CODE)).is_err(), "alice has none");
    assert!(state.run(&by_serial).is_err(), "no such token");
    rollout(&mut state);
    let before = state.token("A");
    for bad in ["", "GEZDGNBVGY3TQOJQ02", "GEZDGNBVGY3TQOJ001", "!!"] {
        assert!(
            state
                .run(&Init {
                    ocra: OcraParams {
                        activation_code: Some(SecretText::from(bad)),
                        ..OcraParams::default()
                    },
                    ..by_serial.clone()
                })
                .is_err()
        );
    }
    assert_eq!(state.token("A"), before);
    assert!(state.run(&by_serial).is_ok());
}

#[test]
fn suites_seeds_and_digits_are_checked() {
    for suite in ["OCRA-1:HOTP-MD5-6:QN08", "nonsense"] {
        assert!(matches!(refused(&ocra2(suite)), Refusal::InvalidParameter { .. }), "{suite}");
    }
    let with = |given: Option<&str>, generate| Init {
        seed: SeedSource { given: given.map(SecretText::from), generate },
        ..ocra2(QN08)
    };
    assert_eq!(refused(&with(None, false)), Refusal::MissingParameter("otpkey"));
    assert_eq!(refused(&with(Some(HEX), true)), Refusal::SeedGivenAndGenerated);
    assert!(matches!(refused(&with(Some("313"), false)), Refusal::Other(_)));
    let mut state = TestState::with_users();
    enroll(&mut state, &Init { ocra: OcraParams::default(), ..of_type("ocra2", HEX) });
    let suite = state.token("A").info.get("ocrasuite").cloned();
    assert_eq!(suite, Some(InfoValue::Text("OCRA-1:HOTP-SHA256-8:C-QN08".into())));
    enroll(&mut state, &ocra2(QN08));
    assert_eq!(state.token("A").info.get("ocrasuite").cloned(), suite, "the one it has wins");
}
