//! The write-ahead log: the Raft log and the vote on disk.
//!
//! A data directory holds `wal/` with the segments, `wal.mark` (the high-water mark) and `wal.lock`. [`record`] has the
//! bytes of a record, [`segment`] the files, [`writer`] the one thread that writes, [`recovery`] the rules at start.
//! Nothing here knows openraft; `log_store.rs` translates.

use std::{
    fmt, fs,
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use thiserror::Error;

mod mark;
pub mod record;
mod recovery;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use self::segment::sync_dir;
use self::{
    mark::{Mark, MarkFile},
    segment::{ActiveSegment, SegmentHeader},
    writer::{Position, Request, Writer},
};
pub use self::{
    record::{EntryKind, EntryRecord, LogPosition, VoteRecord},
    recovery::{Damage, LogContents, OpenError, REMEDY},
    segment::HeaderFault,
};
use crate::histogram::{self, Distribution, Histogram};
use crate::type_config::{ClusterId, NodeId};

/// Size at which a segment is full, in bytes.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// Requests that may wait for the writer thread.
const QUEUE: usize = 1024;

/// Called once what it was given with is durable, or can never become durable.
pub type Done = Box<dyn FnOnce(Result<(), WalFailure>) + Send>;

/// The error after which the log accepts nothing more; the node must stop.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("the write-ahead log failed: {0}")]
pub struct WalFailure(Arc<str>);

impl From<WalFailure> for io::Error {
    fn from(failure: WalFailure) -> Self {
        Self::other(failure)
    }
}

/// Called before each sync, so that tests can delay it or let it fail.
#[derive(Clone)]
pub struct SyncHook(pub Arc<dyn Fn() -> io::Result<()> + Send + Sync>);

impl fmt::Debug for SyncHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyncHook")
    }
}

/// Where a log is and whom it belongs to.
#[derive(Clone, Debug)]
pub struct WalConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// The cluster the node is a member of.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// Size at which a segment is full, in bytes.
    pub segment_bytes: u64,
    /// Fault injection.
    pub before_sync: Option<SyncHook>,
}

impl WalConfig {
    /// A log with segments of the usual size.
    #[must_use]
    pub fn new(dir: &Path, cluster: ClusterId, node: NodeId) -> Self {
        Self { dir: dir.to_owned(), cluster, node, segment_bytes: SEGMENT_BYTES, before_sync: None }
    }

    fn segment_dir(&self) -> PathBuf {
        self.dir.join("wal")
    }

    fn mark_path(&self) -> PathBuf {
        self.dir.join("wal.mark")
    }

    fn check_owner(&self, path: &Path, cluster: ClusterId, node: NodeId) -> Result<(), OpenError> {
        if cluster == self.cluster && node == self.node {
            return Ok(());
        }
        Err(OpenError::WrongOwner {
            path: path.to_owned(),
            cluster: self.cluster,
            node: self.node,
            found_cluster: cluster,
            found_node: node,
        })
    }
}

/// Measurements of the writer thread.
#[derive(Debug)]
pub struct WalMetrics {
    sync_last_nanos: AtomicU64,
    sync_max_nanos: AtomicU64,
    syncs: AtomicU64,
    bytes_written: AtomicU64,
    segments: AtomicU64,
    sync_times: Histogram,
}

impl Default for WalMetrics {
    fn default() -> Self {
        Self {
            sync_last_nanos: AtomicU64::new(0),
            sync_max_nanos: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            segments: AtomicU64::new(0),
            sync_times: Histogram::new(&histogram::MICROS),
        }
    }
}

impl WalMetrics {
    /// How long the syncs took, in microseconds.
    pub(crate) fn sync_times(&self) -> Distribution {
        self.sync_times.read()
    }

    /// Duration of the last sync.
    #[must_use]
    pub fn sync_last(&self) -> Duration {
        Duration::from_nanos(self.sync_last_nanos.load(Ordering::Relaxed))
    }

    /// Longest sync since the last call.
    pub fn take_sync_max(&self) -> Duration {
        Duration::from_nanos(self.sync_max_nanos.swap(0, Ordering::Relaxed))
    }

    /// Number of syncs since the log was opened.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Bytes of records written since the log was opened.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written.load(Ordering::Relaxed)
    }

    /// Number of segment files.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }
}

/// What the handle and the writer thread have in common.
#[derive(Debug, Default)]
struct Shared {
    committed: Mutex<Option<LogPosition>>,
    failed: AtomicBool,
    metrics: Arc<WalMetrics>,
}

