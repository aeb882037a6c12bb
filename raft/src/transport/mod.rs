//! How nodes talk to each other: gRPC over mutual TLS. Translation only; decisions are made elsewhere.
//!
//! The certificate of a node carries the DNS name `node-<id>.<cluster id>.tessera`. The client accepts exactly the name
//! of the node it wants to talk to, so an address that another node has taken over cannot vote; the server accepts
//! names of this cluster only, and takes the sender's id from the certificate, not from the message.

pub(crate) mod client;
pub(crate) mod convert;
pub(crate) mod forward;
pub(crate) mod joining;
pub(crate) mod server;

use std::time::Duration;

use openraft::CommittedLeaderId;
use tonic::Status;

use crate::{
    identity::Unique,
    type_config::{ClusterId, LogId, NodeId, Vote},
};

/// The messages and services of `proto/raft.proto`.
#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::doc_markdown,
    clippy::too_many_lines,
    clippy::trivially_copy_pass_by_ref,
    reason = "generated code"
)]
pub(crate) mod proto {
    tonic::include_proto!("tessera.raft.v1");
}

/// Longest message in either direction, in bytes. A request to append has at most 1 MiB of entries unless a single entry
/// is longer, and a batch ends at 128 KiB unless a single command is longer.
pub(crate) const MESSAGE_MAX: usize = 16 * 1024 * 1024;
/// Bytes of a snapshot in one message.
pub(crate) const SNAPSHOT_FRAME: usize = 256 * 1024;
/// Time limit for opening a connection.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// How often an idle connection is checked, and how long an answer may take.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// The DNS name in a node's certificate.
pub(crate) fn node_name(node: NodeId, cluster: &str) -> String {
    format!("node-{node}.{cluster}.tessera")
}

/// The DNS name every node's certificate carries beside its own: who looks for the cluster does not know ids yet.
pub(crate) fn member_name(cluster: &str) -> String {
    format!("member.{cluster}.tessera")
}

/// The node a name in a certificate stands for, if it is one of this cluster.
pub(crate) fn node_of_name(name: &str, cluster: &str) -> Option<NodeId> {
    let id =
        name.strip_prefix("node-")?.strip_suffix(".tessera")?.strip_suffix(cluster)?.strip_suffix('.')?;
    let canonical =
        !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) && (id == "0" || !id.starts_with('0'));
    if canonical { id.parse().ok() } else { None }
}

/// Reads the text form of a cluster id: 32 hexadecimal digits, dashes ignored.
pub(crate) fn parse_cluster_id(text: &str) -> Option<ClusterId> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let hexadecimal = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if hexadecimal { u128::from_str_radix(&digits, 16).ok().map(ClusterId) } else { None }
}

/// What every message begins with.
pub(crate) fn header(cluster: ClusterId, genesis: Option<Unique>, from: NodeId, to: NodeId) -> proto::Header {
    proto::Header {
        cluster_id: cluster.0.to_be_bytes().to_vec().into(),
        from,
        to,
        genesis: genesis.map(|genesis| genesis.to_vec().into()).unwrap_or_default(),
        ..proto::Header::default()
    }
}

impl From<LogId> for proto::LogId {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
    }
}

impl From<proto::LogId> for LogId {
    fn from(id: proto::LogId) -> Self {
        Self::new(CommittedLeaderId::new(id.term, id.node), id.index)
    }
}

impl From<Vote> for proto::VoteValue {
    fn from(vote: Vote) -> Self {
        Self { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
    }
}

impl From<proto::VoteValue> for Vote {
    fn from(vote: proto::VoteValue) -> Self {
        if vote.committed {
            Self::new_committed(vote.term, vote.node)
        } else {
            Self::new(vote.term, vote.node)
        }
    }
}

/// A part of a message that must be there.
pub(crate) fn required<T>(part: Option<T>, name: &'static str) -> Result<T, Status> {
    part.ok_or_else(|| Status::invalid_argument(format!("the message has no {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    #[test]
    fn name_of_a_node_is_read_back() {
        for node in [0, 1, 17, u64::MAX] {
            assert_eq!(node_of_name(&node_name(node, CLUSTER), CLUSTER), Some(node));
        }
    }

    #[test]
    fn other_names_stand_for_no_node() {
        for name in [
            "node-1.0f8fad5b-d9cb-469f-a165-70867728950f.tessera",
            "node-1.tessera",
            "node-.0f8fad5b-d9cb-469f-a165-70867728950e.tessera",
            "node-01.0f8fad5b-d9cb-469f-a165-70867728950e.tessera",
            "node-+1.0f8fad5b-d9cb-469f-a165-70867728950e.tessera",
            "node-1.x0f8fad5b-d9cb-469f-a165-70867728950e.tessera",
            "node-1.0f8fad5b-d9cb-469f-a165-70867728950e.tessera.evil.example",
            "client-1.0f8fad5b-d9cb-469f-a165-70867728950e.tessera",
            "node-18446744073709551616.0f8fad5b-d9cb-469f-a165-70867728950e.tessera",
            "",
        ] {
            assert_eq!(node_of_name(name, CLUSTER), None, "{name}");
        }
    }

    #[test]
    fn cluster_id_is_a_uuid() {
        assert_eq!(parse_cluster_id(CLUSTER), Some(ClusterId(0x0f8f_ad5b_d9cb_469f_a165_7086_7728_950e)));
        for text in
            ["", "0f8fad5b", "0f8fad5b-d9cb-469f-a165-70867728950g", "+f8fad5bd9cb469fa16570867728950e"]
        {
            assert_eq!(parse_cluster_id(text), None, "{text}");
        }
    }
}
