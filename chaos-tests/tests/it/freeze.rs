//! Nodes are frozen.

use tessera_chaos_tests::scenario::{frozen_follower, leader_killed};

#[test]
fn a_frozen_follower_disturbs_nobody() -> Result<(), crate::Failure> {
    crate::check(frozen_follower::run())
}

#[test]
fn a_leader_that_was_frozen_accepts_nothing_again() -> Result<(), crate::Failure> {
    crate::check(leader_killed::run_freezing())
}