impl Shared {
    fn committed(&self) -> Option<LogPosition> {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open log. Dropping it writes what is queued and ends the writer thread.
///
/// Requests are carried out in the order of the calls. A call blocks only while [`QUEUE`] requests are waiting, which
/// openraft, that awaits each of its writes, never lets happen.
#[derive(Debug)]
pub struct Wal {
    requests: SyncSender<Request>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Held until the writer thread has ended.
    _lock: File,
}

impl Wal {
    /// Opens the log of a data directory, or creates it in an empty one, and returns what it contains.
    ///
    /// # Errors
    /// When the directory belongs to another node, is in use, cannot be written, or is not provably complete.
    pub fn open(config: WalConfig) -> Result<(Self, LogContents), OpenError> {
        let dir = config.segment_dir();
        fs::create_dir_all(&dir).map_err(|source| io_error("create", &dir, source))?;
        let lock = lock(&config)?;
        let recovered = recovery::recover(&config)?;
        let contents = recovered.contents;
        if contents.torn_bytes > 0 {
            tracing::warn!(bytes = contents.torn_bytes, "cut off the torn end of an unacknowledged write");
        }
        let position = Position {
            next_sequence: recovered.next_sequence,
            last: contents.last(),
            vote: contents.vote,
            purged: contents.purged,
            committed: contents.committed,
        };
        let sequence = recovered.next_sequence.saturating_sub(1);
        let mark = Mark::new(config.node, sequence, position.last, position.vote);
        let mark_path = config.mark_path();
        let create_mark =
            || MarkFile::create(&mark_path, &mark).map_err(|source| io_error("write", &mark_path, source));
        let (active, mark) = match recovered.newest {
            Some((path, number, used, last_index)) => {
                let active = ActiveSegment::reopen(&path, number, used, last_index)
                    .map_err(|source| io_error("repair", &path, source))?;
                (active, create_mark()?)
            }
            None => {
                // The mark comes first: segments without a mark are refused.
                let mark = create_mark()?;
                let header = SegmentHeader {
                    cluster: config.cluster,
                    node: config.node,
                    number: 1,
                    first_sequence: recovered.next_sequence,
                };
                let active = ActiveSegment::create(&dir, &header)
                    .map_err(|source| io_error("create a segment in", &dir, source))?;
                (active, mark)
            }
        };
        sync_dir(&config.dir).map_err(|source| io_error("sync", &config.dir, source))?;
        let shared = Arc::new(Shared::default());
        *shared.committed.lock().unwrap_or_else(PoisonError::into_inner) = position.committed;
        let segments = u64::try_from(recovered.sealed.len()).unwrap_or(u64::MAX).saturating_add(1);
        shared.metrics.segments.store(segments, Ordering::Relaxed);
        let (requests, receiver) = sync_channel(QUEUE);
        let writer = Writer {
            config,
            requests: receiver,
            shared: Arc::clone(&shared),
            sealed: recovered.sealed,
            active: Some(active),
            mark,
            position,
            buffer: Vec::new(),
            place: 0,
        };
        let thread = std::thread::Builder::new()
            .name("wal-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| io_error("start the writer thread of", &dir, source))?;
        Ok((Self { requests, shared, thread: Some(thread), _lock: lock }, contents))
    }

    /// Appends entries behind the last one.
    pub fn append(&self, entries: Vec<EntryRecord>, done: Done) {
        self.send(Request::Append { entries, done });
    }

    /// Changes the vote.
    pub fn save_vote(&self, vote: VoteRecord, done: Done) {
        self.send(Request::Vote { vote, done });
    }

    /// Deletes the entries from an index on; `last` is the last entry that remains, purged or not.
    pub fn truncate(&self, from: u64, last: Option<LogPosition>, done: Done) {
        self.send(Request::Truncate { from, last, done });
    }

    /// Deletes the entries up to one that a durable snapshot contains.
    pub fn purge(&self, upto: LogPosition, done: Done) {
        self.send(Request::Purge { upto, done });
    }

    /// Notes a committed position; it is written together with whatever is written next.
    pub fn set_committed(&self, position: LogPosition) {
        *self.shared.committed.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }

    /// The committed position noted last.
    #[must_use]
    pub fn committed(&self) -> Option<LogPosition> {
        self.shared.committed()
    }

    /// Whether an error has ended the log.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Measurements of the writer thread.
    #[must_use]
    pub fn metrics(&self) -> Arc<WalMetrics> {
        Arc::clone(&self.shared.metrics)
    }

    fn send(&self, request: Request) {
        if let Err(unsent) = self.requests.send(request) {
            let failure = WalFailure(Arc::from("the writer thread has ended"));
            match unsent.0 {
                Request::Append { done, .. }
                | Request::Vote { done, .. }
                | Request::Truncate { done, .. }
                | Request::Purge { done, .. } => done(Err(failure)),
                Request::Close => {}
            }
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.send(Request::Close);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread of the write-ahead log panicked");
        }
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { action, path: path.to_owned(), source }
}

/// Two processes on one log would both vote.
fn lock(config: &WalConfig) -> Result<File, OpenError> {
    let path = config.dir.join("wal.lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|source| io_error("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: config.dir.clone() }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &path, source)),
    }
}
