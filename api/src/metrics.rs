//! What the API counts (reference code-style 14), and `/metrics`.

use std::fmt::Write as _;
use std::time::Duration;

use http::header::HeaderValue;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{Ending, Reply};

/// Bucket limits of the request duration in seconds.
const BUCKETS: [f64; 14] =
    [0.000_5, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The metrics of the API.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
}

/// The metrics of one endpoint, looked up once.
pub(crate) struct EndpointMetrics {
    /// The endpoint's path.
    pub(crate) path: &'static str,
    ok: IntCounter,
    rejected: IntCounter,
    refused: IntCounter,
    unavailable: IntCounter,
    duration: Histogram,
}

impl Metrics {
    /// New metrics, registered in a registry of their own.
    ///
    /// # Errors
    /// When two metrics have the same name.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("tessera_api_requests_total", "Requests answered, by endpoint and result."),
            &["endpoint", "result"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "tessera_api_request_duration_seconds",
                "Time to answer a request, by endpoint.",
            )
            .buckets(BUCKETS.to_vec()),
            &["endpoint"],
        )?;
        let registry = Registry::new();
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Self { registry, requests, duration })
    }

    pub(crate) fn endpoint(&self, path: &'static str) -> EndpointMetrics {
        let counter = |result| self.requests.with_label_values(&[path, result]);
        EndpointMetrics {
            path,
            ok: counter("ok"),
            rejected: counter("rejected"),
            refused: counter("refused"),
            unavailable: counter("unavailable"),
            duration: self.duration.with_label_values(&[path]),
        }
    }
}

impl EndpointMetrics {
    pub(crate) fn observe(&self, ending: Ending, duration: Duration) {
        match ending {
            Ending::Ok => &self.ok,
            Ending::Rejected => &self.rejected,
            Ending::Refused => &self.refused,
            Ending::Unavailable => &self.unavailable,
        }
        .inc();
        self.duration.observe(duration.as_secs_f64());
    }
}

/// `GET /metrics`: the Prometheus text format.
pub(crate) async fn metrics(call: Call) -> Result<Reply, Failure> {
    let mut families = call.shared.metrics.registry.gather();
    families.extend(call.shared.node.metrics().registry().gather());
    let mut text = String::new();
    if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
        tracing::warn!(%error, "metrics cannot be written");
    }
    store(&mut text, &call);
    Ok(Reply::new(HeaderValue::from_static("text/plain; version=0.0.4"), text))
}

/// The kind of a metric of the store.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    /// A gauge in microseconds, shown in seconds.
    Micros,
}

/// The numbers of the store; it counts them itself and knows no metrics library.
fn store(text: &mut String, call: &Call) {
    use Kind::{Counter, Gauge, Micros};

    let store = call.shared.node.store();
    let (numbers, status) = (store.metrics(), store.status());
    let flag = |flag: bool| u64::from(flag);
    for (name, kind, help, value) in [
        ("batches_total", Counter, "Log entries proposed here as the leader.", numbers.batches),
        ("batch_commands_total", Counter, "Commands in these entries.", numbers.batch_commands),
        ("batch_bytes_total", Counter, "Bytes of these entries.", numbers.batch_bytes),
        ("queued_commands", Gauge, "Commands waiting to be proposed.", numbers.queued),
        ("refused_total", Counter, "Commands refused because too many were waiting.", numbers.refused),
        (
            "batch_last_seconds",
            Micros,
            "From proposing the last batch to its replies.",
            numbers.batch_last_micros,
        ),
        (
            "batch_max_seconds",
            Micros,
            "The longest such time since the last reading.",
            numbers.batch_max_micros,
        ),
        ("commits_total", Counter, "Commits asked for on this node.", numbers.commits),
        ("conflicts_total", Counter, "Commits refused because they were overtaken.", numbers.conflicts),
        ("commit_failures_total", Counter, "Commits without an outcome.", numbers.commit_failures),
        (
            "sync_last_seconds",
            Micros,
            "Duration of the last write to the log's disk.",
            numbers.sync_last_micros,
        ),
        ("sync_max_seconds", Micros, "The longest since the last reading.", numbers.sync_max_micros),
        ("syncs_total", Counter, "Writes to the log's disk.", numbers.syncs),
        ("log_written_bytes_total", Counter, "Bytes written to the log's disk.", numbers.log_bytes_written),
        ("log_entries", Gauge, "Live entries of the log.", numbers.log_entries),
        ("log_bytes", Gauge, "Bytes of the live entries.", numbers.log_bytes),
        ("applied_index", Gauge, "Index of the last entry applied.", numbers.applied_index),
        ("snapshot_index", Gauge, "Index of the last entry in the newest snapshot.", numbers.snapshot_index),
        ("records", Gauge, "Records in the state.", numbers.records),
        ("history_rows", Gauge, "Rows of the history.", numbers.history_rows),
        ("term", Gauge, "The current term.", status.term),
        ("leader", Gauge, "1 on the leader.", flag(status.leader == Some(status.node_id))),
        ("quorum", Gauge, "1 while in touch with a majority.", flag(status.quorum)),
    ] {
        line(text, name, kind, help, value);
    }
}

fn line(text: &mut String, name: &str, kind: Kind, help: &str, value: u64) {
    let label = if matches!(kind, Kind::Counter) { "counter" } else { "gauge" };
    let value = match kind {
        Kind::Micros => format!("{}.{:06}", value / 1_000_000, value % 1_000_000),
        Kind::Counter | Kind::Gauge => value.to_string(),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "# HELP tessera_raft_{name} {help}\n# TYPE tessera_raft_{name} {label}\ntessera_raft_{name} {value}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_shown_as_seconds() {
        let mut text = String::new();
        line(&mut text, "sync_last_seconds", Kind::Micros, "Help.", 1_002_003);
        assert_eq!(
            text,
            "# HELP tessera_raft_sync_last_seconds Help.\n# TYPE tessera_raft_sync_last_seconds gauge\n\
             tessera_raft_sync_last_seconds 1.002003\n"
        );
    }

    #[test]
    fn requests_are_counted_by_endpoint_and_result() {
        let metrics = Metrics::new().unwrap();
        let endpoint = metrics.endpoint("/validate/check");
        endpoint.observe(Ending::Rejected, Duration::from_millis(1));
        endpoint.observe(Ending::Ok, Duration::from_millis(1));
        endpoint.observe(Ending::Ok, Duration::from_millis(1));
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&metrics.registry.gather(), &mut text).unwrap();
        for line in [
            "tessera_api_requests_total{endpoint=\"/validate/check\",result=\"ok\"} 2",
            "tessera_api_requests_total{endpoint=\"/validate/check\",result=\"rejected\"} 1",
            "tessera_api_request_duration_seconds_count{endpoint=\"/validate/check\"} 3",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }
}
