//! Tests of the core through its public interface.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "everything in this binary is a test, its helper functions included"
)]

mod enroll;
mod oath;
mod policies;
mod property;
mod repeat;
mod resync;
#[path = "../../src/test_state.rs"]
mod state;
mod structure;
mod time_based;
mod tokens;
mod validate;
