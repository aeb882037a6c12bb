//! The types openraft is instantiated with.
//!
//! Everything here stays inside this crate: the facade in `cluster.rs` speaks in types of the core.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::batch::CommandReply;
use crate::snapshot::SnapshotFile;

/// Number of a node, given once and never used again (reference raft-and-storage 10).
pub type NodeId = u64;

/// Identity of a cluster, drawn at random when it is initialised.
///
/// It is written into every file of the data directory so that a disk which was attached to the wrong machine is
/// noticed before the node votes with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A batch of transactions, already encoded.
///
/// The leader encodes once; the log cache, the write-ahead log, the network and apply share the same bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload(pub Bytes);

impl Payload {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all, which no encoded batch ever is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// One answer per transaction of a batch, in the order of the transactions.
///
/// This is the only place that names the type of an answer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BatchReply(pub Vec<CommandReply>);

/// How the other nodes and the clients reach a node.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NodeInfo {
    /// `host:port` of the node's Raft listener.
    pub raft_addr: String,
    /// Base URL of the node's web API.
    pub api_url: String,
}

impl fmt::Display for NodeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.raft_addr, self.api_url)
    }
}

openraft::declare_raft_types!(
    /// The instantiation of openraft this crate uses.
    pub TypeConfig:
        D = Payload,
        R = BatchReply,
        NodeId = NodeId,
        Node = NodeInfo,
        SnapshotData = SnapshotFile,
);

/// Position of an entry in the log.
pub type LogId = openraft::LogId<NodeId>;
/// A node's vote.
pub type Vote = openraft::Vote<NodeId>;
/// A log entry as openraft handles it in memory.
pub type Entry = openraft::Entry<TypeConfig>;
/// The members of the cluster.
pub type Membership = openraft::Membership<NodeId, NodeInfo>;
/// The members and the log position that established them.
pub type StoredMembership = openraft::StoredMembership<NodeId, NodeInfo>;
/// What openraft expects storage to fail with.
pub type StorageError = openraft::StorageError<NodeId>;
