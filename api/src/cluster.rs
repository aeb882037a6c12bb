//! `GET /cluster/status`: what every member of the cluster says about itself.

pub(crate) mod backup;
pub(crate) mod keys;

use serde::Serialize;

use crate::call::Call;
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
    nodes: Vec<Member>,
}

pub(crate) async fn status(call: Call) -> Result<Reply, Failure> {
    let store = call.shared.node.store();
    let local = store.status();
    let nodes = store.cluster_status().await.into_iter().map(|node| Member {
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
        raft_addr: node.raft_addr,
        api_url: node.api_url,
    });
    Ok(reply::value(Status {
        node: local.node_id,
        leader: local.leader,
        quorum: local.quorum,
        term: local.term,
        clock_offset_ms: store.clock_offset_ms(),
        nodes: nodes.collect(),
    }))
}
