//! `tessera cluster`: the state of the nodes.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tessera_client::NodeStatus;

use super::compare;
use super::connection::Connection;
use crate::output::{self, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Shows role, term and log positions of every node.
    #[command(
        after_help = "Examples:\n  tessera cluster status --url http://127.0.0.1:7480 --user admin --password -\n  \
        tessera cluster status --json"
    )]
    Status(Status),
    /// Compares the states of all nodes; exit code 1 if two differ, 3 if one did not answer.
    #[command(after_help = "Examples:\n  tessera cluster compare\n  tessera cluster compare --json")]
    Compare(compare::Compare),
}

#[derive(Args, Debug)]
pub(crate) struct Status {}

impl Cluster {
    pub(super) async fn run(self, connection: Connection) -> anyhow::Result<()> {
        if let Self::Compare(compare) = self {
            return compare.run(connection).await;
        }
        let connected = connection.connect().await?;
        let status = connected.client.cluster_status().await?;
        match connection.format() {
            Format::Json => {
                let nodes: Vec<Value> = status.nodes.iter().map(as_json).collect();
                output::json(&json!({ "nodes": nodes, "format_level": status.format_level }))?;
            }
            Format::Text => {
                let head = [
                    "ID",
                    "ROLE",
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
                compare::alarms(&status.nodes).iter().for_each(|alarm| output::line(alarm));
            }
        }
        connected.finish()
    }
}

fn as_json(node: &NodeStatus) -> Value {
    let id = node.id.parse::<u64>().map_or_else(|_| Value::from(node.id.as_str()), Value::from);
    json!({
        "id": id,
        "role": node.role,
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
        ];
        expected.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!((shown["id"].as_u64(), shown["term"].as_i64()), (Some(2), Some(3)));
        assert_eq!(row(&node), ["2", "leader", "3", "40", "-", "-", "-", "0.1.0", "-", "-", "yes"]);
        let gone = NodeStatus { reachable: false, ..node };
        assert_eq!(row(&gone)[2..4], ["-", "-"]);
    }
}
