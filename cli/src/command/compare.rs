//! `tessera cluster compare`: whether all nodes hold the same.

use clap::Args;
use tessera_client::{NodeStatus, StateComparison};

use super::connection::Connection;
use crate::exit::{Failed, Incomplete};
use crate::output::{self, Format};

#[derive(Args, Debug)]
pub(crate) struct Compare {}

/// Characters of a digest that are shown.
pub(super) const SHOWN: usize = 16;

impl Compare {
    pub(super) async fn run(self, connection: Connection) -> anyhow::Result<()> {
        let connected = connection.connect().await?;
        // The server's answer must come before this program's own time limit.
        let limit = connection.timeout.saturating_sub(2).max(1);
        let comparison = connected.client.compare_states(limit).await?;
        match connection.format() {
            Format::Json => output::json(&comparison)?,
            Format::Text => output::table(&["ID", "LOG INDEX", "DIGEST", "STATE"], rows(&comparison)),
        }
        connected.finish()?;
        judge(&comparison)
    }
}

fn rows(comparison: &StateComparison) -> impl Iterator<Item = Vec<String>> {
    comparison.nodes.iter().map(|node| {
        let state = match (&node.digest, node.equal) {
            (None, _) => "no answer",
            (Some(_), true) => "equal",
            (Some(_), false) => "DIFFERS",
        };
        vec![
            node.id.to_string(),
            node.index.map_or("-".to_owned(), |index| index.to_string()),
            node.digest.as_deref().map_or("-".to_owned(), |digest| digest.chars().take(SHOWN).collect()),
            state.to_owned(),
        ]
    })
}

fn judge(comparison: &StateComparison) -> anyhow::Result<()> {
    if !comparison.equal {
        let others = comparison.nodes.iter().filter(|node| node.index.is_some() && !node.equal);
        return Err(Failed(format!(
            "the states of the nodes differ: not that of node {} have {}",
            comparison.node,
            names(others.map(|node| node.id))
        ))
        .into());
    }
    if !comparison.complete {
        let silent = comparison.nodes.iter().filter(|node| node.index.is_none()).map(|node| node.id);
        return Err(Incomplete(format!("no answer from {}", names(silent))).into());
    }
    Ok(())
}

fn names(ids: impl Iterator<Item = u64>) -> String {
    let ids: Vec<String> = ids.map(|id| format!("node {id}")).collect();
    ids.join(", ")
}

/// The state of a node in the table of all nodes.
pub(super) fn state(node: &NodeStatus) -> &'static str {
    match (node.diverged_from.is_empty(), node.checkpoint) {
        (false, _) => "DIFFERS",
        (true, Some(_)) if node.reachable => "equal",
        (true, _) => "-",
    }
}

/// A sentence for each node that says that its state differs from another's.
pub(super) fn alarms(nodes: &[NodeStatus]) -> Vec<String> {
    let diverged = nodes.iter().filter(|node| !node.diverged_from.is_empty());
    diverged
        .map(|node| {
            let others = names(node.diverged_from.iter().copied());
            format!("ALARM: the state of node {} differs from that of {others}", node.id)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tessera_client::ComparedState;

    use super::*;
    use crate::exit;

    fn comparison(states: &[(u64, Option<bool>)]) -> StateComparison {
        let nodes: Vec<ComparedState> = states
            .iter()
            .map(|(id, equal)| ComparedState {
                id: *id,
                index: equal.map(|_| 40),
                digest: equal.map(|_| "00".repeat(32)),
                equal: *equal == Some(true),
            })
            .collect();
        StateComparison {
            node: 1,
            equal: nodes.iter().all(|node| node.equal || node.index.is_none()),
            complete: nodes.iter().all(|node| node.index.is_some()),
            nodes,
        }
    }

    #[test]
    fn the_exit_code_tells_a_difference_from_silence() {
        assert!(judge(&comparison(&[(1, Some(true)), (2, Some(true))])).is_ok());
        let error = judge(&comparison(&[(1, Some(true)), (2, None), (3, Some(false))])).unwrap_err();
        assert_eq!(exit::code(&error), exit::FAILED);
        assert!(error.to_string().ends_with("node 3"), "{error}");
        let error = judge(&comparison(&[(1, Some(true)), (2, None)])).unwrap_err();
        assert_eq!(exit::code(&error), exit::UNREACHABLE);
        assert_eq!(rows(&comparison(&[(2, Some(false))])).next().unwrap()[3], "DIFFERS");
    }

    #[test]
    fn an_alarm_names_both_sides() {
        let node = NodeStatus { id: "3".to_owned(), diverged_from: vec![1, 2], ..NodeStatus::default() };
        assert_eq!(
            alarms(&[node, NodeStatus::default()]),
            ["ALARM: the state of node 3 differs from that of node 1, node 2"]
        );
    }
}
