//! No OTP is accepted twice.

use tessera_chaos_tests::scenario::{leader_killed, simultaneous};

#[test]
fn the_same_otp_at_all_nodes_at_once_is_accepted_once() -> Result<(), crate::Failure> {
    crate::check(simultaneous::run())
}

#[test]
fn the_same_otp_is_accepted_once_while_leaders_are_killed() -> Result<(), crate::Failure> {
    crate::check(leader_killed::run())
}
