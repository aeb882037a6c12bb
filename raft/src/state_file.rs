//! The state in a snapshot file: what its sections contain.
//!
//! Index members and expiries are not stored; they follow from the records. The revisions of the indexes are, because
//! transactions in the log compare them.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use tessera_core::record::{IndexKey, Key, Record};
use tessera_core::time::UnixMillis;
use tessera_core::txn::{Outcome, Revision};
use tessera_core::view::Slot;

use crate::codec;
use crate::snapshot::{SnapshotDir, SnapshotError, SnapshotFile, SnapshotHeader, SnapshotReader};
use crate::state::{Counters, HistoryHead, Session, State};
use crate::type_config::{LogId, StoredMembership};

const COUNTERS: u8 = 1;
const RECORDS: u8 = 2;
const INDEX_REVISIONS: u8 = 3;
const SESSIONS: u8 = 4;

#[derive(Serialize, Deserialize)]
struct CountersV1 {
    revision: u64,
    created: u64,
    sessions: u64,
    time: UnixMillis,
    history_number: u64,
    history_hash: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct SessionV1 {
    id: u64,
    node: u64,
    incarnation: [u8; 16],
    floor: u64,
    outcomes: Vec<(u64, Outcome)>,
    last_used: UnixMillis,
}

/// Writes a state as a snapshot.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn store(
    dir: &SnapshotDir,
    state: &State,
    last_applied: Option<LogId>,
    membership: &StoredMembership,
) -> Result<SnapshotFile, SnapshotError> {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let counts = vec![
        (COUNTERS, 1),
        (RECORDS, count(state.len())),
        (INDEX_REVISIONS, count(state.index_revisions().count())),
        (SESSIONS, count(state.sessions().count())),
    ];
    let mut writer = dir.begin(SnapshotHeader {
        last_log_id: last_applied.map(Into::into),
        membership_log_id: membership.log_id().map(Into::into),
        membership: membership.membership().into(),
        feature_level: state.format_level(),
        counts,
        ..dir.header()
    })?;
    let mut push = |section: u8, bytes: Result<Vec<u8>, codec::CodecError>| {
        let bytes = bytes.map_err(SnapshotError::Record)?;
        writer.push(section, &bytes)
    };
    let counters = state.counters();
    push(
        COUNTERS,
        codec::encode_plain(&CountersV1 {
            revision: counters.revision,
            created: counters.created,
            sessions: counters.sessions,
            time: counters.time,
            history_number: state.history().number,
            history_hash: state.history().hash,
        }),
    )?;
    for (key, slot) in state.records() {
        push(RECORDS, codec::encode_plain(&(key, slot.revision, slot.created, &slot.record)))?;
    }
    for head in state.index_revisions() {
        push(INDEX_REVISIONS, codec::encode_plain(&head))?;
    }
    for (id, session) in state.sessions() {
        let outcomes = session.outcomes.iter().map(|(sequence, outcome)| (*sequence, outcome.clone()));
        let session = SessionV1 {
            id: *id,
            node: session.node,
            incarnation: session.incarnation,
            floor: session.floor,
            outcomes: outcomes.collect(),
            last_used: session.last_used,
        };
        push(SESSIONS, codec::encode_plain(&session))?;
    }
    writer.finish()
}

/// Reads a snapshot back: the state, the last entry in it, and the members.
///
/// # Errors
/// When the file is damaged or was written by a newer version.
pub(crate) fn load(
    dir: &SnapshotDir,
    file: &SnapshotFile,
    supported_level: u32,
) -> Result<(State, Option<LogId>, StoredMembership), SnapshotError> {
    let mut reader = SnapshotReader::open(&file.path, dir.cluster())?;
    let header = reader.header().clone();
    if header.feature_level > supported_level {
        return Err(SnapshotError::Newer { found: header.feature_level, expected: supported_level });
    }
    let mut state = State::default();
    while let Some((section, bytes)) = reader.next_record()? {
        add(&mut state, section, bytes).map_err(SnapshotError::Record)?;
    }
    let membership =
        StoredMembership::new(header.membership_log_id.map(LogId::from), header.membership.into());
    Ok((state, header.last_log_id.map(LogId::from), membership))
}

fn add(state: &mut State, section: u8, bytes: &[u8]) -> Result<(), codec::CodecError> {
    match section {
        COUNTERS => {
            let stored: CountersV1 = codec::decode_plain(bytes)?;
            let counters = Counters {
                revision: stored.revision,
                created: stored.created,
                sessions: stored.sessions,
                time: stored.time,
            };
            let history = HistoryHead { number: stored.history_number, hash: stored.history_hash };
            *state = State::restore(counters, history);
        }
        RECORDS => {
            let (key, revision, created, record): (Key, Revision, u64, Record) = codec::decode_plain(bytes)?;
            state.restore_record(key, Slot { revision, created, record });
        }
        INDEX_REVISIONS => {
            let (index, revision): (IndexKey, Revision) = codec::decode_plain(bytes)?;
            state.restore_index(&index, revision);
        }
        // The feature level was checked: there is no other section.
        _ => {
            let stored: SessionV1 = codec::decode_plain(bytes)?;
            let session = Session {
                node: stored.node,
                incarnation: stored.incarnation,
                floor: stored.floor,
                outcomes: stored.outcomes.into_iter().collect::<OrdMap<_, _>>(),
                last_used: stored.last_used,
            };
            state.restore_session(stored.id, session);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::tests::{any_decision, run};
    use crate::type_config::ClusterId;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Replay from a snapshot and the log behind it equals replay from the log alone.
        #[test]
        fn snapshot_in_the_middle_changes_nothing(
            decisions in proptest::collection::vec(any_decision(), 2..30),
            cut in 0..30usize,
        ) {
            let (versions, log, rows) = run(&decisions);
            let cut = cut.min(log.len());
            let folder = tempfile::tempdir().unwrap();
            let dir = SnapshotDir::open(folder.path(), ClusterId(7)).unwrap();
            let file = store(&dir, &versions[cut], None, &StoredMembership::default()).unwrap();
            let (mut state, last_applied, _) = load(&dir, &file, 1).unwrap();
            prop_assert_eq!(last_applied, None);
            prop_assert_eq!(state.digest(), versions[cut].digest());
            prop_assert_eq!(state.expired(UnixMillis(25), 100), versions[cut].expired(UnixMillis(25), 100));
            let mut tail = Vec::new();
            for (at, (command, reply)) in log.into_iter().enumerate().skip(cut) {
                let time = UnixMillis(u64::try_from(at).unwrap());
                prop_assert_eq!(state.apply(time, command, &mut tail), reply);
            }
            prop_assert_eq!(state.digest(), versions[versions.len() - 1].digest());
            prop_assert_eq!(&tail[..], &rows[rows.len() - tail.len()..]);
        }
    }

    #[test]
    fn snapshot_of_a_newer_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = SnapshotDir::open(folder.path(), ClusterId(7)).unwrap();
        let header = SnapshotHeader { feature_level: 2, ..dir.header() };
        let file = dir.begin(header).unwrap().finish().unwrap();
        assert!(matches!(load(&dir, &file, 1), Err(SnapshotError::Newer { found: 2, expected: 1 })));
        assert!(load(&dir, &file, 2).is_ok());
    }
}
