//! Requests of the reference and the replies of the reference, against a node of one in this process.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod admin;
mod cluster;
mod consistency;
mod health;
mod https;
mod monitoring;
mod server;
mod system;
mod transport;
mod validate;
