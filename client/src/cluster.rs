//! Health and cluster status: our own endpoints, unknown to an original server.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;

use crate::client::Client;
use crate::error::ClientError;
use crate::lenient;
use crate::reply;
use crate::transport::{Access, Payload, Repeat, Request};

/// How one node answered `/healthz` or `/readyz`.
#[derive(Debug)]
pub struct NodeHealth {
    /// The base URL asked.
    pub url: String,
    /// True if the answer was 200.
    pub healthy: bool,
    /// The text of the answer, if there was one.
    pub message: String,
    /// Why there was no answer.
    pub error: Option<ClientError>,
}

/// The reply to `/cluster/status`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct ClusterStatus {
    /// All nodes the answering node knows.
    #[serde(default)]
    pub nodes: Vec<NodeStatus>,
    /// The format level the cluster writes.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub format_level: Option<i64>,
}

/// One node of the cluster, as seen by the node that answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct NodeStatus {
    /// Node id.
    #[serde(default, deserialize_with = "lenient::text")]
    pub id: String,
    /// `leader`, `follower`, `learner`, ...
    #[serde(default, deserialize_with = "lenient::text")]
    pub role: String,
    /// Raft term.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub term: Option<i64>,
    /// Index of the last log entry.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub last: Option<i64>,
    /// Index of the last applied log entry.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub applied: Option<i64>,
    /// Index of the last snapshot.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub snapshot: Option<i64>,
    /// Log entries the node is behind the leader.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub lag: Option<i64>,
    /// Version of the program.
    #[serde(default, deserialize_with = "lenient::text")]
    pub version: String,
    /// True if the node answers.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub reachable: bool,
    /// Base URL of its web API.
    #[serde(default, deserialize_with = "lenient::text")]
    pub api_url: String,
    /// The highest format level its program supports.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub supported_level: Option<i64>,
    /// Log index of the newest checkpoint it has the digest of.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub checkpoint: Option<i64>,
    /// Nodes whose state, as it says, differed from its own when last compared. Anything here is an alarm.
    #[serde(default)]
    pub diverged_from: Vec<u64>,
    /// Members this version does not know.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl Client {
    /// Asks every node whether its process is alive.
    pub async fn healthz(&self) -> Vec<NodeHealth> {
        self.probe("/healthz").await
    }

    /// Asks every node whether it can serve requests.
    pub async fn readyz(&self) -> Vec<NodeHealth> {
        self.probe("/readyz").await
    }

    /// The state of the cluster as one node sees it; needs an administrator's session.
    ///
    /// # Errors
    /// Transport failures, missing session, and servers that are no cluster (404).
    pub async fn cluster_status(&self) -> Result<ClusterStatus, ClientError> {
        let path = "/cluster/status";
        let raw = self.transport().send(&read(path, Access::Session)).await?;
        let mut body = reply::any_json(path, &raw)?;
        if let Some(enveloped) = body.pointer_mut("/result/value") {
            body = enveloped.take();
        }
        serde_json::from_value(body).map_err(|_| ClientError::bad_reply(path, "not a cluster status"))
    }

    async fn probe(&self, path: &str) -> Vec<NodeHealth> {
        let mut found = Vec::new();
        for url in self.transport().urls() {
            found.push(match self.transport().attempt(url, &read(path, Access::Public)).await {
                Ok(raw) => NodeHealth {
                    url: url.to_owned(),
                    healthy: raw.status == 200,
                    message: String::from_utf8_lossy(&raw.body).trim().to_owned(),
                    error: None,
                },
                Err(error) => NodeHealth {
                    url: url.to_owned(),
                    healthy: false,
                    message: String::new(),
                    error: Some(error),
                },
            });
        }
        found
    }
}

fn read(path: &str, access: Access) -> Request<'_> {
    Request {
        method: Method::GET,
        path,
        payload: Payload::Parameters(&[]),
        access,
        repeat: Repeat::Harmless,
        idempotency_key: None,
    }
}
