//! The history on disk: audit and reporting rows in sled, hash-chained.
//!
//! sled neither syncs to the medium nor notices all damage (reference raft-and-storage 3.2, 3.3). That is acceptable
//! here, and only here: every row is numbered and chained by the replicated state, so a lost tail, a gap or a changed
//! row is noticed and fetched again from a peer. Nothing that contradicts the chain is ever overwritten silently.
//!
//! Old rows can be removed. What remains begins behind the *anchor*: number and hash of the last row removed, which are
//! part of the replicated state, so that every node removes the same and can still verify the rest.
//!
//! Rows are stored in blocks of consecutive rows, because sled's work is per key. Key: `number of the first row u64 |
//! part u16`, big endian. A block is `hash (32 bytes) | length u32 | row` for each row; the value of part 0 is `number of
//! parts u16 | first bytes of the block`, of the others further bytes. Parts stay below 4 KiB, because sled moves larger
//! pages to files it never syncs; a block has more than one part only if its single row is longer.

use std::{
    fmt, fs, io,
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use tessera_core::txn::HistoryRow;
use thiserror::Error;

use crate::codec;

#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use self::verify::{HistoryFault, Verified};
use self::writer::Writer;

/// Hash over all rows up to one.
pub type ChainHash = [u8; 32];

const PART_BYTES: usize = 3 * 1024;
const QUEUE: usize = 256;
/// Rows written, or read, in one batch.
const BATCH_ROWS: usize = 1000;
/// Rows wait this long for company, so that blocks fill under load.
const LINGER: Duration = Duration::from_millis(20);
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// A database that was just closed keeps its lock until sled's own threads have ended.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(20);
/// Key of the meta tree: number up to which no row is missing.
const COMPLETE: &[u8] = b"complete";
/// Key of the meta tree: number and hash of the last row removed.
const ANCHOR: &[u8] = b"anchor";

/// A row with its place in the chain. Rows are numbered from 1.
#[derive(Clone, PartialEq, Eq)]
pub struct ChainedRow {
    /// Its number.
    pub number: u64,
    /// The encoded row.
    pub bytes: Vec<u8>,
    /// [`chain`] of the previous hash and this row.
    pub hash: ChainHash,
}

impl fmt::Debug for ChainedRow {
    /// Leaves the row itself out: the audit trail does not belong into the log of the program.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "history row {} ({} bytes)", self.number, self.bytes.len())
    }
}

/// A place in the chain: how many rows there are up to it, and the hash over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryHead {
    /// Number of the row; rows count from 1, 0 stands for the place before the first.
    pub number: u64,
    /// `hash(n) = SHA-256(hash(n - 1) || n as u64 BE || row)`, `hash(0)` is zero.
    pub hash: ChainHash,
}

/// `SHA-256(previous || number as u64 big endian || row)`; the hash before the first row is zero.
#[must_use]
pub fn chain(previous: &ChainHash, number: u64, row: &[u8]) -> ChainHash {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(number.to_be_bytes());
    hasher.update(row);
    hasher.finalize().into()
}

/// Why the history could not be read or written.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// The directory cannot be opened.
    #[error("cannot {action} history directory {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// sled reported an error.
    #[error("cannot access the history")]
    Store(#[from] sled::Error),
    /// sled panicked, which it does on some damage.
    #[error("the history database is damaged")]
    Panicked,
    /// A stored row is cut short or lacks a part.
    #[error("history row {0} is damaged")]
    Row(u64),
    /// A row does not fit its neighbours or the row stored under its number.
    #[error("history row {0} contradicts the hash chain")]
    Contradiction(u64),
    /// A row's predecessor is not stored, so that it cannot be verified.
    #[error("history row {0} cannot be verified: the row before it is missing")]
    Unverifiable(u64),
    /// The writer thread has ended.
    #[error("the history is closed")]
    Closed,
}

/// What the writer noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HistoryStatus {
    /// Number up to which no row is missing.
    pub complete: u64,
    /// Rows refused because they contradicted the chain.
    pub contradictions: u64,
    /// Number of the last row refused; 0 if none.
    pub last_contradiction: u64,
    /// Batches that could not be written.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct Counters {
    complete: AtomicU64,
    anchor: Mutex<HistoryHead>,
    contradictions: AtomicU64,
    last_contradiction: AtomicU64,
    failures: AtomicU64,
}

enum Request {
    Append(Vec<ChainedRow>),
    Insert(Vec<ChainedRow>, SyncSender<Result<(), HistoryError>>),
    Trim(HistoryHead, SyncSender<Result<(), HistoryError>>),
    Flush(SyncSender<Result<(), HistoryError>>),
    Close,
}

