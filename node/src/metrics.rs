//! What a node counts about the requests it decides (reference code-style 14). The store counts for itself; the front end
//! exposes both.

use std::time::Duration;

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};
use tessera_core::audit::Login;
use tessera_core::facts::{Answer, Question};

/// Upper bounds of the buckets for the time of a request, in seconds.
const SECONDS: [f64; 12] = [0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1.0, 2.5, 5.0];

/// The counters of one node. The names are those of the exposition.
#[derive(Clone, Debug)]
pub struct NodeMetrics {
    registry: Registry,
    pub(crate) decided: IntCounterVec,
    pub(crate) conflicts: IntCounter,
    otp_results: IntCounterVec,
    questions: IntCounterVec,
    question_seconds: HistogramVec,
    pub(crate) seconds: Histogram,
    pub(crate) expired: IntCounter,
    clock_offset: Gauge,
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
        let counters =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let metrics = Self {
            decided: counters(
                "tessera_node_requests_total",
                "Requests run, by how they ended.",
                &["result"],
            )?,
            conflicts: counter(
                "tessera_node_conflicts_total",
                "Decisions that were overtaken by another transaction and made again.",
            )?,
            otp_results: counters(
                "tessera_otp_results_total",
                "Answers of /validate that were committed, by the type of the token and the result.",
                &["type", "result"],
            )?,
            questions: counters(
                "tessera_connector_questions_total",
                "Questions asked outside, user stores and password hashes, by kind and result.",
                &["question", "result"],
            )?,
            question_seconds: HistogramVec::new(
                HistogramOpts::new("tessera_connector_question_seconds", "Time to answer such a question.")
                    .buckets(SECONDS.to_vec()),
                &["question"],
            )?,
            seconds: Histogram::with_opts(
                HistogramOpts::new("tessera_node_request_seconds", "Time from the request to its commit.")
                    .buckets(SECONDS.to_vec()),
            )?,
            expired: counter("tessera_node_expired_records_total", "Expired records removed by this node.")?,
            clock_offset: Gauge::new(
                "tessera_node_clock_offset_seconds",
                "Leader's clock minus this node's; more than a second either way is an alarm.",
            )?,
            certificate_days: IntGauge::new(
                "tessera_node_certificate_days",
                "Days until a certificate of this node ends.",
            )?,
            registry,
        };
        metrics.register()?;
        metrics.prepare();
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(self.decided.clone()))?;
        self.registry.register(Box::new(self.conflicts.clone()))?;
        self.registry.register(Box::new(self.otp_results.clone()))?;
        self.registry.register(Box::new(self.questions.clone()))?;
        self.registry.register(Box::new(self.question_seconds.clone()))?;
        self.registry.register(Box::new(self.seconds.clone()))?;
        self.registry.register(Box::new(self.expired.clone()))?;
        self.registry.register(Box::new(self.clock_offset.clone()))?;
        self.registry.register(Box::new(self.certificate_days.clone()))
    }

    /// Makes the combinations that are always shown begin with 0, so that a rate over them is right from the start.
    fn prepare(&self) {
        for login in Login::frequent() {
            let _ = self.otp_results.with_label_values(&[login.token_type, login.result]);
        }
        for result in ["committed", "refused"] {
            let _ = self.decided.with_label_values(&[result]);
        }
        for question in ["user_by_login", "verify_password_hash"] {
            let _ = self.questions.with_label_values(&[question, "answered"]);
            let _ = self.question_seconds.with_label_values(&[question]);
        }
    }

    /// Counts a login that was committed.
    pub(crate) fn count_login(&self, login: Option<Login>) {
        if let Some(login) = login {
            self.otp_results.with_label_values(&[login.token_type, login.result]).inc();
        }
    }

    /// Counts a question that was asked outside, and its answer if there was one in time.
    pub(crate) fn count_question(&self, question: &Question, answer: Option<&Answer>, took: Duration) {
        let kind = kind_of(question);
        let result = match answer {
            None => "no_time",
            Some(Answer::Unavailable(_)) => "unavailable",
            Some(
                Answer::User(_)
                | Answer::Users(_)
                | Answer::Verdict(_)
                | Answer::Loaded
                | Answer::Hash(_)
                | Answer::Yubico { .. }
                | Answer::Remote(_),
            ) => "answered",
        };
        self.questions.with_label_values(&[kind, result]).inc();
        self.question_seconds.with_label_values(&[kind]).observe(took.as_secs_f64());
    }

    /// Shows how far this node's clock is from the leader's.
    pub(crate) fn show_clock_offset(&self, offset_ms: i64) {
        let offset = Duration::from_millis(offset_ms.unsigned_abs()).as_secs_f64();
        self.clock_offset.set(offset.copysign(if offset_ms < 0 { -1.0 } else { 1.0 }));
    }

    /// The registry, to be exposed and to register further metrics with.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }
}

const fn kind_of(question: &Question) -> &'static str {
    match question {
        Question::UserByLogin { .. } => "user_by_login",
        Question::UserById { .. } => "user_by_id",
        Question::CheckPassword { .. } => "check_password",
        Question::SearchUsers { .. } => "search_users",
        Question::LoadResolver { .. } => "load_resolver",
        Question::VerifyPasswordHash { .. } => "verify_password_hash",
        Question::HashPassword { .. } => "hash_password",
        Question::ValidateYubico { .. } => "validate_yubico",
        Question::AskServer { .. } => "ask_server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_registered_under_its_own_name() {
        let metrics = NodeMetrics::new().unwrap();
        let mut names: Vec<String> =
            metrics.registry().gather().iter().map(|family| family.name().to_owned()).collect();
        names.dedup();
        assert_eq!(names.len(), 9);
        assert!(names.iter().all(|name| name.starts_with("tessera_")), "{names:?}");
    }

    #[test]
    fn the_clock_offset_is_shown_in_seconds() {
        let metrics = NodeMetrics::new().unwrap();
        for (offset, shown) in [(1500, "1.5"), (-250, "-0.25"), (0, "0")] {
            metrics.show_clock_offset(offset);
            assert_eq!(metrics.clock_offset.get().to_string(), shown);
        }
    }
}
