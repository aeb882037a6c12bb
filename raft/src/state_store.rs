//! openraft's state machine: applies committed entries to the [`State`], publishes each new version, and keeps snapshots.
//!
//! The state lives in memory and is rebuilt at start from the newest snapshot and the log. Readers take the published
//! version, which is pinned and never changes; apply builds the next one beside it.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use arc_swap::ArcSwap;
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{
    AnyError, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder, SnapshotMeta,
    StorageIOError,
};
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use tessera_core::txn::Revision;
use tokio::sync::{oneshot, watch};

use crate::batch::{self, Batch, Command, CommandReply};
use crate::checkpoint::Pin;
use crate::history::ChainedRow;
use crate::level;
use crate::snapshot::{SnapshotDir, SnapshotError, SnapshotFile};
use crate::state::State;
use crate::state_file;
use crate::type_config::{
    BatchReply, Entry, LogId, NodeId, NodeInfo, Payload, StorageError, StoredMembership, TypeConfig,
};

/// The nice value of the thread that writes a snapshot; 0 is that of all others, 19 the least favoured.
const NICENESS: i32 = 10;

/// Receives the history rows of applied transactions, in order; called again with the same rows after a restart.
pub type HistorySink = Box<dyn Fn(Vec<ChainedRow>) + Send + Sync>;

/// How far this node has applied the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The newest applied entry.
    pub log_id: Option<LogId>,
    /// Revision of the state after it.
    pub revision: Revision,
}

/// What the rest of the crate sees of the state machine: the published state and how far it is.
#[derive(Debug)]
pub struct Published {
    state: ArcSwap<State>,
    applied: watch::Sender<Applied>,
    format_level: AtomicU32,
    snapshots: SnapshotCounters,
    snapshot: Mutex<Option<SnapshotFile>>,
    checkpoint: Pin,
}

/// Snapshots since the start of the node.
#[derive(Debug, Default)]
pub(crate) struct SnapshotCounters {
    pub(crate) made: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) last_micros: AtomicU64,
    pub(crate) last_bytes: AtomicU64,
}

impl Published {
    /// The newest applied version of the state, pinned.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Follows how far the log is applied. When a position is announced, [`Self::state`] already contains it.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Applied> {
        self.applied.subscribe()
    }

    /// The newest snapshot of this node.
    #[must_use]
    pub fn snapshot(&self) -> Option<SnapshotFile> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) const fn snapshot_counters(&self) -> &SnapshotCounters {
        &self.snapshots
    }

    /// The format level of the newest applied state.
    pub(crate) fn format_level(&self) -> u32 {
        self.format_level.load(Ordering::Relaxed)
    }

    /// Where the state of the newest checkpoint is left.
    pub(crate) const fn checkpoint(&self) -> &Pin {
        &self.checkpoint
    }

    fn set_snapshot(&self, file: SnapshotFile) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }
}

/// The state machine as openraft drives it.
pub struct StateStore {
    state: State,
    last_applied: Option<LogId>,
    membership: StoredMembership,
    published: Arc<Published>,
    snapshots: SnapshotDir,
    history: HistorySink,
    supported_level: u32,
}

impl std::fmt::Debug for StateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateStore").field("last_applied", &self.last_applied).finish_non_exhaustive()
    }
}

impl StateStore {
    /// Loads the newest good snapshot, or starts empty. The caller checks that the log reaches back to it. A state of a
    /// higher format level than `supported_level` is refused, now and later.
    ///
    /// # Errors
    /// When the snapshot directory cannot be read, or a snapshot with good checksums cannot be understood.
    pub fn open(
        snapshots: SnapshotDir,
        history: HistorySink,
        supported_level: u32,
    ) -> Result<Self, SnapshotError> {
        let snapshot = snapshots.newest()?;
        let load = |file| state_file::load(&snapshots, file, supported_level);
        let loaded = snapshot.as_ref().map(load).transpose()?;
        let (state, last_applied, membership) = loaded.unwrap_or_default();
        let applied = Applied { log_id: last_applied, revision: state.revision() };
        let published = Arc::new(Published {
            state: ArcSwap::from_pointee(state.clone()),
            applied: watch::Sender::new(applied),
            format_level: AtomicU32::new(state.format_level()),
            snapshots: SnapshotCounters::default(),
            snapshot: Mutex::new(snapshot),
            checkpoint: Pin::default(),
        });
        Ok(Self { state, last_applied, membership, published, snapshots, history, supported_level })
    }

