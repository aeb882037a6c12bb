//! `tessera key`: the cluster key file, and the cluster key in use.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use tessera_client::{Client, ClientError, KeyState, KeyStatus};
use tessera_core::secret::KeyId;
use tessera_node::keys::ClusterKeys;

use super::connection::{self, Connection};
use crate::output::{self, Format};

/// How often progress is asked for.
const POLL: Duration = Duration::from_secs(1);
/// A cluster that does not answer for this long is given up; the re-sealing goes on by itself.
const SILENCE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Makes the key file of a new cluster, once; copy it to every node.
    #[command(after_help = "Example:\n  tessera key new /etc/tessera/cluster.key\n\n\
        Keep a copy in a safe place: without this file nobody can read the seeds in a data folder or backup.")]
    New(KeyFile),
    /// Adds a new random key to a key file; give the file to every node before `tessera key rotate`.
    #[command(after_help = "Example:\n  tessera key add cluster.key")]
    Add(KeyFile),
    /// Removes a key from a key file, after `tessera key status` says that nothing needs it.
    #[command(after_help = "Example:\n  tessera key remove cluster.key 1")]
    Remove(Remove),
    /// Shows the keys in a key file by their check values, not the keys themselves.
    Show(KeyFile),
    /// Shows which nodes hold which keys, and what is sealed under each.
    Status(Status),
    /// Makes a new key current, which all nodes hold, and waits until everything is sealed under it.
    #[command(after_help = "Procedure:\n  1. tessera key add cluster.key\n  \
        2. copy the file to every node; the nodes notice within seconds (tessera key status)\n  \
        3. tessera key rotate\n  4. tessera key remove cluster.key OLD, and copy the file again\n\n\
        Logins go on meanwhile. The command may be interrupted and repeated: the cluster goes on by itself.")]
    Rotate(Rotate),
}

