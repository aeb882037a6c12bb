//! The replicated store as the rest of the program sees it: view, commit, barrier, members, status.
//!
//! Raft, the connections between nodes and the queue of proposals run on a runtime of their own, so that password
//! hashing, directories and HTTP cannot starve them (reference raft-and-storage 12). No type of openraft, sled or tonic
//! appears in this module's interface.

mod admission;
mod compare;
mod maintenance;
mod metrics;
mod open;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use openraft::{Raft, ServerState};
use tessera_core::{
    time::UnixMillis,
    txn::{Outcome, Revision, Txn},
    view::StateRead,
};
use tokio::{
    runtime::Runtime,
    sync::mpsc,
    time::{Instant, error::Elapsed, timeout, timeout_at},
};

use crate::{
    barrier::ReadIndexes,
    batcher::{Batcher, leads_with_quorum},
    checkpoint::{self, Comparison},
    clock::Clock,
    config::{StoreConfig, Timing},
    election::{Heard, reached, server_metrics},
    history::{History, HistoryReader},
    identity::OwnIdentity,
    level::FIRST_LEVEL,
    log_store::LogReader,
    membership::Membership,
    sessions::Sessions,
    state_store::{Applied, Published},
    transport::{client::Peers, forward::Forwarder, proto},
    type_config::{NodeId, TypeConfig},
    wal::WalMetrics,
};
use metrics::CommitCounters;

pub use crate::{
    checkpoint::{ComparedState, StateCheckpoint},
    config::{InvalidConfig, NodeTls, SnapshotPolicy},
    histogram::Distribution,
    history::{ChainHash, HistoryError, HistoryFault, HistoryHead},
    identity::{IdentityError, Unique},
    membership::{ClusterError, PROMOTION_LAG},
    sessions::CommitError,
    state::State,
    status::{LocalStatus, Member, NodeStatus, Role, StoreDistributions, StoreMetrics},
    transport::joining::{JoinDecision, JoinRequest},
};
pub use admission::JoinAnswer;
pub use compare::HistoryCheck;
pub use open::OpenError;

/// Between two attempts of a barrier.
const BARRIER_RETRY: Duration = Duration::from_millis(50);
/// Time limit for a member's answer about its status.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);
/// Time limit for ending the tasks when stopping.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// A node's replicated store. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("node", &self.inner.node).finish_non_exhaustive()
    }
}

struct Inner {
    node: NodeId,
    own: Arc<OwnIdentity>,
    /// What this node tells others about where it is.
    place: Member,
    join_requests: Mutex<Option<mpsc::Receiver<JoinRequest>>>,
    timing: Timing,
    commit_timeout: Duration,
    listen_addr: SocketAddr,
    format_level: u32,
    raft: Raft<TypeConfig>,
    peers: Arc<Peers>,
    published: Arc<Published>,
    history: Arc<History>,
    log: LogReader,
    wal: Arc<WalMetrics>,
    heard: Arc<Heard>,
    clock: Arc<Clock>,
    batcher: Batcher,
    read_indexes: ReadIndexes,
    sessions: Arc<Sessions>,
    membership: Arc<Membership>,
    comparison: Comparison,
    forwarder: Arc<Forwarder>,
    counters: CommitCounters,
    announcement: Arc<ArcSwap<String>>,
    runtime: OwnRuntime,
}

/// The runtime of Raft. It is ended without waiting when the last handle goes away, because that may happen inside
/// another runtime, where waiting is not allowed.
#[derive(Debug)]
struct OwnRuntime {
    handle: tokio::runtime::Handle,
    runtime: Mutex<Option<Runtime>>,
}

impl OwnRuntime {
    fn new(runtime: Runtime) -> Self {
        Self { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)) }
    }

    fn take(&self) -> Option<Runtime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.take() {
            runtime.shutdown_background();
        }
    }
}

impl Store {
    /// Opens the store of a node: reads the disk, starts Raft and listens for the other nodes.
    ///
    /// # Errors
    /// When the configuration or the certificates cannot be used, the disk is not in order, or the address is taken.
    /// The text is for operators.
    pub async fn open(config: StoreConfig) -> Result<Self, OpenError> {
        open::open(config).await
    }

    /// Makes the first members of a new cluster. Exactly one node does this, once.
    ///
    /// # Errors
    /// When this node has a log or a snapshot already, or the members are not usable.
    pub async fn bootstrap(&self, members: BTreeMap<u64, Member>) -> Result<(), ClusterError> {
        if self.is_initialized() {
            return Err(ClusterError::AlreadyInitialized);
        }
        self.on_raft_runtime(|membership| async move { membership.bootstrap(members).await }).await
    }