    /// The handle for readers.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        self.published.clone()
    }

    /// The last entry contained in the loaded snapshot.
    #[must_use]
    pub const fn last_applied(&self) -> Option<LogId> {
        self.last_applied
    }

    fn apply_payload(
        &mut self,
        index: u64,
        payload: &Payload,
        rows: &mut Vec<ChainedRow>,
    ) -> io::Result<BatchReply> {
        let batch = Batch::decode(payload).map_err(io::Error::other)?;
        // Decoded before the first is applied: a node that meets what it does not know stops, it never skips.
        let commands: Result<Vec<_>, _> =
            batch.commands.iter().map(|bytes| batch::decode_command(bytes)).collect();
        let commands = commands.map_err(|source| {
            io::Error::other(format!(
                "the log holds a command that this version cannot read ({source}); it was written by a newer version: \
                 upgrade this node"
            ))
        })?;
        let mut checkpoint = false;
        let mut replies = Vec::with_capacity(commands.len());
        for command in commands {
            let is_checkpoint = command == Command::Checkpoint;
            let reply = self.state.apply(batch.time, command, rows);
            replies.push(if is_checkpoint { CommandReply::Checkpoint(index) } else { reply });
            checkpoint |= is_checkpoint;
        }
        let level = self.state.format_level();
        if level > self.supported_level {
            return Err(io::Error::other(level::too_high(level, self.supported_level)));
        }
        if checkpoint {
            self.published.checkpoint.leave(index, self.state.clone());
        }
        Ok(BatchReply(replies))
    }

    fn publish(&self) {
        self.published.format_level.store(self.state.format_level(), Ordering::Relaxed);
        self.published.state.store(Arc::new(self.state.clone()));
        let applied = Applied { log_id: self.last_applied, revision: self.state.revision() };
        self.published.applied.send_replace(applied);
    }
}

fn apply_error(log_id: LogId, error: &io::Error) -> StorageError {
    tracing::error!(index = log_id.index, error = %error, "cannot apply a log entry; this node stops");
    StorageIOError::new(ErrorSubject::Apply(log_id), ErrorVerb::Write, AnyError::new(error)).into()
}

fn snapshot_error(verb: ErrorVerb) -> impl FnOnce(SnapshotError) -> StorageError {
    move |error| StorageIOError::new(ErrorSubject::Snapshot(None), verb, AnyError::new(&error)).into()
}

async fn blocking<T: Send + 'static>(
    verb: ErrorVerb,
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, StorageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(snapshot_error(verb)),
        Err(error) => {
            Err(StorageIOError::new(ErrorSubject::Snapshot(None), verb, AnyError::new(&error)).into())
        }
    }
}

/// As [`blocking`], on a thread of its own that gets what processor time the requests leave: a large state takes many
/// seconds to write, and nothing waits for it.
async fn beside_requests<T: Send + 'static>(
    verb: ErrorVerb,
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, StorageError> {
    let (done, written) = oneshot::channel();
    let failed =
        |error| -> StorageError { StorageIOError::new(ErrorSubject::Snapshot(None), verb, error).into() };
    thread::Builder::new()
        .name("snapshot".to_owned())
        .spawn(move || {
            // Without it the snapshot is written faster and the requests wait longer.
            if let Err(error) = setpriority_process(Some(gettid()), NICENESS) {
                tracing::debug!(%error, "the thread that writes the snapshot keeps its priority");
            }
            // Nobody waits when Raft has stopped.
            let _ = done.send(work());
        })
        .map_err(|error| failed(AnyError::new(&error)))?;
    match written.await {
        Ok(result) => result.map_err(snapshot_error(verb)),
        Err(error) => Err(failed(AnyError::new(&error))),
    }
}

/// openraft's description of a snapshot file.
fn snapshot_of(file: SnapshotFile) -> Snapshot<TypeConfig> {
    let header = &file.header;
    let membership =
        StoredMembership::new(header.membership_log_id.map(LogId::from), header.membership.clone().into());
    let meta = SnapshotMeta {
        last_log_id: header.last_log_id.map(LogId::from),
        last_membership: membership,
        snapshot_id: file.id(),
    };
    Snapshot { meta, snapshot: Box::new(file) }
}

/// Builds a snapshot of one pinned version of the state.
#[derive(Debug)]
pub struct SnapshotBuilder {
    state: State,
    last_applied: Option<LogId>,
    membership: StoredMembership,
    snapshots: SnapshotDir,
    published: Arc<Published>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let began = Instant::now();
        let state = std::mem::take(&mut self.state);
        let (snapshots, last_applied, membership) =
            (self.snapshots.clone(), self.last_applied, self.membership.clone());
        let file = beside_requests(ErrorVerb::Write, move || {
            state_file::store(&snapshots, &state, last_applied, &membership)
        })
        .await?;
        let counters = &self.published.snapshots;
        counters.made.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        counters.last_micros.store(micros, Ordering::Relaxed);
        let bytes = std::fs::metadata(&file.path).map_or(0, |metadata| metadata.len());
        counters.last_bytes.store(bytes, Ordering::Relaxed);
        self.published.set_snapshot(file.clone());
        Ok(snapshot_of(file))
    }
}

