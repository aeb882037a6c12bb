//! `tessera cluster remove`, `leave` and `transfer-leadership`.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use tessera_client::{Client, ClientError, ClusterStatus};
use tokio::time::{Instant, sleep};

use super::progress::{self, Seen, safety, status};
use crate::command::connection::Connection;
use crate::exit::Usage;
use crate::output;

/// How long a change is waited for, in seconds, unless said otherwise.
const WAIT_SECONDS: u64 = 120;
/// An order that can be given twice is given again after this time when nobody could take it.
const AGAIN: Duration = Duration::from_millis(300);
/// How long nobody may be able to take an order.
const NOBODY: Duration = Duration::from_secs(15);

#[derive(Args, Debug)]
pub(crate) struct Remove {
    /// Id of the node
    #[arg(value_name = "ID")]
    node: u64,
    /// How long the removal is waited for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS)]
    wait: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Leave {
    /// How long the removal is waited for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS)]
    wait: u64,
}

#[derive(Args, Debug)]
pub(crate) struct TransferLeadership {
    /// Id of the node that shall lead; the one with the most complete log unless given
    #[arg(value_name = "ID")]
    node: Option<u64>,
}

/// Gives an order that may be given twice, again while there is no leader to take it.
async fn order<T>(give: impl AsyncFn() -> Result<T, ClientError>) -> Result<T, ClientError> {
    let deadline = Instant::now() + NOBODY;
    loop {
        match give().await {
            Err(
                ClientError::Status { code: 503 } | ClientError::Broken { .. } | ClientError::Connect { .. },
            ) if Instant::now() < deadline => sleep(AGAIN).await,
            other => return other,
        }
    }
}

impl Remove {
    pub(super) async fn run(&self, connection: &Connection) -> anyhow::Result<()> {
        let connected = connection.connect().await?;
        let client = &connected.client;
        order(async || client.cluster_remove(self.node).await).await?;
        let gone = gone(client, self.node, Duration::from_secs(self.wait)).await?;
        report(connection, self.node, &gone)?;
        connected.finish()
    }
}

impl Leave {
    pub(super) async fn run(&self, connection: &Connection) -> anyhow::Result<()> {
        let urls = connection.urls()?;
        let [_] = urls.as_slice() else {
            return Err(
                Usage("leave needs --url with the URL of the one node that shall go".to_owned()).into()
            );
        };
        let connected = connection.connect().await?;
        let before = connected.client.cluster_status().await?;
        let own = before.node.context("the server does not say which node it is")?.to_string();
        let others = before.nodes.iter().filter(|node| node.id != own && node.reachable);
        let others: Vec<String> =
            others.map(|node| node.api_url.clone()).filter(|url| !url.is_empty()).collect();
        let node = order(async || connected.client.cluster_leave().await).await?;
        let others = connection.with_session(&others, connected.client.session())?;
        let gone = gone(&others, node, Duration::from_secs(self.wait)).await?;
        report(connection, node, &gone)?;
        connected.finish()
    }
}

fn report(connection: &Connection, node: u64, after: &ClusterStatus) -> anyhow::Result<()> {
    let text = format!("node {node} is removed; {}", safety(after));
    output::result(connection.format(), &text, &json!({ "removed": node, "tolerates": after.tolerates }))
}

/// Waits until a node is no member any more.
async fn gone(client: &Client, node: u64, limit: Duration) -> anyhow::Result<ClusterStatus> {
    let id = node.to_string();
    progress::wait(&format!("the removal of node {node}"), limit, async || {
        let Some(status) = status(client).await? else {
            return Ok(Seen::Still("waiting for a leader".to_owned()));
        };
        let Some(found) = status.nodes.iter().find(|known| known.id == id) else {
            return Ok(Seen::Done(status));
        };
        Ok(Seen::Still(if !found.hindrance.is_empty() {
            format!("node {node} cannot be removed yet: {}", found.hindrance)
        } else if found.role == "leader" {
            format!("node {node} leads and hands over")
        } else {
            format!("removing node {node}")
        }))
    })
    .await
}

impl TransferLeadership {
    pub(super) async fn run(&self, connection: &Connection) -> anyhow::Result<()> {
        let connected = connection.connect().await?;
        let client = &connected.client;
        let target = match self.node {
            Some(node) => node,
            None => best(&client.cluster_status().await?)?,
        };
        output::note(&format!("handing over to node {target}"));
        let milliseconds = order(async || client.cluster_transfer(target).await).await?;
        let text = format!("node {target} leads after {milliseconds} ms");
        let value = json!({ "leader": target, "milliseconds": milliseconds });
        output::result(connection.format(), &text, &value)?;
        connected.finish()
    }
}

/// The voter with the most complete log that does not lead.
fn best(status: &ClusterStatus) -> anyhow::Result<u64> {
    let candidates = status.nodes.iter().filter(|node| node.voter && node.reachable && node.role != "leader");
    let best = candidates.min_by_key(|node| node.lag.unwrap_or(i64::MAX));
    let best = best.context("there is no other node with a vote that answers")?;
    best.id.parse().context("the server names a node without a number")
}

#[cfg(test)]
mod tests {
    use tessera_client::NodeStatus;

    use super::*;

    #[test]
    fn the_follower_with_the_most_complete_log_is_chosen() {
        let node = |id: &str, role: &str, lag| NodeStatus {
            id: id.to_owned(),
            role: role.to_owned(),
            voter: role != "learner",
            reachable: true,
            lag: Some(lag),
            ..NodeStatus::default()
        };
        let nodes = vec![
            node("1", "leader", 0),
            node("2", "follower", 7),
            node("3", "follower", 2),
            node("4", "learner", 0),
        ];
        let mut status = ClusterStatus { nodes, ..ClusterStatus::default() };
        assert_eq!(best(&status).unwrap(), 3);
        status.nodes[2].reachable = false;
        assert_eq!(best(&status).unwrap(), 2);
        status.nodes.truncate(1);
        assert!(best(&status).is_err());
    }
}
