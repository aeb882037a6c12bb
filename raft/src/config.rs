//! What a node needs to know before it starts.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use thiserror::Error;

use crate::{level::FORMAT_LEVEL, transport::parse_cluster_id, type_config::ClusterId};

/// The configuration of a node's store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Where the log, the snapshots and the history are.
    pub data_dir: PathBuf,
    /// Identity of the cluster, a UUID as text.
    pub cluster_id: String,
    /// Number of this node, given once and never used again (reference raft-and-storage 10). Not 0.
    pub node_id: u64,
    /// Where to listen for other nodes. Port 0 takes a free one, see [`crate::cluster::Store::listen_addr`].
    pub listen: SocketAddr,
    /// `host:port` under which other nodes reach this one.
    pub advertise: String,
    /// Base URL of this node's web API.
    pub api_url: String,
    /// Certificates for talking to other nodes.
    pub tls: NodeTls,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// How long a commit may wait for a leader or for its outcome.
    pub commit_timeout: Duration,
    /// Worker threads of the runtime that Raft has for itself.
    pub threads: usize,
    /// When to make snapshots.
    pub snapshot: SnapshotPolicy,
    /// Sessions not used for this long are forgotten. Must be far above `commit_timeout`.
    pub session_idle: Duration,
    /// Between two checkpoints at which the nodes compare the digests of their states.
    pub checkpoint_interval: Duration,
    /// The highest format level this node supports; tests let a node pretend to be of another version.
    #[doc(hidden)]
    pub format_level: u32,
}

impl StoreConfig {
    /// A configuration with the default timings and limits.
    #[must_use]
    pub fn new(
        data_dir: PathBuf,
        cluster_id: String,
        node_id: u64,
        listen: SocketAddr,
        tls: NodeTls,
    ) -> Self {
        Self {
            data_dir,
            cluster_id,
            node_id,
            listen,
            advertise: listen.to_string(),
            api_url: String::new(),
            tls,
            timing: Timing::default(),
            commit_timeout: Duration::from_secs(5),
            threads: 2,
            snapshot: SnapshotPolicy::default(),
            session_idle: Duration::from_secs(600),
            checkpoint_interval: Duration::from_secs(300),
            format_level: FORMAT_LEVEL,
        }
    }

    /// Checks the values that the types do not.
    ///
    /// # Errors
    /// Names every value that cannot be used.
    pub(crate) fn validate(&self) -> Result<ClusterId, InvalidConfig> {
        let mut problems = Vec::new();
        if self.node_id == 0 {
            problems.push("the node id must not be 0");
        }
        if self.threads == 0 {
            problems.push("at least one thread is needed");
        }
        let timing = self.timing;
        if timing.heartbeat_ms == 0 || timing.election_min_ms <= timing.heartbeat_ms {
            problems.push("the election timeout must be longer than the heartbeat interval");
        }
        if timing.election_max_ms <= timing.election_min_ms {
            problems.push("the longest election timeout must exceed the shortest");
        }
        if self.session_idle < self.commit_timeout.saturating_mul(10) {
            problems.push("sessions must live at least ten times as long as a commit may take");
        }
        if self.checkpoint_interval.is_zero() {
            problems.push("there must be time between two checkpoints");
        }
        let cluster = parse_cluster_id(&self.cluster_id);
        if cluster.is_none() {
            problems.push("the cluster id must be a UUID");
        }
        match cluster {
            Some(cluster) if problems.is_empty() => Ok(cluster),
            _ => Err(InvalidConfig { problems }),
        }
    }
}

/// The configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid store configuration: {}", problems.join("; "))]
pub struct InvalidConfig {
    problems: Vec<&'static str>,
}

/// Certificates for mutual TLS between nodes, as PEM.
#[derive(Clone)]
pub struct NodeTls {
    /// The cluster's certificate authority; signs nothing but nodes of this cluster.
    pub ca_pem: Vec<u8>,
    /// This node's certificate, with the DNS name `node-<id>.<cluster id>.tessera`.
    pub cert_pem: Vec<u8>,
    /// Its private key.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for NodeTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeTls")
    }
}

/// Heartbeats and elections, in milliseconds (reference raft-and-storage 6).
///
/// A new leader is there after about `election_max_ms` plus 40 to 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats; also the time limit of one replication request.
    pub heartbeat_ms: u64,
    /// Time limit of a vote request.
    pub election_min_ms: u64,
    /// A leader that was not heard of for this long may be replaced.
    pub election_max_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { heartbeat_ms: 100, election_min_ms: 300, election_max_ms: 450 }
    }
}

/// When to make a snapshot, and how much log to keep behind it (reference raft-and-storage 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// After this many bytes of log.
    pub log_bytes: u64,
    /// After this many transactions.
    pub transactions: u64,
    /// After this time, if anything changed.
    pub interval: Duration,
    /// But never sooner than this after the last one.
    pub pause: Duration,
    /// Log entries kept behind a snapshot, so that a node that was away for a moment catches up from the log.
    pub keep_entries: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            log_bytes: 64 * 1024 * 1024,
            transactions: 200_000,
            interval: Duration::from_secs(3600),
            pause: Duration::from_secs(60),
            keep_entries: 20_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> StoreConfig {
        let tls = NodeTls { ca_pem: vec![], cert_pem: vec![], key_pem: b"secret".to_vec() };
        let listen = "127.0.0.1:0".parse().unwrap();
        StoreConfig::new("/d".into(), "0f8fad5b-d9cb-469f-a165-70867728950e".into(), 1, listen, tls)
    }

    #[test]
    fn defaults_are_valid() {
        assert!(config().validate().is_ok());
    }

    #[test]
    fn every_problem_is_named() {
        let mut wrong = config();
        wrong.node_id = 0;
        wrong.threads = 0;
        wrong.cluster_id = "x".into();
        wrong.timing = Timing { heartbeat_ms: 100, election_min_ms: 100, election_max_ms: 100 };
        wrong.session_idle = Duration::from_secs(5);
        wrong.checkpoint_interval = Duration::ZERO;
        assert_eq!(wrong.validate().unwrap_err().problems.len(), 7);
    }

    #[test]
    fn private_key_is_not_printed() {
        assert!(!format!("{:?}", config()).contains("115"), "bytes of the key");
        assert!(!format!("{:?}", config()).contains("secret"));
    }
}
