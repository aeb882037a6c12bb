//! Coming into a cluster: making one, presenting oneself to one, and orders to other members.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tessera_core::secret::SecretText;
use tokio::{sync::mpsc, time::timeout};

use super::{ClusterError, JoinRequest, Member, Store, Unique};
use crate::{
    election::server_metrics,
    identity::random,
    transport::proto::{join_reply::Reply, order_request::Order},
    type_config::NodeId,
};

/// Time limit for an answer to a node that presents itself; longer than the other side takes to decide.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for an order; longer than three attempts at a hand-over take.
const ORDER_TIMEOUT: Duration = Duration::from_secs(15);

/// What a node is told that presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinAnswer {
    /// It belongs to the cluster, which has this genesis: [`Store::admit`] may be called with it.
    Admitted(Unique),
    /// It must not take part; the text is for its operator.
    Refused(String),
    /// The node asked does not belong to a cluster.
    NoCluster,
    /// It belongs to a cluster that cannot decide now.
    TryAgain,
    /// There was no answer; the text says why.
    Unreachable(String),
}

impl Store {
    /// What was drawn when this node's data directory was made.
    #[must_use]
    pub fn incarnation(&self) -> Unique {
        self.inner.own.incarnation()
    }

    /// Whether this node's data directory belongs to a cluster. As long as it does not, the node answers no other node.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.inner.own.genesis().is_some()
    }

    /// Whether this node made the cluster.
    #[must_use]
    pub fn is_founder(&self) -> bool {
        self.inner.own.is_founder()
    }

    /// Whether members of a cluster that this node's data directory does not belong to take this node for one of theirs.
    #[must_use]
    pub fn is_claimed_by_others(&self) -> bool {
        self.inner.own.is_claimed()
    }

    /// Where this node says it is reached.
    #[must_use]
    pub fn place(&self) -> &Member {
        &self.inner.place
    }

    /// Makes a new cluster of this node alone. The caller has made sure that there is none.
    ///
    /// # Errors
    /// When this node has a log or belongs to a cluster already, or the disk fails.
    pub async fn found(&self) -> Result<(), ClusterError> {
        if self.is_admitted() || self.is_initialized() {
            return Err(ClusterError::AlreadyInitialized);
        }
        self.admit_as(random()?, true).await?;
        self.bootstrap(BTreeMap::from([(self.inner.node, self.inner.place.clone())])).await
    }

    /// Goes on with a founding that was interrupted between its two steps.
    ///
    /// # Errors
    /// When Raft refuses.
    pub async fn complete_founding(&self) -> Result<(), ClusterError> {
        if !self.is_founder() || self.is_initialized() {
            return Ok(());
        }
        self.bootstrap(BTreeMap::from([(self.inner.node, self.inner.place.clone())])).await
    }

    /// This node belongs to the cluster from now on, and takes part.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn admit(&self, genesis: Unique) -> Result<(), ClusterError> {
        self.admit_as(genesis, false).await
    }

    async fn admit_as(&self, genesis: Unique, founder: bool) -> Result<(), ClusterError> {
        let own = self.inner.own.clone();
        let written = tokio::task::spawn_blocking(move || own.admit(genesis, founder)).await;
        Ok(written.map_err(|_| ClusterError::Stopping)??)
    }

    /// Presents this node to whichever node listens at `address`.
    pub async fn ask_to_join(&self, address: &str, token: Option<SecretText>) -> JoinAnswer {
        let (peers, place) = (self.inner.peers.clone(), self.inner.place.clone());
        let address = address.to_owned();
        let asked =
            self.inner.runtime.handle.spawn(async move {
                timeout(JOIN_TIMEOUT, peers.join(&address, token.as_ref(), &place)).await
            });
        match asked.await {
            Ok(Ok(Ok(reply))) => match reply.reply {
                Some(Reply::Admitted(genesis)) => match Unique::try_from(genesis.as_ref()) {
                    Ok(genesis) => JoinAnswer::Admitted(genesis),
                    Err(_) => JoinAnswer::Unreachable("the answer has no genesis".to_owned()),
                },
                Some(Reply::Refused(text)) => JoinAnswer::Refused(text),
                Some(Reply::NoCluster(_)) => JoinAnswer::NoCluster,
                Some(Reply::TryAgain(_)) | None => JoinAnswer::TryAgain,
            },
            Ok(Ok(Err(status))) => JoinAnswer::Unreachable(status.message().to_owned()),
            Ok(Err(_)) => JoinAnswer::Unreachable("no answer in time".to_owned()),
            Err(_) => JoinAnswer::Unreachable("this node is stopping".to_owned()),
        }
    }

    /// The nodes that present themselves here, for whoever decides about them; once.
    #[must_use]
    pub fn take_join_requests(&self) -> Option<mpsc::Receiver<JoinRequest>> {
        self.inner.join_requests.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Gives the vote of a member to a learner in one step and removes the member for ever. Only on the leader, which
    /// cannot be replaced itself.
    ///
    /// # Errors
    /// When the learner is behind, a node is not known, or the change is not confirmed.
    pub async fn replace(&self, old: u64, new: u64) -> Result<(), ClusterError> {
        self.on_raft_runtime(move |membership| async move { membership.replace(old, new).await }).await
    }

    /// Hands leadership over to a voter, whichever node leads.
    ///
    /// # Errors
    /// As [`Store::transfer_leadership`], and when the leader is not known or cannot be reached.
    pub async fn hand_over_to(&self, target: u64) -> Result<(), ClusterError> {
        match server_metrics(&self.inner.raft).current_leader {
            Some(leader) if leader == target => Ok(()),
            Some(leader) if leader == self.inner.node => self.transfer_leadership(target).await,
            Some(leader) => self.order(leader, Order::HandOverTo(target)).await,
            None => Err(ClusterError::NotLeader { leader: None }),
        }
    }

    /// Lets a member make a snapshot soon, whatever the policy says.
    ///
    /// # Errors
    /// When the member is not known or cannot be reached.
    pub async fn snapshot_of(&self, node: u64) -> Result<(), ClusterError> {
        if node == self.inner.node {
            self.snapshot().await
        } else {
            self.order(node, Order::Snapshot(true)).await
        }
    }

    async fn order(&self, node: NodeId, order: Order) -> Result<(), ClusterError> {
        let metrics = server_metrics(&self.inner.raft);
        let info = metrics.membership_config.membership().get_node(&node).cloned();
        let address = info.ok_or(ClusterError::UnknownNode(node))?.raft_addr;
        let peers = Arc::clone(&self.inner.peers);
        let asked = self
            .inner
            .runtime
            .handle
            .spawn(async move { timeout(ORDER_TIMEOUT, peers.order(node, &address, order)).await });
        let reason = match asked.await {
            Ok(Ok(Ok(reason))) if reason.is_empty() => return Ok(()),
            Ok(Ok(Ok(reason))) => reason,
            Ok(Ok(Err(status))) => status.message().to_owned(),
            Ok(Err(_)) => "no answer in time".to_owned(),
            Err(_) => return Err(ClusterError::Stopping),
        };
        Err(ClusterError::Refused { node, reason })
    }
}
