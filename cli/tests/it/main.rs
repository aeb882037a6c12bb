//! The binary as its users run it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of the tests may fail like the tests"
)]

mod backup;
mod check_config;
mod dev;
mod policies;
mod rotation;
mod site;
mod support;
mod types;
mod usage;
