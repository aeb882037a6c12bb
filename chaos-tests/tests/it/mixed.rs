//! Everything at once, for as long as one likes.

use tessera_chaos_tests::scenario::mixed;

#[test]
fn nothing_is_lost_or_accepted_twice_whatever_breaks() -> Result<(), crate::Failure> {
    crate::check(mixed::run())
}
