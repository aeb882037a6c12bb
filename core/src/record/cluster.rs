//! Records the cluster keeps about itself.

use serde::{Deserialize, Serialize};

use crate::time::UnixMillis;

/// Where the kept part of the history begins: rows up to this one were removed on every node, the chain goes on from
/// its hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryAnchorV1 {
    /// Number of the last row removed.
    pub number: u64,
    /// Its hash in the chain.
    pub hash: [u8; 32],
    /// When that was decided.
    pub at: UnixMillis,
}