    /// Whether this node belongs to a cluster: it was initialised, or has received something of a leader.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        self.inner.log.last_log_id().is_some() || self.inner.published.applied().borrow().log_id.is_some()
    }

    /// The address the node listens on for other nodes.
    #[must_use]
    pub fn listen_addr(&self) -> SocketAddr {
        self.inner.listen_addr
    }

    /// The newest state applied on this node, pinned. It may be older than what other nodes have.
    #[must_use]
    pub fn view(&self) -> Arc<State> {
        self.inner.published.state()
    }

    /// Commits a transaction from any node. It is applied at most once.
    ///
    /// `Committed` and `Conflict` come back wrapped in `Duplicate` when the answer to an earlier attempt was lost.
    ///
    /// # Errors
    /// See [`CommitError`]; only with `OutcomeUnknown` the transaction may have been applied.
    pub async fn commit(&self, txn: Txn) -> Result<Outcome, CommitError> {
        let inner = &self.inner;
        inner.counters.commits.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let committed = inner.sessions.commit(txn, inner.commit_timeout).await;
        inner.counters.times.add_time(began.elapsed());
        match &committed {
            Ok(Outcome::Conflict(..)) => {
                inner.counters.conflicts.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Outcome::Duplicate(_)) => {
                inner.counters.duplicates.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(_) => {
                inner.counters.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        committed
    }

    /// A state that contains everything that was committed, on any node, before this call.
    ///
    /// # Errors
    /// [`CommitError::Unavailable`] when no leader with a majority answered in time.
    pub async fn barrier(&self) -> Result<Arc<State>, CommitError> {
        let deadline = Instant::now() + self.inner.commit_timeout;
        let index = loop {
            match timeout_at(deadline, self.inner.read_indexes.index()).await {
                Ok(Ok(index)) => break index,
                Ok(Err(_)) if !self.is_running() => return Err(CommitError::Stopping),
                Ok(Err(_)) if Instant::now() + BARRIER_RETRY < deadline => {
                    let mut metrics = self.inner.raft.server_metrics();
                    metrics.mark_unchanged();
                    // Woken by a change of leader, or after a while.
                    let _ = timeout(BARRIER_RETRY, metrics.changed()).await;
                }
                Ok(Err(_)) | Err(_) => return Err(CommitError::Unavailable),
            }
        };
        let mut applied = self.inner.published.applied();
        let enough = |applied: &Applied| index == 0 || applied.log_id.is_some_and(|id| id.index >= index);
        self.view_when(&timeout_at(deadline, reached(&mut applied, enough)).await)
    }

    /// The state once this node has applied a revision.
    ///
    /// # Errors
    /// [`CommitError::Unavailable`] when that takes longer than until the deadline.
    pub async fn wait_applied(
        &self,
        revision: Revision,
        deadline: Instant,
    ) -> Result<Arc<State>, CommitError> {
        let mut applied = self.inner.published.applied();
        let enough = |applied: &Applied| applied.revision >= revision;
        self.view_when(&timeout_at(deadline, reached(&mut applied, enough)).await)
    }

    fn view_when(&self, reached: &Result<bool, Elapsed>) -> Result<Arc<State>, CommitError> {
        match reached {
            Ok(true) => Ok(self.view()),
            Ok(false) => Err(CommitError::Stopping),
            Err(_) => Err(CommitError::Unavailable),
        }
    }

    /// The cluster's time: the leader's clock as measured here, and never before the state's time.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.inner.clock.now().max(StateRead::time(&*self.view()))
    }

    /// What is added to this node's clock to get the leader's, in milliseconds.
    #[must_use]
    pub fn clock_offset_ms(&self) -> i64 {
        self.inner.clock.offset_ms()
    }

    /// Whether Raft runs. It stops for good when the disk fails.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.inner.raft.metrics().borrow().running_state.is_ok()
    }

    /// This node, without asking anybody.
    #[must_use]
    pub fn status(&self) -> LocalStatus {
        let inner = &self.inner;
        let metrics = inner.raft.metrics().borrow().clone();
        let members = metrics.membership_config.membership();
        let limit = Duration::from_millis(inner.timing.election_max_ms);
        let in_touch = metrics.current_leader.is_some() && !inner.heard.silent_for(limit.saturating_mul(2));
        LocalStatus {
            node_id: inner.node,
            role: role(metrics.state),
            leader: metrics.current_leader,
            term: metrics.current_term,
            last_log_index: metrics.last_log_index.unwrap_or_default(),
            applied_index: metrics.last_applied.map_or(0, |id| id.index),
            revision: inner.published.applied().borrow().revision.0,
            snapshot_index: metrics.snapshot.map_or(0, |id| id.index),
            voters: members.voter_ids().collect(),
            members: members.nodes().map(|(id, info)| (*id, member(info))).collect(),
            joint: members.get_joint_config().len() > 1,
            quorum: leads_with_quorum(&inner.raft, limit).unwrap_or(in_touch),
            running: metrics.running_state.is_ok(),
            checkpoint: inner.comparison.checkpoints.newest(),
            diverged_from: inner.comparison.checkpoints.diverged(),
            supported_level: inner.format_level,
            format_level: inner.published.format_level(),
        }
    }

    /// All members, each asked how it sees itself.
    pub async fn cluster_status(&self) -> Vec<NodeStatus> {
        let metrics = server_metrics(&self.inner.raft);
        let members = metrics.membership_config.membership();
        let asked: Vec<_> = members
            .nodes()
            .map(|(id, info)| {
                let (id, address, peers) = (*id, info.raft_addr.clone(), self.inner.peers.clone());
                let own = (id == self.inner.node).then(|| own_reply(&self.status(), self.announcement()));
                let asked = self.inner.runtime.handle.spawn(async move {
                    match own {
                        Some(reply) => Some(reply),
                        None => timeout(STATUS_TIMEOUT, peers.node_status(id, &address)).await.ok()?.ok(),
                    }
                });
                (id, member(info), members.voter_ids().any(|voter| voter == id), asked)
            })
            .collect();
        let mut answers = Vec::with_capacity(asked.len());
        for (id, member, voter, asked) in asked {
            answers.push(node_status(id, member, voter, asked.await.ok().flatten()));
        }
        let head = answers.iter().map(|node| node.last_log_index).max().unwrap_or_default();
        for node in &mut answers {
            node.lag = if node.reachable { head.saturating_sub(node.applied_index) } else { 0 };
        }
        answers
    }

    /// Sets what other nodes are told about this one when they ask for its status.
    pub fn announce(&self, text: String) {
        self.inner.announcement.store(Arc::new(text));
    }

    fn announcement(&self) -> String {
        self.inner.announcement.load().to_string()
    }

    /// The audit trail and reporting rows of this node.
    #[must_use]
    pub fn history(&self) -> HistoryReader {
        self.inner.history.reader()
    }

    /// Makes a snapshot soon, whatever the policy says.
    ///
    /// # Errors
    /// When the node is stopping.
    pub async fn snapshot(&self) -> Result<(), ClusterError> {
        self.on_raft_runtime(|membership| async move { membership.snapshot().await }).await
    }

    /// Adds a node that receives the log and does not vote. Only on the leader; may be repeated.
    ///
    /// # Errors
    /// When the id or the address is in use, or the change is not confirmed.
    pub async fn add_learner(&self, node: u64, member: Member) -> Result<(), ClusterError> {
        self.on_raft_runtime(move |membership| async move { membership.add_learner(node, member).await })
            .await
    }

    /// Entries of the log that a member does not have yet. Only on the leader; `None` when nothing was heard of it.
    #[must_use]
    pub fn lag(&self, node: u64) -> Option<u64> {
        self.inner.membership.lag(node)
    }

    /// Gives a learner a vote. Only on the leader; may be repeated.
    ///
    /// # Errors
    /// When its log is still far behind, or the change is not confirmed.
    pub async fn promote(&self, node: u64) -> Result<(), ClusterError> {
        self.on_raft_runtime(move |membership| async move { membership.promote(node).await }).await
    }

    /// Removes a node for ever; its id must never be used again. Only on the leader, and not the leader itself.
    ///
    /// # Errors
    /// When it is the leader or the last voter, or the change is not confirmed.
    pub async fn remove(&self, node: u64) -> Result<(), ClusterError> {
        self.on_raft_runtime(move |membership| async move { membership.remove(node).await }).await
    }

    /// Gives a member another address. Only on the leader.
    ///
    /// # Errors
    /// When the address is in use, or the change is not confirmed.
    pub async fn set_address(&self, node: u64, member: Member) -> Result<(), ClusterError> {
        self.on_raft_runtime(move |membership| async move { membership.set_address(node, member).await })
            .await
    }

    /// Hands leadership over to another voter. Only on the leader.
    ///
    /// # Errors
    /// When the target is no voter or does not take over in time; then this node may or may not still lead.
    pub async fn transfer_leadership(&self, target: u64) -> Result<(), ClusterError> {
        self.on_raft_runtime(move |membership| async move { membership.transfer_leadership(target).await })
            .await
    }

    /// Hands leadership to the voter with the most complete log if this node leads. A failure is logged.
    pub async fn hand_over(&self) {
        if let Some(target) = self.successor()
            && let Err(error) = self.transfer_leadership(target).await
        {
            tracing::warn!(target, error = %error, "leadership was not handed over");
        }
    }

    /// Stops the node: hands over leadership if it leads, stops Raft and closes the disk.
    pub async fn shutdown(&self) {
        self.hand_over().await;
        self.kill().await;
    }

    /// Stops the node without a hand-over.
    #[doc(hidden)]
    pub async fn kill(&self) {
        if self.inner.raft.shutdown().await.is_err() {
            tracing::error!("the Raft core has panicked");
        }
        let (history, runtime) = (self.inner.history.clone(), self.inner.runtime.take());
        let ended = tokio::task::spawn_blocking(move || {
            if let Some(runtime) = runtime {
                runtime.shutdown_timeout(STOP_TIMEOUT);
            }
            history.flush()
        });
        if let Ok(Err(error)) = ended.await {
            tracing::warn!(error = %error, "cannot write the last rows of the history");
        }
    }

    /// The runtime of Raft, so that tests can hold it up.
    #[doc(hidden)]
    #[must_use]
    pub fn raft_runtime(&self) -> tokio::runtime::Handle {
        self.inner.runtime.handle.clone()
    }

    /// The voter with the most complete log, if this node leads and there is another one.
    fn successor(&self) -> Option<NodeId> {
        let metrics = server_metrics(&self.inner.raft);
        if metrics.state != ServerState::Leader {
            return None;
        }
        let voters = metrics.membership_config.membership().voter_ids().filter(|id| *id != self.inner.node);
        voters.min_by_key(|id| self.lag(*id).unwrap_or(u64::MAX))
    }

    /// Work on the members uses openraft's timers and opens connections, which belong to the runtime of Raft.
    async fn on_raft_runtime<F>(
        &self,
        work: impl FnOnce(Arc<Membership>) -> F + Send + 'static,
    ) -> Result<(), ClusterError>
    where
        F: Future<Output = Result<(), ClusterError>> + Send + 'static,
    {
        let work = work(self.inner.membership.clone());
        self.inner.runtime.handle.spawn(work).await.unwrap_or(Err(ClusterError::Stopping))
    }
}

