//! `GET /cluster/status`: what every member of the cluster says about itself. For administrators; also while the cluster
//! cannot decide anything.

use serde::Serialize;
use tessera_node::Condition;

use crate::call::Call;
use crate::consistency::hex;
use crate::error::Failure;
use crate::reply::{self, Reply};

/// One member as the asked node sees it.
#[derive(Serialize)]
struct Member {
    id: u64,
    /// `null` when it did not answer.
    role: Option<String>,
    voter: bool,
    /// `settled`, `joining` or `leaving`.
    condition: &'static str,
    /// What a member that is leaving waits for.
    hindrance: Option<String>,
    term: u64,
    last: u64,
    applied: u64,
    snapshot: u64,
    lag: u64,
    version: String,
    reachable: bool,
    /// The highest format level its program supports; 0 when it did not answer.
    supported_level: u32,
    /// Its newest checkpoint, `null` if it has none yet.
    checkpoint: Option<u64>,
    digest: Option<String>,
    /// The nodes whose state, as it says, differed from its own when last compared. Anything here is an alarm.
    diverged_from: Vec<u64>,
    raft_addr: String,
    api_url: String,
}

#[derive(Serialize)]
struct Status {
    node: u64,
    leader: Option<u64>,
    quorum: bool,
    term: u64,
    clock_offset_ms: i64,
    /// The format level the cluster writes.
    format_level: u32,
    /// Two nodes hold different states: an alarm.
    diverged: bool,
    /// How many more nodes with a vote may fail; `null` when a majority is missing already.
    tolerates: Option<usize>,
    nodes: Vec<Member>,
    /// First nodes of the cluster that have not come yet.
    expected: Vec<u64>,
    /// Nodes that have a join token and have not come yet.
    invited: Vec<u64>,
}

pub(crate) async fn status(call: Call) -> Result<Reply, Failure> {
    let node = &call.shared.node;
    let local = node.store().status();
    let members = node.members().await;
    let diverged = members.nodes.iter().any(|(node, _)| !node.diverged_from.is_empty());
    let nodes = members.nodes.into_iter().map(|(node, condition)| {
        let (condition, hindrance) = match condition {
            Condition::Settled => ("settled", None),
            Condition::Joining => ("joining", None),
            Condition::Leaving(hindrance) => ("leaving", hindrance),
        };
        Member {
            id: node.id,
            role: node.role.map(|role| format!("{role:?}").to_lowercase()),
            voter: node.voter,
            condition,
            hindrance,
            term: node.term,
            last: node.last_log_index,
            applied: node.applied_index,
            snapshot: node.snapshot_index,
            lag: node.lag,
            version: node.version,
            reachable: node.reachable,
            supported_level: node.supported_level,
            checkpoint: node.checkpoint.map(|checkpoint| checkpoint.index),
            digest: node.checkpoint.map(|checkpoint| hex(&checkpoint.digest)),
            diverged_from: node.diverged_from,
            raft_addr: node.raft_addr,
            api_url: node.api_url,
        }
    });
    Ok(reply::value(Status {
        node: local.node_id,
        leader: local.leader,
        quorum: local.quorum,
        term: local.term,
        clock_offset_ms: node.store().clock_offset_ms(),
        format_level: local.format_level,
        diverged,
        tolerates: members.tolerates,
        nodes: nodes.collect(),
        expected: members.expected,
        invited: members.invited,
    }))
}
