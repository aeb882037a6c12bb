//! What an administrator can have checked: that all nodes hold the same state (`/cluster/states`, `/cluster/compare`),
//! and that this node's audit trail is complete and unchanged (`/cluster/history`).

use std::time::Duration;

use serde::Serialize;
use tessera_core::decision::Refusal;
use tessera_node::RunError;

use crate::call::Call;
use crate::error::Failure;
use crate::params::invalid;
use crate::reply::{self, Reply};

/// How long a comparison waits for the digests of large states, in seconds; shorter than a request may take.
const LIMIT_SECONDS: std::ops::RangeInclusive<u64> = 1..=15;
/// Unless the caller says how long.
const LIMIT_DEFAULT: u64 = 8;
/// Rows of the audit trail verified in one request.
const ROWS_AT_ONCE: usize = 20_000;

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Serialize)]
struct Checkpoint {
    index: u64,
    digest: String,
}

#[derive(Serialize)]
struct States {
    node: u64,
    /// Index of the last entry applied.
    applied: u64,
    /// The oldest first.
    checkpoints: Vec<Checkpoint>,
    diverged_from: Vec<u64>,
}

/// `GET /cluster/states`: the digests of this node's state at its last checkpoints. For administrators; local.
pub(crate) async fn states(call: Call) -> Result<Reply, Failure> {
    let store = call.shared.node.store();
    let status = store.status();
    let checkpoints = store
        .checkpoints()
        .into_iter()
        .map(|checkpoint| Checkpoint { index: checkpoint.index, digest: hex(&checkpoint.digest) });
    Ok(reply::value(States {
        node: status.node_id,
        applied: status.applied_index,
        checkpoints: checkpoints.collect(),
        diverged_from: status.diverged_from,
    }))
}

#[derive(Serialize)]
struct Compared {
    id: u64,
    /// `null` when the node did not answer in time.
    index: Option<u64>,
    digest: Option<String>,
    equal: bool,
}

#[derive(Serialize)]
struct Comparison {
    node: u64,
    /// All nodes that answered hold the same as this one.
    equal: bool,
    /// All nodes answered.
    complete: bool,
    nodes: Vec<Compared>,
}

/// `POST /cluster/compare`: makes a checkpoint and compares all nodes' states there, within `limit` seconds. For
/// administrators.
pub(crate) async fn compare(call: Call) -> Result<Reply, Failure> {
    let store = call.shared.node.store();
    let limit = number(&call, "limit")?.unwrap_or(LIMIT_DEFAULT);
    let limit = Duration::from_secs(limit.clamp(*LIMIT_SECONDS.start(), *LIMIT_SECONDS.end()));
    let states = store.compare_states(limit).await.map_err(RunError::from)?;
    let nodes: Vec<Compared> = states
        .into_iter()
        .map(|state| Compared {
            id: state.node,
            index: state.checkpoint.map(|checkpoint| checkpoint.index),
            digest: state.checkpoint.map(|checkpoint| hex(&checkpoint.digest)),
            equal: state.equal,
        })
        .collect();
    Ok(reply::value(Comparison {
        node: store.status().node_id,
        equal: nodes.iter().all(|node| node.equal || node.index.is_none()),
        complete: nodes.iter().all(|node| node.index.is_some()),
        nodes,
    }))
}

#[derive(Serialize)]
struct Place {
    row: u64,
    hash: String,
}

#[derive(Serialize)]
struct Fault {
    row: u64,
    text: String,
}

#[derive(Serialize)]
struct History {
    node: u64,
    /// The last row removed by the retention.
    anchor: Place,
    /// The newest row, as the replicated state has it.
    head: Place,
    /// The last row found good.
    verified: Place,
    fault: Option<Fault>,
    /// Whether there is nothing more to verify; otherwise ask again from the row behind `verified`.
    complete: bool,
}

#[derive(Serialize)]
struct Row {
    node: u64,
    row: u64,
    hash: Option<String>,
}

/// `GET /cluster/history`: recomputes the hash chain of this node's audit trail from row `from` on, some thousand rows
/// at a time; with `row`, that row's hash instead. For administrators; local.
pub(crate) async fn history(call: Call) -> Result<Reply, Failure> {
    let store = call.shared.node.store();
    let node = store.status().node_id;
    if let Some(row) = number(&call, "row")? {
        let hash = store.history().hash(row).map_err(|error| unreadable(&error))?;
        return Ok(reply::value(Row { node, row, hash: hash.map(|hash| hex(&hash)) }));
    }
    let from = number(&call, "from")?.unwrap_or(1);
    let check = store.verify_history(from, ROWS_AT_ONCE).await.map_err(|error| unreadable(&error))?;
    Ok(reply::value(History {
        node,
        anchor: place(check.anchor.number, &check.anchor.hash),
        head: place(check.head.number, &check.head.hash),
        verified: place(check.verified.number, &check.verified.hash),
        fault: check.fault.map(|fault| Fault { row: fault.row(), text: fault.to_string() }),
        complete: check.is_complete(),
    }))
}

fn place(row: u64, hash: &[u8]) -> Place {
    Place { row, hash: hex(hash) }
}

fn unreadable(error: &dyn std::error::Error) -> Failure {
    Failure::Refused { refusal: Refusal::Other(format!("the audit trail cannot be read: {error}")), id: 1 }
}

fn number(call: &Call, name: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = call.params.text(name) else { return Ok(None) };
    match text.parse() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(invalid(name, "a whole number from 1 is expected").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_hexadecimal() {
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
    }
}
