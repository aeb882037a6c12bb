//! The thread that writes the log.
//!
//! One pass takes everything that is queued, writes it with one call, makes it durable with one `fdatasync`, moves the
//! high-water mark and only then calls back. Any error of the operating system is final: after a failed sync the kernel
//! may have dropped the pages and reported them clean, so a second attempt would succeed without having written
//! anything. The thread then answers every request with that first error and touches no file again.

use std::{
    collections::VecDeque,
    fs, io,
    sync::{Arc, atomic::Ordering, mpsc::Receiver},
    time::{Duration, Instant},
};

use super::{
    Done, Shared, WalConfig, WalFailure,
    mark::{Mark, MarkFile},
    record::{EntryRecord, LogPosition, Record, RecordTooLong, VoteRecord},
    segment::{ActiveSegment, SealedSegment, SegmentHeader, sync_dir},
};
use crate::fault;

/// A pass takes no further request once it has this many bytes.
const MAX_PASS: usize = 4 * 1024 * 1024;
/// A buffer that one exceptional pass has grown beyond this is given back.
const KEEP_BUFFER: usize = 2 * MAX_PASS;

/// What the thread can be asked to do.
pub(super) enum Request {
    Append { entries: Vec<EntryRecord>, done: Done },
    Vote { vote: VoteRecord, done: Done },
    Truncate { from: u64, last: Option<LogPosition>, done: Done },
    Purge { upto: LogPosition, done: Done },
    Close,
}

/// What the records written so far add up to; kept to write it again into a new segment and into the mark.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    pub(super) next_sequence: u64,
    pub(super) last: Option<LogPosition>,
    pub(super) vote: Option<VoteRecord>,
    pub(super) purged: Option<LogPosition>,
    pub(super) committed: Option<LogPosition>,
}

pub(super) struct Writer {
    pub(super) config: WalConfig,
    pub(super) requests: Receiver<Request>,
    pub(super) shared: Arc<Shared>,
    pub(super) sealed: VecDeque<SealedSegment>,
    /// Taken out only while the segment is being replaced.
    pub(super) active: Option<ActiveSegment>,
    pub(super) mark: MarkFile,
    pub(super) position: Position,
    pub(super) buffer: Vec<u8>,
    /// Records in the buffer.
    pub(super) place: u32,
}

impl Writer {
    /// Works until the handle is dropped.
    pub(super) fn run(mut self) {
        let mut waiting = Vec::new();
        while let Ok(request) = self.requests.recv() {
            let (outcome, close) = self.pass(request, &mut waiting);
            let outcome = outcome.map_err(|error| WalFailure(Arc::from(error.to_string())));
            let failed = outcome.as_ref().err().cloned();
            for done in waiting.drain(..) {
                done(outcome.clone());
            }
            let failed = failed
                .or_else(|| self.delete_purged().err().map(|error| WalFailure(Arc::from(error.to_string()))));
            if let Some(failure) = failed {
                tracing::error!(error = %failure, "the write-ahead log failed and accepts nothing more");
                self.shared.failed.store(true, Ordering::Release);
                return refuse_all(&self.requests, &failure);
            }
            if close {
                return;
            }
        }
    }

    /// One write and one sync for the first request and everything queued behind it; true when asked to close.
    fn pass(&mut self, first: Request, waiting: &mut Vec<Done>) -> (io::Result<()>, bool) {
        self.buffer.clear();
        self.place = 0;
        let mut close = false;
        let mut staged = if matches!(first, Request::Close) { Ok(()) } else { self.roll_if_full() };
        let mut next = Some(first);
        let early = fault::reports_before_flush().map(|delay| Instant::now() + delay);
        while let Some(request) = next.take() {
            let (outcome, done) = match request {
                Request::Close => {
                    close = true;
                    break;
                }
                Request::Append { entries, done } => (self.stage_entries(entries), done),
                Request::Vote { vote, done } => (self.stage_vote(vote), done),
                Request::Truncate { from, last, done } => (self.stage_truncate(from, last), done),
                Request::Purge { upto, done } => (self.stage_purge(upto), done),
            };
            waiting.push(done);
            staged = staged.and(outcome.map_err(io::Error::other));
            if staged.is_ok() && self.buffer.len() < MAX_PASS {
                next = match early {
                    // The planted defect: reported at once, written when the time is over.
                    Some(end) => {
                        waiting.drain(..).for_each(|done| done(Ok(())));
                        self.requests.recv_timeout(end.saturating_duration_since(Instant::now())).ok()
                    }
                    None => self.requests.try_recv().ok(),
                };
            }
        }
        (staged.and_then(|()| self.flush(close)), close)
    }

