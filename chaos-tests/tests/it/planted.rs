//! Known defects are found.

use tessera_chaos_tests::scenario::planted::{self, Planted};

#[test]
fn a_skipped_revision_check_is_found() -> Result<(), crate::Failure> {
    crate::check(planted::skipped_revision_check(Planted::Yes))
}

#[test]
fn the_revision_check_finds_nothing_where_it_is_not_skipped() -> Result<(), crate::Failure> {
    crate::check(planted::skipped_revision_check(Planted::No))
}

#[test]
fn what_is_reported_before_it_is_durable_is_found() -> Result<(), crate::Failure> {
    crate::check(planted::reported_before_flush(Planted::Yes))
}

#[test]
fn what_is_reported_when_it_is_durable_is_kept() -> Result<(), crate::Failure> {
    crate::check(planted::reported_before_flush(Planted::No))
}

#[test]
fn a_dropped_reply_table_is_found() -> Result<(), crate::Failure> {
    crate::check(planted::dropped_reply_table(Planted::Yes))
}

#[test]
fn with_the_reply_table_lost_answers_do_no_harm() -> Result<(), crate::Failure> {
    crate::check(planted::dropped_reply_table(Planted::No))
}
