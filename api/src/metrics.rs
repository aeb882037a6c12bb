//! What the API counts (reference code-style 14), and `/metrics`.

mod store;

use std::time::Duration;

use http::header::HeaderValue;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
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
    in_flight: IntGauge,
}

/// A request that is being answered.
pub(crate) struct Open(IntGauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
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
        let in_flight = IntGauge::new("tessera_api_requests_in_flight", "Requests being answered now.")?;
        registry.register(Box::new(in_flight.clone()))?;
        Ok(Self { registry, requests, duration, in_flight })
    }

    /// Counts a request as being answered until the result is dropped.
    pub(crate) fn open(&self) -> Open {
        self.in_flight.inc();
        Open(self.in_flight.clone())
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

/// `GET /metrics`: the Prometheus text format. For everybody who reaches the port; holds no name of a user or token.
pub(crate) async fn metrics(call: Call) -> Result<Reply, Failure> {
    let mut families = call.shared.metrics.registry.gather();
    families.extend(call.shared.node.metrics().registry().gather());
    let mut text = String::new();
    if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
        tracing::warn!(%error, "metrics cannot be written");
    }
    store::write(&mut text, &call);
    Ok(Reply::new(HeaderValue::from_static("text/plain; version=0.0.4"), text))
}

#[cfg(test)]
mod tests {
    use super::*;

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
