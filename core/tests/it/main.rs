//! Tests of the core through its public interface.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "everything in this binary is a test, its helper functions included"
)]

mod challenge;
mod enroll;
mod find;
mod import;
mod import_batch;
mod losttoken;
mod oath;
mod policies;
mod property;
mod property_import;
mod property_types;
mod repeat;
mod resync;
#[path = "../../src/test_state.rs"]
mod state;
mod structure;
mod time_based;
mod tokens;
mod types;
mod validate;