/// Reads rows. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HistoryReader {
    rows: sled::Tree,
    counters: Arc<Counters>,
}

/// The history of this node, with the thread that writes it.
#[derive(Debug)]
pub struct History {
    reader: HistoryReader,
    requests: SyncSender<Request>,
    thread: Option<JoinHandle<()>>,
    moved_aside: Option<PathBuf>,
}

/// Runs a call into sled and turns a panic into an error.
fn shielded<T>(call: impl FnOnce() -> Result<T, HistoryError>) -> Result<T, HistoryError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(HistoryError::Panicked))
}

impl History {
    /// Opens the history of a directory. A damaged one is moved aside, because its rows can be fetched from peers.
    ///
    /// # Errors
    /// When the directory cannot be created, read or locked.
    pub fn open(dir: &Path) -> Result<Self, HistoryError> {
        let mut moved_aside = None;
        let opened = match open_when_unlocked(dir) {
            Err(error) if is_damage(&error) => {
                tracing::error!(path = %dir.display(), error = %error, "the history is damaged and starts empty");
                moved_aside = Some(move_aside(dir)?);
                try_open(dir)
            }
            opened => opened,
        };
        let (db, reader, meta) = opened?;
        let tail = reader.tail()?;
        let (requests, receiver) = sync_channel(QUEUE);
        let writer = Writer {
            tail,
            remove_below: reader.anchor().number.saturating_add(1),
            refused_anchor: 0,
            db,
            meta,
            reader: reader.clone(),
            requests: receiver,
            unflushed: false,
            flushed_at: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("history-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| io_error("start the writer of", dir, source))?;
        Ok(Self { reader, requests, thread: Some(thread), moved_aside })
    }

    /// Where the damaged history was moved at start, if it was.
    #[must_use]
    pub fn moved_aside(&self) -> Option<&Path> {
        self.moved_aside.as_deref()
    }

    /// A reader.
    #[must_use]
    pub fn reader(&self) -> HistoryReader {
        self.reader.clone()
    }

    /// Hands rows to the writer. A row that is already stored is skipped, so the log may be applied again. Blocks while
    /// [`QUEUE`] requests are waiting.
    ///
    /// # Errors
    /// When the writer has ended.
    pub fn append(&self, rows: Vec<ChainedRow>) -> Result<(), HistoryError> {
        self.requests.send(Request::Append(rows)).map_err(|_| HistoryError::Closed)
    }

    /// Stores rows fetched from a peer, after checking them against the chain, and waits until that is done.
    ///
    /// # Errors
    /// When a row contradicts the chain or cannot be verified; then none of the rows is stored.
    pub fn insert_verified(&self, rows: Vec<ChainedRow>) -> Result<(), HistoryError> {
        self.ask(|answer| Request::Insert(rows, answer))
    }

    /// Removes the rows up to an anchor that the replicated state has. The anchor counts at once, the rows are deleted
    /// little by little.
    ///
    /// # Errors
    /// [`HistoryError::Contradiction`] when the row stored here has another hash; then nothing is removed.
    pub fn trim(&self, anchor: HistoryHead) -> Result<(), HistoryError> {
        self.ask(|answer| Request::Trim(anchor, answer))
    }

    /// Writes everything handed over so far to the file system.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&self) -> Result<(), HistoryError> {
        self.ask(Request::Flush)
    }

    fn ask(
        &self,
        request: impl FnOnce(SyncSender<Result<(), HistoryError>>) -> Request,
    ) -> Result<(), HistoryError> {
        let (answer, answered) = sync_channel(1);
        self.requests.send(request(answer)).map_err(|_| HistoryError::Closed)?;
        answered.recv().map_err(|_| HistoryError::Closed)?
    }
}

impl Drop for History {
    fn drop(&mut self) {
        // The thread has ended already when this fails.
        let _ = self.requests.send(Request::Close);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the history writer panicked");
        }
    }
}

impl HistoryReader {
    /// What the writer noticed.
    #[must_use]
    pub fn status(&self) -> HistoryStatus {
        HistoryStatus {
            complete: self.counters.complete.load(Ordering::Acquire),
            contradictions: self.counters.contradictions.load(Ordering::Relaxed),
            last_contradiction: self.counters.last_contradiction.load(Ordering::Relaxed),
            failures: self.counters.failures.load(Ordering::Relaxed),
        }
    }

