//! The client against a small HTTP server with replies copied from the reference.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of the tests may fail like the tests"
)]

mod api;
mod failover;
mod server;
mod session;
mod tls;
mod validate;
