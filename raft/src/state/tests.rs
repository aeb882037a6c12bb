//! Properties of [`State::apply`]: determinism, preconditions, at-most-once, indexes and their revisions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use tessera_core::audit::AuditRowV1;
use tessera_core::record::{ChallengeV1, RealmV1, SettingV1, SettingValue, TokenType, TokenV1, UsageV1};
use tessera_core::user::Owner;

use super::*;

fn token(owner: Option<u8>, realm: u8) -> Record {
    Record::Token(Arc::new(TokenV1 {
        token_type: TokenType::Hmac,
        seed: None,
        pin: tessera_core::record::Pin::Unset,
        user_pin: None,
        owner: owner.map(|n| Owner { resolver: "r.file".into(), user_id: n.to_string().into() }),
        realms: vec![format!("realm{realm}").into()],
        description: "".into(),
        digits: 6,
        count_window: 10,
        sync_window: 1000,
        fail_count_max: 10,
        active: true,
        created_at: UnixMillis(0),
        info: BTreeMap::new(),
    }))
}

fn usage(next_counter: u64) -> Record {
    Record::Usage(Arc::new(UsageV1 { next_counter, ..UsageV1::default() }))
}

fn challenge(serial: u8, expires_at: u64) -> Record {
    Record::Challenge(Arc::new(ChallengeV1 {
        serial: format!("T{serial}").into(),
        message: "".into(),
        data: "".into(),
        created_at: UnixMillis(0),
        expires_at: UnixMillis(expires_at),
        open: true,
        confirmed: None,
        received_count: 0,
        received: false,
        valid: false,
    }))
}

/// A write as the generator draws it.
fn any_write() -> impl Strategy<Value = (Key, Option<Record>)> {
    let key = |prefix: &str, n: u8| format!("{prefix}{n}");
    prop_oneof![
        (0..4u8, proptest::option::of(0..3u8), 0..3u8)
            .prop_map(move |(n, owner, realm)| (Key::Token(key("T", n).into()), Some(token(owner, realm)))),
        (0..4u8).prop_map(move |n| (Key::Token(key("T", n).into()), None)),
        (0..4u8, 0..9u64).prop_map(move |(n, c)| (Key::Usage(key("T", n).into()), Some(usage(c)))),
        (0..3u8, 0..4u8, 0..50u64)
            .prop_map(move |(n, t, at)| (Key::Challenge(key("7.", n).into()), Some(challenge(t, at)))),
        (0..3u8).prop_map(move |n| (Key::Challenge(key("7.", n).into()), None)),
        (0..3u8).prop_map(move |n| {
            (Key::Realm(key("realm", n).into()), Some(Record::Realm(Arc::new(RealmV1::default()))))
        }),
        (0..2u8, 0..3u8).prop_map(move |(n, v)| {
            let value = SettingValue::Plain(v.to_string().into());
            let setting = SettingV1 { value, kind: "".into(), description: "".into() };
            (Key::Setting(key("s", n).into()), Some(Record::Setting(Arc::new(setting))))
        }),
    ]
}

/// A decision: what it reads of which past state, and what it writes.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    session: u64,
    sequence: u64,
    /// How many commands ago the state it read was current.
    stale: usize,
    reads: Vec<Key>,
    indexes: Vec<IndexKey>,
    writes: Vec<(Key, Option<Record>)>,
}

pub(crate) fn any_decision() -> impl Strategy<Value = Decision> {
    let index = prop_oneof![
        Just(IndexKey::Configuration),
        (0..3u8).prop_map(|n| IndexKey::TokensOfOwner(Owner {
            resolver: "r.file".into(),
            user_id: n.to_string().into()
        })),
        (0..3u8).prop_map(|n| IndexKey::TokensInRealm(format!("realm{n}").into())),
        (0..4u8).prop_map(|n| IndexKey::ChallengesOfToken(format!("T{n}").into())),
    ];
    (
        1..3u64,
        1..40u64,
        0..4usize,
        proptest::collection::vec(any_write().prop_map(|(key, _)| key), 0..3),
        proptest::collection::vec(index, 0..2),
        proptest::collection::vec(any_write(), 0..4),
    )
        .prop_map(|(session, sequence, stale, reads, indexes, writes)| {
            let writes: BTreeMap<_, _> = writes.into_iter().collect();
            Decision { session, sequence, stale, reads, indexes, writes: writes.into_iter().collect() }
        })
}

