//! The nodes of the cluster: which ids were given, to whom, and which are never used again (reference raft-and-storage
//! 10).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::UnixMillis;

/// All node ids that were ever given, in one record: two changes at once conflict instead of giving an id twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesV1 {
    /// The highest id ever given; it only grows. An id up to this one that has no entry was given once and is retired.
    pub last_id: u64,
    /// What became of the ids.
    pub nodes: BTreeMap<u64, NodeEntry>,
}

/// What a node id stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeEntry {
    /// One of the first nodes, named in the configuration of the one that made the cluster; it may register once,
    /// without a token.
    Expected,
    /// A node that may register once, with a token.
    Invited(InvitationV1),
    /// A node with a data directory, which belongs to the cluster.
    Member(NodeMemberV1),
    /// Removed, or never used; for ever.
    Retired(UnixMillis),
}

/// A one-time token for a node id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationV1 {
    /// SHA-256 of the token.
    pub token_hash: [u8; 32],
    /// From when on the token is refused.
    pub expires_at: UnixMillis,
    /// The member the new node takes the place of.
    pub replaces: Option<u64>,
}

/// A node that belongs to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeMemberV1 {
    /// Drawn when its data directory was made. An emptied directory has another one, and is refused.
    pub incarnation: [u8; 16],
    /// `host:port` where the other nodes reach it.
    pub raft_addr: Box<str>,
    /// Base URL of its web API.
    pub api_url: Box<str>,
    /// When it registered.
    pub joined_at: UnixMillis,
    /// The member to be removed once this one votes.
    pub replaces: Option<u64>,
    /// One of the first nodes of the cluster, which vote as soon as they have caught up.
    pub first: bool,
}
