//! Checks that are sent again under the same `Idempotency-Key`.

use tessera_core::decide::once::{KEPT_SECONDS, Once};
use tessera_core::decide::validate::{Check, CheckSerial};
use tessera_core::decision::Refusal;
use tessera_core::secret::SecretText;

use crate::state::TestState;
use crate::tokens::{OTPS, alice_with_token, check, check_request};

fn once(key: &str, submitted: &str) -> Once<Check> {
    Once { key: Some(key.to_owned()), request: check_request("alice", submitted) }
}

#[track_caller]
fn accepted(state: &mut TestState, request: &Once<Check>) -> bool {
    state.run(request).unwrap().accepted
}

#[test]
fn a_repeated_login_gets_the_same_answer_and_uses_nothing_up() {
    let mut state = alice_with_token();
    let request = once("k1", &format!("pin{}", OTPS[0]));
    assert!(accepted(&mut state, &request));
    assert_eq!(state.usage("A").next_counter, 1);
    assert!(accepted(&mut state, &request));
    assert_eq!(state.usage("A").next_counter, 1);
    let row = state.last_audit();
    assert!(row.success);
    assert_eq!(&*row.info, "repeated request, answered as before");
    // Without the key, or under another one, it is the replay it looks like.
    assert!(!check(&mut state, "alice", &format!("pin{}", OTPS[0])));
    assert!(!accepted(&mut state, &once("k2", &format!("pin{}", OTPS[0]))));
    assert!(accepted(&mut state, &once("k3", &format!("pin{}", OTPS[1]))));
}

#[test]
fn a_repeated_failure_counts_once() {
    let mut state = alice_with_token();
    let request = once("k1", "pin000000");
    assert!(!accepted(&mut state, &request));
    assert_eq!(state.usage("A").fail_count, 1);
    assert!(!accepted(&mut state, &request));
    assert_eq!(state.usage("A").fail_count, 1);
    assert!(!state.last_audit().success);
}

#[test]
fn the_answer_is_for_the_same_request_of_the_same_client_only() {
    let mut state = alice_with_token();
    let submitted = format!("pin{}", OTPS[0]);
    assert!(accepted(&mut state, &once("k1", &submitted)));
    let reused = Err(Refusal::KeyReused(KEPT_SECONDS));
    let others = [
        check_request("alice", "pin000000"),
        check_request("bob", &submitted),
        check_request("alice@corp", &submitted),
        Check { auth_info: true, ..check_request("alice", &submitted) },
        Check { serial: Some("A".to_owned()), ..check_request("alice", &submitted) },
    ];
    for request in others {
        let before = state.usage("A").clone();
        let answer = state.run(&Once { key: Some("k1".to_owned()), request });
        assert_eq!(answer.map(|verdict| verdict.accepted), reused);
        assert_eq!(*state.usage("A"), *before);
    }
    let by_serial = CheckSerial {
        serial: Some("A".to_owned()),
        pass: Some(SecretText::from(submitted.as_str())),
        ..CheckSerial::default()
    };
    let answer = state.run(&Once { key: Some("k1".to_owned()), request: by_serial });
    assert_eq!(answer.map(|verdict| verdict.accepted), reused);

    state.caller.client = "192.0.2.8".to_owned();
    assert!(
        !accepted(&mut state, &once("k1", &submitted)),
        "another client gets no answer that is not its own"
    );
}

#[test]
fn the_answer_is_forgotten_after_a_while() {
    let mut state = alice_with_token();
    let request = once("k1", &format!("pin{}", OTPS[0]));
    assert!(accepted(&mut state, &request));
    state.now.0 += u64::from(KEPT_SECONDS) * 1000 - 1;
    assert!(accepted(&mut state, &request));
    state.now.0 += 1;
    assert!(!accepted(&mut state, &request));
}

#[test]
fn a_refused_check_is_not_remembered() {
    let mut state = alice_with_token();
    let request = |pass: Option<&str>| Once {
        key: Some("k1".to_owned()),
        request: CheckSerial {
            serial: Some("A".to_owned()),
            pass: pass.map(SecretText::from),
            ..CheckSerial::default()
        },
    };
    assert!(state.run(&request(None)).is_err());
    let submitted = format!("pin{}", OTPS[0]);
    assert!(state.run(&request(Some(&submitted))).unwrap().accepted);
}
