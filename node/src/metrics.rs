//! What a node counts about the requests it decides (reference code-style 14). The store counts for itself; the front end
//! exposes both.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

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

    /// The registry, to be exposed and to register further metrics with.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
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