impl RaftStateMachine<TypeConfig> for StateStore {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<BatchReply>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut replies = Vec::new();
        let mut rows = Vec::new();
        for entry in entries {
            let log_id = entry.log_id;
            let reply = match &entry.payload {
                EntryPayload::Blank => BatchReply::default(),
                EntryPayload::Normal(payload) => {
                    let applied = self.apply_payload(log_id.index, payload, &mut rows);
                    applied.map_err(|error| apply_error(log_id, &error))?
                }
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(log_id), membership.clone());
                    BatchReply::default()
                }
            };
            replies.push(reply);
            self.last_applied = Some(log_id);
        }
        if !rows.is_empty() {
            (self.history)(rows);
        }
        self.publish();
        Ok(replies)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            state: self.state.clone(),
            last_applied: self.last_applied,
            membership: self.membership.clone(),
            snapshots: self.snapshots.clone(),
            published: self.published.clone(),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotFile>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta<NodeId, NodeInfo>,
        snapshot: Box<SnapshotFile>,
    ) -> Result<(), StorageError> {
        let (snapshots, file, level) = (self.snapshots.clone(), (*snapshot).clone(), self.supported_level);
        let loaded = blocking(ErrorVerb::Read, move || state_file::load(&snapshots, &file, level)).await?;
        // The state is replaced completely; nothing of the old one survives.
        let old = std::mem::take(&mut self.state);
        (self.state, self.last_applied, self.membership) = loaded;
        self.published.snapshots.received.fetch_add(1, Ordering::Relaxed);
        self.published.set_snapshot(*snapshot);
        self.publish();
        // Freeing a large state takes a while: not on the path of the next entries.
        drop(tokio::task::spawn_blocking(move || drop(old)));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        Ok(self.published.snapshot().map(snapshot_of))
    }
}

#[cfg(test)]
mod tests {
    use openraft::CommittedLeaderId;
    use tessera_core::record::{Key, Record};
    use tessera_core::txn::{Txn, TxnId};

    use super::*;
    use crate::batch::encode_command;
    use crate::type_config::ClusterId;

    fn store(folder: &tempfile::TempDir) -> StateStore {
        let snapshots = SnapshotDir::open(folder.path(), ClusterId(7)).unwrap();
        StateStore::open(snapshots, Box::new(|_| {}), 1).unwrap()
    }

    fn entry(index: u64, commands: Vec<bytes::Bytes>) -> Entry {
        let batch = Batch { commands, ..Batch::default() };
        let log_id = LogId::new(CommittedLeaderId::new(1, 1), index);
        Entry { log_id, payload: EntryPayload::Normal(batch.encode().unwrap()) }
    }

    fn raise(level: u32) -> Vec<bytes::Bytes> {
        let writes = vec![(Key::FormatLevel, Some(Record::FormatLevel(level)))];
        let txn = Txn { writes, ..Txn::default() };
        let id = TxnId { session: 1, sequence: 1 };
        let commands = [
            Command::OpenSession { node: 1, incarnation: [1; 16] },
            Command::Txn { id, acked_below: 0, txn },
        ];
        commands.iter().map(|command| encode_command(command).unwrap()).collect()
    }

    #[tokio::test]
    async fn command_of_a_later_version_stops_the_node_before_anything_of_its_entry_is_applied() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let mut commands = raise(1);
        // The first number that no command has.
        commands.push(bytes::Bytes::from_static(&[250]));
        let error = store.apply(vec![entry(1, commands)]).await.unwrap_err().to_string();
        assert!(error.contains("cannot read") && error.contains("upgrade this node"), "{error}");
        assert!(store.state.is_empty() && store.last_applied().is_none());
    }

    #[tokio::test]
    async fn level_of_a_later_version_stops_the_node_and_is_not_published() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let error = store.apply(vec![entry(1, raise(2))]).await.unwrap_err().to_string();
        assert!(error.contains("format level 2") && error.contains("only level 1"), "{error}");
        assert_eq!((store.published().format_level(), store.published().state().format_level()), (1, 1));
    }

    #[tokio::test]
    async fn checkpoint_answers_with_its_index_and_leaves_the_state_behind_its_entry() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let checkpoint = encode_command(&Command::Checkpoint).unwrap();
        let mut commands = vec![checkpoint];
        commands.extend(raise(1));
        let replies = store.apply(vec![entry(5, commands)]).await.unwrap();
        assert_eq!(replies[0].0[0], CommandReply::Checkpoint(5));
        let (index, state) = store.published().checkpoint().take().await;
        assert_eq!((index, state.digest()), (5, store.state.digest()));
    }
}
