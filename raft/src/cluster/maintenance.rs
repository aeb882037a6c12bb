//! What a running node does by itself: follow the leader's clock, make snapshots, forget idle sessions, complete a
//! change of members that a former leader left half done.

use std::{sync::Arc, time::Duration};

use openraft::{Raft, ServerState};
use tessera_core::time::UnixMillis;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Inner;
use crate::{
    batch::{Command, encode_command},
    checkpoint::{self, Comparison},
    clock::{Clock, own_clock},
    config::{SnapshotPolicy, StoreConfig},
    election::{reached, server_metrics},
    fault,
    membership::Membership,
    proposer::{Leader, Proposer, leader_of},
    sessions::Sessions,
    state_store::Published,
    transport::forward::{Answer, Forwarder},
    type_config::{NodeId, TypeConfig},
    wal::WalMetrics,
};

/// Between two readings of the leader's clock.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the snapshot policy is looked at.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);
/// Followers wait up to this long, by their node id, so that not all nodes make their snapshot at once.
const SNAPSHOT_SPREAD: Duration = Duration::from_secs(20);

/// Starts the tasks on the current runtime. They hold parts of the store, never the store itself, which ends them.
pub(super) fn start(inner: &Inner, config: &StoreConfig, forwarder: &Arc<Forwarder>, proposer: &Proposer) {
    let raft = &inner.raft;
    tokio::spawn(follow_clock(inner.node, raft.clone(), inner.clock.clone(), forwarder.clone()));
    tokio::spawn(make_snapshots(
        inner.node,
        raft.clone(),
        config.snapshot,
        inner.published.clone(),
        inner.wal.clone(),
    ));
    tokio::spawn(expire_sessions(
        raft.clone(),
        config.session_idle,
        config.commit_timeout,
        inner.published.clone(),
        proposer.clone(),
    ));
    tokio::spawn(open_session(raft.clone(), config.commit_timeout, inner.sessions.clone()));
    tokio::spawn(complete_changes(raft.clone(), inner.membership.clone()));
    let comparison = &inner.comparison;
    tokio::spawn(checkpoint::compute(inner.published.clone(), comparison.checkpoints.clone()));
    tokio::spawn(comparison.clone().run());
    tokio::spawn(make_checkpoints(
        config.checkpoint_interval,
        config.commit_timeout,
        inner.published.clone(),
        comparison.clone(),
    ));
}

/// Measures the leader's clock every second and at once when the leader changes.
async fn follow_clock(node: NodeId, raft: Raft<TypeConfig>, clock: Arc<Clock>, forwarder: Arc<Forwarder>) {
    let mut metrics = raft.server_metrics();
    loop {
        let leader = leader_of(&metrics.borrow_and_update());
        match &leader {
            Leader::Here => {
                forwarder.leader_changed(None);
                clock.lead(node);
            }
            Leader::There(id, info) => {
                forwarder.leader_changed(Some(*id));
                let (asked, began) = (own_clock(), Instant::now());
                if let Ok(Answer::Clock(read)) = timeout(CLOCK_INTERVAL, forwarder.clock(*id, info)).await {
                    clock.observe(*id, asked, own_clock(), read, began.elapsed());
                }
            }
            Leader::Nobody => forwarder.leader_changed(None),
        }
        let changed = reached(&mut metrics, |metrics| leader_of(metrics) != leader);
        if timeout(CLOCK_INTERVAL, changed).await == Ok(false) {
            return;
        }
    }
}

/// Makes a snapshot when enough has happened since the last one.
async fn make_snapshots(
    node: NodeId,
    raft: Raft<TypeConfig>,
    policy: SnapshotPolicy,
    published: Arc<Published>,
    wal: Arc<WalMetrics>,
) {
    let mut ticks = interval(SNAPSHOT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let spread = SNAPSHOT_SPREAD.min(policy.pause) / 4 * u32::try_from(node % 4).unwrap_or_default();
    let (mut bytes, mut revision, mut made) =
        (wal.bytes_written(), published.applied().borrow().revision.0, Instant::now());
    let mut asked = fault::snapshot_number();
    loop {
        ticks.tick().await;
        if raft.metrics().borrow().running_state.is_err() {
            return;
        }
        let (bytes_now, revision_now) = (wal.bytes_written(), published.applied().borrow().revision.0);
        let due = bytes_now.saturating_sub(bytes) >= policy.log_bytes
            || revision_now.saturating_sub(revision) >= policy.transactions
            || (made.elapsed() >= policy.interval && revision_now > revision);
        let ask = fault::snapshot_number();
        if ask != asked || (due && made.elapsed() >= policy.pause + spread) {
            asked = ask;
            if raft.trigger().snapshot().await.is_err() {
                return;
            }
            (bytes, revision, made) = (bytes_now, revision_now, Instant::now());
        }
    }
}

/// The leader puts a checkpoint into the log when the last one is old enough and something was applied behind it.
async fn make_checkpoints(
    pause: Duration,
    commit_timeout: Duration,
    published: Arc<Published>,
    comparison: Comparison,
) {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if server_metrics(&comparison.raft).state != ServerState::Leader {
            if comparison.raft.metrics().borrow().running_state.is_err() {
                return;
            }
            continue;
        }
        let applied = published.applied().borrow().log_id.map(|id| id.index);
        if applied == comparison.checkpoints.newest().map(|newest| newest.index) {
            continue;
        }
        // A failure is no matter: the next leader, or this one a little later, does it again.
        if let Err(error) = comparison.checkpoint(Instant::now() + commit_timeout).await {
            tracing::debug!(error = %error, "no checkpoint was made");
        }
    }
}

/// The leader forgets sessions that were not used for long. Nothing is proposed while there are none.
async fn expire_sessions(
    raft: Raft<TypeConfig>,
    idle: Duration,
    commit_timeout: Duration,
    published: Arc<Published>,
    proposer: Proposer,
) {
    let mut ticks = interval((idle / 10).clamp(Duration::from_millis(100), Duration::from_secs(60)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
    loop {
        ticks.tick().await;
        if server_metrics(&raft).state != ServerState::Leader {
            if raft.metrics().borrow().running_state.is_err() {
                return;
            }
            continue;
        }
        let idle_since = UnixMillis(own_clock().saturating_sub(idle_ms));
        if !published.state().sessions().any(|(_, session)| session.last_used < idle_since) {
            continue;
        }
        // A failure is no matter: the next leader, or this one a little later, does it again.
        if let Ok(command) = encode_command(&Command::ExpireSessions { idle_since }) {
            let _ = proposer.propose(command, Instant::now() + commit_timeout).await;
        }
    }
}

/// Opens the node's first session as soon as there is a leader.
async fn open_session(raft: Raft<TypeConfig>, limit: Duration, sessions: Arc<Sessions>) {
    let mut metrics = raft.server_metrics();
    while reached(&mut metrics, |metrics| leader_of(metrics) != Leader::Nobody).await {
        if sessions.open(limit).await {
            return;
        }
    }
}

/// On becoming leader: a change that stopped half way is completed.
async fn complete_changes(raft: Raft<TypeConfig>, membership: Arc<Membership>) {
    let mut metrics = raft.server_metrics();
    while reached(&mut metrics, |metrics| metrics.state == ServerState::Leader).await {
        if let Err(error) = membership.complete_joint_change().await {
            tracing::warn!(error = %error, "cannot complete the change of members");
        }
        if !reached(&mut metrics, |metrics| metrics.state != ServerState::Leader).await {
            return;
        }
    }
}
