//! Health and cluster status: our own endpoints, unknown to an original server.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;

use crate::client::Client;
use crate::error::ClientError;
use crate::lenient;
use crate::reply;
use crate::secret::{Secret, plain};
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
    /// The node that answered.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub node: Option<i64>,
    /// The leader, if known.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub leader: Option<i64>,
    /// How many more nodes with a vote may fail; `None` when a majority is missing already.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub tolerates: Option<i64>,
    /// First nodes of the cluster that have not come yet.
    #[serde(default)]
    pub expected: Vec<u64>,
    /// Nodes that have a join token and have not come yet.
    #[serde(default)]
    pub invited: Vec<u64>,
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
    /// Whether it has a vote.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub voter: bool,
    /// `settled`, `joining` or `leaving`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub condition: String,
    /// What a node that is leaving waits for.
    #[serde(default, deserialize_with = "lenient::text")]
    pub hindrance: String,
    /// `host:port` where the other nodes reach it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub raft_addr: String,
    /// Base URL of its web API.
    #[serde(default, deserialize_with = "lenient::text")]
    pub api_url: String,
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

/// An id and a one-time token for a node that shall join.
#[derive(Debug, Clone, Deserialize)]
pub struct JoinToken {
    /// The id of the new node.
    pub node: u64,
    /// The token.
    #[serde(deserialize_with = "plain::deserialize")]
    pub token: Secret,
    /// Until when it can be used, in seconds since 1970.
    pub expires: u64,
    /// The member whose place the new node takes.
    pub replaces: Option<u64>,
}

/// What one member answered to the order to make a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SnapshotBegun {
    /// The member.
    pub node: u64,
    /// Why it has not begun.
    pub problem: Option<String>,
}

#[derive(Deserialize)]
struct Transferred {
    milliseconds: u64,
}

#[derive(Deserialize)]
struct Leaving {
    node: u64,
}

/// The calls that change the members. They need an administrator's session, and return when the change has begun;
/// [`Client::cluster_status`] shows how far it is.
impl Client {
    /// An id and a token for a node that shall join, or take the place of a member (`/cluster/token`).
    ///
    /// # Errors
    /// Those of the transport, and the refusal of the server.
    pub async fn cluster_token(
        &self,
        replaces: Option<u64>,
        lifetime_seconds: Option<u64>,
    ) -> Result<JoinToken, ClientError> {
        let (replaces, lifetime) =
            (replaces.map(|id| id.to_string()), lifetime_seconds.map(|seconds| seconds.to_string()));
        let given = [("replaces", replaces.as_deref()), ("lifetime", lifetime.as_deref())];
        let parameters: Vec<(&str, &str)> =
            given.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
        self.post("/cluster/token", &parameters).await?.into_value()
    }

    /// Removes a member for ever (`/cluster/remove`).
    ///
    /// # Errors
    /// Those of the transport, and the refusal of the server: a majority would not be left.
    pub async fn cluster_remove(&self, node: u64) -> Result<(), ClientError> {
        self.post("/cluster/remove", &[("node", &node.to_string())]).await.map(drop)
    }

    /// Removes the node that is asked, which then stops (`/cluster/leave`); returns its id. The client must have the URL of
    /// that node only.
    ///
    /// # Errors
    /// As [`Client::cluster_remove`].
    pub async fn cluster_leave(&self) -> Result<u64, ClientError> {
        let leaving: Leaving = self.post("/cluster/leave", &[]).await?.into_value()?;
        Ok(leaving.node)
    }

    /// Hands leadership over to a member (`/cluster/transfer`); it leads when this returns. The result is how long that took,
    /// in milliseconds.
    ///
    /// # Errors
    /// Those of the transport, and the refusal of the server.
    pub async fn cluster_transfer(&self, node: u64) -> Result<u64, ClientError> {
        let reply = self.post("/cluster/transfer", &[("node", &node.to_string())]).await?;
        let transferred: Transferred = reply.into_value()?;
        Ok(transferred.milliseconds)
    }

    /// Lets one member, or all, make a snapshot (`/cluster/snapshot`).
    ///
    /// # Errors
    /// Those of the transport, and the refusal of the server.
    pub async fn cluster_snapshot(&self, node: Option<u64>) -> Result<Vec<SnapshotBegun>, ClientError> {
        let node = node.map(|node| node.to_string());
        let parameters: Vec<(&str, &str)> = node.iter().map(|node| ("node", node.as_str())).collect();
        self.post("/cluster/snapshot", &parameters).await?.into_value()
    }
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
