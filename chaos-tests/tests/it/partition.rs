//! The network is divided.

use tessera_chaos_tests::scenario::cut_off;

#[test]
fn a_majority_without_its_leader_serves_again() -> Result<(), crate::Failure> {
    crate::check(cut_off::run())
}