    fn stage(&mut self, record: &Record) -> Result<(), RecordTooLong> {
        record.encode_into(self.position.next_sequence, self.place, &mut self.buffer)?;
        self.position.next_sequence += 1;
        self.place += 1;
        Ok(())
    }

    fn stage_entries(&mut self, entries: Vec<EntryRecord>) -> Result<(), RecordTooLong> {
        for entry in entries {
            let position = entry.position;
            self.stage(&Record::Entry(entry))?;
            self.position.last = Some(position);
            if let Some(active) = &mut self.active {
                active.last_index = active.last_index.max(Some(position.index));
            }
        }
        Ok(())
    }

    fn stage_vote(&mut self, vote: VoteRecord) -> Result<(), RecordTooLong> {
        self.position.vote = Some(vote);
        self.stage(&Record::Vote(vote))
    }

    fn stage_truncate(&mut self, from: u64, last: Option<LogPosition>) -> Result<(), RecordTooLong> {
        self.position.last = last;
        self.stage(&Record::Truncate { from })
    }

    fn stage_purge(&mut self, upto: LogPosition) -> Result<(), RecordTooLong> {
        self.position.purged = Some(upto);
        if self.position.last.is_none_or(|last| last.index <= upto.index) {
            self.position.last = Some(upto);
        }
        self.stage(&Record::Purge(upto))
    }

    /// Writes and syncs what is staged. The committed position rides along; only at the end it is worth a write.
    fn flush(&mut self, close: bool) -> io::Result<()> {
        let committed = self.shared.committed();
        let moved = committed.is_some() && committed != self.position.committed;
        if moved && (close || !self.buffer.is_empty()) {
            self.position.committed = committed;
            if let Some(position) = committed {
                self.stage(&Record::Committed(position)).map_err(io::Error::other)?;
            }
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let active = self.active.as_mut().ok_or_else(|| io::Error::other("no segment is open"))?;
        fault::before_write()?;
        active.append(&self.buffer)?;
        let started = Instant::now();
        if let Some(hook) = &self.config.before_sync {
            hook.0()?;
        }
        active.sync()?;
        self.shared.metrics.record_sync(started.elapsed(), self.buffer.len());
        self.write_mark()?;
        if self.buffer.capacity() > KEEP_BUFFER {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    pub(super) fn write_mark(&self) -> io::Result<()> {
        let Position { next_sequence, last, vote, .. } = self.position;
        self.mark.write(&Mark::new(self.config.node, next_sequence.saturating_sub(1), last, vote))
    }

    /// Replaces a full segment. The new one begins with everything that must outlive the deletion of the old ones.
    fn roll_if_full(&mut self) -> io::Result<()> {
        let Some(active) = self.active.take_if(|active| active.used() >= self.config.segment_bytes) else {
            return Ok(());
        };
        let number = active.number + 1;
        self.sealed.push_back(active.seal()?);
        let header = SegmentHeader {
            cluster: self.config.cluster,
            node: self.config.node,
            number,
            first_sequence: self.position.next_sequence,
        };
        self.active = Some(ActiveSegment::create(&self.config.segment_dir(), &header)?);
        self.shared.metrics.segments.store(self.segment_count(), Ordering::Relaxed);
        let Position { vote, purged, committed, .. } = self.position;
        let carried = [vote.map(Record::Vote), purged.map(Record::Purge), committed.map(Record::Committed)];
        for record in carried.into_iter().flatten() {
            self.stage(&record).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Deletes segments from the front whose entries are all purged. Each deletion is made durable before the next, so
    /// that no crash leaves a gap between segments.
    fn delete_purged(&mut self) -> io::Result<()> {
        let Some(purged) = self.position.purged else {
            return Ok(());
        };
        while let Some(oldest) = self.sealed.front()
            && oldest.last_index.is_none_or(|last| last <= purged.index)
        {
            fs::remove_file(&oldest.path)?;
            sync_dir(&self.config.segment_dir())?;
            self.sealed.pop_front();
        }
        self.shared.metrics.segments.store(self.segment_count(), Ordering::Relaxed);
        Ok(())
    }

    fn segment_count(&self) -> u64 {
        u64::try_from(self.sealed.len()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// Answers every request with the error that ended the log.
fn refuse_all(requests: &Receiver<Request>, failure: &WalFailure) {
    while let Ok(request) = requests.recv() {
        match request {
            Request::Append { done, .. }
            | Request::Vote { done, .. }
            | Request::Truncate { done, .. }
            | Request::Purge { done, .. } => done(Err(failure.clone())),
            Request::Close => return,
        }
    }
}

impl super::WalMetrics {
    fn record_sync(&self, took: Duration, bytes: usize) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sync_last_nanos.store(nanos, Ordering::Relaxed);
        self.sync_max_nanos.fetch_max(nanos, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_times.add_time(took);
        self.bytes_written.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
