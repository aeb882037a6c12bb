//! Adapter: openraft's log storage on the write-ahead log.
//!
//! All live entries are kept in memory, so replication and apply never read the disk. What goes to disk are records of
//! ours, not openraft's (reference raft-and-storage 9).

use std::{
    collections::VecDeque,
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use openraft::{
    CommittedLeaderId, EntryPayload, LogState, OptionalSend, RaftLogReader, StorageIOError,
    storage::{LogFlushed, RaftLogStorage},
};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::{
    codec::{self, CodecError, Kind, MembershipV1},
    type_config::{Entry, LogId, Membership, Payload, StorageError, TypeConfig, Vote},
    wal::{
        Done, EntryKind, EntryRecord, LogPosition, OpenError, VoteRecord, Wal, WalConfig, WalFailure,
        WalMetrics,
    },
};

/// Bytes of entries sent to a follower in one message; far below the limit of the transport.
const READ_BUDGET: usize = 1024 * 1024;
/// What an entry occupies in a message besides its payload, roughly.
const ENTRY_OVERHEAD: usize = 64;
/// What a membership entry occupies, roughly.
const MEMBERSHIP_SIZE: usize = 4096;

/// Why a log could not be opened as openraft's.
#[derive(Debug, Error)]
pub enum LogOpenError {
    /// The write-ahead log refused.
    #[error(transparent)]
    Wal(#[from] OpenError),
    /// The members stored in an entry are unreadable.
    #[error("cannot decode the membership in log entry {index}")]
    Membership {
        /// Index of the entry.
        index: u64,
        /// The reason.
        #[source]
        source: CodecError,
    },
}

/// Why openraft's request was not carried out.
#[derive(Debug, Error)]
enum LogStoreError {
    #[error("entry {found} cannot follow entry {last}")]
    Hole { last: u64, found: u64 },
    #[error("entry {index} is not in the log, which has {first:?} to {last:?}")]
    Missing { index: u64, first: Option<u64>, last: Option<u64> },
    #[error("cannot delete entries from {from} on: entries up to {purged} are already purged")]
    TruncatePurged { from: u64, purged: u64 },
    #[error("the writer thread ended without an answer")]
    NoAnswer,
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Wal(#[from] WalFailure),
}

/// Size of the log in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogStats {
    /// Number of live entries.
    pub entries: usize,
    /// Their size in bytes, roughly.
    pub bytes: usize,
}

#[derive(Debug, Default)]
struct Cache {
    entries: VecDeque<Entry>,
    bytes: usize,
    purged: Option<LogId>,
    vote: Option<Vote>,
}

fn size(entry: &Entry) -> usize {
    ENTRY_OVERHEAD
        + match &entry.payload {
            EntryPayload::Blank => 0,
            EntryPayload::Normal(payload) => payload.len(),
            EntryPayload::Membership(_) => MEMBERSHIP_SIZE,
        }
}

impl Cache {
    fn last(&self) -> Option<LogId> {
        self.entries.back().map(|entry| entry.log_id).or(self.purged)
    }

    fn push(&mut self, entry: Entry) -> Result<(), LogStoreError> {
        let found = entry.log_id.index;
        match self.last() {
            Some(last) if found != last.index.saturating_add(1) => {
                Err(LogStoreError::Hole { last: last.index, found })
            }
            _ => {
                self.bytes += size(&entry);
                self.entries.push_back(entry);
                Ok(())
            }
        }
    }

    fn truncate(&mut self, from: u64) {
        while let Some(entry) = self.entries.back().filter(|entry| entry.log_id.index >= from) {
            self.bytes = self.bytes.saturating_sub(size(entry));
            self.entries.pop_back();
        }
    }

    fn purge(&mut self, upto: LogId) {
        self.purged = Some(upto);
        while let Some(entry) = self.entries.front().filter(|entry| entry.log_id.index <= upto.index) {
            self.bytes = self.bytes.saturating_sub(size(entry));
            self.entries.pop_front();
        }
    }

    /// The entries of `start..end` that exist.
    fn range(&self, start: u64, end: u64) -> impl Iterator<Item = &Entry> {
        let first = self.entries.front().map_or(0, |entry| entry.log_id.index);
        let skip = usize::try_from(start.saturating_sub(first)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip).take_while(move |entry| entry.log_id.index < end)
    }
}

fn locked(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the entries in memory.
#[derive(Clone, Debug)]
pub struct LogReader {
    cache: Arc<Mutex<Cache>>,
}

/// The Raft log and vote of this node.
#[derive(Debug)]
pub struct LogStore {
    wal: Wal,
    reader: LogReader,
}

impl LogStore {
    /// Opens the log of a data directory.
    ///
    /// # Errors
    /// When the write-ahead log refuses, see [`Wal::open`], or an entry's members cannot be decoded.
    pub fn open(config: WalConfig) -> Result<Self, LogOpenError> {
        let (wal, contents) = Wal::open(config)?;
        let mut cache = Cache {
            purged: contents.purged.map(log_id),
            vote: contents.vote.map(vote_from_record),
            ..Cache::default()
        };
        for record in contents.entries {
            let index = record.position.index;
            let entry =
                entry_from_record(record).map_err(|source| LogOpenError::Membership { index, source })?;
            cache.bytes += size(&entry);
            cache.entries.push_back(entry);
        }
        Ok(Self { wal, reader: LogReader { cache: Arc::new(Mutex::new(cache)) } })
    }

    /// Measurements of the writer thread.
    #[must_use]
    pub fn metrics(&self) -> Arc<WalMetrics> {
        self.wal.metrics()
    }

    /// Another reader of the entries in memory.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }
}

impl LogReader {
    /// Size of the log in memory.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let cache = locked(&self.cache);
        LogStats { entries: cache.entries.len(), bytes: cache.bytes }
    }

    /// The last entry, purged or not.
    #[must_use]
    pub fn last_log_id(&self) -> Option<LogId> {
        locked(&self.cache).last()
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        Ok(locked(&self.cache).range(start, end).cloned().collect())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        if start >= end {
            return Ok(Vec::new());
        }
        let cache = locked(&self.cache);
        let mut budget = READ_BUDGET;
        let mut found: Vec<Entry> = Vec::new();
        for entry in cache.range(start, end) {
            let size = size(entry);
            if !found.is_empty() && size > budget {
                break;
            }
            budget = budget.saturating_sub(size);
            found.push(entry.clone());
        }
        if found.first().is_none_or(|entry| entry.log_id.index != start) {
            let error = LogStoreError::Missing {
                index: start,
                first: cache.entries.front().map(|entry| entry.log_id.index),
                last: cache.last().map(|last| last.index),
            };
            return Err(StorageIOError::read_log_at_index(start, &error).into());
        }
        Ok(found)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        self.reader.try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        self.reader.limited_get_log_entries(start, end).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let cache = locked(&self.reader.cache);
        Ok(LogState { last_purged_log_id: cache.purged, last_log_id: cache.last() })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let (done, saved) = answer();
        self.wal.save_vote(vote_record(vote), done);
        wait(saved).await.map_err(|error| StorageIOError::write_vote(&error))?;
        locked(&self.reader.cache).vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(locked(&self.reader.cache).vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        if let Some(committed) = committed {
            self.wal.set_committed(log_position(&committed));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.wal.committed().map(log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        {
            let mut cache = locked(&self.reader.cache);
            for entry in entries {
                let log_id = entry.log_id;
                let stored = entry_record(&entry)
                    .map_err(LogStoreError::from)
                    .and_then(|record| cache.push(entry).map(|()| record))
                    .map_err(|error| StorageIOError::write_log_entry(log_id, &error))?;
                records.push(stored);
            }
        }
        self.wal
            .append(records, Box::new(|outcome| callback.log_io_completed(outcome.map_err(io::Error::from))));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let last = {
            let mut cache = locked(&self.reader.cache);
            if let Some(purged) = cache.purged.filter(|purged| log_id.index <= purged.index) {
                let error = LogStoreError::TruncatePurged { from: log_id.index, purged: purged.index };
                return Err(StorageIOError::write_logs(&error).into());
            }
            cache.truncate(log_id.index);
            cache.last()
        };
        let (done, deleted) = answer();
        self.wal.truncate(log_id.index, last.as_ref().map(log_position), done);
        wait(deleted).await.map_err(|error| StorageIOError::write_logs(&error))?;
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        {
            let mut cache = locked(&self.reader.cache);
            if cache.purged.is_some_and(|purged| purged.index >= log_id.index) {
                return Ok(());
            }
            cache.purge(log_id);
        }
        // Nothing depends on a purge being durable: entries that come back are purged again. A failure ends the log and
        // is reported by the next write.
        self.wal.purge(log_position(&log_id), Box::new(|_| {}));
        Ok(())
    }
}

fn answer() -> (Done, oneshot::Receiver<Result<(), WalFailure>>) {
    let (sender, receiver) = oneshot::channel();
    let done: Done = Box::new(|outcome| {
        // The caller may have been cancelled; then nobody waits for the answer.
        let _ = sender.send(outcome);
    });
    (done, receiver)
}

async fn wait(receiver: oneshot::Receiver<Result<(), WalFailure>>) -> Result<(), LogStoreError> {
    Ok(receiver.await.map_err(|_| LogStoreError::NoAnswer)??)
}

fn log_position(log_id: &LogId) -> LogPosition {
    LogPosition { term: log_id.leader_id.term, node: log_id.leader_id.node_id, index: log_id.index }
}

fn log_id(position: LogPosition) -> LogId {
    LogId::new(CommittedLeaderId::new(position.term, position.node), position.index)
}

fn vote_record(vote: &Vote) -> VoteRecord {
    VoteRecord { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

fn vote_from_record(record: VoteRecord) -> Vote {
    if record.committed {
        Vote::new_committed(record.term, record.node)
    } else {
        Vote::new(record.term, record.node)
    }
}

fn entry_record(entry: &Entry) -> Result<EntryRecord, CodecError> {
    let (kind, body) = match &entry.payload {
        EntryPayload::Blank => (EntryKind::Blank, Bytes::new()),
        EntryPayload::Normal(Payload(bytes)) => (EntryKind::Normal, bytes.clone()),
        EntryPayload::Membership(membership) => {
            let stored = MembershipV1::from(membership);
            (EntryKind::Membership, codec::encode(Kind::Membership, &stored)?.into())
        }
    };
    Ok(EntryRecord { position: log_position(&entry.log_id), kind, body })
}

fn entry_from_record(record: EntryRecord) -> Result<Entry, CodecError> {
    let payload = match record.kind {
        EntryKind::Blank => EntryPayload::Blank,
        EntryKind::Normal => EntryPayload::Normal(Payload(record.body)),
        EntryKind::Membership => {
            let stored: MembershipV1 = codec::decode(Kind::Membership, &record.body)?;
            EntryPayload::Membership(Membership::from(stored))
        }
    };
    Ok(Entry { log_id: log_id(record.position), payload })
}
