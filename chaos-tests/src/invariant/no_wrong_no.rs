//! The right OTP is not answered `false`, unless it, or a later one, was accepted before or may have been.
//!
//! The excuse is an attempt that was accepted or whose outcome is unknown, and that was under way before this one's
//! answer. A server that does not know must say 503 (DESIGN 3), because a client takes `false` for the user's fault. Not
//! judged are OTPs beyond the look-ahead window, and those of time-based tokens, whose answer depends on a clock.

use std::collections::BTreeMap;

use crate::cluster::COUNT_WINDOW;
use crate::history::{Attempt, Outcome, Record};
use crate::oracle::Kind;

/// Every `false` that should not have been one.
pub fn violations(record: &Record) -> Vec<String> {
    let mut by_token: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
    for attempt in record.attempts.iter().filter(|attempt| attempt.kind == Kind::Hotp) {
        by_token.entry(&attempt.serial).or_default().push(attempt);
    }
    by_token.values().flat_map(|of_token| violations_of_token(of_token)).collect()
}

fn violations_of_token(attempts: &[&Attempt]) -> Vec<String> {
    let mut found = Vec::new();
    let refused = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Refused);
    for (attempt, counter) in refused.filter_map(|attempt| Some((*attempt, attempt.counter()?))) {
        let excused = attempts.iter().any(|other| {
            other.may_have_been_accepted()
                && other.started <= attempt.ended
                && other.counter().is_some_and(|used| used >= counter)
        });
        let used = attempts
            .iter()
            .filter(|other| other.outcome == Outcome::Accepted && other.ended <= attempt.started)
            .filter_map(|other| other.counter())
            .max();
        let next = used.map_or(0, |used| used.saturating_add(1));
        if !excused && counter.saturating_sub(next) < COUNT_WINDOW {
            found.push(format!("a fresh OTP was refused: {attempt}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome::{Accepted, NotSent, Refused, Unavailable};
    use crate::history::Sent::{Right, Wrong};
    use crate::invariant::histories::{attempt, record};

    #[test]
    fn a_refused_fresh_otp_is_found() {
        assert_eq!(violations(&record(&[attempt(0, 9, 1, Right(0), Refused)])).len(), 1);
        let after_an_older_one =
            [attempt(0, 9, 1, Right(0), Accepted), attempt(20, 30, 1, Right(1), Refused)];
        assert_eq!(violations(&record(&after_an_older_one)).len(), 1);
    }

    #[test]
    fn an_acceptance_that_began_after_the_refusal_is_no_excuse() {
        let before = [attempt(0, 9, 1, Right(3), Refused), attempt(10, 20, 2, Right(3), Accepted)];
        assert_eq!(violations(&record(&before)).len(), 1);
        let unsent = [attempt(0, 9, 1, Right(3), Refused), attempt(0, 9, 2, Right(3), NotSent)];
        assert_eq!(violations(&record(&unsent)).len(), 1);
    }

    #[test]
    fn replays_skipped_counters_and_wrong_digits_may_be_refused() {
        let fine = [
            attempt(0, 9, 1, Right(3), Accepted),
            attempt(5, 9, 2, Right(3), Refused),
            attempt(20, 29, 2, Right(2), Refused),
            attempt(30, 39, 2, Right(4), Unavailable),
            attempt(40, 49, 2, Right(4), Refused),
            attempt(50, 59, 2, Wrong, Refused),
        ];
        assert_eq!(violations(&record(&fine)), Vec::<String>::new());
    }

    #[test]
    fn an_otp_beyond_the_window_is_not_judged() {
        let beyond =
            [attempt(0, 9, 1, Right(3), Accepted), attempt(20, 29, 2, Right(4 + COUNT_WINDOW), Refused)];
        assert_eq!(violations(&record(&beyond)), Vec::<String>::new());
    }
}
