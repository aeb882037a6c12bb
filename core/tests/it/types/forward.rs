//! Tokens that take the OTPs of another token (reference tokens 8.15).

use tessera_core::algo::ocra::{Input, Suite, code};
use tessera_core::decide::enroll::{Init, OcraParams, SeedSource};
use tessera_core::decide::validate::{Attribute, ChallengeReply, Check};
use tessera_core::decision::Refusal;
use tessera_core::record::{Key, TokenType};
use tessera_core::secret::SecretText;

use super::{login, of_type, refused};
use crate::state::TestState;
use crate::tokens::{OTPS, SEED, check, check_request, enroll, init, run};

fn forward(target: &str) -> Init {
    Init { seed: SeedSource::default(), forward_serial: Some(target.to_owned()), ..of_type("forward", "") }
}

/// Alice's token `A` takes the OTPs of bob's token `B`.
fn state() -> TestState {
    let mut state = TestState::with_users();
    enroll(&mut state, &Init { otplen: Some(6), ..init("B", SEED, "bob-pin", "bob") });
    let enrolled = enroll(&mut state, &forward("B"));
    assert_eq!((enrolled.seed_text, enrolled.otpauth_url), (None, None));
    assert_eq!(state.token("A").token_type, TokenType::Forward);
    state
}

fn otp(number: usize) -> String {
    format!("pin{}", OTPS[number])
}

#[test]
fn otp_of_the_target_counts_for_both() {
    let mut state = state();
    login(&mut state, &otp(2), true);
    assert_eq!((state.usage("A").next_counter, state.usage("B").next_counter), (3, 3));
    login(&mut state, &otp(2), false);
    assert!(!check(&mut state, "bob", &format!("bob-pin{}", OTPS[2])), "used up there as well");
    assert!(check(&mut state, "bob", &format!("bob-pin{}", OTPS[3])));
    login(&mut state, &otp(3), false);
    login(&mut state, &otp(4), true);
}

#[test]
fn pin_is_its_own() {
    let mut state = state();
    for wrong in [format!("bob-pin{}", OTPS[0]), OTPS[0].to_owned(), format!("nip{}", OTPS[0])] {
        login(&mut state, &wrong, false);
        assert_eq!(state.usage("B").next_counter, 0);
    }
}

/// What stands in the target's way does not stand in this one's; failures are shared.
#[test]
fn failures_are_forwarded_and_cleared() {
    let mut state = state();
    state.change_token("B", |token| token.active = false);
    state.change_usage("B", |usage| usage.fail_count = 20);
    login(&mut state, "pin000000", false);
    assert_eq!((state.usage("A").fail_count, state.usage("B").fail_count), (1, 21));
    login(&mut state, &otp(0), true);
    assert_eq!((state.usage("A").fail_count, state.usage("B").fail_count), (0, 0));
}

/// Both tokens in one login: what happens to the target on its own account must not undo what the forward token did.
#[test]
fn target_in_the_same_login_does_not_lose_its_counter() {
    let mut state = TestState::with_users();
    enroll(&mut state, &init("B", SEED, "other", "alice"));
    enroll(&mut state, &forward("B"));
    state.change_usage("B", |usage| usage.fail_count = 3);
    login(&mut state, &otp(0), true);
    assert_eq!((state.usage("B").next_counter, state.usage("B").fail_count), (1, 0));
    login(&mut state, &format!("other{}", OTPS[0]), false);
    login(&mut state, &format!("other{}", OTPS[1]), true);
    login(&mut state, &otp(1), false);
}

#[test]
fn target_has_to_exist_and_be_no_forward_token() {
    let mut state = state();
    assert_eq!(refused(&forward("")), Refusal::MissingParameter("forward.serial"));
    assert!(matches!(refused(&forward("B")), Refusal::InvalidParameter { .. }));
    for target in ["A", "b"] {
        let request = Init { serial: Some("C".to_owned()), ..forward(target) };
        assert!(matches!(state.run(&request), Err(Refusal::InvalidParameter { .. })), "{target}");
    }
    state.delete(Key::Token("B".into()));
    login(&mut state, &otp(0), false);
    assert!(state.last_audit().info.contains("token A: the token it forwards to does not exist"));
}

/// Register 19: LinOTP sets the target's counter back to 0.
#[test]
fn challenge_of_the_target_is_posed_and_answered() {
    const SUITE: &str = "OCRA-1:HOTP-SHA256-8:C-QN08";
    let mut state = TestState::with_users();
    let ocra = OcraParams { suite: Some(SUITE.to_owned()), ..OcraParams::default() };
    enroll(
        &mut state,
        &Init {
            token_type: Some("ocra2".to_owned()),
            ocra,
            description: Some("blue".to_owned()),
            ..init("B", "3132333435363738393031323334353637383930", "bob-pin", "bob")
        },
    );
    enroll(&mut state, &forward("B"));
    for counter in 0..2 {
        let options = [("data".to_owned(), "12345678".to_owned())].into();
        let verdict = run(&mut state, &Check { options, ..check_request("alice", "pin") });
        let Some(ChallengeReply::One(posed)) = verdict.challenge else { panic!("no challenge") };
        assert_eq!((posed.serial.as_str(), posed.token_type), ("A", "forward"));
        for (name, value) in [
            ("challenge", "12345678"),
            ("linotp_forward_tokenserial", "B"),
            ("linotp_forward_tokentype", "ocra2"),
            ("linotp_forward_tokendescription", "blue"),
        ] {
            assert!(
                posed.attributes.contains(&(name.to_owned(), Attribute::Text(value.to_owned()))),
                "{name}"
            );
        }
        let input = Input { counter, question: "12345678", ..Input::default() };
        let right = code(&Suite::parse(SUITE).unwrap(), b"12345678901234567890", &input).unwrap();
        let answer = |pass: &str| Check {
            transaction_id: Some(posed.transaction_id.as_str().to_owned()),
            pass: Some(SecretText::from(pass)),
            ..check_request("alice", "")
        };
        assert!(!run(&mut state, &answer("00000000")).accepted);
        assert_eq!((state.usage("A").fail_count, state.usage("B").fail_count), (1, 1));
        assert!(run(&mut state, &answer(right.as_str())).accepted);
        assert!(!run(&mut state, &answer(right.as_str())).accepted);
        assert_eq!(state.usage("B").next_counter, counter + 1);
        state.change_usage("A", |usage| usage.fail_count = 0);
        state.change_usage("B", |usage| usage.fail_count = 0);
    }
}
