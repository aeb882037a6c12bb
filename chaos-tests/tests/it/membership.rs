//! Nodes come and go.

use tessera_chaos_tests::scenario::membership;

#[test]
fn a_cluster_grows_and_shrinks_under_load() -> Result<(), crate::Failure> {
    crate::check(membership::run())
}
