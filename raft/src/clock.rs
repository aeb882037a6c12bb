//! The cluster's clock: every node follows the leader's (DESIGN section 2).
//!
//! The offset is measured on the forwarding stream: the leader's reading belongs to the middle between asking and
//! hearing the answer, so it is wrong by at most half the round trip. Of the last readings the one with the shortest
//! round trip counts.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tessera_core::time::UnixMillis;

use crate::{fault, type_config::NodeId};

/// Readings that are compared.
const READINGS: usize = 8;
/// An offset above this is reported.
const ALARM_MS: u64 = 1000;

#[derive(Clone, Copy, Debug)]
struct Reading {
    round_trip: Duration,
    offset_ms: i64,
}

#[derive(Debug, Default)]
struct Readings {
    leader: Option<NodeId>,
    last: VecDeque<Reading>,
    alarmed: bool,
}

/// This node's idea of the cluster's time.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_ms: AtomicI64,
    readings: Mutex<Readings>,
}

/// The node's own clock, in milliseconds since 1970.
pub(crate) fn own_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_add_signed(fault::clock_step_ms())
}

impl Clock {
    /// The leader's clock as far as known.
    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis(own_clock().saturating_add_signed(self.offset_ms()))
    }

    /// What must be added to the node's own clock, in milliseconds.
    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Notes a reading of the leader's clock, asked for at `asked` and received at `received` by the own clock.
    pub(crate) fn observe(&self, leader: NodeId, asked: u64, received: u64, read: u64, round_trip: Duration) {
        let middle = asked / 2 + received / 2 + (asked % 2 + received % 2) / 2;
        let offset_ms = i64::try_from(i128::from(read) - i128::from(middle)).unwrap_or_default();
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        readings.follow(leader);
        readings.last.push_back(Reading { round_trip, offset_ms });
        if readings.last.len() > READINGS {
            readings.last.pop_front();
        }
        let best = readings.last.iter().min_by_key(|reading| reading.round_trip);
        let offset_ms = best.map_or(0, |reading| reading.offset_ms);
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
        let alarm = offset_ms.unsigned_abs() > ALARM_MS;
        if alarm && !readings.alarmed {
            tracing::warn!(
                leader,
                offset_ms,
                "the clocks of this node and the leader differ by more than a second"
            );
        }
        readings.alarmed = alarm;
    }

    /// This node is the leader: its own clock is the cluster's.
    pub(crate) fn lead(&self, node: NodeId) {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner).follow(node);
        self.offset_ms.store(0, Ordering::Relaxed);
    }
}

impl Readings {
    fn follow(&mut self, leader: NodeId) {
        if self.leader != Some(leader) {
            self.leader = Some(leader);
            self.last.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_is_measured_from_the_middle_of_the_round_trip() {
        let clock = Clock::default();
        clock.observe(2, 1000, 1011, 5005, Duration::from_millis(11));
        assert_eq!(clock.offset_ms(), 4000);
    }

    #[test]
    fn reading_with_the_shortest_round_trip_counts() {
        let clock = Clock::default();
        clock.observe(2, 1000, 1002, 1101, Duration::from_millis(2));
        clock.observe(2, 2000, 2400, 2250, Duration::from_millis(400));
        assert_eq!(clock.offset_ms(), 100);
        for _ in 0..READINGS {
            clock.observe(2, 3000, 3004, 3052, Duration::from_millis(4));
        }
        assert_eq!(clock.offset_ms(), 50);
    }

    #[test]
    fn readings_of_another_leader_are_forgotten() {
        let clock = Clock::default();
        clock.observe(2, 1000, 1000, 900, Duration::ZERO);
        clock.observe(3, 1000, 1010, 1505, Duration::from_millis(10));
        assert_eq!(clock.offset_ms(), 500);
        clock.lead(1);
        assert_eq!(clock.offset_ms(), 0);
    }
}