fn opened() -> State {
    let mut state = State::default();
    for node in 1..3u8 {
        let command = Command::OpenSession { node: node.into(), incarnation: [node; 16] };
        assert_eq!(state.apply(UnixMillis(0), command, &mut Vec::new()), CommandReply::Session(node.into()));
    }
    state
}

fn propose(decision: &Decision, seen: &State, at: u64) -> Command {
    let mut expects: Vec<Expectation> = decision
        .reads
        .iter()
        .map(|key| Dependency::Record(key.clone()))
        .chain(decision.indexes.iter().cloned().map(Dependency::Index))
        .map(|dependency| Expectation { revision: seen.revision_of(&dependency), dependency })
        .collect();
    expects.dedup();
    let row = AuditRowV1 { at: UnixMillis(at), action: "test".into(), ..AuditRowV1::default() };
    Command::Txn {
        id: TxnId { session: decision.session, sequence: decision.sequence },
        acked_below: 0,
        txn: Txn {
            now: UnixMillis(at),
            expects,
            writes: decision.writes.clone(),
            history: vec![HistoryRow::Audit(row)],
        },
    }
}

/// Applies decisions one after the other, each on the state it saw; returns every version and every reply.
pub(crate) fn run(decisions: &[Decision]) -> (Vec<State>, Vec<(Command, CommandReply)>, Vec<ChainedRow>) {
    let mut versions = vec![opened()];
    let mut log = Vec::new();
    let mut rows = Vec::new();
    for (at, decision) in decisions.iter().enumerate() {
        let seen = &versions[versions.len() - 1 - decision.stale.min(versions.len() - 1)];
        let at = u64::try_from(at).unwrap();
        let command = propose(decision, seen, at);
        let mut next = versions[versions.len() - 1].clone();
        let reply = next.apply(UnixMillis(at), command.clone(), &mut rows);
        versions.push(next);
        log.push((command, reply));
    }
    (versions, log, rows)
}

