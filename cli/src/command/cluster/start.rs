//! `tessera cluster init` and `tessera cluster join`: what a node with an empty data folder is to become.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use tessera_node::NodeConfig;
use tessera_node::start_request::{self, StartRequest};

use super::progress::{self, Seen};
use crate::command::connection::Connection;
use crate::exit::Usage;
use crate::output;

/// How long the node is waited for, in seconds, unless said otherwise.
const WAIT_SECONDS: u64 = 600;

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// The node's configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How long the node is waited for, in seconds; 0 to leave the request and not to wait
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS)]
    wait: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Join {
    /// The node's configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The token that `tessera cluster token` or `replace` has printed; `-` reads it from standard input
    #[arg(long, env = "TESSERA_CLUSTER_JOIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: String,
    /// Where a node of the cluster is reached by other nodes; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    peer: Vec<String>,
    /// How long the node is waited for, in seconds; 0 to leave the request and not to wait
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS)]
    wait: u64,
}

/// A configuration that can be used, of a node whose data folder is empty.
fn fresh(path: &Path) -> anyhow::Result<NodeConfig> {
    let config = NodeConfig::load(path, std::env::vars())?;
    let problems = config.check_files();
    anyhow::ensure!(problems.is_empty(), "{} is not usable:\n  {}", path.display(), problems.join("\n  "));
    anyhow::ensure!(
        !start_request::is_admitted(&config.node.data_dir),
        "{} belongs to a cluster already; a node joins with an empty data folder",
        config.node.data_dir.display()
    );
    Ok(config)
}

impl Init {
    pub(super) async fn run(&self, connection: &Connection) -> anyhow::Result<()> {
        let config = fresh(&self.config)?;
        StartRequest::Init.write(&config.node.data_dir)?;
        started(&self.config, &config, connection, self.wait, "makes the cluster").await
    }
}

impl Join {
    pub(super) async fn run(&self, connection: &Connection) -> anyhow::Result<()> {
        let config = fresh(&self.config)?;
        let token = self.token()?;
        let id = config.node.id;
        if token.split_once('-').is_none_or(|(node, _)| node != id.to_string()) {
            let text = format!("the token is not for node {id}, which {} describes", self.config.display());
            return Err(Usage(text).into());
        }
        let mut peers = self.peer.clone();
        if peers.is_empty() && config.cluster.join.is_empty() {
            peers = known_peers(connection).await?;
        }
        StartRequest::Join { peers, token: token.as_str().into() }.write(&config.node.data_dir)?;
        started(&self.config, &config, connection, self.wait, "joins").await
    }

    fn token(&self) -> anyhow::Result<String> {
        if self.token != "-" {
            return Ok(self.token.clone());
        }
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).context("cannot read the token")?;
        Ok(line.trim().to_owned())
    }
}

/// Where the members are, from a server that is one.
async fn known_peers(connection: &Connection) -> anyhow::Result<Vec<String>> {
    let connected = connection.connect().await.context(
        "where is the cluster? Give --peer HOST:PORT, or `join` in the configuration, or log in at one of its nodes",
    )?;
    let status = connected.client.cluster_status().await?;
    let peers: Vec<String> =
        status.nodes.iter().filter(|node| node.reachable).map(|node| node.raft_addr.clone()).collect();
    connected.finish()?;
    anyhow::ensure!(!peers.is_empty(), "the server names no member that answers");
    Ok(peers)
}

/// Waits until the node is ready.
async fn started(
    path: &Path,
    config: &NodeConfig,
    connection: &Connection,
    seconds: u64,
    what: &str,
) -> anyhow::Result<()> {
    let (id, url) = (config.node.id, &config.http.url);
    let begin = format!("node {id} {what} as soon as `tessera server --config {}` runs", path.display());
    if seconds == 0 {
        return output::result(connection.format(), &begin, &json!({ "node": id, "ready": false }));
    }
    let client = connection.anonymous_at(std::slice::from_ref(url))?;
    let what = format!("the start of node {id}");
    let waiting = progress::wait(&what, Duration::from_secs(seconds), async || {
        if let Some(reason) = start_request::refusal(&config.node.data_dir) {
            anyhow::bail!("node {id} was refused: {reason}");
        }
        let health = client.readyz().await.into_iter().next();
        Ok(match health {
            Some(health) if health.healthy => Seen::Done(()),
            Some(health) if health.error.is_none() => Seen::Still(format!("node {id}: {}", health.message)),
            _ => Seen::Still(begin.clone()),
        })
    });
    waiting.await?;
    output::result(connection.format(), &format!("node {id} is ready"), &json!({ "node": id, "ready": true }))
}
