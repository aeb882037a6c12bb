//! What the server said is done, is done for ever.
//!
//! An acknowledged enrolment is listed, the counter of a token is behind
//! every accepted OTP, and its fail counter has counted every refusal since the last success. The other direction is
//! checked too: a counter or fail counter that is further than all requests together can explain, invented something.
//! Applies to counter-based tokens, whose counter an administrator can read (reference tokens, `LinOtp.Count`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::{Attempt, Outcome, Record};
use crate::oracle::Kind;
use crate::site::{Listing, Shown};

/// What the listing lacks, or has too much. To be called with a listing that was asked for after all else.
pub fn violations(record: &Record, listing: &Listing) -> Vec<String> {
    let acknowledged = record.enrolments.iter().filter(|enrolment| enrolment.acknowledged);
    let mut found: Vec<String> = acknowledged
        .filter(|enrolment| !listing.contains_key(&enrolment.serial))
        .map(|enrolment| {
            format!("the enrolment of {} was acknowledged, but it is not there", enrolment.serial)
        })
        .collect();
    let mut by_token: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
    for attempt in record.attempts.iter().filter(|attempt| attempt.kind == Kind::Hotp) {
        by_token.entry(&attempt.serial).or_default().push(attempt);
    }
    for (serial, attempts) in by_token {
        if let Some(shown) = listing.get(serial) {
            found.extend(wrong_counter(serial, &attempts, *shown));
            found.extend(wrong_fail_counter(serial, &attempts, *shown));
        }
    }
    found
}

fn wrong_counter(serial: &str, attempts: &[&Attempt], shown: Shown) -> Option<String> {
    let next = |attempt: &&&Attempt| attempt.counter().map(|counter| counter.saturating_add(1));
    let accepted = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Accepted);
    let at_least = accepted.filter_map(|attempt| next(&attempt)).max().unwrap_or(0);
    let possible = attempts.iter().filter(|attempt| attempt.may_have_been_accepted());
    let at_most = possible.filter_map(|attempt| next(&attempt)).max().unwrap_or(0);
    let right = u64::try_from(shown.next_counter).is_ok_and(|next| (at_least..=at_most).contains(&next));
    (!right).then(|| {
        format!("{serial}: the counter is {}, it must be {at_least} to {at_most}", shown.next_counter)
    })
}

fn wrong_fail_counter(serial: &str, attempts: &[&Attempt], shown: Shown) -> Option<String> {
    // A success sets the fail counter to 0: what surely came after every possible success is still counted, and what
    // surely came before a certain one is not.
    let last_possible_success =
        attempts.iter().filter(|attempt| attempt.may_have_been_accepted()).map(|attempt| attempt.ended).max();
    let at_least = attempts
        .iter()
        .filter(|attempt| attempt.outcome == Outcome::Refused)
        .filter(|attempt| last_possible_success.is_none_or(|success| success < attempt.started))
        .count();
    let last_success: Option<Duration> = attempts
        .iter()
        .filter(|attempt| attempt.outcome == Outcome::Accepted)
        .map(|attempt| attempt.started)
        .max();
    let at_most = attempts
        .iter()
        .filter(|attempt| attempt.outcome == Outcome::Refused || attempt.outcome.is_unknown())
        .filter(|attempt| last_success.is_none_or(|success| success <= attempt.ended))
        .count();
    let right = usize::try_from(shown.fail_count).is_ok_and(|count| (at_least..=at_most).contains(&count));
    (!right).then(|| {
        format!("{serial}: the fail counter is {}, it must be {at_least} to {at_most}", shown.fail_count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Enrolment;
    use crate::history::Outcome::{Accepted, Refused, Unavailable};
    use crate::history::Sent::{Right, Wrong};
    use crate::invariant::histories::{attempt, record};

    #[track_caller]
    fn check(attempts: &[Attempt], next_counter: i64, fail_count: i64, expected: usize) {
        let listing = Listing::from([("T".to_owned(), Shown { next_counter, fail_count })]);
        let found = violations(&record(attempts), &listing);
        assert_eq!(found.len(), expected, "{found:?}");
    }

    #[test]
    fn an_acknowledged_enrolment_that_is_gone_is_found() {
        let enrolment = |serial: &str, acknowledged| Enrolment { serial: serial.into(), acknowledged };
        let enrolments = vec![enrolment("A", true), enrolment("B", false), enrolment("C", true)];
        let record = Record { enrolments, ..Record::default() };
        let listing = Listing::from([("A".to_owned(), Shown { next_counter: 0, fail_count: 0 })]);
        let found = violations(&record, &listing);
        assert!(found.len() == 1 && found[0].contains("of C "), "{found:?}");
    }

    #[test]
    fn a_counter_behind_an_accepted_otp_is_found() {
        let accepted = [attempt(0, 9, 1, Right(3), Accepted)];
        check(&accepted, 4, 0, 0);
        check(&accepted, 3, 0, 1);
        check(&accepted, 5, 0, 1);
    }

    #[test]
    fn an_otp_of_unknown_outcome_may_or_may_not_have_moved_the_counter() {
        let unknown = [attempt(0, 9, 1, Right(3), Accepted), attempt(10, 19, 1, Right(4), Unavailable)];
        check(&unknown, 4, 0, 0);
        check(&unknown, 5, 0, 0);
        check(&unknown, 6, 0, 1);
    }

    #[test]
    fn a_forgotten_refusal_is_found() {
        let refused = [attempt(0, 9, 1, Wrong, Refused), attempt(10, 19, 2, Wrong, Refused)];
        check(&refused, 0, 2, 0);
        check(&refused, 0, 1, 1);
        check(&refused, 0, 3, 1);
        let one_unknown = [refused[0].clone(), refused[1].clone(), attempt(20, 29, 1, Wrong, Unavailable)];
        check(&one_unknown, 0, 2, 0);
        check(&one_unknown, 0, 3, 0);
        check(&one_unknown, 0, 1, 1);
    }

    #[test]
    fn a_success_begins_a_new_count_of_refusals() {
        let after_success = [
            attempt(0, 9, 1, Wrong, Refused),
            attempt(10, 19, 1, Right(0), Accepted),
            attempt(20, 29, 1, Wrong, Refused),
        ];
        check(&after_success, 1, 1, 0);
        check(&after_success, 1, 0, 1);
        check(&after_success, 1, 2, 1);
    }
}
