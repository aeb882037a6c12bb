//! The thread that checks rows against the chain and stores them.

use std::{
    collections::BTreeMap,
    sync::{
        PoisonError,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::Instant,
};

use super::{
    ANCHOR, BATCH_ROWS, COMPLETE, ChainHash, ChainedRow, FLUSH_INTERVAL, HistoryError, HistoryHead,
    HistoryReader, LINGER, PART_BYTES, Request, chain, key, shielded,
};

/// Keys of removed rows deleted in one go; new rows do not wait long for it.
const REMOVED_AT_ONCE: usize = 256;

pub(super) struct Writer {
    pub(super) db: sled::Db,
    pub(super) meta: sled::Tree,
    pub(super) reader: HistoryReader,
    pub(super) requests: Receiver<Request>,
    pub(super) unflushed: bool,
    pub(super) flushed_at: Instant,
    /// Number and hash of the highest stored row. A row that follows it directly has neither a stored twin nor a stored
    /// successor, which spares looking for them.
    pub(super) tail: HistoryHead,
    /// Blocks that begin before this row hold removed rows only and are to be deleted.
    pub(super) remove_below: u64,
    /// An anchor that contradicts the stored row, so that it is reported once.
    pub(super) refused_anchor: u64,
}

impl Writer {
    pub(super) fn run(mut self) {
        loop {
            let idle = FLUSH_INTERVAL.saturating_sub(self.flushed_at.elapsed());
            let wait = if self.remove_below > 0 { LINGER.min(idle) } else { idle };
            match self.requests.recv_timeout(wait) {
                Ok(Request::Append(rows)) => self.append(rows),
                Ok(Request::Insert(rows, answer)) => {
                    // The asker may have given up.
                    let _ = answer.send(self.insert(rows));
                }
                Ok(Request::Trim(anchor, answer)) => {
                    let _ = answer.send(self.trim(anchor));
                }
                Ok(Request::Flush(answer)) => {
                    let _ = answer.send(self.flush());
                }
                Ok(Request::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.remove_below > 0 {
                self.report_failure(Self::remove_some);
            }
            if self.flushed_at.elapsed() >= FLUSH_INTERVAL {
                self.report_failure(Self::flush);
            }
        }
        self.report_failure(Self::flush);
    }

    fn report_failure(&mut self, action: impl FnOnce(&mut Self) -> Result<(), HistoryError>) {
        if let Err(error) = action(self) {
            self.reader.counters.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(error = %error, "cannot write the history; the rows will be fetched from a peer");
        }
    }

    fn append(&mut self, rows: Vec<ChainedRow>) {
        let mut rows = rows;
        let mut close_after = None;
        while rows.len() < BATCH_ROWS && close_after.is_none() {
            match self.requests.recv_timeout(LINGER) {
                Ok(Request::Append(more)) => rows.extend(more),
                Ok(other) => close_after = Some(other),
                Err(_) => break,
            }
        }
        self.report_failure(|writer| writer.store(rows, false));
        match close_after {
            Some(Request::Insert(rows, answer)) => {
                let _ = answer.send(self.insert(rows));
            }
            Some(Request::Trim(anchor, answer)) => {
                let _ = answer.send(self.trim(anchor));
            }
            Some(Request::Flush(answer)) => {
                let _ = answer.send(self.flush());
            }
            // Taken off the queue early; a closed queue ends the loop just the same.
            Some(Request::Close) => self.requests = closed(),
            Some(Request::Append(_)) | None => {}
        }
    }

    fn insert(&mut self, rows: Vec<ChainedRow>) -> Result<(), HistoryError> {
        self.store(rows, true)
    }

    /// Checks rows against the chain and stores those that fit. When `strict`, one that does not fit, or that cannot be
    /// verified, refuses all.
    fn store(&mut self, rows: Vec<ChainedRow>, strict: bool) -> Result<(), HistoryError> {
        let mut batch = sled::Batch::default();
        let mut hashes: BTreeMap<u64, ChainHash> = BTreeMap::new();
        let mut accepted = Vec::with_capacity(rows.len());
        for row in rows {
            match self.check(&row, &hashes, strict) {
                Ok(Check::New) => {}
                Ok(Check::Stored) => continue,
                Err(HistoryError::Contradiction(number)) if !strict => {
                    self.reader.counters.contradictions.fetch_add(1, Ordering::Relaxed);
                    self.reader.counters.last_contradiction.store(number, Ordering::Relaxed);
                    tracing::error!(history.number = number, "a history row contradicts the hash chain");
                    continue;
                }
                Err(error) => return Err(error),
            }
            hashes.insert(row.number, row.hash);
            accepted.push(row);
        }
        if hashes.is_empty() {
            return Ok(());
        }
        put_blocks(&mut batch, accepted)?;
        shielded(|| Ok(self.reader.rows.apply_batch(batch)?))?;
        self.unflushed = true;
        let complete = self.reader.counters.complete.load(Ordering::Acquire);
        let first_new = hashes.first_key_value().map_or(0, |(number, _)| *number);
        let before = self.tail;
        if let Some((number, hash)) = hashes.last_key_value()
            && *number > self.tail.number
        {
            self.tail = HistoryHead { number: *number, hash: *hash };
        }
        // Rows behind an unbroken tail, without a gap between them, leave no gap.
        let count = u64::try_from(hashes.len()).unwrap_or(u64::MAX);
        let unbroken = complete == before.number
            && Some(first_new) == before.number.checked_add(1)
            && before.number.saturating_add(count) == self.tail.number;
        let complete = if unbroken { self.tail.number } else { self.reader.complete_from(complete)? };
        self.reader.counters.complete.store(complete, Ordering::Release);
        Ok(())
    }

    /// Whether a row directly follows the highest row known, stored or about to be.
    fn follows_tail(&self, row: &ChainedRow, pending: &BTreeMap<u64, ChainHash>) -> Option<ChainHash> {
        let (number, hash) = match pending.last_key_value() {
            Some((number, hash)) if *number > self.tail.number => (*number, *hash),
            _ => (self.tail.number, self.tail.hash),
        };
        (number.checked_add(1) == Some(row.number)).then_some(hash)
    }

    fn check(
        &self,
        row: &ChainedRow,
        pending: &BTreeMap<u64, ChainHash>,
        strict: bool,
    ) -> Result<Check, HistoryError> {
        let known = |number: u64| match pending.get(&number) {
            Some(hash) => Ok(Some(*hash)),
            None => self.reader.hash(number),
        };
        let number = row.number;
        let contradiction = || HistoryError::Contradiction(number);
        if number == 0 {
            return Err(contradiction());
        }
        // The log is applied again after a restart; what was removed is not stored again.
        if number <= self.reader.anchor().number {
            return Ok(Check::Stored);
        }
        if let Some(previous) = self.follows_tail(row, pending) {
            return if chain(&previous, number, &row.bytes) == row.hash {
                Ok(Check::New)
            } else {
                Err(contradiction())
            };
        }
        let previous = known(number - 1)?;
        match previous {
            Some(previous) if chain(&previous, number, &row.bytes) != row.hash => return Err(contradiction()),
            None if strict => return Err(HistoryError::Unverifiable(number)),
            _ => {}
        }
        if let Some(hash) = known(number)? {
            return if hash == row.hash { Ok(Check::Stored) } else { Err(contradiction()) };
        }
        let next = number.saturating_add(1);
        if let Some(successor) = self.reader.range(next, next, 1)?.first()
            && chain(&row.hash, next, &successor.bytes) != successor.hash
        {
            return Err(contradiction());
        }
        Ok(Check::New)
    }

    /// Lets the history begin behind an anchor. The rows up to it are deleted later, the block that holds rows on both
    /// sides is written anew.
    fn trim(&mut self, anchor: HistoryHead) -> Result<(), HistoryError> {
        if anchor.number <= self.reader.anchor().number {
            return Ok(());
        }
        if self.reader.hash(anchor.number)?.is_some_and(|hash| hash != anchor.hash) {
            if self.refused_anchor != anchor.number {
                self.refused_anchor = anchor.number;
                self.reader.counters.contradictions.fetch_add(1, Ordering::Relaxed);
                self.reader.counters.last_contradiction.store(anchor.number, Ordering::Relaxed);
                tracing::error!(
                    history.number = anchor.number,
                    "the history of this node differs from that of the cluster and is not trimmed"
                );
            }
            return Err(HistoryError::Contradiction(anchor.number));
        }
        let mut value = anchor.number.to_be_bytes().to_vec();
        value.extend_from_slice(&anchor.hash);
        shielded(|| {
            // Before any row goes: rows without an anchor would look like a gap that nobody can fill.
            self.meta.insert(ANCHOR, value)?;
            self.db.flush()?;
            Ok(())
        })?;
        let counters = &self.reader.counters;
        *counters.anchor.lock().unwrap_or_else(PoisonError::into_inner) = anchor;
        self.remove_below = anchor.number.saturating_add(1);
        if self.tail.number <= anchor.number {
            self.tail = anchor;
        }
        if counters.complete.load(Ordering::Acquire) < anchor.number {
            let complete = self.reader.complete_from(anchor.number)?;
            counters.complete.store(complete, Ordering::Release);
        }
        Ok(())
    }

    /// Deletes some of the rows in front of the anchor. The block with rows on both sides is written anew first.
    fn remove_some(&mut self) -> Result<(), HistoryError> {
        let first_kept = self.remove_below;
        let border = shielded(|| self.reader.block_at_or_before(first_kept))?.unwrap_or_default();
        let removed = shielded(|| {
            let mut batch = sled::Batch::default();
            if border.last().is_some_and(|last| last.number >= first_kept)
                && border.first().is_some_and(|first| first.number < first_kept)
            {
                put_blocks(&mut batch, border.into_iter().filter(|row| row.number >= first_kept).collect())?;
            }
            let mut count = 0;
            // From behind, so that the block on the border goes with the first batch.
            for old in self.reader.rows.range(..key(first_kept, 0)).keys().rev().take(REMOVED_AT_ONCE) {
                batch.remove(old?);
                count += 1;
            }
            self.reader.rows.apply_batch(batch)?;
            Ok(count)
        })?;
        self.unflushed |= removed > 0;
        if removed < REMOVED_AT_ONCE {
            self.remove_below = 0;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), HistoryError> {
        self.flushed_at = Instant::now();
        if !self.unflushed {
            return Ok(());
        }
        let complete = self.reader.counters.complete.load(Ordering::Acquire).to_be_bytes();
        shielded(|| {
            self.meta.insert(COMPLETE, &complete)?;
            self.db.flush()?;
            Ok(())
        })?;
        self.unflushed = false;
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum Check {
    New,
    Stored,
}

/// A queue that reports at once that nobody will send anything.
fn closed() -> Receiver<Request> {
    sync_channel(0).1
}

/// Packs rows into blocks of consecutive rows.
fn put_blocks(batch: &mut sled::Batch, mut rows: Vec<ChainedRow>) -> Result<(), HistoryError> {
    rows.sort_by_key(|row| row.number);
    let mut block = Vec::new();
    let mut first = 0;
    let mut next = 0;
    for row in &rows {
        let length = u32::try_from(row.bytes.len()).map_err(|_| HistoryError::Row(row.number))?;
        let full = block.len() + row.hash.len() + 4 + row.bytes.len() > PART_BYTES;
        if !block.is_empty() && (full || row.number != next) {
            put_parts(batch, first, &block)?;
            block.clear();
        }
        if block.is_empty() {
            first = row.number;
        }
        block.extend_from_slice(&row.hash);
        block.extend_from_slice(&length.to_be_bytes());
        block.extend_from_slice(&row.bytes);
        next = row.number.saturating_add(1);
    }
    if block.is_empty() { Ok(()) } else { put_parts(batch, first, &block) }
}

fn put_parts(batch: &mut sled::Batch, first: u64, block: &[u8]) -> Result<(), HistoryError> {
    let (head, mut rest) = block.split_at_checked(PART_BYTES).unwrap_or((block, &[]));
    let count = 1 + rest.len().div_ceil(PART_BYTES);
    let count = u16::try_from(count).map_err(|_| HistoryError::Row(first))?;
    let mut value = count.to_be_bytes().to_vec();
    value.extend_from_slice(head);
    batch.insert(&key(first, 0), value);
    for part in 1..count {
        let (bytes, remaining) = rest.split_at_checked(PART_BYTES).unwrap_or((rest, &[]));
        batch.insert(&key(first, part), bytes);
        rest = remaining;
    }
    Ok(())
}
