//! `GET /cluster/status`: what every member of the cluster says about itself.

use serde::Serialize;

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
    nodes: Vec<Member>,
}

pub(crate) async fn status(call: Call) -> Result<Reply, Failure> {
    let store = call.shared.node.store();
    let local = store.status();
    let nodes = store.cluster_status().await;
    let diverged = nodes.iter().any(|node| !node.diverged_from.is_empty());
    let nodes = nodes.into_iter().map(|node| Member {
        id: node.id,
        role: node.role.map(|role| format!("{role:?}").to_lowercase()),
        voter: node.voter,
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
    });
    Ok(reply::value(Status {
        node: local.node_id,
        leader: local.leader,
        quorum: local.quorum,
        term: local.term,
        clock_offset_ms: store.clock_offset_ms(),
        format_level: local.format_level,
        diverged,
        nodes: nodes.collect(),
    }))
}
