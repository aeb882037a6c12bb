//! Who belongs to the cluster (reference raft-and-storage 10). One change at a time; node ids are never used again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use openraft::{
    ChangeMembers, Raft, ServerState,
    error::{ClientWriteError, InitializeError, RaftError},
};
use thiserror::Error;
use tokio::time::timeout;

use crate::{
    batcher::Batcher,
    config::Timing,
    election::{ServerMetrics, hand_over_limit, reached, server_metrics},
    identity::IdentityError,
    log_store::LogReader,
    status::Member,
    transport::client::Peers,
    type_config::{NodeId, NodeInfo, TypeConfig},
};

/// Time limit of a change.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a hand-over is tried.
const HAND_OVER_ATTEMPTS: u32 = 3;
/// Between two attempts: how long nobody may lead.
const LEADERLESS: Duration = Duration::from_secs(1);
/// How long the target of a hand-over may need to catch up.
const CATCH_UP: Duration = Duration::from_secs(1);
/// A learner this close to the leader's log may become a voter.
pub const PROMOTION_LAG: u64 = 100;

/// Why the members were not changed.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// This node has a log or a snapshot already.
    #[error("this node already belongs to a cluster")]
    AlreadyInitialized,
    /// The members do not include this node.
    #[error("the first members must include node {0}, which initialises the cluster")]
    NotAMember(u64),
    /// Two members have the same address, which would make a node replicate to itself.
    #[error("nodes {0} and {1} have the same address")]
    SameAddress(u64, u64),
    /// Only the leader changes members.
    #[error("this node is not the leader{}", leader.map(|id| format!("; the leader is node {id}")).unwrap_or_default())]
    NotLeader {
        /// The leader, if known.
        leader: Option<u64>,
    },
    /// The node is not known to the cluster.
    #[error("node {0} is not a member")]
    UnknownNode(u64),
    /// The node was a member with another address.
    #[error("node {0} is already a member; node ids are never used again")]
    AlreadyAMember(u64),
    /// The node's log is too far behind for a vote.
    #[error("node {node} is {lag} entries behind; it may vote when it is less than {PROMOTION_LAG} behind")]
    Lagging {
        /// The learner.
        node: u64,
        /// Entries it does not have.
        lag: u64,
    },
    /// The leader cannot remove itself.
    #[error("node {0} is the leader; hand over leadership first")]
    IsLeader(u64),
    /// The last voter cannot be removed.
    #[error("node {0} is the only voter")]
    LastVoter(u64),
    /// The target did not take over.
    #[error("node {0} did not take over leadership in time")]
    NotTakenOver(u64),
    /// Another change is under way.
    #[error("another change of members is under way")]
    InProgress,
    /// There was no majority in time; the change may still happen.
    #[error("the change was not confirmed in time; it may still happen")]
    TimedOut,
    /// The member that would have to do it refuses, or cannot be reached.
    #[error("node {node}: {reason}")]
    Refused {
        /// The member.
        node: u64,
        /// What it says.
        reason: String,
    },
    /// The identity of the data directory could not be written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

/// Changes the members.
pub(crate) struct Membership {
    node: NodeId,
    timing: Timing,
    raft: Raft<TypeConfig>,
    batcher: Batcher,
    log: LogReader,
    peers: Arc<Peers>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
}

fn info(member: Member) -> NodeInfo {
    NodeInfo { raft_addr: member.raft_addr, api_url: member.api_url }
}

fn check_addresses(members: &[(NodeId, &str)]) -> Result<(), ClusterError> {
    let mut seen = BTreeMap::new();
    for &(id, address) in members {
        if let Some(other) = seen.insert(address, id) {
            return Err(ClusterError::SameAddress(other, id));
        }
    }
    Ok(())
}

impl Membership {
    pub(crate) fn new(
        node: NodeId,
        timing: Timing,
        raft: Raft<TypeConfig>,
        batcher: Batcher,
        log: LogReader,
        peers: Arc<Peers>,
    ) -> Self {
        Self { node, timing, raft, batcher, log, peers, changing: tokio::sync::Mutex::default() }
    }

    /// Makes the first members. Exactly one node of a new cluster does this, once.
    pub(crate) async fn bootstrap(&self, members: BTreeMap<NodeId, Member>) -> Result<(), ClusterError> {
        if !members.contains_key(&self.node) {
            return Err(ClusterError::NotAMember(self.node));
        }
        let addresses: Vec<_> = members.iter().map(|(id, member)| (*id, member.raft_addr.as_str())).collect();
        check_addresses(&addresses)?;
        let members: BTreeMap<NodeId, NodeInfo> =
            members.into_iter().map(|(id, member)| (id, info(member))).collect();
        self.raft.initialize(members).await.map_err(|error| match error {
            RaftError::APIError(InitializeError::NotAllowed(_)) => ClusterError::AlreadyInitialized,
            RaftError::APIError(InitializeError::NotInMembers(_)) => ClusterError::NotAMember(self.node),
            RaftError::Fatal(_) => ClusterError::Stopping,
        })
    }

