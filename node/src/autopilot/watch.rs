//! How long members have been well or silent.

use std::collections::BTreeMap;

use tessera_raft::cluster::{NodeStatus, PROMOTION_LAG};
use tokio::time::Instant;

use super::Since;
use super::plan::Health;

/// What the leader has seen of the members since it leads.
#[derive(Debug, Default)]
pub(super) struct Watch {
    healthy_since: Since,
    silent_since: Since,
    lag: BTreeMap<u64, Option<u64>>,
}

impl Watch {
    /// Notes a round of answers; `lag` is what the leader knows of a member's log.
    pub(super) fn note(&mut self, answers: &[NodeStatus], now: Instant, lag: impl Fn(u64) -> Option<u64>) {
        self.lag = answers.iter().map(|status| (status.id, lag(status.id))).collect();
        self.healthy_since.retain(|id, _| self.lag.contains_key(id));
        self.silent_since.retain(|id, _| self.lag.contains_key(id));
        for status in answers {
            let id = status.id;
            let close = self.lag.get(&id).copied().flatten().is_some_and(|lag| lag < PROMOTION_LAG);
            keep(&mut self.healthy_since, id, now, status.reachable && close);
            keep(&mut self.silent_since, id, now, !status.reachable);
        }
    }

    pub(super) fn health(&self, now: Instant) -> BTreeMap<u64, Health> {
        let time = |since: &Since, id: &u64| since.get(id).map(|at| now.saturating_duration_since(*at));
        self.lag
            .iter()
            .map(|(id, lag)| {
                let healthy_for = time(&self.healthy_since, id);
                (*id, Health { healthy_for, silent_for: time(&self.silent_since, id), lag: *lag })
            })
            .collect()
    }
}

/// Remembers since when something is so.
fn keep(since: &mut Since, id: u64, now: Instant, is_so: bool) {
    if is_so {
        since.entry(id).or_insert(now);
    } else {
        since.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(id: u64, reachable: bool) -> NodeStatus {
        NodeStatus {
            id,
            role: None,
            voter: true,
            term: 1,
            last_log_index: 0,
            applied_index: 0,
            snapshot_index: 0,
            lag: 0,
            version: String::new(),
            reachable,
            raft_addr: String::new(),
            api_url: String::new(),
            supported_level: 1,
            checkpoint: None,
            diverged_from: Vec::new(),
            announcement: String::new(),
        }
    }

    #[test]
    fn times_begin_anew_after_every_break() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut watch = Watch::default();
        let mut at = |seconds: u32, reachable: bool, lag: u64| {
            let now = start + second * seconds;
            watch.note(&[answer(2, reachable)], now, |_| Some(lag));
            watch.health(now).get(&2).copied().unwrap()
        };
        let health = |healthy_for: Option<u64>, silent_for: Option<u64>, lag| Health {
            healthy_for: healthy_for.map(Duration::from_secs),
            silent_for: silent_for.map(Duration::from_secs),
            lag: Some(lag),
        };
        assert_eq!(at(0, true, PROMOTION_LAG), health(None, None, PROMOTION_LAG));
        assert_eq!(at(1, true, 5), health(Some(0), None, 5));
        assert_eq!(at(3, true, 0), health(Some(2), None, 0));
        assert_eq!(at(4, false, 0), health(None, Some(0), 0));
        assert_eq!(at(9, false, 0), health(None, Some(5), 0));
        assert_eq!(at(10, true, 0), health(Some(0), None, 0));
    }

    #[test]
    fn who_is_no_member_any_more_is_forgotten() {
        let now = Instant::now();
        let mut watch = Watch::default();
        watch.note(&[answer(2, true), answer(3, false)], now, |_| Some(0));
        watch.note(&[answer(2, true)], now, |_| Some(0));
        assert_eq!(watch.health(now).into_keys().collect::<Vec<_>>(), [2]);
    }
}