    /// The last row removed; number 0 if none ever was.
    #[must_use]
    pub fn anchor(&self) -> HistoryHead {
        *self.counters.anchor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number and hash of the stored row with the highest number; the anchor if there is none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn tail(&self) -> Result<HistoryHead, HistoryError> {
        let block = shielded(|| self.block_at_or_before(u64::MAX))?.unwrap_or_default();
        let last = block.last().map(|row| HistoryHead { number: row.number, hash: row.hash });
        let anchor = self.anchor();
        Ok(last.filter(|last| last.number > anchor.number).unwrap_or(anchor))
    }

    /// The rows of a range in order, at most `limit`; missing and removed rows are left out.
    ///
    /// # Errors
    /// When the database cannot be read or a row is damaged.
    pub fn range(&self, from: u64, to: u64, limit: usize) -> Result<Vec<ChainedRow>, HistoryError> {
        let from = from.max(self.anchor().number.saturating_add(1));
        if from > to {
            return Ok(Vec::new());
        }
        shielded(|| {
            let mut rows = self.block_at_or_before(from)?.unwrap_or_default();
            rows.retain(|row| (from..=to).contains(&row.number));
            let mut parts = self.rows.range(key(from.saturating_add(1), 0)..=key(to, u16::MAX));
            while rows.len() < limit {
                let Some(first) = parts.next() else { break };
                let (first_key, value) = first?;
                rows.extend(
                    read_block(&first_key, &value, &mut parts)?.into_iter().filter(|row| row.number <= to),
                );
            }
            rows.truncate(limit);
            Ok(rows)
        })
    }

    /// A row, decoded; `None` if it is missing or removed.
    ///
    /// # Errors
    /// When the database cannot be read or the row is damaged.
    pub fn row(&self, number: u64) -> Result<Option<HistoryRow>, HistoryError> {
        let row = self.range(number, number, 1)?.into_iter().next();
        row.map(|row| codec::decode_plain(&row.bytes).map_err(|_| HistoryError::Row(number))).transpose()
    }

    /// The block whose first row is this one, or else the last one that begins before it.
    fn block_at_or_before(&self, number: u64) -> Result<Option<Vec<ChainedRow>>, HistoryError> {
        let last_part = self.rows.range(..=key(number, u16::MAX)).next_back().transpose()?;
        let Some(first) = last_part.and_then(|(key, _)| number_of(&key)) else {
            return Ok(None);
        };
        let mut parts = self.rows.range(key(first, 0)..=key(first, u16::MAX));
        let (first_key, value) = parts.next().ok_or(HistoryError::Row(first))??;
        read_block(&first_key, &value, &mut parts).map(Some)
    }

    /// The first gap below the head of the replicated history: rows to be fetched from a peer.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn missing(&self, head: u64) -> Result<Option<RangeInclusive<u64>>, HistoryError> {
        let complete = self.counters.complete.load(Ordering::Acquire).max(self.anchor().number);
        let first = complete.saturating_add(1);
        if first > head {
            return Ok(None);
        }
        let next = shielded(|| Ok(self.rows.range(key(first, 0)..).next().transpose()?))?;
        let next = next.and_then(|(key, _)| number_of(&key));
        let last = next.map_or(head, |next| head.min(next.saturating_sub(1)));
        // A row that has arrived meanwhile leaves nothing missing before it.
        Ok((first <= last).then_some(first..=last))
    }

    /// The hash of a stored row, or of the anchor.
    ///
    /// # Errors
    /// When the database cannot be read or the row is damaged.
    pub fn hash(&self, number: u64) -> Result<Option<ChainHash>, HistoryError> {
        let anchor = self.anchor();
        if number <= anchor.number {
            return Ok((number == anchor.number).then_some(anchor.hash));
        }
        let block = shielded(|| self.block_at_or_before(number))?.unwrap_or_default();
        Ok(block.into_iter().find(|row| row.number == number).map(|row| row.hash))
    }

    /// Walks on from a number while the next row exists.
    fn complete_from(&self, complete: u64) -> Result<u64, HistoryError> {
        let mut complete = complete;
        loop {
            let next = complete.saturating_add(1);
            let rows = self.range(next, u64::MAX, BATCH_ROWS)?;
            let more = rows.len() == BATCH_ROWS;
            for row in rows {
                if row.number != complete.saturating_add(1) {
                    return Ok(complete);
                }
                complete = row.number;
            }
            if !more {
                return Ok(complete);
            }
        }
    }
}

fn key(number: u64, part: u16) -> [u8; 10] {
    let mut key = [0; 10];
    let (head, tail) = key.split_at_mut(8);
    head.copy_from_slice(&number.to_be_bytes());
    tail.copy_from_slice(&part.to_be_bytes());
    key
}

