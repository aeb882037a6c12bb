//! The replicated store of Tessera.

pub mod archive;
mod barrier;
#[doc(hidden)]
pub mod batch;
mod batcher;
mod checkpoint;
mod clock;
pub mod cluster;
#[doc(hidden)]
pub mod codec;
pub mod config;
mod election;
mod fault;
mod histogram;
#[doc(hidden)]
pub mod history;
mod identity;
pub mod level;
#[doc(hidden)]
pub mod log_store;
mod membership;
mod proposer;
mod repair;
pub mod restore;
mod sessions;
#[doc(hidden)]
pub mod snapshot;
#[doc(hidden)]
pub mod state;
mod state_file;
#[doc(hidden)]
pub mod state_store;
mod status;
mod transport;
#[doc(hidden)]
pub mod type_config;
#[doc(hidden)]
pub mod wal;
