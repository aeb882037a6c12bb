//! `tessera config`: LinOTP's system configuration, shared by all nodes.

use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::Connection;
use crate::output::{self, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Shows all entries, or one.
    #[command(after_help = "Examples:\n  tessera config get\n  tessera config get DefaultMaxFailCount")]
    Get(Get),
    /// Sets an entry.
    #[command(after_help = "Example:\n  tessera config set DefaultMaxFailCount 5")]
    Set(Set),
    /// Deletes an entry, so that its default applies.
    Delete(Delete),
}

#[derive(Args, Debug)]
pub(crate) struct Get {
    /// The key
    key: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Set {
    /// The key
    key: String,
    /// The value
    value: String,
    /// Stores the value encrypted and never shows it
    #[arg(long)]
    secret: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// The key
    key: String,
}

impl Config {
    pub(super) async fn run(self, connection: Connection) -> anyhow::Result<()> {
        let format = connection.format();
        let connected = connection.connect().await?;
        let client = &connected.client;
        match self {
            Self::Get(Get { key: Some(key) }) => {
                let Some(value) = client.config_entry(&key).await? else { anyhow::bail!("{key} is not set") };
                output::result(format, &value, &json!({ key: value }))?;
            }
            Self::Get(Get { key: None }) => {
                let entries = client.config().await?;
                match format {
                    Format::Json => output::json(&entries)?,
                    Format::Text => {
                        output::table(
                            &["KEY", "VALUE"],
                            entries.into_iter().map(|(key, value)| vec![key, value]),
                        );
                    }
                }
            }
            Self::Set(set) => {
                client.set_config(&set.key, &set.value, set.secret.then_some("password")).await?;
                output::result(format, &format!("{} set", set.key), &json!({ "set": set.key }))?;
            }
            Self::Delete(Delete { key }) => {
                client.delete_config(&key).await?;
                output::result(format, &format!("{key} deleted"), &json!({ "deleted": key }))?;
            }
        }
        connected.finish()
    }
}
