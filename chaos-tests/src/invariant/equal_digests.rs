//! After healing all nodes hold the same, to the byte.
//!
//! Every node reports in `/cluster/status` a digest of its replicated state at the newest checkpoint of the log it has
//! applied; at the same checkpoint the digests are equal (reference code-style 5). [`super::liveness`] compares what the
//! nodes list to an administrator; this finds what no list shows: sessions, revisions, the head of the history.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tessera_client::Method;

use crate::site::Site;
use crate::wait;

/// Checkpoints are seconds apart in these clusters, and without load all nodes soon have the same one.
const LIMIT: Duration = Duration::from_secs(40);

/// What a node says it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The node.
    pub node: u64,
    /// Position of the checkpoint in the log.
    pub checkpoint: u64,
    /// The digest there, as text.
    pub digest: String,
}

/// Waits until all nodes report the same checkpoint, and compares. Returns how many were compared; 0 if the program under
/// test reports none.
///
/// # Errors
/// If they never report the same checkpoint, or differ there.
pub async fn check(sites: &[Site], nodes: usize) -> Result<usize> {
    let held = wait::until("all nodes to report the same checkpoint", LIMIT, || async {
        let status = sites.first()?.client().call(Method::Get, "/cluster/status", &[]).await.ok()?;
        let nodes_shown = status.pointer("/result/value").unwrap_or(&status).get("nodes")?.as_array()?;
        if nodes_shown.iter().all(|node| node.get("checkpoint").is_none()) {
            return Some(Vec::new());
        }
        let held: Vec<Held> = nodes_shown.iter().filter_map(reported).collect();
        comparable(&held, nodes).then_some(held)
    })
    .await?;
    super::none("equal_digests", &violations(&held))?;
    Ok(held.len())
}

fn reported(node: &Value) -> Option<Held> {
    Some(Held {
        node: node.get("id")?.as_u64()?,
        checkpoint: node.get("checkpoint")?.as_u64()?,
        digest: node.get("digest")?.as_str()?.to_owned(),
    })
}

/// Every pair of nodes that differ at one checkpoint.
pub fn violations(held: &[Held]) -> Vec<String> {
    let mut first: BTreeMap<u64, &Held> = BTreeMap::new();
    let mut found = Vec::new();
    for one in held {
        let other = first.entry(one.checkpoint).or_insert(one);
        if other.digest != one.digest {
            found.push(format!(
                "at checkpoint {} node {} holds {} and node {} {}",
                one.checkpoint, other.node, other.digest, one.node, one.digest
            ));
        }
    }
    found
}

/// Whether all nodes can be compared, because they have the same checkpoint.
fn comparable(held: &[Held], nodes: usize) -> bool {
    let mut positions: Vec<u64> = held.iter().map(|held| held.checkpoint).collect();
    positions.dedup();
    positions.len() == 1 && held.len() == nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(node: u64, checkpoint: u64, digest: &str) -> Held {
        Held { node, checkpoint, digest: digest.into() }
    }

    #[test]
    fn nodes_that_differ_at_the_same_checkpoint_are_found() {
        let alike = [held(1, 7, "a"), held(2, 7, "a"), held(3, 6, "b")];
        assert_eq!(violations(&alike), Vec::<String>::new());
        assert!(!comparable(&alike, 3));
        let different = [held(1, 7, "a"), held(2, 7, "a"), held(3, 7, "b")];
        assert_eq!(violations(&different).len(), 1);
        assert!(comparable(&different, 3) && !comparable(&different, 4));
    }
}
