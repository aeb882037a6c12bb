//! A node with everything real: keys, certificates, disk, replication.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of the tests may fail like the tests")]

mod backup;
mod start;
