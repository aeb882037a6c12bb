//! One running Tessera node.
//!
//! It puts the parts together: requests are decided by `tessera-core` on a pinned state of `tessera-raft`, questions are
//! answered by `tessera-connectors`, and the decision is committed (DESIGN section 3). It also owns what belongs to a
//! single machine: configuration file, cluster keys, certificates, log.
//!
//! Nothing here knows a URL, a cookie or a token type. Start reading at `run.rs`, the path of every request, then
//! [`Node::start`].

mod admission;
mod autopilot;
mod background;
pub mod backup;
pub mod config;
pub mod entropy;
pub mod file;
mod keyring;
pub mod keys;
mod lane;
mod metrics;
mod node;
mod retention;
mod rotation;
mod run;
pub mod start_request;
/// Types of the store that the front ends need.
pub mod store {
    pub use tessera_raft::cluster::{Distribution, LocalStatus, StoreMetrics};
}
pub mod telemetry;
#[doc(hidden)]
pub mod testing;
pub mod tls;

pub use autopilot::{Condition, Members, Refused};
pub use config::NodeConfig;
pub use metrics::NodeMetrics;
pub use node::{Fatal, Node, NotReady, StartError};
pub use retention::RetentionError;
pub use rotation::KeyStatus;
pub use run::{RunDefect, RunError};
