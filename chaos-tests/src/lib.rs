//! Real processes that are killed, frozen, cut off and misled while clients run; what the clients saw is then checked for
//! replays, lost writes, and answers that no order of the requests explains.
//!
//! A test of this crate has five parts: [`cluster`] starts the processes of the `tessera` program and breaks them,
//! [`network`] carries what they say to each other, [`site`] sends requests and writes into the [`history`] what was
//! sent and what came back, [`scenario`] says which load runs while which [`fault`] lasts, and [`invariant`] says what
//! must hold of every history. [`oracle`] computes OTPs on its own, from the RFCs, so that a mistake in the product
//! cannot hide itself.
//!
//! Environment: `TESSERA_BIN` names the program, `TESSERA_CHAOS_SEED` repeats the choices of an earlier run,
//! `TESSERA_CHAOS_SECONDS` and `TESSERA_CHAOS_NODES` give the length of the mixed faults and the size of their cluster,
//! `TESSERA_KILL_ROUNDS` the number of kills of the node that is killed while it writes, and `TESSERA_CHAOS_KEEP` a
//! folder for the logs.

#![forbid(unsafe_code)]

pub mod cluster;
pub mod disk;
pub mod environment;
pub mod fault;
pub mod history;
pub mod http;
pub mod invariant;
pub mod layout;
pub mod linearizability;
pub mod load;
pub mod network;
pub mod operator;
pub mod oracle;
pub mod process;
pub mod scenario;
pub mod site;
pub mod wait;
