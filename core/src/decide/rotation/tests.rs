use super::super::bootstrap::Bootstrap;
use super::super::enroll::Init;
use super::super::sample::add_admins;
use super::super::session::{AdminLogin, signing_key};
use super::super::validate::CheckSerial;
use super::*;
use crate::secret::SecretText;
use crate::test_state::TestState;
use crate::txn::{Dependency, Outcome};

/// RFC 4226 appendix D: the seed and its first OTPs.
const SEED: &str = "3132333435363738393031323334353637383930";
const OTPS: [&str; 4] = ["755224", "287082", "359152", "969429"];

/// A cluster under key 1 with an administrator and a token with PIN, on a node that holds keys 1 and 2.
fn cluster() -> TestState {
    let mut state = TestState::with_users();
    state.run(&Bootstrap::default()).unwrap();
    add_admins(&mut state);
    enroll(&mut state, "T1");
    state.keyring.add(KeyId(2), &[9; 32]);
    state
}

fn enroll(state: &mut TestState, serial: &str) {
    state.run(&enrolment(serial)).unwrap();
}

fn enrolment(serial: &str) -> Init {
    let mut init = Init { serial: Some(serial.to_owned()), pin: Some("1234".into()), ..Init::default() };
    init.seed.given = Some(SEED.into());
    init
}

fn login(pass: &str) -> CheckSerial {
    let (serial, pass) = (Some("T1".to_owned()), Some(SecretText::from(pass)));
    CheckSerial { serial, pass, ..CheckSerial::default() }
}

fn check(state: &mut TestState, pass: &str) -> bool {
    state.run(&login(pass)).unwrap().accepted
}

/// What a node does when the key check has changed.
fn refresh(state: &mut TestState) {
    let mut keyring = std::mem::replace(&mut state.keyring, Keyring::new(KeyId(99), &[0; 32]));
    prepare(state, &mut keyring).unwrap();
    state.keyring = keyring;
}

fn reseal_all(state: &mut TestState) -> Resealed {
    let (current, _) = current_key(state).unwrap();
    let keys = stale(state, None, current, usize::MAX);
    state.run(&Reseal { keys }).unwrap()
}

/// A node started after the old key was removed from its file.
fn forget_key_1(state: &mut TestState) {
    state.keyring = Keyring::new(KeyId(2), &[9; 32]);
    refresh(state);
}

#[test]
fn after_a_rotation_the_former_key_is_not_needed_for_anything() {
    let mut state = cluster();
    assert!(check(&mut state, &format!("1234{}", OTPS[0])));
    let signing = signing_key(&state, &state.keyring).unwrap().unwrap();
    let before = KeyUse::of(&state);
    assert_eq!(before.needed().collect::<Vec<_>>(), [KeyId(1)]);
    assert_eq!(before.pins, BTreeMap::from([(KeyId(1), 1)]));

    assert_eq!(state.run(&SwitchKey { to: KeyId(2) }), Ok(KeyId(1)));
    refresh(&mut state);
    assert_eq!(current_key(&state).unwrap().0, KeyId(2));
    assert_eq!(KeyUse::of(&state).needed().collect::<Vec<_>>(), [KeyId(1), KeyId(2)]);
    assert!(check(&mut state, &format!("1234{}", OTPS[1])), "between the switch and the re-sealing");

    let done = reseal_all(&mut state);
    // The seed, the administrator's password, the signing key.
    assert_eq!(done, Resealed { done: 3, unreadable: 0 });
    let after = KeyUse::of(&state);
    assert_eq!(after.needed().collect::<Vec<_>>(), [KeyId(2)]);
    assert_eq!(after.pin_keys, [KeyId(1)]);

    forget_key_1(&mut state);
    assert!(check(&mut state, &format!("1234{}", OTPS[2])));
    assert!(!check(&mut state, &format!("1235{}", OTPS[3])), "a wrong PIN");
    assert_eq!(signing_key(&state, &state.keyring).unwrap().unwrap(), signing);
    let password = SecretText::from("toor");
    assert!(state.run(&AdminLogin { login: "root".to_owned(), password }).unwrap().is_some());
    enroll(&mut state, "T2");
    assert_eq!(KeyUse::of(&state).needed().collect::<Vec<_>>(), [KeyId(2)]);
}

