//! What a node and its cluster look like from outside.

use std::collections::BTreeMap;

use crate::{checkpoint::StateCheckpoint, histogram::Distribution};

/// Version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `host:port` of its Raft listener.
    pub raft_addr: String,
    /// Base URL of its web API.
    pub api_url: String,
}

/// What a node is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Orders all transactions.
    Leader,
    /// Votes.
    Follower,
    /// Receives the log but does not vote; also a node that does not belong to a cluster.
    Learner,
}

/// The local node, without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalStatus {
    /// This node.
    pub node_id: u64,
    /// What it is.
    pub role: Role,
    /// The leader as far as this node knows.
    pub leader: Option<u64>,
    /// The current term.
    pub term: u64,
    /// Index of the last entry of this node's log.
    pub last_log_index: u64,
    /// Index of the last entry applied here.
    pub applied_index: u64,
    /// Revision of the state here.
    pub revision: u64,
    /// Index of the last entry in this node's newest snapshot.
    pub snapshot_index: u64,
    /// Members with vote.
    pub voters: Vec<u64>,
    /// All members, learners too.
    pub members: BTreeMap<u64, Member>,
    /// Whether a change of members is half done.
    pub joint: bool,
    /// Whether the node is in touch: as the leader with a majority, otherwise with the leader.
    pub quorum: bool,
    /// Whether Raft still runs; it stops for good when the disk fails.
    pub running: bool,
    /// The newest digest of its state.
    pub checkpoint: Option<StateCheckpoint>,
    /// Members whose state differed from this node's when last compared. Anything here is an alarm.
    pub diverged_from: Vec<u64>,
    /// The highest format level this node supports.
    pub supported_level: u32,
    /// The format level the cluster writes, as far as this node has applied it.
    pub format_level: u32,
}

/// A member as another one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// The member.
    pub id: u64,
    /// What it says it is; `None` when it did not answer.
    pub role: Option<Role>,
    /// Whether the membership gives it a vote.
    pub voter: bool,
    /// Its term.
    pub term: u64,
    /// Index of the last entry of its log.
    pub last_log_index: u64,
    /// Index of the last entry it has applied.
    pub applied_index: u64,
    /// Index of the last entry in its newest snapshot.
    pub snapshot_index: u64,
    /// Entries it has not applied, compared with the member that is farthest.
    pub lag: u64,
    /// Version of its program; empty when it did not answer.
    pub version: String,
    /// Whether it answered within a second.
    pub reachable: bool,
    /// The newest digest of its state.
    pub checkpoint: Option<StateCheckpoint>,
    /// Members whose state, as it says, differed from its own when last compared. Anything here is an alarm.
    pub diverged_from: Vec<u64>,
    /// The highest format level it supports; 0 when it did not answer.
    pub supported_level: u32,
    /// `host:port` of its Raft listener.
    pub raft_addr: String,
    /// Base URL of its web API.
    pub api_url: String,
    /// What it announces about itself, see [`crate::cluster::Store::announce`]; empty when it did not answer.
    pub announcement: String,
}

/// Numbers for the monitoring. Counters count from the start of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreMetrics {
    /// Log entries proposed here as the leader.
    pub batches: u64,
    /// Commands in them.
    pub batch_commands: u64,
    /// Bytes of them.
    pub batch_bytes: u64,
    /// Commands waiting here to be proposed.
    pub queued: u64,
    /// Commands refused because too many were waiting.
    pub refused: u64,
    /// Commands whose batch ended without an outcome.
    pub unknown: u64,
    /// From proposing the last batch to its replies, in microseconds.
    pub batch_last_micros: u64,
    /// The longest such time since the last reading, in microseconds.
    pub batch_max_micros: u64,
    /// Commits asked for on this node.
    pub commits: u64,
    /// Commits that were refused because what they had read was overtaken.
    pub conflicts: u64,
    /// Commits without an outcome.
    pub commit_failures: u64,
    /// Duration of the last write to the log's disk, in microseconds.
    pub sync_last_micros: u64,
    /// The longest since the last reading, in microseconds.
    pub sync_max_micros: u64,
    /// Writes to the log's disk.
    pub syncs: u64,
    /// Bytes written to the log's disk.
    pub log_bytes_written: u64,
    /// Live entries of the log.
    pub log_entries: u64,
    /// Bytes of them.
    pub log_bytes: u64,
    /// Index of the last entry applied.
    pub applied_index: u64,
    /// Index of the last entry in the newest snapshot.
    pub snapshot_index: u64,
    /// Records in the state.
    pub records: u64,
    /// Rows of the history.
    pub history_rows: u64,
    /// Commits whose first answer was lost, and which were found to have an outcome already.
    pub duplicates: u64,
    /// Commands sent to the leader and answered by it.
    pub forwarded: u64,
    /// Commands sent to the leader, which did not take them.
    pub forward_refused: u64,
    /// Commands sent to the leader, of which nothing was heard again.
    pub forward_unknown: u64,
    /// Snapshots made here.
    pub snapshots_made: u64,
    /// Snapshots received from the leader.
    pub snapshots_received: u64,
    /// How long the last snapshot made here took, in microseconds.
    pub snapshot_micros: u64,
    /// Its size.
    pub snapshot_bytes: u64,
    /// Number of the last history row removed by the retention.
    pub history_anchor: u64,
    /// Number of the history row up to which this node lacks none.
    pub history_complete: u64,
    /// History rows this node refused because they contradicted the chain of hashes.
    pub history_contradictions: u64,
    /// Writes of history rows that failed; they are fetched from another node.
    pub history_failures: u64,
    /// Index of the newest checkpoint this node has the digest of.
    pub checkpoint_index: u64,
    /// How long that digest took, pauses included, in microseconds.
    pub digest_micros: u64,
    /// Members whose state differed from this node's when last compared.
    pub diverged_nodes: u64,
    /// Comparisons that found a difference.
    pub divergences: u64,
}

/// Distributions for the monitoring, from the start of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreDistributions {
    /// From asking for a commit on this node to its outcome, in microseconds.
    pub commit_micros: Distribution,
    /// From proposing a batch as the leader to its replies, in microseconds.
    pub batch_micros: Distribution,
    /// Commands in a batch.
    pub batch_commands: Distribution,
    /// Syncs of the log's disk, in microseconds.
    pub sync_micros: Distribution,
}
