//! Brings a command to the leader, whoever that is, and finds out what became of it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::{Raft, ServerState};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    batch::CommandReply,
    batcher::{Batcher, Proposed},
    codec,
    election::{ServerMetrics, reached},
    transport::forward::{self, Forwarder},
    type_config::{NodeId, NodeInfo, TypeConfig},
};

/// Between two attempts, unless the leader changes first.
const RETRY: Duration = Duration::from_millis(50);

/// What became of a command after all attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Applied, with this result.
    Reply {
        /// The result.
        reply: CommandReply,
        /// Whether an earlier attempt had ended without one.
        retried: bool,
    },
    /// No attempt reached the log.
    NotProposed,
    /// No attempt reached the log: the leader has too much to do.
    Busy,
    /// An attempt may be applied, now or later.
    Unknown,
    /// No attempt reached the log: this node is stopping.
    Stopping,
}

/// Who leads, from this node's point of view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leader {
    Here,
    There(NodeId, NodeInfo),
    Nobody,
}

/// Reads the leader from openraft's metrics.
pub(crate) fn leader_of(metrics: &ServerMetrics) -> Leader {
    match metrics.current_leader {
        Some(leader) if leader == metrics.id => {
            if metrics.state == ServerState::Leader {
                Leader::Here
            } else {
                Leader::Nobody
            }
        }
        Some(leader) => match metrics.membership_config.membership().get_node(&leader) {
            Some(info) => Leader::There(leader, info.clone()),
            None => Leader::Nobody,
        },
        None => Leader::Nobody,
    }
}

/// Proposes commands at this node or at the leader.
#[derive(Clone)]
pub(crate) struct Proposer {
    pub(crate) raft: Raft<TypeConfig>,
    pub(crate) batcher: Batcher,
    pub(crate) forwarder: Arc<Forwarder>,
}

impl Proposer {
    /// Proposes an encoded command until its fate is known or the deadline has passed. The command must be safe to
    /// propose more than once.
    pub(crate) async fn propose(&self, command: Bytes, deadline: Instant) -> Fate {
        let mut metrics = self.raft.server_metrics();
        let mut unknown = false;
        loop {
            if metrics.has_changed().is_err() {
                return if unknown { Fate::Unknown } else { Fate::Stopping };
            }
            let leader = leader_of(&metrics.borrow_and_update());
            let proposed = tokio::select! {
                proposed = timeout_at(deadline, self.attempt(&leader, command.clone())) => {
                    proposed.unwrap_or(if leader == Leader::Nobody { Proposed::NotLeader(None) } else { Proposed::Unknown })
                }
                // The command may be in the former leader's log; its successor knows or takes it anew.
                _ = reached(&mut metrics, |metrics| leader_of(metrics) != leader) => Proposed::Unknown,
            };
            match proposed {
                Proposed::Reply(reply) => return Fate::Reply { reply, retried: unknown },
                Proposed::Busy if !unknown => return Fate::Busy,
                Proposed::Busy | Proposed::NotLeader(_) => {}
                Proposed::Unknown => unknown |= leader != Leader::Nobody,
            }
            if Instant::now() + RETRY >= deadline {
                return if unknown { Fate::Unknown } else { Fate::NotProposed };
            }
            // Woken by a new leader, or after a while.
            let _ = timeout(RETRY, reached(&mut metrics, |metrics| leader_of(metrics) != leader)).await;
        }
    }

    async fn attempt(&self, leader: &Leader, command: Bytes) -> Proposed {
        match leader {
            Leader::Here => self.batcher.propose(command).await,
            Leader::There(node, info) => match self.forwarder.propose(*node, info, command).await {
                forward::Answer::Result(bytes) => match codec::decode_plain(&bytes) {
                    Ok(reply) => Proposed::Reply(reply),
                    Err(error) => {
                        tracing::error!(leader = node, error = %error, "cannot read the leader's answer");
                        Proposed::Unknown
                    }
                },
                forward::Answer::NotLeader => Proposed::NotLeader(None),
                forward::Answer::Busy => Proposed::Busy,
                forward::Answer::Unknown | forward::Answer::ReadIndex(_) | forward::Answer::Clock(_) => {
                    Proposed::Unknown
                }
            },
            // Until somebody is elected.
            Leader::Nobody => std::future::pending().await,
        }
    }
}
