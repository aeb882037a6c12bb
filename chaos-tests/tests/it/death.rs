//! Nodes are killed, or asked to stop.

use tessera_chaos_tests::scenario::{
    all_killed, insistent, killed_while_writing, leader_gap, no_majority, rolling_restart,
};

#[test]
fn nothing_acknowledged_is_lost_when_all_nodes_die_at_once() -> Result<(), crate::Failure> {
    crate::check(all_killed::run())
}

#[test]
fn logins_go_on_soon_after_the_leader_was_killed() -> Result<(), crate::Failure> {
    crate::check(leader_gap::run())
}

#[test]
fn a_node_killed_while_it_writes_opens_again() -> Result<(), crate::Failure> {
    crate::check(killed_while_writing::run())
}

#[test]
fn without_a_majority_the_answer_is_503_and_never_false() -> Result<(), crate::Failure> {
    crate::check(no_majority::run())
}

#[test]
fn who_repeats_a_login_under_its_key_gets_in_whatever_dies() -> Result<(), crate::Failure> {
    crate::check(insistent::run())
}

#[test]
fn nobody_notices_a_rolling_restart() -> Result<(), crate::Failure> {
    crate::check(rolling_restart::run())
}