/// What the indexes must contain, computed from the records alone.
fn expected_indexes(state: &State) -> BTreeMap<IndexKey, BTreeSet<Key>> {
    let mut all: BTreeMap<IndexKey, BTreeSet<Key>> = BTreeMap::new();
    for (key, slot) in state.records() {
        for index in slot.record.indexes(key) {
            all.entry(index).or_default().insert(key.clone());
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn replicas_that_apply_the_same_log_are_equal(decisions in proptest::collection::vec(any_decision(), 1..40)) {
        let (versions, log, rows) = run(&decisions);
        let mut replica = opened();
        let mut replica_rows = Vec::new();
        for (at, (command, reply)) in log.into_iter().enumerate() {
            // Through the encoding, as a follower gets it.
            let bytes = crate::batch::encode_command(&command).unwrap();
            let command = crate::batch::decode_command(&bytes).unwrap();
            let again = replica.apply(UnixMillis(u64::try_from(at).unwrap()), command, &mut replica_rows);
            prop_assert_eq!(again, reply);
        }
        prop_assert_eq!(replica.digest(), versions[versions.len() - 1].digest());
        prop_assert_eq!(replica_rows, rows);
    }

    #[test]
    fn overtaken_decision_changes_nothing(decisions in proptest::collection::vec(any_decision(), 1..40)) {
        let (versions, log, _) = run(&decisions);
        for (at, (command, reply)) in log.iter().enumerate() {
            let (before, after) = (&versions[at], &versions[at + 1]);
            let Command::Txn { txn, .. } = command else { continue };
            let overtaken = txn.expects.iter().any(|e| before.revision_of(&e.dependency) != e.revision);
            match reply {
                CommandReply::Txn(Outcome::Committed(revision)) => {
                    prop_assert!(!overtaken);
                    for (key, record) in &txn.writes {
                        prop_assert_eq!(after.record(key).map(|slot| slot.record), record.clone());
                        if record.is_some() {
                            prop_assert_eq!(after.record(key).unwrap().revision, *revision);
                        }
                    }
                    prop_assert_eq!(after.history().number, before.history().number + 1);
                }
                CommandReply::Txn(Outcome::Conflict(dependency, current)) => {
                    prop_assert!(overtaken);
                    prop_assert_eq!(before.revision_of(dependency), *current);
                    prop_assert_eq!(before.records().collect::<Vec<_>>(), after.records().collect::<Vec<_>>());
                    prop_assert_eq!(before.history(), after.history());
                }
                CommandReply::Txn(Outcome::Duplicate(_)) => {
                    prop_assert_eq!(before.records().collect::<Vec<_>>(), after.records().collect::<Vec<_>>());
                    prop_assert_eq!(before.history(), after.history());
                }
                CommandReply::Txn(Outcome::UnknownSession)
                | CommandReply::Session(_)
                | CommandReply::Done
                | CommandReply::Checkpoint(_) => {
                    prop_assert!(false, "unexpected reply {reply:?}");
                }
            }
        }
    }

    #[test]
    fn indexes_follow_the_records(decisions in proptest::collection::vec(any_decision(), 1..40)) {
        let (versions, _, _) = run(&decisions);
        for pair in versions.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let (was, is) = (expected_indexes(before), expected_indexes(after));
            for index in was.keys().chain(is.keys()) {
                let (revision, members) = after.index(index);
                let wanted: Vec<Key> = is.get(index).into_iter().flatten().cloned().collect();
                prop_assert_eq!(&members, &wanted);
                prop_assert_eq!(after.index_len(index), wanted.len());
                if was.get(index) != is.get(index) {
                    prop_assert_ne!(revision, before.index_revision(index), "{:?} changed unnoticed", index);
                } else if !index.follows_content() {
                    prop_assert_eq!(revision, before.index_revision(index));
                }
            }
            let configured = |state: &State| -> Vec<_> {
                let members = is.get(&IndexKey::Configuration).into_iter().flatten();
                members.map(|key| state.record(key)).collect()
            };
            if configured(before) != configured(after) {
                let index = IndexKey::Configuration;
                prop_assert_ne!(after.index_revision(&index), before.index_revision(&index));
            }
            let expired = after.expired(UnixMillis(25), 100);
            let due = after.records().filter(|(_, s)| s.record.expires_at().is_some_and(|at| at.0 <= 25)).count();
            prop_assert_eq!(expired.len(), due);
        }
    }
}

fn write(session: u64, sequence: u64, acked_below: u64, next: u64) -> Command {
    let writes = vec![(Key::Usage("T".into()), Some(usage(next)))];
    Command::Txn { id: TxnId { session, sequence }, acked_below, txn: Txn { writes, ..Txn::default() } }
}

fn outcome(state: &mut State, command: Command) -> Outcome {
    match state.apply(UnixMillis(0), command, &mut Vec::new()) {
        CommandReply::Txn(outcome) => outcome,
        CommandReply::Session(_) | CommandReply::Done | CommandReply::Checkpoint(_) => {
            panic!("a transaction has an outcome")
        }
    }
}

#[test]
fn transaction_proposed_again_is_applied_once() {
    let mut state = opened();
    let first = outcome(&mut state, write(1, 1, 0, 5));
    assert_eq!(first, Outcome::Committed(Revision(1)));
    assert_eq!(outcome(&mut state, write(2, 1, 0, 6)), Outcome::Committed(Revision(2)));
    assert_eq!(outcome(&mut state, write(1, 1, 0, 5)), Outcome::Duplicate(Box::new(first)));
    assert_eq!(state.record(&Key::Usage("T".into())).unwrap().record, usage(6));
}

#[test]
fn refused_transaction_stays_refused_when_proposed_again() {
    let mut state = opened();
    let expects =
        vec![Expectation { dependency: Dependency::Record(Key::Usage("T".into())), revision: Revision(7) }];
    let txn = Txn { expects, writes: vec![(Key::Usage("T".into()), Some(usage(1)))], ..Txn::default() };
    let command = Command::Txn { id: TxnId { session: 1, sequence: 1 }, acked_below: 0, txn };
    let conflict = outcome(&mut state, command.clone());
    assert!(matches!(conflict, Outcome::Conflict(_, Revision(0))));
    assert_eq!(outcome(&mut state, command), Outcome::Duplicate(Box::new(conflict)));
}

#[test]
fn acknowledged_outcomes_are_forgotten_and_never_applied_again() {
    let mut state = opened();
    for sequence in 1..=10 {
        outcome(&mut state, write(1, sequence, sequence, sequence));
    }
    let (_, session) = state.sessions().next().unwrap();
    assert_eq!(session.outcomes.len(), 1);
    assert_eq!(outcome(&mut state, write(1, 3, 0, 99)), Outcome::UnknownSession);
    assert_eq!(state.record(&Key::Usage("T".into())).unwrap().record, usage(10));
}

#[test]
fn memory_of_a_session_is_bounded() {
    let mut state = opened();
    let many = u64::try_from(OUTCOMES_MAX).unwrap() + 50;
    for sequence in 1..=many {
        outcome(&mut state, write(1, sequence, 0, 1));
    }
    let (_, session) = state.sessions().next().unwrap();
    assert_eq!(session.outcomes.len(), OUTCOMES_MAX);
    assert_eq!(outcome(&mut state, write(1, 50, 0, 99)), Outcome::UnknownSession);
    assert!(matches!(outcome(&mut state, write(1, 51, 0, 99)), Outcome::Duplicate(_)));
}

#[test]
fn idle_sessions_expire_by_replicated_time() {
    let mut state = opened();
    state.apply(UnixMillis(1000), write(1, 1, 0, 1), &mut Vec::new());
    state.apply(UnixMillis(1001), Command::ExpireSessions { idle_since: UnixMillis(500) }, &mut Vec::new());
    assert_eq!(state.sessions().map(|(id, _)| *id).collect::<Vec<_>>(), [1]);
    assert_eq!(outcome(&mut state, write(2, 1, 0, 1)), Outcome::UnknownSession);
}

#[test]
fn opening_a_session_again_gives_the_same_one() {
    let mut state = opened();
    let again = Command::OpenSession { node: 1, incarnation: [1; 16] };
    assert_eq!(state.apply(UnixMillis(0), again, &mut Vec::new()), CommandReply::Session(1));
    let other = Command::OpenSession { node: 1, incarnation: [9; 16] };
    assert_eq!(state.apply(UnixMillis(0), other, &mut Vec::new()), CommandReply::Session(3));
}

#[test]
fn replicated_time_never_goes_back() {
    let mut state = opened();
    state.apply(UnixMillis(1000), write(1, 1, 0, 1), &mut Vec::new());
    state.apply(UnixMillis(10), write(1, 2, 0, 1), &mut Vec::new());
    assert_eq!(StateRead::time(&state), UnixMillis(1000));
}

#[test]
fn creation_number_stays_while_the_record_exists() {
    let mut state = opened();
    let key = Key::Usage("T".into());
    outcome(&mut state, write(1, 1, 0, 1));
    let created = state.record(&key).unwrap().created;
    outcome(&mut state, write(1, 2, 0, 2));
    assert_eq!(state.record(&key).unwrap().created, created);
    let writes = vec![(key.clone(), None)];
    let txn = Txn { writes, ..Txn::default() };
    outcome(&mut state, Command::Txn { id: TxnId { session: 1, sequence: 3 }, acked_below: 0, txn });
    outcome(&mut state, write(1, 4, 0, 1));
    assert_ne!(state.record(&key).unwrap().created, created);
}
