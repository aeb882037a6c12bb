//! The loop of one client: one request open at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::args::{Args, Spread};
use crate::http_client::{Connection, Target};
use crate::plan::{Count, Kind, Outcome, Plan, Step};
use crate::setup::REALM;
use crate::stats::{GapMeter, Stats};

/// Pause after a request without a verdict, so that a dead node is not hammered.
const PAUSE: Duration = Duration::from_millis(20);

/// Begin of the warm-up, begin and end of the measured time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) first: Instant,
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
}

/// One client.
pub(crate) struct Worker {
    targets: Arc<[Target]>,
    connections: Vec<Connection>,
    /// The node of the next request.
    node: usize,
    spread: Spread,
    plan: Plan,
    gap: Arc<GapMeter>,
    timeout: Duration,
    /// Open loop: time between two requests of this client, and of its first one after the start.
    pace: Option<(Duration, Duration)>,
    latency_from_due: bool,
}

impl Worker {
    pub(crate) fn new(
        index: usize,
        args: &Args,
        targets: Arc<[Target]>,
        plan: Plan,
        gap: Arc<GapMeter>,
    ) -> Self {
        Self {
            connections: targets.iter().map(|_| Connection::default()).collect(),
            node: index % targets.len().max(1),
            targets,
            spread: args.spread,
            plan,
            gap,
            timeout: Duration::from_secs(args.timeout),
            pace: args.rate.map(|rate| pace(index, args.connections, rate)),
            latency_from_due: args.latency_from_due,
        }
    }

    /// Sends requests until the end of the measured time.
    pub(crate) async fn run(mut self, clock: Clock) -> anyhow::Result<Stats> {
        let mut stats = Stats::new(self.targets.len())?;
        let mut due = self.pace.map(|(_, offset)| clock.first + offset);
        loop {
            if let Some(due) = due {
                sleep_until(due.min(clock.end)).await;
            }
            let sent = Instant::now();
            if sent >= clock.end {
                return Ok(stats);
            }
            let Some(step) = self.plan.next() else { return Ok(stats) };
            let since = due.filter(|_| self.latency_from_due).unwrap_or(sent);
            let node = self.node_of(&step);
            let outcome = self.send(node, &step).await;
            self.record(&mut stats, clock, (node, since), &step, outcome);
            self.choose_next(outcome);
            if !matches!(outcome, Outcome::Verdict(_)) {
                sleep(PAUSE).await;
            }
            if let (Some(at), Some((interval, _))) = (&mut due, self.pace) {
                *at += interval;
            }
        }
    }

    fn node_of(&self, step: &Step) -> usize {
        let count = self.targets.len().max(1);
        // A client that stays with one node must leave it for a replay.
        let elsewhere = step.kind == Kind::Replay && self.spread == Spread::Client;
        self.node.saturating_add(usize::from(elsewhere)) % count
    }

    async fn send(&mut self, node: usize, step: &Step) -> Outcome {
        let login = self.plan.login(step);
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("user", &format!("{login}@{REALM}"))
            .append_pair("pass", &step.otp)
            .finish();
        match (self.targets.get(node), self.connections.get_mut(node)) {
            (Some(target), Some(connection)) => connection.check(target, body, self.timeout).await,
            _ => Outcome::Unsent,
        }
    }

    fn choose_next(&mut self, outcome: Outcome) {
        let moves = match self.spread {
            Spread::Request => true,
            Spread::Client => !matches!(outcome, Outcome::Verdict(_)),
        };
        if moves {
            self.node = self.node.saturating_add(1) % self.targets.len().max(1);
        }
    }

    fn record(
        &mut self,
        stats: &mut Stats,
        clock: Clock,
        (node, since): (usize, Instant),
        step: &Step,
        outcome: Outcome,
    ) {
        let now = Instant::now();
        let count = self.plan.done(step, outcome);
        let measured = now >= clock.begin && now <= clock.end;
        let success = matches!(count, Count::Good | Count::Settled);
        if measured && success {
            self.gap.success(now.saturating_duration_since(clock.begin));
        }
        match count {
            Count::Good if measured => stats.add_good(node, now.saturating_duration_since(since)),
            Count::Good if now > clock.end => stats.late = stats.late.saturating_add(1),
            Count::Settled if measured => stats.settled = stats.settled.saturating_add(1),
            Count::Error if measured => stats.add_error(node),
            Count::Unexpected => {
                let url = self.targets.get(node).map_or("", |target| target.url.as_str());
                let login = self.plan.login(step);
                stats.add_unexpected(|| format!("{:?} OTP of {login} at {url}: {outcome:?}", step.kind));
            }
            Count::Good | Count::Settled | Count::Error => {}
        }
    }
}

/// Interval of one client and offset of its first request, so that all clients together are evenly spread.
fn pace(index: usize, clients: usize, rate: u32) -> (Duration, Duration) {
    let between = |requests: usize| {
        let nanoseconds = u128::try_from(requests).unwrap_or(u128::MAX).saturating_mul(1_000_000_000);
        Duration::from_nanos(u64::try_from(nanoseconds / u128::from(rate.max(1))).unwrap_or(u64::MAX))
    };
    (between(clients), between(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_all_clients_together() {
        assert_eq!(pace(0, 64, 1000), (Duration::from_millis(64), Duration::ZERO));
        assert_eq!(pace(63, 64, 1000), (Duration::from_millis(64), Duration::from_millis(63)));
        assert_eq!(pace(1, 2, 3).1, Duration::from_nanos(333_333_333));
    }
}
