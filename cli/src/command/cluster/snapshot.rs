//! `tessera cluster snapshot`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tessera_client::ClusterStatus;

use super::progress::{self, Seen, status};
use crate::command::connection::Connection;
use crate::output;

/// A snapshot of a million tokens takes seconds; a slow disk may need much longer.
const WAIT_SECONDS: u64 = 300;

#[derive(Args, Debug)]
pub(crate) struct Snapshot {
    /// Id of the node; all nodes unless given
    #[arg(value_name = "ID")]
    node: Option<u64>,
    /// How long the snapshot is waited for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS)]
    wait: u64,
}

impl Snapshot {
    pub(super) async fn run(&self, connection: &Connection) -> anyhow::Result<()> {
        let connected = connection.connect().await?;
        let client = &connected.client;
        let before = client.cluster_status().await?;
        let begun = client.cluster_snapshot(self.node).await?;
        let wanted: BTreeMap<String, i64> = begun
            .iter()
            .filter(|begun| begun.problem.is_none())
            .map(|begun| (begun.node.to_string(), applied(&before, begun.node)))
            .collect();
        let limit = Duration::from_secs(self.wait);
        let made = progress::wait("the snapshot", limit, async || {
            let Some(now) = status(client).await? else {
                return Ok(Seen::Still("waiting for a leader".to_owned()));
            };
            let waiting = now.nodes.iter().filter(|node| {
                wanted.get(&node.id).is_some_and(|index| node.snapshot.unwrap_or_default() < *index)
            });
            let waiting: Vec<&str> = waiting.map(|node| node.id.as_str()).collect();
            if waiting.is_empty() {
                return Ok(Seen::Done(now));
            }
            Ok(Seen::Still(format!("node {} is making its snapshot", waiting.join(", "))))
        })
        .await?;
        let shown = made.nodes.iter().filter(|node| wanted.contains_key(&node.id));
        let positions: BTreeMap<&str, i64> =
            shown.map(|node| (node.id.as_str(), node.snapshot.unwrap_or_default())).collect();
        let lines: Vec<String> =
            positions.iter().map(|(id, index)| format!("node {id}: snapshot up to entry {index}")).collect();
        output::result(connection.format(), &lines.join("\n"), &json!({ "snapshots": positions }))?;
        let failed: Vec<String> = begun
            .into_iter()
            .filter_map(|begun| Some(format!("node {}: {}", begun.node, begun.problem?)))
            .collect();
        connected.finish()?;
        anyhow::ensure!(failed.is_empty(), "not every node has made a snapshot: {}", failed.join("; "));
        Ok(())
    }
}

fn applied(status: &ClusterStatus, node: u64) -> i64 {
    let id = node.to_string();
    status.nodes.iter().find(|known| known.id == id).and_then(|known| known.applied).unwrap_or_default()
}
