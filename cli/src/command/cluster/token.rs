//! `tessera cluster token` and `tessera cluster replace`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tessera_client::{Client, JoinToken};

use super::progress::{self, Seen, safety, status};
use crate::command::connection::Connection;
use crate::output::{self, Format};

/// How long the token of a replacement is valid and waited for, in seconds, unless said otherwise.
const REPLACE_SECONDS: u64 = 3600;

#[derive(Args, Debug)]
pub(crate) struct Token {
    /// How long the token can be used, in seconds; an hour unless given
    #[arg(long, value_name = "SECONDS")]
    lifetime: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct Replace {
    /// Id of the old node
    #[arg(value_name = "OLD")]
    old: u64,
    /// How long the token can be used, and the change is waited for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = REPLACE_SECONDS)]
    lifetime: u64,
    /// Prints the token and does not wait for the new node
    #[arg(long)]
    no_wait: bool,
}

fn as_json(token: &JoinToken) -> Value {
    json!({
        "node": token.node,
        "token": token.token.expose(),
        "expires": token.expires,
        "replaces": token.replaces,
    })
}

fn show(token: &JoinToken, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => return output::json(&as_json(token)),
        Format::Text => {
            output::line(&format!("node id: {}", token.node));
            output::line(&format!("token:   {}", token.token.expose()));
        }
    }
    output::note(&format!(
        "The token works once, for node {0}. Make the node's certificate with `tessera cert node --node-id {0}`, set \
         `id = {0}` in its configuration, and run `tessera cluster join` there.",
        token.node
    ));
    Ok(())
}

impl Token {
    pub(super) async fn run(&self, connection: &Connection) -> anyhow::Result<()> {
        let connected = connection.connect().await?;
        let token = connected.client.cluster_token(None, self.lifetime).await?;
        show(&token, connection.format())?;
        connected.finish()
    }
}

impl Replace {
    pub(super) async fn run(&self, connection: &Connection) -> anyhow::Result<()> {
        let connected = connection.connect().await?;
        let token = connected.client.cluster_token(Some(self.old), Some(self.lifetime)).await?;
        show(&token, connection.format())?;
        if !self.no_wait && connection.format() == Format::Text {
            let limit = Duration::from_secs(self.lifetime);
            let done = replaced(&connected.client, self.old, token.node, limit).await?;
            output::line(&done);
        }
        connected.finish()
    }
}

/// Waits until the new node votes and the old one is gone.
async fn replaced(client: &Client, old: u64, new: u64, limit: Duration) -> anyhow::Result<String> {
    let (old_id, new_id) = (old.to_string(), new.to_string());
    progress::wait(&format!("the replacement of node {old}"), limit, async || {
        let Some(status) = status(client).await? else {
            return Ok(Seen::Still("waiting for a leader".to_owned()));
        };
        let old_is_there = status.nodes.iter().any(|node| node.id == old_id);
        Ok(match status.nodes.iter().find(|node| node.id == new_id) {
            Some(node) if node.voter && !old_is_there => {
                Seen::Done(format!("node {new} has taken the place of node {old}; {}", safety(&status)))
            }
            Some(node) if node.voter => Seen::Still(format!("node {new} votes, removing node {old}")),
            Some(node) => Seen::Still(format!(
                "node {new} is catching up, {} entries behind",
                node.lag.unwrap_or_default()
            )),
            None if !old_is_there => Seen::Still(format!("node {old} is removed, adding node {new}")),
            None => Seen::Still(format!("waiting for node {new} to join")),
        })
    })
    .await
}
