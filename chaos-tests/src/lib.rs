//! Real processes, killed and frozen while clients run; what the clients saw is then checked for replays and lost
//! writes.
//!
//! A test of this crate has four parts: [`cluster`] starts the processes of the `tessera` program and breaks them,
//! [`site`] sends requests and writes into the [`history`] what was sent and what came back, [`scenario`] says which
//! load runs while what breaks, and [`invariant`] says what must hold of every history. [`oracle`] computes OTPs on
//! its own, from the RFCs, so that a mistake in the product cannot hide itself.
//!
//! Environment: `TESSERA_BIN` names the program, `TESSERA_CHAOS_SEED` repeats the choices of an earlier run,
//! `TESSERA_CHAOS_SECONDS` and `TESSERA_KILL_ROUNDS` make the two open-ended scenarios longer.

#![forbid(unsafe_code)]

pub mod cluster;
pub mod environment;
pub mod history;
pub mod http;
pub mod invariant;
pub mod load;
pub mod operator;
pub mod oracle;
pub mod process;
pub mod scenario;
pub mod site;
pub mod wait;
