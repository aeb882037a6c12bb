//! Tests of the connectors through their public interface.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test helper that cannot go on, or gets another variant than it needs, fails its test"
)]

mod connectors;
mod forward;
mod passwd;
mod radius;
mod yubico;