#[derive(Args, Debug)]
pub(crate) struct KeyFile {
    /// The key file
    file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Remove {
    /// The key file
    file: PathBuf,
    /// Number of the key
    id: u32,
}

#[derive(Args, Debug)]
pub(crate) struct Status {}

#[derive(Args, Debug)]
pub(crate) struct Rotate {
    /// Number of the key; the newest one of the asked node unless given
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
}

impl Key {
    pub(super) fn run(self, connection: Connection) -> anyhow::Result<()> {
        match self {
            Self::New(KeyFile { file }) => {
                ClusterKeys::generate()?.create(&file)?;
                output::line(&format!("cluster key file: {}", file.display()));
                Ok(())
            }
            Self::Add(KeyFile { file }) => {
                let mut keys = ClusterKeys::load(&file)?;
                let id = keys.add()?;
                keys.replace(&file)?;
                output::line(&format!(
                    "key {} added to {}; copy the file to every node",
                    id.0,
                    file.display()
                ));
                Ok(())
            }
            Self::Remove(Remove { file, id }) => {
                let mut keys = ClusterKeys::load(&file)?;
                keys.remove(KeyId(id))
                    .map_err(|problem| anyhow::anyhow!("{}: key {id} {problem}", file.display()))?;
                keys.replace(&file)?;
                output::line(&format!("key {id} removed from {}", file.display()));
                Ok(())
            }
            Self::Show(KeyFile { file }) => {
                let ring = ClusterKeys::load(&file)?.keyring();
                let hex = |bytes: [u8; 8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                let rows = ring.check_values().map(|(id, check)| vec![id.0.to_string(), hex(check)]);
                output::table(&["KEY", "CHECK VALUE"], rows);
                Ok(())
            }
            Self::Status(Status {}) => connection::block_on(status(connection)),
            Self::Rotate(rotate) => connection::block_on(rotate.run(connection)),
        }
    }
}

async fn status(connection: Connection) -> anyhow::Result<()> {
    let connected = connection.connect().await?;
    let status = connected.client.key_status().await?;
    match connection.format() {
        Format::Json => output::json(&as_json(&status))?,
        Format::Text => {
            let head = ["KEY", "CURRENT", "CHECK VALUE", "SECRETS", "PINS", "HELD BY", "NEEDED"];
            output::table(&head, status.keys.iter().map(|key| row(&status, key)));
        }
    }
    connected.finish()
}

fn row(status: &KeyStatus, key: &KeyState) -> Vec<String> {
    let holders: Vec<String> = status
        .nodes
        .iter()
        .filter(|node| node.keys.contains(&key.id))
        .map(|node| node.id.to_string())
        .collect();
    let id = i64::try_from(key.id).unwrap_or(i64::MAX);
    let is_current = status.current == Some(id);
    let needed = match (key.needed, holders.is_empty()) {
        (true, _) => "yes",
        (false, true) => "no",
        (false, false) if status.current < Some(id) => "not yet",
        (false, false) => "no, can be removed",
    };
    let none_as_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    vec![
        key.id.to_string(),
        if is_current { "yes" } else { "" }.to_owned(),
        none_as_dash(key.check.clone()),
        key.sealed.to_string(),
        key.pins.to_string(),
        none_as_dash(holders.join(",")),
        needed.to_owned(),
    ]
}

fn as_json(status: &KeyStatus) -> serde_json::Value {
    let keys: Vec<_> = status
        .keys
        .iter()
        .map(|key| {
            json!({
                "id": key.id, "check": key.check, "sealed": key.sealed, "pins": key.pins,
                "pin_key_stored": key.pin_key_stored, "needed": key.needed,
            })
        })
        .collect();
    let nodes: Vec<_> = status
        .nodes
        .iter()
        .map(|node| json!({ "id": node.id, "reachable": node.reachable, "keys": node.keys }))
        .collect();
    json!({ "current": status.current, "stale": status.stale, "keys": keys, "nodes": nodes })
}

impl Rotate {
    async fn run(self, connection: Connection) -> anyhow::Result<()> {
        let format = connection.format();
        let connected = connection.connect().await?;
        let before = connected.client.key_status().await?;
        let switch = connected.client.rotate_key(self.to).await?;
        if switch.from == switch.to && before.stale == 0 {
            anyhow::bail!(
                "key {} is current already and everything is sealed under it: add a new key to the key file of every \
                 node first (`tessera key add`)",
                switch.to
            );
        }
        if format == Format::Text && switch.from != switch.to {
            output::line(&format!("key {} is current, it was key {}", switch.to, switch.from));
        }
        let status = wait(&connected.client, format).await?;
        let held = |id: u64| status.nodes.iter().any(|node| node.keys.contains(&id));
        let former = status.keys.iter().filter(|key| !key.needed && key.id < switch.to && held(key.id));
        let removable: Vec<u64> = former.map(|key| key.id).collect();
        match format {
            Format::Json => {
                output::json(&json!({ "current": switch.to, "stale": 0, "removable": removable }))?;
            }
            Format::Text => {
                output::line(&format!("everything is sealed under key {}", switch.to));
                for id in removable {
                    output::line(&format!(
                        "key {id} is not needed any more: remove it from the key file of every node"
                    ));
                }
            }
        }
        connected.finish()
    }
}

/// Waits until nothing is left under another key, and shows progress.
async fn wait(client: &Client, format: Format) -> anyhow::Result<KeyStatus> {
    let (mut answered, mut shown) = (Instant::now(), None);
    loop {
        match client.key_status().await {
            Ok(status) => {
                answered = Instant::now();
                if format == Format::Text && shown != Some(status.stale) && status.stale > 0 {
                    output::note(&format!("{} secrets are still to be sealed again", status.stale));
                    shown = Some(status.stale);
                }
                if status.stale == 0 {
                    return Ok(status);
                }
            }
            Err(error) if is_transient(&error) && answered.elapsed() < SILENCE_MAX => {}
            Err(error) => {
                return Err(error)
                    .context("the cluster goes on by itself; look again with `tessera key status`");
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A change of leader, or a node that is just restarted.
const fn is_transient(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Connect { .. }
            | ClientError::Timeout { .. }
            | ClientError::Broken { .. }
            | ClientError::Status { code: 502..=504 }
    )
}

#[cfg(test)]
mod tests {
    use tessera_client::KeyHolder;

    use super::*;

    #[test]
    fn the_status_tells_who_holds_a_key_and_whether_it_is_needed() {
        let key = |id, needed| KeyState { id, sealed: 7, pins: 2, needed, ..KeyState::default() };
        let status = KeyStatus {
            current: Some(2),
            stale: 7,
            keys: vec![key(1, false), key(2, true), key(3, false), key(4, false)],
            nodes: vec![
                KeyHolder { id: 1, reachable: true, keys: vec![1, 2, 4] },
                KeyHolder { id: 2, reachable: true, keys: vec![1] },
            ],
        };
        assert_eq!(row(&status, &status.keys[0]), ["1", "", "-", "7", "2", "1,2", "no, can be removed"]);
        assert_eq!(row(&status, &status.keys[1]), ["2", "yes", "-", "7", "2", "1", "yes"]);
        assert_eq!(row(&status, &status.keys[2])[5..], ["-", "no"], "gone, but PINs were hashed under it");
        assert_eq!(row(&status, &status.keys[3])[5..], ["1", "not yet"]);
        let shown = as_json(&status);
        assert_eq!((shown["current"].as_u64(), shown["nodes"][1]["keys"][0].as_u64()), (Some(2), Some(1)));
    }
}
