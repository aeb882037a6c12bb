//! Counters never go back, and fail counters only with a success.
//!
//! Between two looks at a token, of which one had ended before the other began, the next acceptable counter does not
//! become smaller (RFC 4226 section 7.2), at whichever nodes it was looked. The fail counter becomes smaller only if a
//! login may have succeeded in between.

use std::collections::BTreeMap;

use crate::history::{Attempt, Reading, Record};

/// Every look that showed less than an earlier one.
pub fn violations(record: &Record) -> Vec<String> {
    let mut attempts: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
    for attempt in record.attempts.iter().filter(|attempt| attempt.may_have_been_accepted()) {
        attempts.entry(&attempt.serial).or_default().push(attempt);
    }
    let mut readings: BTreeMap<&str, Vec<&Reading>> = BTreeMap::new();
    for reading in &record.readings {
        readings.entry(&reading.serial).or_default().push(reading);
    }
    let mut found = Vec::new();
    for (serial, mut of_token) in readings {
        of_token.sort_by_key(|reading| reading.ended);
        let successes = attempts.get(serial).map(Vec::as_slice).unwrap_or_default();
        for (position, later) in of_token.iter().enumerate() {
            let mut before = of_token.iter().take(position);
            let went_back =
                before.rfind(|earlier| earlier.ended < later.started && goes_back(earlier, later, successes));
            found.extend(went_back.map(|earlier| format!("it was {earlier:?}, and later {later:?}")));
        }
    }
    found
}

fn goes_back(earlier: &Reading, later: &Reading, successes: &[&Attempt]) -> bool {
    // One of unknown outcome may take effect long after the client gave up.
    let may_have_reset = |attempt: &&Attempt| {
        attempt.started <= later.ended && (attempt.outcome.is_unknown() || attempt.ended >= earlier.started)
    };
    later.shown.next_counter < earlier.shown.next_counter
        || (later.shown.fail_count < earlier.shown.fail_count && !successes.iter().any(may_have_reset))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::history::Outcome::{Accepted, Refused, Unavailable};
    use crate::history::Sent::{Right, Wrong};
    use crate::invariant::histories::{attempt, record};
    use crate::site::Shown;

    #[track_caller]
    fn expect(attempts: &[Attempt], looks: &[(u64, u64, i64, i64)], violations: usize) {
        let reading = |(from, to, next_counter, fail_count): &(u64, u64, i64, i64)| Reading {
            serial: "T".into(),
            started: Duration::from_millis(*from),
            ended: Duration::from_millis(*to),
            shown: Shown { next_counter: *next_counter, fail_count: *fail_count },
        };
        let record = Record { readings: looks.iter().map(reading).collect(), ..record(attempts) };
        let found = super::violations(&record);
        assert_eq!(found.len(), violations, "{found:?}");
    }

    #[test]
    fn a_counter_that_went_back_is_found() {
        expect(&[], &[(0, 1, 3, 0), (2, 3, 4, 0), (4, 5, 4, 0)], 0);
        expect(&[], &[(0, 1, 4, 0), (2, 3, 5, 0), (4, 5, 4, 0)], 1);
        expect(&[], &[(0, 4, 4, 0), (2, 3, 3, 0)], 0);
    }

    #[test]
    fn a_fail_counter_goes_back_only_with_a_success() {
        let looks = [(0, 1, 3, 2), (20, 21, 3, 0)];
        expect(&[], &looks, 1);
        expect(&[attempt(5, 9, 1, Wrong, Refused)], &looks, 1);
        expect(&[attempt(5, 9, 1, Right(3), Accepted)], &looks, 0);
        expect(&[attempt(5, 9, 1, Right(3), Unavailable)], &looks, 0);
        expect(&[attempt(30, 39, 1, Right(3), Accepted)], &looks, 1);
    }
}
