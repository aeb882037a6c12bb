//! What a node counts about the requests it decides (reference code-style 14).

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use tessera_raft::cluster::{Store, StoreMetrics};

/// Upper bounds of the buckets for the time of a request, in seconds.
const SECONDS: [f64; 12] = [0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1.0, 2.5, 5.0];

/// The counters of one node. The names are those of the exposition.
#[derive(Clone, Debug)]
pub struct NodeMetrics {
    registry: Registry,
    pub(crate) decided: IntCounterVec,
    pub(crate) conflicts: IntCounter,
    pub(crate) questions: IntCounter,
    pub(crate) seconds: Histogram,
    pub(crate) expired: IntCounter,
    pub(crate) clock_offset_ms: IntGauge,
    pub(crate) certificate_days: IntGauge,
}

impl NodeMetrics {
    /// New counters in a registry of their own.
    ///
    /// # Errors
    /// When two of them have the same name, which is a mistake in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| IntCounter::new(name, help);
        let metrics = Self {
            decided: IntCounterVec::new(
                Opts::new("tessera_node_requests_total", "Requests run, by how they ended."),
                &["result"],
            )?,
            conflicts: counter(
                "tessera_node_conflicts_total",
                "Decisions that were overtaken by another transaction and made again.",
            )?,
            questions: counter(
                "tessera_node_questions_total",
                "Questions asked outside: user stores and password hashes.",
            )?,
            seconds: Histogram::with_opts(
                HistogramOpts::new("tessera_node_request_seconds", "Time from the request to its commit.")
                    .buckets(SECONDS.to_vec()),
            )?,
            expired: counter("tessera_node_expired_records_total", "Expired records removed by this node.")?,
            clock_offset_ms: IntGauge::new(
                "tessera_node_clock_offset_milliseconds",
                "Leader's clock minus this node's; more than 1000 either way is an alarm.",
            )?,
            certificate_days: IntGauge::new(
                "tessera_node_certificate_days",
                "Days until a certificate of this node ends.",
            )?,
            registry,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(self.decided.clone()))?;
        self.registry.register(Box::new(self.conflicts.clone()))?;
        self.registry.register(Box::new(self.questions.clone()))?;
        self.registry.register(Box::new(self.seconds.clone()))?;
        self.registry.register(Box::new(self.expired.clone()))?;
        self.registry.register(Box::new(self.clock_offset_ms.clone()))?;
        self.registry.register(Box::new(self.certificate_days.clone()))
    }

    /// Exposes the store's own numbers as well.
    pub(crate) fn add_store(&self, store: Store) -> Result<(), prometheus::Error> {
        let gauges = STORE_GAUGES
            .iter()
            .map(|(name, help, _)| IntGauge::new(*name, *help))
            .collect::<Result<Vec<_>, _>>()?;
        self.registry.register(Box::new(StoreCollector { store, gauges }))
    }

    /// The registry, to be exposed and to register further metrics with.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// Name, help and source of a number of the store. Counters of the store are exposed as they are.
type StoreGauge = (&'static str, &'static str, fn(&StoreMetrics) -> u64);

const STORE_GAUGES: [StoreGauge; 20] = [
    ("tessera_store_batches_total", "Log entries proposed here as the leader.", |m| m.batches),
    ("tessera_store_batch_commands_total", "Commands in these entries.", |m| m.batch_commands),
    ("tessera_store_batch_bytes_total", "Bytes of these entries.", |m| m.batch_bytes),
    ("tessera_store_queued", "Commands waiting here to be proposed.", |m| m.queued),
    ("tessera_store_refused_total", "Commands refused because too many were waiting.", |m| m.refused),
    ("tessera_store_unknown_total", "Commands whose batch ended without an outcome.", |m| m.unknown),
    ("tessera_store_batch_last_microseconds", "Time of the last batch.", |m| m.batch_last_micros),
    ("tessera_store_batch_max_microseconds", "Longest batch since the last reading.", |m| m.batch_max_micros),
    ("tessera_store_commits_total", "Commits asked for on this node.", |m| m.commits),
    ("tessera_store_conflicts_total", "Commits refused because they were overtaken.", |m| m.conflicts),
    ("tessera_store_commit_failures_total", "Commits without an outcome.", |m| m.commit_failures),
    ("tessera_store_sync_last_microseconds", "Last write to the log's disk.", |m| m.sync_last_micros),
    ("tessera_store_sync_max_microseconds", "Longest write since the last reading.", |m| m.sync_max_micros),
    ("tessera_store_syncs_total", "Writes to the log's disk.", |m| m.syncs),
    ("tessera_store_log_written_bytes_total", "Bytes written to the log's disk.", |m| m.log_bytes_written),
    ("tessera_store_log_entries", "Entries of the log.", |m| m.log_entries),
    ("tessera_store_applied_index", "Index of the last entry applied.", |m| m.applied_index),
    ("tessera_store_snapshot_index", "Index of the newest snapshot.", |m| m.snapshot_index),
    ("tessera_store_records", "Records in the state.", |m| m.records),
    ("tessera_store_history_rows", "Rows of the history.", |m| m.history_rows),
];

/// Reads the store's numbers when they are asked for.
struct StoreCollector {
    store: Store,
    gauges: Vec<IntGauge>,
}

impl Collector for StoreCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let numbers = self.store.metrics();
        let mut families = Vec::with_capacity(self.gauges.len());
        for (gauge, (_, _, read)) in self.gauges.iter().zip(&STORE_GAUGES) {
            gauge.set(i64::try_from(read(&numbers)).unwrap_or(i64::MAX));
            families.extend(gauge.collect());
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_registered_under_its_own_name() {
        let metrics = NodeMetrics::new().unwrap();
        metrics.decided.with_label_values(&["committed"]).inc();
        let mut names: Vec<String> =
            metrics.registry().gather().iter().map(|family| family.name().to_owned()).collect();
        names.dedup();
        assert_eq!(names.len(), 7);
        assert!(names.iter().all(|name| name.starts_with("tessera_node_")), "{names:?}");
    }
}
