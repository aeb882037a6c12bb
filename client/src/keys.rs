//! The cluster keys: our own endpoints, unknown to an original server.

use serde::Deserialize;

use crate::client::Client;
use crate::error::ClientError;
use crate::lenient;

/// The reply to `/cluster/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct KeyStatus {
    /// The key secrets are sealed under.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub current: Option<i64>,
    /// Secrets that are still sealed under another one.
    #[serde(default)]
    pub stale: u64,
    /// All keys that are held or needed.
    #[serde(default)]
    pub keys: Vec<KeyState>,
    /// The nodes and the keys they hold.
    #[serde(default)]
    pub nodes: Vec<KeyHolder>,
}

/// A cluster key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct KeyState {
    /// Its id.
    #[serde(default)]
    pub id: u64,
    /// Its check value in hexadecimal digits; empty if no node that answered holds it.
    #[serde(default)]
    pub check: String,
    /// Number of secrets sealed under it.
    #[serde(default)]
    pub sealed: u64,
    /// Number of PIN hashes made under it.
    #[serde(default)]
    pub pins: u64,
    /// Whether the cluster keeps what the PIN hashes need, so that they do not need the key.
    #[serde(default)]
    pub pin_key_stored: bool,
    /// Whether anything needs the key.
    #[serde(default)]
    pub needed: bool,
}

/// A node and the keys it holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct KeyHolder {
    /// Node id.
    #[serde(default)]
    pub id: u64,
    /// Whether it answered.
    #[serde(default)]
    pub reachable: bool,
    /// Ids of its keys.
    #[serde(default)]
    pub keys: Vec<u64>,
}

/// The reply to `/cluster/keys/rotate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct KeySwitch {
    /// The key that was current before.
    #[serde(default)]
    pub from: u64,
    /// The key that is current now.
    #[serde(default)]
    pub to: u64,
}

impl Client {
    /// Which keys the nodes hold and what they are needed for; needs an administrator's session.
    ///
    /// # Errors
    /// Transport failures and missing session.
    pub async fn key_status(&self) -> Result<KeyStatus, ClientError> {
        self.get("/cluster/keys", &[]).await?.into_value()
    }

    /// Makes a key current, the newest one of the asked node unless one is named; needs an administrator's session.
    ///
    /// # Errors
    /// Transport failures, missing session, and a node that does not hold the key.
    pub async fn rotate_key(&self, key: Option<u64>) -> Result<KeySwitch, ClientError> {
        let id = key.map(|key| key.to_string());
        let parameters: Vec<(&str, &str)> = id.iter().map(|id| ("key", id.as_str())).collect();
        self.post("/cluster/keys/rotate", &parameters).await?.into_value()
    }
}
