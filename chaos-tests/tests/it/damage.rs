//! Files are damaged.

use tessera_chaos_tests::scenario::{damaged_directory, rolled_back};

#[test]
fn a_node_with_a_damaged_log_refuses_to_start_and_says_how_to_rejoin() -> Result<(), crate::Failure> {
    crate::check(damaged_directory::run())
}

#[test]
fn a_directory_that_went_back_in_time_is_noticed_by_the_invariants() -> Result<(), crate::Failure> {
    crate::check(rolled_back::run())
}
