//! After healing all nodes hold the same, to the byte.
//!
//! Every node reports a digest of its replicated state together with the log position it belongs to; at the same
//! position the digests are equal (reference code-style 5). [`super::liveness`] compares what the nodes list to an
//! administrator; this finds what no list shows, such as sessions, revisions and the head of the history.

use std::collections::BTreeMap;

/// What a node says it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The node.
    pub node: u64,
    /// The log position.
    pub applied: u64,
    /// The digest there, as text.
    pub digest: String,
}

/// Every pair of nodes that differ at one position.
pub fn violations(held: &[Held]) -> Vec<String> {
    let mut first: BTreeMap<u64, &Held> = BTreeMap::new();
    let mut found = Vec::new();
    for one in held {
        let other = first.entry(one.applied).or_insert(one);
        if other.digest != one.digest {
            found.push(format!(
                "at log entry {} node {} holds {} and node {} {}",
                one.applied, other.node, other.digest, one.node, one.digest
            ));
        }
    }
    found
}

/// Whether all these nodes can be compared, because they are at the same position.
pub fn comparable(held: &[Held], nodes: usize) -> bool {
    let mut positions: Vec<u64> = held.iter().map(|held| held.applied).collect();
    positions.dedup();
    positions.len() == 1 && held.len() == nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(node: u64, applied: u64, digest: &str) -> Held {
        Held { node, applied, digest: digest.into() }
    }

    #[test]
    fn nodes_that_differ_at_the_same_position_are_found() {
        let alike = [held(1, 7, "a"), held(2, 7, "a"), held(3, 6, "b")];
        assert_eq!(violations(&alike), Vec::<String>::new());
        assert!(!comparable(&alike, 3));
        let different = [held(1, 7, "a"), held(2, 7, "a"), held(3, 7, "b")];
        assert_eq!(violations(&different).len(), 1);
        assert!(comparable(&different, 3) && !comparable(&different, 4));
    }
}