fn role(state: ServerState) -> Role {
    match state {
        ServerState::Leader => Role::Leader,
        ServerState::Follower | ServerState::Candidate => Role::Follower,
        ServerState::Learner | ServerState::Shutdown => Role::Learner,
    }
}

fn member(info: &crate::type_config::NodeInfo) -> Member {
    Member { raft_addr: info.raft_addr.clone(), api_url: info.api_url.clone() }
}

fn own_reply(status: &LocalStatus, announcement: String) -> proto::NodeStatusReply {
    use proto::node_status_reply::Role as Wire;
    let role = match status.role {
        Role::Leader => Wire::Leader,
        Role::Follower => Wire::Follower,
        Role::Learner => Wire::Learner,
    };
    proto::NodeStatusReply {
        role: role.into(),
        term: status.term,
        leader: status.leader.unwrap_or_default(),
        last_log_index: status.last_log_index,
        applied_index: status.applied_index,
        snapshot_index: status.snapshot_index,
        version: crate::status::VERSION.to_owned(),
        checkpoints: status.checkpoint.into_iter().map(Into::into).collect(),
        diverged_from: status.diverged_from.clone(),
        level: status.supported_level,
        announcement,
    }
}

fn node_status(id: NodeId, member: Member, voter: bool, reply: Option<proto::NodeStatusReply>) -> NodeStatus {
    use proto::node_status_reply::Role as Wire;
    let reachable = reply.is_some();
    let reply = reply.unwrap_or_default();
    let checkpoint = checkpoint::read(&reply).ok().and_then(|checkpoints| checkpoints.last().copied());
    let role = match reply.role() {
        Wire::Leader => Some(Role::Leader),
        Wire::Follower => Some(Role::Follower),
        Wire::Learner => Some(Role::Learner),
        Wire::Unspecified => None,
    };
    NodeStatus {
        id,
        role,
        voter,
        term: reply.term,
        last_log_index: reply.last_log_index,
        applied_index: reply.applied_index,
        snapshot_index: reply.snapshot_index,
        lag: 0,
        version: reply.version,
        reachable,
        checkpoint,
        diverged_from: reply.diverged_from,
        supported_level: if reachable { reply.level.max(FIRST_LEVEL) } else { 0 },
        raft_addr: member.raft_addr,
        api_url: member.api_url,
        announcement: reply.announcement,
    }
}
