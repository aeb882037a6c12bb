//! Checks of a cluster: whether all nodes hold the same, and whether a node's audit trail is unchanged. Our own
//! endpoints, unknown to an original server.

use reqwest::Method;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::client::Client;
use crate::error::ClientError;
use crate::reply::{self, Reply};
use crate::transport::{Access, Payload, RawReply, Repeat, Request};

/// The reply to `/cluster/compare`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateComparison {
    /// The node that compared.
    pub node: u64,
    /// All nodes that answered hold the same.
    pub equal: bool,
    /// All nodes answered.
    pub complete: bool,
    /// The nodes.
    pub nodes: Vec<ComparedState>,
}

/// One node's state at a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedState {
    /// Node id.
    pub id: u64,
    /// Log index of the checkpoint; absent if the node did not answer in time.
    pub index: Option<u64>,
    /// Digest of its state there.
    pub digest: Option<String>,
    /// Whether it equals that of the node that compared.
    pub equal: bool,
}

/// A row of the audit trail and the hash over all rows up to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainPlace {
    /// Number of the row.
    pub row: u64,
    /// The hash.
    pub hash: String,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainFault {
    /// Number of the row.
    pub row: u64,
    /// What is wrong, for people.
    pub text: String,
}

/// The reply to `/cluster/history`: how far one node has verified its audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryCheck {
    /// Node id.
    pub node: u64,
    /// The last row removed by the retention.
    pub anchor: ChainPlace,
    /// The newest row, as the replicated state has it.
    pub head: ChainPlace,
    /// The last row found good.
    pub verified: ChainPlace,
    /// What is wrong behind it.
    pub fault: Option<ChainFault>,
    /// Whether there is nothing more to verify.
    pub complete: bool,
}

#[derive(Deserialize)]
struct Row {
    hash: Option<String>,
}

impl Client {
    /// Has the states of all nodes compared at a new checkpoint, within some seconds.
    ///
    /// # Errors
    /// Transport failures, missing session, and servers that are no cluster (404).
    pub async fn compare_states(&self, limit_seconds: u64) -> Result<StateComparison, ClientError> {
        let path = "/cluster/compare";
        let limit = limit_seconds.to_string();
        let request = Request {
            method: Method::POST,
            path,
            payload: Payload::Parameters(&[("limit", &limit)]),
            access: Access::Session,
            // A second checkpoint does no harm.
            repeat: Repeat::Harmless,
            idempotency_key: None,
        };
        read(path, &self.transport().send(&request).await?)
    }

    /// Has the node at `url` verify its audit trail from a row on, some thousand rows at a time. The session is sent
    /// there: it must be a node of the same cluster.
    ///
    /// # Errors
    /// As [`Self::compare_states`].
    pub async fn verify_history(&self, url: &str, from: u64) -> Result<HistoryCheck, ClientError> {
        self.history(url, "from", from).await
    }

    /// The hash the node at `url` has for a row of the audit trail, if it has the row.
    ///
    /// # Errors
    /// As [`Self::compare_states`].
    pub async fn history_hash(&self, url: &str, row: u64) -> Result<Option<String>, ClientError> {
        let row: Row = self.history(url, "row", row).await?;
        Ok(row.hash)
    }

    async fn history<T: DeserializeOwned>(&self, url: &str, name: &str, row: u64) -> Result<T, ClientError> {
        let path = "/cluster/history";
        let row = row.to_string();
        let request = Request {
            method: Method::GET,
            path,
            payload: Payload::Parameters(&[(name, &row)]),
            access: Access::Session,
            repeat: Repeat::Harmless,
            idempotency_key: None,
        };
        read(path, &self.transport().attempt(url.trim_end_matches('/'), &request).await?)
    }
}

fn read<T: DeserializeOwned>(path: &str, raw: &RawReply) -> Result<T, ClientError> {
    reply::check_status(raw)?;
    Reply::parse(path, raw)?.checked()?.into_value()
}