    /// Adds a node that receives the log and does not vote.
    pub(crate) async fn add_learner(&self, node: NodeId, member: Member) -> Result<(), ClusterError> {
        let _one = self.changing.try_lock().map_err(|_| ClusterError::InProgress)?;
        let metrics = server_metrics(&self.raft);
        let members = metrics.membership_config.membership();
        if let Some(known) = members.get_node(&node) {
            // Asked again after a lost answer.
            let same = *known == info(member);
            return if same { Ok(()) } else { Err(ClusterError::AlreadyAMember(node)) };
        }
        let known = members.nodes().map(|(id, info)| (*id, info.raft_addr.as_str()));
        let addresses: Vec<_> = known.chain([(node, member.raft_addr.as_str())]).collect();
        check_addresses(&addresses)?;
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(node, info(member))]))).await
    }

    /// Entries of the leader's log that a member does not have; `None` when nothing was heard of it.
    pub(crate) fn lag(&self, node: NodeId) -> Option<u64> {
        let metrics = self.raft.data_metrics().borrow().clone();
        let last = metrics.last_log.map_or(0, |id| id.index.saturating_add(1));
        let matching = metrics.replication?.get(&node).copied()?.map_or(0, |id| id.index.saturating_add(1));
        Some(last.saturating_sub(matching))
    }

    /// Gives a learner a vote, if its log is nearly complete.
    pub(crate) async fn promote(&self, node: NodeId) -> Result<(), ClusterError> {
        let _one = self.changing.try_lock().map_err(|_| ClusterError::InProgress)?;
        let metrics = self.leading()?;
        let members = metrics.membership_config.membership();
        if members.get_node(&node).is_none() {
            return Err(ClusterError::UnknownNode(node));
        }
        if members.voter_ids().any(|id| id == node) {
            return Ok(());
        }
        let lag = self.lag(node).unwrap_or(u64::MAX);
        if lag >= PROMOTION_LAG {
            return Err(ClusterError::Lagging { node, lag });
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([node]))).await
    }

    /// Removes a node for ever. Its id must not be used again.
    pub(crate) async fn remove(&self, node: NodeId) -> Result<(), ClusterError> {
        let _one = self.changing.try_lock().map_err(|_| ClusterError::InProgress)?;
        let metrics = self.leading()?;
        let members = metrics.membership_config.membership();
        if members.get_node(&node).is_none() {
            return Err(ClusterError::UnknownNode(node));
        }
        if node == self.node {
            return Err(ClusterError::IsLeader(node));
        }
        let voters: BTreeSet<NodeId> = members.voter_ids().collect();
        if voters.contains(&node) {
            if voters.len() == 1 {
                return Err(ClusterError::LastVoter(node));
            }
            // It stays a learner for a moment, so that it learns of its removal and calls for no elections.
            self.change(ChangeMembers::RemoveVoters(BTreeSet::from([node]))).await?;
        }
        self.change(ChangeMembers::RemoveNodes(BTreeSet::from([node]))).await
    }

    /// Gives a member another address.
    pub(crate) async fn set_address(&self, node: NodeId, member: Member) -> Result<(), ClusterError> {
        let _one = self.changing.try_lock().map_err(|_| ClusterError::InProgress)?;
        let metrics = self.leading()?;
        let members = metrics.membership_config.membership();
        if members.get_node(&node).is_none() {
            return Err(ClusterError::UnknownNode(node));
        }
        let others = members.nodes().filter(|(id, _)| **id != node);
        let known = others.map(|(id, info)| (*id, info.raft_addr.as_str()));
        let addresses: Vec<_> = known.chain([(node, member.raft_addr.as_str())]).collect();
        check_addresses(&addresses)?;
        self.change(ChangeMembers::SetNodes(BTreeMap::from([(node, info(member))]))).await
    }

    /// Completes a change that the former leader left half done. To be called on becoming leader.
    pub(crate) async fn complete_joint_change(&self) -> Result<(), ClusterError> {
        let _one = self.changing.lock().await;
        let metrics = self.leading()?;
        let members = metrics.membership_config.membership();
        match members.get_joint_config().as_slice() {
            [_, target] => {
                tracing::info!(voters = ?target, "completing the change of members of the former leader");
                self.change(ChangeMembers::ReplaceAllVoters(target.clone())).await
            }
            _ => Ok(()),
        }
    }

    /// Gives the vote of one member to another one in a single step, so that at no time a larger cluster needs a larger
    /// majority, and removes the first one.
    pub(crate) async fn replace(&self, old: NodeId, new: NodeId) -> Result<(), ClusterError> {
        {
            let _one = self.changing.try_lock().map_err(|_| ClusterError::InProgress)?;
            let metrics = self.leading()?;
            let members = metrics.membership_config.membership();
            if let Some(unknown) = [old, new].into_iter().find(|id| members.get_node(id).is_none()) {
                return Err(ClusterError::UnknownNode(unknown));
            }
            if old == self.node {
                return Err(ClusterError::IsLeader(old));
            }
            let lag = self.lag(new).unwrap_or(u64::MAX);
            if lag >= PROMOTION_LAG {
                return Err(ClusterError::Lagging { node: new, lag });
            }
            let voters = members.voter_ids().filter(|id| *id != old).chain([new]).collect();
            self.change(ChangeMembers::ReplaceAllVoters(voters)).await?;
        }
        self.remove(old).await
    }

    /// Makes a snapshot soon.
    pub(crate) async fn snapshot(&self) -> Result<(), ClusterError> {
        self.raft.trigger().snapshot().await.map_err(|_| ClusterError::Stopping)
    }

    /// Hands leadership over to a voter. Whatever enters the log while the target asks for votes makes it fail, so a
    /// failed attempt is made again as long as this node leads.
    pub(crate) async fn transfer_leadership(&self, target: NodeId) -> Result<(), ClusterError> {
        let mut attempt = 1;
        loop {
            let result = self.transfer_once(target).await;
            if !matches!(result, Err(ClusterError::NotTakenOver(_))) {
                return result;
            }
            // The target may have won late, or nobody may lead for a moment.
            let mut server = self.raft.server_metrics();
            let led = reached(&mut server, |metrics| metrics.current_leader.is_some());
            let _ = timeout(LEADERLESS, led).await;
            let leader = server_metrics(&self.raft).current_leader;
            if leader == Some(target) {
                return Ok(());
            }
            if attempt >= HAND_OVER_ATTEMPTS || leader != Some(self.node) {
                return result;
            }
            attempt += 1;
        }
    }

    async fn transfer_once(&self, target: NodeId) -> Result<(), ClusterError> {
        let metrics = self.leading()?;
        let members = metrics.membership_config.membership();
        let node = members.get_node(&target).filter(|_| members.voter_ids().any(|id| id == target));
        let address = node.ok_or(ClusterError::UnknownNode(target))?.raft_addr.clone();
        if target == self.node {
            return Ok(());
        }
        let _one = self.changing.try_lock().map_err(|_| ClusterError::InProgress)?;
        // Nothing may enter the log any more: the target cannot win with a shorter one, and once it has tried it takes
        // no entries from this leader.
        let Ok(Some(_paused)) = timeout(CATCH_UP, self.batcher.pause()).await else {
            return Err(ClusterError::NotTakenOver(target));
        };
        self.hand_over(target, &address).await
    }

    async fn hand_over(&self, target: NodeId, address: &str) -> Result<(), ClusterError> {
        let last = self.log.last_log_id();
        let mut data = self.raft.data_metrics();
        let caught_up = reached(&mut data, |metrics| {
            let matching = metrics.replication.as_ref().and_then(|all| all.get(&target)).copied().flatten();
            matching >= last
        });
        if timeout(CATCH_UP, caught_up).await != Ok(true) {
            return Err(ClusterError::NotTakenOver(target));
        }
        timeout(CATCH_UP, self.peers.timeout_now(target, address))
            .await
            .map_err(|_| ClusterError::NotTakenOver(target))?
            .map_err(|_| ClusterError::NotTakenOver(target))?;
        let mut server = self.raft.server_metrics();
        let elected = reached(&mut server, |metrics| metrics.current_leader == Some(target));
        if timeout(hand_over_limit(self.timing), elected).await != Ok(true) {
            return Err(ClusterError::NotTakenOver(target));
        }
        Ok(())
    }

    fn leading(&self) -> Result<ServerMetrics, ClusterError> {
        let metrics = server_metrics(&self.raft);
        if metrics.state == ServerState::Leader {
            return Ok(metrics);
        }
        Err(ClusterError::NotLeader { leader: metrics.current_leader })
    }

    async fn change(&self, changes: ChangeMembers<NodeId, NodeInfo>) -> Result<(), ClusterError> {
        // Removed voters stay learners; `RemoveNodes` then removes them entirely.
        let changed = timeout(CHANGE_TIMEOUT, self.raft.change_membership(changes, true));
        let error = match changed.await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => return Err(ClusterError::TimedOut),
        };
        Err(match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
                ClusterError::NotLeader { leader: forward.leader_id }
            }
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
                use openraft::error::ChangeMembershipError as Refused;
                match error {
                    Refused::InProgress(_) => ClusterError::InProgress,
                    Refused::EmptyMembership(_) => ClusterError::LastVoter(self.node),
                    Refused::LearnerNotFound(missing) => ClusterError::UnknownNode(missing.node_id),
                }
            }
            RaftError::Fatal(_) => ClusterError::Stopping,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_cannot_have_one_address() {
        let check = check_addresses;
        assert!(check(&[(1, "a:1"), (2, "a:2")]).is_ok());
        assert!(matches!(check(&[(1, "a:1"), (2, "b:1"), (3, "a:1")]), Err(ClusterError::SameAddress(1, 3))));
    }
}