#[test]
fn a_second_rotation_keeps_the_pins_of_both_former_keys() {
    let mut state = cluster();
    state.run(&SwitchKey { to: KeyId(2) }).unwrap();
    refresh(&mut state);
    enroll(&mut state, "T2");
    reseal_all(&mut state);
    state.keyring = Keyring::new(KeyId(2), &[9; 32]);
    state.keyring.add(KeyId(3), &[11; 32]);
    refresh(&mut state);
    state.run(&SwitchKey { to: KeyId(3) }).unwrap();
    refresh(&mut state);
    reseal_all(&mut state);
    let found = KeyUse::of(&state);
    assert_eq!(found.needed().collect::<Vec<_>>(), [KeyId(3)]);
    assert_eq!(found.pin_keys, [KeyId(1), KeyId(2)]);
    state.keyring = Keyring::new(KeyId(3), &[11; 32]);
    refresh(&mut state);
    assert!(check(&mut state, &format!("1234{}", OTPS[0])));
}

/// The property that lets the old key be removed: nothing is sealed under it once the switch is committed.
#[test]
fn a_decision_from_before_the_switch_seals_nothing_after_it() {
    let mut state = cluster();
    let overtaken = state.decide(&enrolment("LATE")).txn;
    state.run(&SwitchKey { to: KeyId(2) }).unwrap();
    let conflict = state.apply(overtaken);
    assert!(
        matches!(&conflict, Outcome::Conflict(Dependency::Record(key), _) if *key == key_check()),
        "{conflict:?}"
    );
}

/// A login writes nothing sealed and must not be held up by the switch.
#[test]
fn a_login_from_before_the_switch_is_still_good_after_it() {
    let mut state = cluster();
    let login = state.decide(&login("1234755224"));
    assert!(login.reply.unwrap().accepted);
    state.run(&SwitchKey { to: KeyId(2) }).unwrap();
    assert!(matches!(state.apply(login.txn), Outcome::Committed(_)));
}

#[test]
fn a_batch_that_a_change_of_a_token_has_overtaken_is_not_applied() {
    let mut state = cluster();
    state.run(&SwitchKey { to: KeyId(2) }).unwrap();
    refresh(&mut state);
    let keys = stale(&state, None, KeyId(2), 10);
    let batch = state.decide(&Reseal { keys }).txn;
    state.change_token("T1", |token| token.description = "changed meanwhile".into());
    assert!(matches!(state.apply(batch), Outcome::Conflict(..)));
    reseal_all(&mut state);
    assert_eq!(&*state.token("T1").description, "changed meanwhile");
    assert_eq!(KeyUse::of(&state).needed().collect::<Vec<_>>(), [KeyId(2)]);
}

#[test]
fn a_switch_to_a_key_that_is_not_held_is_refused_and_to_the_current_one_does_nothing() {
    let mut state = cluster();
    let missing = state.run(&SwitchKey { to: KeyId(7) }).unwrap_err();
    assert_eq!(missing.to_string(), "this node does not hold key 7");
    assert!(!state.last_audit().success);
    assert_eq!(state.run(&SwitchKey { to: KeyId(1) }), Ok(KeyId(1)));
    assert_eq!(current_key(&state).unwrap().0, KeyId(1));
    state.run(&SwitchKey { to: KeyId(2) }).unwrap();
    assert_eq!(&*state.last_audit().action_detail, "key 1 -> 2");
    let mut without = Keyring::new(KeyId(1), &[7; 32]);
    assert_eq!(prepare(&state, &mut without), Err(SealError::UnknownKey(KeyId(2))));
    let sealed = without.seal(Purpose::Seed, "T1", b"x", [1; 12]);
    assert_eq!(sealed, Err(SealError::UnknownKey(KeyId(2))), "it must not go on with the former key");
}

#[test]
fn batches_go_through_the_records_in_order_and_pass_what_cannot_be_opened() {
    let mut state = cluster();
    for serial in ["T2", "T3"] {
        enroll(&mut state, serial);
    }
    state.run(&SwitchKey { to: KeyId(2) }).unwrap();
    refresh(&mut state);
    state.change_token("T2", |token| {
        token.seed.as_mut().unwrap().ciphertext[0] ^= 1;
    });
    let (mut after, mut resealed, mut batches) = (None, Resealed::default(), 0);
    loop {
        let keys = stale(&state, after.as_ref(), KeyId(2), 1);
        let Some(last) = keys.last().cloned() else { break };
        let batch = state.run(&Reseal { keys }).unwrap();
        resealed =
            Resealed { done: resealed.done + batch.done, unreadable: resealed.unreadable + batch.unreadable };
        batches += 1;
        after = Some(last);
    }
    // Two tokens, the administrator, the signing key; the damaged token stays behind.
    assert_eq!((resealed, batches), (Resealed { done: 4, unreadable: 1 }, 5));
    assert_eq!(KeyUse::of(&state).sealed.get(&KeyId(1)), Some(&1));
}
