//! What the monitoring is told about the store, which knows no metrics library.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{Store, StoreDistributions, StoreMetrics};
use crate::histogram::{self, Histogram};

/// Commits asked for on this node.
#[derive(Debug)]
pub(super) struct CommitCounters {
    pub(super) commits: AtomicU64,
    pub(super) conflicts: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) times: Histogram,
}

impl Default for CommitCounters {
    fn default() -> Self {
        Self {
            commits: AtomicU64::new(0),
            conflicts: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            times: Histogram::new(&histogram::MICROS),
        }
    }
}

impl Store {
    /// Numbers for the monitoring. Maxima are since the last call.
    #[must_use]
    pub fn metrics(&self) -> StoreMetrics {
        let inner = &self.inner;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let batches = inner.batcher.counters();
        let state = self.view();
        let log = inner.log.stats();
        let checkpoints = &inner.comparison.checkpoints;
        let (snapshots, history) = (inner.published.snapshot_counters(), inner.history.reader().status());
        let data = inner.raft.data_metrics().borrow().clone();
        StoreMetrics {
            batches: read(&batches.batches),
            batch_commands: read(&batches.commands),
            batch_bytes: read(&batches.bytes),
            queued: count(inner.batcher.queued()),
            refused: read(&batches.refused),
            unknown: read(&batches.unknown),
            batch_last_micros: read(&batches.last_micros),
            batch_max_micros: batches.max_micros.swap(0, Ordering::Relaxed),
            commits: read(&inner.counters.commits),
            conflicts: read(&inner.counters.conflicts),
            commit_failures: read(&inner.counters.failures),
            sync_last_micros: micros(inner.wal.sync_last()),
            sync_max_micros: micros(inner.wal.take_sync_max()),
            syncs: inner.wal.syncs(),
            log_bytes_written: inner.wal.bytes_written(),
            log_entries: count(log.entries),
            log_bytes: count(log.bytes),
            applied_index: data.last_applied.map_or(0, |id| id.index),
            snapshot_index: data.snapshot.map_or(0, |id| id.index),
            records: count(state.len()),
            history_rows: state.history().number,
            duplicates: read(&inner.counters.duplicates),
            forwarded: read(&inner.forwarder.counters().answered),
            forward_refused: read(&inner.forwarder.counters().refused),
            forward_unknown: read(&inner.forwarder.counters().unknown),
            snapshots_made: read(&snapshots.made),
            snapshots_received: read(&snapshots.received),
            snapshot_micros: read(&snapshots.last_micros),
            snapshot_bytes: read(&snapshots.last_bytes),
            history_anchor: state.history_anchor().number,
            history_complete: history.complete,
            history_contradictions: history.contradictions,
            history_failures: history.failures,
            checkpoint_index: checkpoints.newest().map_or(0, |checkpoint| checkpoint.index),
            digest_micros: checkpoints.digest_micros(),
            diverged_nodes: count(checkpoints.diverged().len()),
            divergences: checkpoints.divergences(),
        }
    }

    /// Distributions for the monitoring.
    #[must_use]
    pub fn distributions(&self) -> StoreDistributions {
        let batches = self.inner.batcher.counters();
        StoreDistributions {
            commit_micros: self.inner.counters.times.read(),
            batch_micros: batches.times.read(),
            batch_commands: batches.sizes.read(),
            sync_micros: self.inner.wal.sync_times(),
        }
    }
}
