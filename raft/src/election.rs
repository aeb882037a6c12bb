//! Elections: when this node stands for leader, and whom it encourages (reference raft-and-storage 6).
//!
//! openraft's own election timer is switched off, because it raises the term without asking: a node that was frozen for
//! a moment would depose a healthy leader. Here a node that has not heard of a leader for `election_max` and a little
//! more first asks all voters whether they miss the leader too. Only a majority of yes starts an election. No node's
//! term or vote changes by asking, so this cannot weaken what Raft guarantees; it only delays elections.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use openraft::{Raft, ServerState, metrics::RaftServerMetrics};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    batcher::leads_with_quorum,
    config::Timing,
    transport::client::Peers,
    type_config::{LogId, Membership, NodeId, NodeInfo, TypeConfig, Vote},
};

/// A node waits this much longer than `election_max`, at random, so that nodes rarely stand at the same time.
const JITTER_MS: std::ops::Range<u64> = 40..200;
/// What a hand-over may take besides waiting for leases to end.
const HAND_OVER_MARGIN: Duration = Duration::from_millis(500);

/// How long the target of a hand-over tries: the voters' leases on the former leader end meanwhile.
pub(crate) fn hand_over_limit(timing: Timing) -> Duration {
    Duration::from_millis(timing.election_max_ms) * 2 + HAND_OVER_MARGIN
}

/// When this node last heard of a leader, and last voted.
#[derive(Debug)]
pub(crate) struct Heard {
    origin: Instant,
    leader_ms: AtomicU64,
    vote_ms: AtomicU64,
}

impl Heard {
    /// Starting counts as hearing: a node that was just started waits like all others.
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), leader_ms: AtomicU64::new(0), vote_ms: AtomicU64::new(0) }
    }

    fn note(&self, event: &AtomicU64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.origin).as_millis();
        event.fetch_max(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn instant(&self, event: &AtomicU64) -> Instant {
        self.origin + Duration::from_millis(event.load(Ordering::Relaxed))
    }

    /// A message of the leader was accepted.
    pub(crate) fn leader(&self) {
        self.note(&self.leader_ms, Instant::now());
    }

    /// This node has voted for another one, which should now have time to win.
    pub(crate) fn voted(&self) {
        self.note(&self.vote_ms, Instant::now());
    }

    fn last_event(&self) -> Instant {
        self.instant(&self.leader_ms).max(self.instant(&self.vote_ms))
    }

    /// Whether no leader was heard of for that long.
    pub(crate) fn silent_for(&self, limit: Duration) -> bool {
        self.silent_at(Instant::now(), limit)
    }

    fn silent_at(&self, now: Instant, limit: Duration) -> bool {
        now.saturating_duration_since(self.instant(&self.leader_ms)) >= limit
    }
}

/// The part of openraft's metrics that changes rarely.
pub(crate) type ServerMetrics = RaftServerMetrics<NodeId, NodeInfo>;

/// A copy of the current metrics; holding the borrowed value would block the core.
pub(crate) fn server_metrics(raft: &Raft<TypeConfig>) -> ServerMetrics {
    raft.server_metrics().borrow().clone()
}

/// Waits for a condition; false when the sender is gone, which means that Raft has stopped.
///
/// Unlike [`watch::Receiver::wait_for`] this does not hand out the lock on the value.
pub(crate) async fn reached<T>(receiver: &mut watch::Receiver<T>, condition: impl FnMut(&T) -> bool) -> bool {
    receiver.wait_for(condition).await.is_ok()
}

/// The last entry of this node's log.
pub(crate) fn last_log(raft: &Raft<TypeConfig>) -> Option<LogId> {
    raft.data_metrics().borrow().last_log
}

/// Whether a set of nodes can elect: a majority of every configuration (two during a change of members).
pub(crate) fn is_quorum(members: &Membership, granted: &BTreeSet<NodeId>) -> bool {
    let configs = members.get_joint_config();
    !configs.is_empty()
        && configs.iter().all(|voters| voters.intersection(granted).count() > voters.len() / 2)
}

/// Whether this node would vote for `candidate`, whose log ends at `last`.
pub(crate) fn would_vote(
    raft: &Raft<TypeConfig>,
    heard: &Heard,
    timing: Timing,
    candidate: NodeId,
    last: Option<LogId>,
) -> bool {
    let metrics = server_metrics(raft);
    let members = metrics.membership_config.membership();
    // A node without members has not been told of the cluster yet, and cannot judge.
    let is_voter = members.get_joint_config().is_empty() || members.voter_ids().any(|id| id == candidate);
    metrics.state != ServerState::Leader
        && is_voter
        && heard.silent_for(Duration::from_millis(timing.election_max_ms))
        && last_log(raft) <= last
}

/// Stands for leader when there is none.
pub(crate) struct ElectionDriver {
    pub(crate) raft: Raft<TypeConfig>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) heard: Arc<Heard>,
    pub(crate) timing: Timing,
    pub(crate) node: NodeId,
}

impl ElectionDriver {
    pub(crate) async fn run(self) {
        let election_max = Duration::from_millis(self.timing.election_max_ms);
        let mut not_before = Instant::now();
        let mut wait = election_max + jitter();
        loop {
            let due = self.heard.last_event().max(not_before) + wait;
            if due > Instant::now() {
                sleep_until(due).await;
                continue;
            }
            // Leaders, learners and removed nodes only look again later.
            not_before = Instant::now();
            wait = election_max + jitter();
            let metrics = server_metrics(&self.raft);
            let members = metrics.membership_config.membership();
            if metrics.state == ServerState::Leader || !members.voter_ids().any(|id| id == self.node) {
                continue;
            }
            if self.would_win(members).await {
                tracing::info!(node = self.node, "no leader was heard of, standing for election");
                if self.raft.trigger().elect().await.is_err() {
                    return;
                }
            } else {
                // Asking costs little, so ask again soon.
                wait = jitter();
            }
        }
    }

