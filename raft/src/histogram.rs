//! Distributions for the monitoring, counted without a lock. The store knows no metrics library.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Bucket limits of times, in microseconds: from a fast disk's sync to the longest wait for a commit.
pub(crate) const MICROS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];
/// Bucket limits of numbers of commands.
pub(crate) const COMMANDS: [u64; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];

/// Counts values by the bucket they fall into.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// Upper limits, ascending, and how many values lie at or below them and above the limit before.
    buckets: Vec<(u64, AtomicU64)>,
    above: AtomicU64,
    sum: AtomicU64,
}

/// What a distribution held when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Upper limits, ascending, and how many values lie at or below each.
    pub buckets: Vec<(u64, u64)>,
    /// Number of all values.
    pub count: u64,
    /// Sum of all values.
    pub sum: u64,
}

impl Histogram {
    pub(crate) fn new(limits: &[u64]) -> Self {
        Self {
            buckets: limits.iter().map(|limit| (*limit, AtomicU64::new(0))).collect(),
            above: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    pub(crate) fn add(&self, value: u64) {
        let bucket =
            self.buckets.iter().find(|(limit, _)| value <= *limit).map_or(&self.above, |(_, count)| count);
        bucket.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Adds a time, in microseconds.
    pub(crate) fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn read(&self) -> Distribution {
        let mut count = 0;
        let buckets = self
            .buckets
            .iter()
            .map(|(limit, values)| {
                count += values.load(Ordering::Relaxed);
                (*limit, count)
            })
            .collect();
        Distribution {
            buckets,
            count: count + self.above.load(Ordering::Relaxed),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_up_to_each_limit() {
        let histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, 1000] {
            histogram.add(value);
        }
        let expected = Distribution { buckets: vec![(10, 2), (20, 4)], count: 6, sum: 1062 };
        assert_eq!(histogram.read(), expected);
        let times = Histogram::new(&MICROS);
        times.add_time(Duration::from_millis(1));
        assert_eq!(times.read().buckets[2..4], [(500, 0), (1_000, 1)]);
    }
}
