//! `POST /cluster/snapshot`: lets the member `node`, or every member, make a snapshot. For administrators.

use serde::Serialize;
use tessera_core::decide::membership::Ordered;

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Reply};

#[derive(Serialize)]
struct Begun {
    node: u64,
    /// `null` when the member has begun.
    problem: Option<String>,
}

pub(crate) async fn snapshot(call: Call) -> Result<Reply, Failure> {
    let store = call.shared.node.store();
    let nodes: Vec<u64> = match call.params.number("node")? {
        Some(node) => vec![node],
        None => store.status().members.into_keys().collect(),
    };
    call.run(Ordered { what: "snapshot ordered".to_owned() }).await?;
    let mut begun = Vec::with_capacity(nodes.len());
    for node in nodes {
        let problem = store.snapshot_of(node).await.err().map(|error| error.to_string());
        begun.push(Begun { node, problem });
    }
    Ok(reply::value(begun))
}
