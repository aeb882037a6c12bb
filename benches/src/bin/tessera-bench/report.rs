//! The result, as a table or as JSON.

use std::io::{self, Write as _};
use std::time::Duration;

use serde::Serialize;

use crate::args::Args;
use crate::stats::{Stats, microseconds};

/// The result of a run. The field names are those of the JSON output.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    mode: &'static str,
    connections: usize,
    users: usize,
    seconds: u64,
    /// Right verdicts per second.
    throughput: f64,
    good: u64,
    unexpected: u64,
    errors: u64,
    settled: u64,
    late: u64,
    latency_us: Latency,
    longest_gap_us: u64,
    enrolments_per_second: f64,
    urls: Vec<Node>,
    unexpected_samples: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

#[derive(Debug, Serialize)]
struct Node {
    url: String,
    good: u64,
    errors: u64,
}

impl Report {
    pub(crate) fn new(args: &Args, stats: &Stats, longest_gap: Duration, enrolment: Duration) -> Self {
        let latency = &stats.latency;
        let nodes = args.urls.iter().zip(&stats.nodes);
        Self {
            mode: args.mode.name(),
            connections: args.connections,
            users: args.users,
            seconds: args.seconds,
            throughput: per_second(stats.good, Duration::from_secs(args.seconds)),
            good: stats.good,
            unexpected: stats.unexpected,
            errors: stats.errors,
            settled: stats.settled,
            late: stats.late,
            latency_us: Latency {
                p50: latency.value_at_quantile(0.5),
                p99: latency.value_at_quantile(0.99),
                p999: latency.value_at_quantile(0.999),
                max: latency.max(),
            },
            longest_gap_us: microseconds(longest_gap),
            enrolments_per_second: per_second(u64::try_from(args.users).unwrap_or(u64::MAX), enrolment),
            urls: nodes
                .map(|(url, counts)| Node { url: url.clone(), good: counts.good, errors: counts.errors })
                .collect(),
            unexpected_samples: stats.samples.clone(),
        }
    }

    /// Prints the result on standard output.
    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            serde_json::to_writer(&mut out, self)?;
            return writeln!(out);
        }
        out.write_all(self.table().as_bytes())
    }

    fn table(&self) -> String {
        let latency = &self.latency_us;
        let mut lines = vec![
            format!(
                "mode            {} ({} clients, {} users, {} s)",
                self.mode, self.connections, self.users, self.seconds
            ),
            format!("throughput      {:.1} good replies/s", self.throughput),
            format!("latency         p50 {}   p99 {}", ms(latency.p50), ms(latency.p99)),
            format!("                p99.9 {}   max {}", ms(latency.p999), ms(latency.max)),
            format!("longest gap     {}", ms(self.longest_gap_us)),
            format!("good            {}", self.good),
            format!("unexpected      {}", self.unexpected),
            format!("errors          {} ({} settled afterwards)", self.errors, self.settled),
            format!("late            {}", self.late),
            format!("enrolments      {:.1} /s", self.enrolments_per_second),
        ];
        let node = |node: &Node| format!("{}  good {}  errors {}", node.url, node.good, node.errors);
        lines.extend(self.urls.iter().map(node));
        lines.extend(self.unexpected_samples.iter().map(|sample| format!("unexpected: {sample}")));
        lines.push(String::new());
        lines.join("\n")
    }
}

/// Prints a message on standard error; if that is gone, nobody listens.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}

fn ms(microseconds: u64) -> String {
    format!("{}.{:03} ms", microseconds / 1000, microseconds % 1000)
}

#[expect(clippy::float_arithmetic, reason = "a figure for people, not replicated state")]
fn per_second(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_are_written_for_people() {
        assert_eq!(ms(1_234_567), "1234.567 ms");
        assert_eq!(ms(42), "0.042 ms");
        assert_eq!(format!("{:.1}", per_second(25, Duration::from_secs(10))), "2.5");
        assert_eq!(format!("{:.1}", per_second(25, Duration::ZERO)), "0.0");
    }
}
