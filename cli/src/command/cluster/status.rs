//! `tessera cluster status`.

use clap::Args;
use serde_json::{Value, json};
use tessera_client::{ClusterStatus, NodeStatus};

use super::progress::safety;
use crate::command::compare;
use crate::command::connection::Connection;
use crate::output::{self, Format};

#[derive(Args, Debug)]
pub(crate) struct Status {}

impl Status {
    pub(super) async fn run(&self, connection: &Connection) -> anyhow::Result<()> {
        let connected = connection.connect().await?;
        let status = connected.client.cluster_status().await?;
        match connection.format() {
            Format::Json => output::json(&summary(&status))?,
            Format::Text => {
                let head = [
                    "ID",
                    "ROLE",
                    "VOTE",
                    "TERM",
                    "LAST",
                    "APPLIED",
                    "SNAPSHOT",
                    "LAG",
                    "VERSION",
                    "LEVEL",
                    "STATE",
                    "REACHABLE",
                ];
                output::table(&head, status.nodes.iter().map(row));
                output::line(&safety(&status));
                compare::alarms(&status.nodes).iter().for_each(|alarm| output::line(alarm));
                for line in going_on(&status) {
                    output::line(&line);
                }
            }
        }
        connected.finish()
    }
}

fn summary(status: &ClusterStatus) -> Value {
    let nodes: Vec<Value> = status.nodes.iter().map(as_json).collect();
    json!({
        "nodes": nodes,
        "format_level": status.format_level,
        "leader": status.leader,
        "tolerates": status.tolerates,
        "expected": status.expected,
        "invited": status.invited,
    })
}

/// What is not as it will be.
fn going_on(status: &ClusterStatus) -> Vec<String> {
    let mut lines = Vec::new();
    for node in &status.nodes {
        match node.condition.as_str() {
            "joining" => {
                lines.push(format!("node {} is joining and gets a vote when it has caught up", node.id));
            }
            "leaving" if node.hindrance.is_empty() => {
                lines.push(format!("node {} is being removed", node.id));
            }
            "leaving" => lines.push(format!("node {} cannot be removed yet: {}", node.id, node.hindrance)),
            _ => {}
        }
    }
    lines.extend(status.expected.iter().map(|id| format!("node {id} is expected and has not come yet")));
    lines.extend(status.invited.iter().map(|id| format!("node {id} has a join token and has not come yet")));
    lines
}

fn as_json(node: &NodeStatus) -> Value {
    let id = node.id.parse::<u64>().map_or_else(|_| Value::from(node.id.as_str()), Value::from);
    json!({
        "id": id,
        "role": node.role,
        "voter": node.voter,
        "condition": node.condition,
        "hindrance": node.hindrance,
        "raft_addr": node.raft_addr,
        "api_url": node.api_url,
        "term": node.term,
        "last": node.last,
        "applied": node.applied,
        "snapshot": node.snapshot,
        "lag": node.lag,
        "version": node.version,
        "level": node.supported_level,
        "checkpoint": node.checkpoint,
        "diverged_from": node.diverged_from,
        "reachable": node.reachable,
    })
}

fn row(node: &NodeStatus) -> Vec<String> {
    let number = |number: Option<i64>| match number {
        Some(number) if node.reachable => number.to_string(),
        _ => "-".to_owned(),
    };
    let text = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    vec![
        node.id.clone(),
        text(&node.role),
        if node.voter { "yes" } else { "no" }.to_owned(),
        number(node.term),
        number(node.last),
        number(node.applied),
        number(node.snapshot),
        number(node.lag),
        text(&node.version),
        number(node.supported_level),
        compare::state(node).to_owned(),
        if node.reachable { "yes" } else { "no" }.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_has_the_documented_members_and_a_number_as_id() {
        let node = NodeStatus {
            id: "2".to_owned(),
            role: "leader".to_owned(),
            voter: true,
            condition: "settled".to_owned(),
            term: Some(3),
            last: Some(40),
            reachable: true,
            version: "0.1.0".to_owned(),
            ..NodeStatus::default()
        };
        let shown = as_json(&node);
        let keys: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = [
            "id",
            "role",
            "term",
            "last",
            "applied",
            "snapshot",
            "lag",
            "version",
            "level",
            "checkpoint",
            "diverged_from",
            "reachable",
            "voter",
            "condition",
            "hindrance",
            "raft_addr",
            "api_url",
        ];
        expected.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!((shown["id"].as_u64(), shown["term"].as_i64()), (Some(2), Some(3)));
        assert_eq!(row(&node), ["2", "leader", "yes", "3", "40", "-", "-", "-", "0.1.0", "-", "-", "yes"]);
        let gone = NodeStatus { reachable: false, ..node };
        assert_eq!(row(&gone)[3..5], ["-", "-"]);
    }

    #[test]
    fn what_is_going_on_is_said() {
        let node = |id: &str, condition: &str, hindrance: &str| NodeStatus {
            id: id.to_owned(),
            condition: condition.to_owned(),
            hindrance: hindrance.to_owned(),
            ..NodeStatus::default()
        };
        let nodes = vec![
            node("1", "settled", ""),
            node("2", "joining", ""),
            node("3", "leaving", ""),
            node("4", "leaving", "no majority"),
        ];
        let status = ClusterStatus { nodes, expected: vec![5], invited: vec![6], ..ClusterStatus::default() };
        let lines = going_on(&status);
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines[0].starts_with("node 2 is joining") && lines[1] == "node 3 is being removed");
        assert_eq!(lines[2], "node 4 cannot be removed yet: no majority");
        assert_eq!(summary(&status)["invited"], json!([6]));
    }
}
