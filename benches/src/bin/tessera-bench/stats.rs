//! Counters, latencies and the longest time without a success.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;

/// Latencies above this are counted as this (microseconds).
const LATENCY_MAX_US: u64 = 600_000_000;
/// Unexpected verdicts described in the report; all are counted.
const SAMPLES_MAX: usize = 5;

/// Counts of one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NodeCounts {
    pub(crate) good: u64,
    pub(crate) errors: u64,
}

/// What one client, or all of them, saw.
pub(crate) struct Stats {
    /// Right verdicts in the measured time.
    pub(crate) good: u64,
    /// Wrong verdicts, also during the warm-up.
    pub(crate) unexpected: u64,
    /// Requests without a verdict in the measured time: no connection, broken, timeout, 503.
    pub(crate) errors: u64,
    /// OTPs sent again after their first fate was unknown; either verdict is right for them.
    pub(crate) settled: u64,
    /// Right verdicts that came after the end of the measured time.
    pub(crate) late: u64,
    pub(crate) nodes: Vec<NodeCounts>,
    /// Latencies of the right verdicts, in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// Descriptions of the first unexpected verdicts.
    pub(crate) samples: Vec<String>,
}

impl Stats {
    pub(crate) fn new(nodes: usize) -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).context("histogram bounds")?;
        Ok(Self {
            good: 0,
            unexpected: 0,
            errors: 0,
            settled: 0,
            late: 0,
            nodes: vec![NodeCounts::default(); nodes],
            latency,
            samples: Vec::new(),
        })
    }

    pub(crate) fn add_good(&mut self, node: usize, latency: Duration) {
        self.good = self.good.saturating_add(1);
        self.latency.saturating_record(microseconds(latency).max(1));
        if let Some(counts) = self.nodes.get_mut(node) {
            counts.good = counts.good.saturating_add(1);
        }
    }

    pub(crate) fn add_error(&mut self, node: usize) {
        self.errors = self.errors.saturating_add(1);
        if let Some(counts) = self.nodes.get_mut(node) {
            counts.errors = counts.errors.saturating_add(1);
        }
    }

    pub(crate) fn add_unexpected(&mut self, description: impl FnOnce() -> String) {
        self.unexpected = self.unexpected.saturating_add(1);
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(description());
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        self.good = self.good.saturating_add(other.good);
        self.unexpected = self.unexpected.saturating_add(other.unexpected);
        self.errors = self.errors.saturating_add(other.errors);
        self.settled = self.settled.saturating_add(other.settled);
        self.late = self.late.saturating_add(other.late);
        for (mine, theirs) in self.nodes.iter_mut().zip(&other.nodes) {
            mine.good = mine.good.saturating_add(theirs.good);
            mine.errors = mine.errors.saturating_add(theirs.errors);
        }
        let room = SAMPLES_MAX.saturating_sub(self.samples.len());
        self.samples.extend(other.samples.iter().take(room).cloned());
        self.latency.add(&other.latency).context("histograms differ in bounds")
    }
}

/// The longest time without a success over all clients, in a measured time that starts at 0.
#[derive(Debug, Default)]
pub(crate) struct GapMeter {
    last_us: AtomicU64,
    longest_us: AtomicU64,
}

impl GapMeter {
    /// Notes a success.
    pub(crate) fn success(&self, at: Duration) {
        let at = microseconds(at);
        let before = self.last_us.fetch_max(at, Ordering::Relaxed);
        self.longest_us.fetch_max(at.saturating_sub(before), Ordering::Relaxed);
    }

    /// The longest gap, when the measured time was this long.
    pub(crate) fn finish(&self, end: Duration) -> Duration {
        self.success(end);
        Duration::from_micros(self.longest_us.load(Ordering::Relaxed))
    }
}

pub(crate) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_longest_gap_may_be_at_the_start_between_or_at_the_end() {
        for (successes, expected) in [
            (vec![], 1000),
            (vec![600, 700], 600),
            (vec![100, 200, 650, 900], 450),
            (vec![100, 300, 400], 600),
        ] {
            let gap = GapMeter::default();
            successes.iter().for_each(|at| gap.success(ms(*at)));
            assert_eq!(gap.finish(ms(1000)), ms(expected), "{successes:?}");
        }
    }

    #[test]
    fn successes_noted_out_of_order_make_no_gap() {
        let gap = GapMeter::default();
        [300, 100, 200, 600, 500].iter().for_each(|at| gap.success(ms(*at)));
        assert_eq!(gap.finish(ms(700)), ms(300));
    }

    /// Of 1000 values 1 ms ... 1000 ms the quantiles are known; three significant digits are kept.
    #[test]
    fn quantiles_are_those_of_all_clients_together() {
        let (mut odd, mut even) = (Stats::new(2).unwrap(), Stats::new(2).unwrap());
        for latency in 1..=1000 {
            if latency % 2 == 0 { &mut even } else { &mut odd }.add_good(latency % 2, ms(latency as u64));
        }
        odd.merge(&even).unwrap();
        assert_eq!(odd.good, 1000);
        assert_eq!(odd.nodes, [NodeCounts { good: 500, errors: 0 }; 2]);
        for (quantile, expected_us) in [(0.5, 500_000), (0.99, 990_000), (0.999, 999_000), (1.0, 1_000_000)] {
            let found = odd.latency.value_at_quantile(quantile);
            assert!(found.abs_diff(expected_us) <= expected_us / 1000, "{quantile}: {found}");
        }
    }

    #[test]
    fn samples_are_bounded_but_all_are_counted() {
        let (mut total, mut one) = (Stats::new(1).unwrap(), Stats::new(1).unwrap());
        for n in 0..9 {
            one.add_unexpected(|| n.to_string());
        }
        total.merge(&one).unwrap();
        total.merge(&one).unwrap();
        assert_eq!((total.unexpected, total.samples.len()), (18, SAMPLES_MAX));
    }
}