fn read_anchor(value: &[u8]) -> Option<HistoryHead> {
    let (number, hash) = value.split_first_chunk::<8>()?;
    Some(HistoryHead { number: u64::from_be_bytes(*number), hash: hash.try_into().ok()? })
}

fn number_of(key: &[u8]) -> Option<u64> {
    key.first_chunk::<8>().map(|number| u64::from_be_bytes(*number))
}

/// Reads the block that begins with this part; its further parts come next.
fn read_block(
    first_key: &[u8],
    value: &[u8],
    parts: &mut sled::Iter,
) -> Result<Vec<ChainedRow>, HistoryError> {
    let number = number_of(first_key).ok_or(HistoryError::Row(0))?;
    let damaged = || HistoryError::Row(number);
    let (count, bytes) =
        value.split_first_chunk::<2>().filter(|_| first_key == key(number, 0)).ok_or_else(damaged)?;
    let mut block = bytes.to_vec();
    for part in 1..u16::from_be_bytes(*count) {
        let (part_key, more) = parts.next().ok_or_else(damaged)??;
        if part_key != key(number, part) {
            return Err(damaged());
        }
        block.extend_from_slice(&more);
    }
    split_block(number, &block).ok_or_else(damaged)
}

/// The rows of a block that begins with a number.
fn split_block(first: u64, block: &[u8]) -> Option<Vec<ChainedRow>> {
    let mut rows = Vec::new();
    let mut rest = block;
    let mut number = first;
    while !rest.is_empty() {
        let (hash, behind) = rest.split_first_chunk::<32>()?;
        let (length, behind) = behind.split_first_chunk::<4>()?;
        let (bytes, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        rows.push(ChainedRow { number, bytes: bytes.to_vec(), hash: *hash });
        number = number.checked_add(1)?;
        rest = behind;
    }
    (!rows.is_empty()).then_some(rows)
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> HistoryError {
    HistoryError::Io { action, path: path.to_owned(), source }
}

type Opened = (sled::Db, HistoryReader, sled::Tree);

#[expect(clippy::disallowed_methods, reason = "opening blocks on the disk anyway, and has a thread for that")]
fn open_when_unlocked(dir: &Path) -> Result<Opened, HistoryError> {
    let started = Instant::now();
    loop {
        match try_open(dir) {
            // The kind of a held lock. The few other errors of this kind are only reported later.
            Err(HistoryError::Store(sled::Error::Io(error)))
                if error.kind() == io::ErrorKind::Other && started.elapsed() < LOCK_WAIT =>
            {
                std::thread::sleep(LOCK_POLL);
            }
            opened => return opened,
        }
    }
}

fn try_open(dir: &Path) -> Result<Opened, HistoryError> {
    shielded(|| {
        let db = sled::Config::new().path(dir).flush_every_ms(None).cache_capacity(CACHE_BYTES).open()?;
        let rows = db.open_tree("rows")?;
        let meta = db.open_tree("meta")?;
        let stored = meta.get(COMPLETE)?.and_then(|value| number_of(&value)).unwrap_or(0);
        let anchor = meta.get(ANCHOR)?.and_then(|value| read_anchor(&value)).unwrap_or_default();
        let counters = Counters { anchor: Mutex::new(anchor), ..Counters::default() };
        let reader = HistoryReader { rows, counters: Arc::new(counters) };
        // A lost tail leaves a number behind that is too high.
        let known = if reader.hash(stored)?.is_some() { stored } else { anchor.number };
        let complete = reader.complete_from(known)?;
        reader.counters.complete.store(complete, Ordering::Release);
        Ok((db, reader, meta))
    })
}

/// Whether an error of opening means damage, and not a missing permission or a second process.
fn is_damage(error: &HistoryError) -> bool {
    match error {
        HistoryError::Store(sled::Error::Io(error)) => {
            matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
        }
        HistoryError::Store(_) | HistoryError::Panicked | HistoryError::Row(_) => true,
        HistoryError::Io { .. }
        | HistoryError::Contradiction(_)
        | HistoryError::Unverifiable(_)
        | HistoryError::Closed => false,
    }
}

/// Renames a damaged directory to the first free name.
fn move_aside(dir: &Path) -> Result<PathBuf, HistoryError> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free =
        (1u32..).map(|n| dir.with_file_name(format!("{name}.damaged-{n}"))).find(|path| !path.exists());
    let target = free.unwrap_or_else(|| dir.with_extension("damaged"));
    fs::rename(dir, &target).map_err(|source| io_error("move aside", dir, source))?;
    Ok(target)
}
