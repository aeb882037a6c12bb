//! Files are damaged.

use tessera_chaos_tests::scenario::damaged_directory::{self, Part};
use tessera_chaos_tests::scenario::rolled_back;

#[test]
fn a_node_with_a_damaged_log_refuses_to_start_and_comes_back_as_a_new_one() -> Result<(), crate::Failure> {
    crate::check(damaged_directory::run(Part::Middle))
}

#[test]
fn a_node_whose_log_lost_its_acknowledged_end_does_too() -> Result<(), crate::Failure> {
    crate::check(damaged_directory::run(Part::Tail))
}

#[test]
fn a_directory_that_went_back_in_time_is_noticed_by_the_invariants() -> Result<(), crate::Failure> {
    crate::check(rolled_back::run())
}