    async fn would_win(&self, members: &Membership) -> bool {
        let mut granted = BTreeSet::from([self.node]);
        if is_quorum(members, &granted) {
            return true;
        }
        let last = last_log(&self.raft);
        let limit = Duration::from_millis(self.timing.election_min_ms);
        let others: BTreeSet<NodeId> = members.voter_ids().filter(|id| *id != self.node).collect();
        let mut answers: FuturesUnordered<_> = others
            .into_iter()
            .filter_map(|id| members.get_node(&id).map(|info| (id, info.raft_addr.clone())))
            .map(|(id, address)| async move {
                (id, timeout(limit, self.peers.pre_vote(id, &address, last)).await)
            })
            .collect();
        while let Some((id, answer)) = answers.next().await {
            if let Ok(Ok(true)) = answer {
                granted.insert(id);
                if is_quorum(members, &granted) {
                    return true;
                }
            }
        }
        false
    }
}

/// The leader whose vote is `former` has asked this node to take over: elections without asking around, until there is a
/// new leader. Nobody needs to wait for the former leader any more, and the vote requests say so.
pub(crate) async fn take_over(
    raft: Raft<TypeConfig>,
    peers: Arc<Peers>,
    node: NodeId,
    former: Vote,
    timing: Timing,
) {
    let from = former.leader_id.node_id;
    let deadline = Instant::now() + hand_over_limit(timing);
    // So long a vote request is under way at most; an earlier new election would throw away the votes of this one.
    let step = Duration::from_millis(timing.election_min_ms);
    peers.set_handed_over_by(Some(former));
    while Instant::now() < deadline {
        let metrics = server_metrics(&raft);
        let other = metrics.current_leader.is_some_and(|leader| leader != from && leader != node);
        if metrics.state == ServerState::Leader || other || raft.trigger().elect().await.is_err() {
            break;
        }
        let mut changed = raft.server_metrics();
        let elected = reached(&mut changed, |metrics| metrics.state == ServerState::Leader);
        if timeout(step, elected).await.is_ok() {
            break;
        }
    }
    peers.set_handed_over_by(None);
}

/// Makes a leader that hears no majority fall silent.
///
/// When messages reach its followers and the answers do not come back, its heartbeats would keep them from electing a leader
/// that can commit. So it sends nothing for as long as they need to elect one, and tries again after that.
pub(crate) async fn fall_silent(raft: Raft<TypeConfig>, peers: Arc<Peers>, timing: Timing) {
    let election_max = Duration::from_millis(timing.election_max_ms);
    let tries = Duration::from_millis(timing.election_min_ms);
    let silence = election_max + tries + Duration::from_millis(JITTER_MS.end);
    while is_running(&raft) {
        sleep(Duration::from_millis(timing.heartbeat_ms)).await;
        if leads_with_quorum(&raft, election_max * 2) == Some(false) {
            tracing::warn!("leading without the answers of a majority; silent so that another node can lead");
            peers.set_silent(true);
            sleep(silence).await;
            peers.set_silent(false);
            sleep(tries).await;
        }
    }
}

fn is_running(raft: &Raft<TypeConfig>) -> bool {
    raft.server_metrics().borrow().state != ServerState::Shutdown
}

fn jitter() -> Duration {
    let mut random = [0; 8];
    // Without randomness nodes may stand at the same time and one of them has to try again.
    let _ = getrandom::fill(&mut random);
    let span = JITTER_MS.end - JITTER_MS.start;
    Duration::from_millis(JITTER_MS.start + u64::from_le_bytes(random) % span)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn members(configs: &[&[NodeId]]) -> Membership {
        let configs: Vec<BTreeSet<NodeId>> =
            configs.iter().map(|ids| ids.iter().copied().collect()).collect();
        let nodes: BTreeMap<NodeId, NodeInfo> =
            configs.iter().flatten().map(|id| (*id, NodeInfo::default())).collect();
        Membership::new(configs, nodes)
    }

    #[test]
    fn quorum_is_a_majority_of_every_configuration() {
        let check = |configs: &[&[NodeId]], granted: &[NodeId], expected: bool| {
            let granted = granted.iter().copied().collect();
            assert_eq!(is_quorum(&members(configs), &granted), expected, "{configs:?} {granted:?}");
        };
        check(&[&[1]], &[1], true);
        check(&[&[1, 2]], &[1], false);
        check(&[&[1, 2, 3]], &[1], false);
        check(&[&[1, 2, 3]], &[1, 3], true);
        check(&[&[1, 2, 3, 4]], &[1, 3], false);
        check(&[&[1, 2, 3]], &[1, 7, 8], false);
        check(&[&[1, 2, 3], &[3, 4, 5]], &[1, 2], false);
        check(&[&[1, 2, 3], &[3, 4, 5]], &[1, 3, 4], true);
        check(&[], &[1], false);
    }

    #[test]
    fn silence_is_measured_from_the_last_message_of_the_leader() {
        let heard = Heard::new();
        let (start, limit) = (heard.origin, Duration::from_millis(450));
        assert!(!heard.silent_at(start, limit), "starting counts as hearing");
        assert!(heard.silent_at(start + limit, limit));
        heard.note(&heard.leader_ms, start + limit);
        assert!(!heard.silent_at(start + limit, limit));
        heard.note(&heard.vote_ms, start + limit * 2);
        assert!(heard.silent_at(start + limit * 2, limit), "a vote is no sign of a leader");
        assert_eq!(heard.last_event(), start + limit * 2, "but it delays an election of our own");
    }
}
