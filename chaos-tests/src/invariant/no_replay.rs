//! An OTP is accepted at most once, on whichever nodes and however often it is sent.
//!
//! That holds over the whole history with all its kills and restarts; and once an OTP was accepted, none of an earlier
//! counter is (RFC 4226 section 7.2: the counter only goes forward). An attempt whose outcome is unknown may have used its OTP up, so after it the OTP may be accepted
//! or refused, but not accepted twice.

use std::collections::BTreeMap;

use crate::history::{Attempt, Outcome, Record};

/// Every acceptance too many.
pub fn violations(record: &Record) -> Vec<String> {
    let mut accepted: BTreeMap<&str, Vec<(u64, &Attempt)>> = BTreeMap::new();
    for attempt in record.attempts.iter().filter(|attempt| attempt.outcome == Outcome::Accepted) {
        match attempt.counter() {
            Some(counter) => accepted.entry(&attempt.serial).or_default().push((counter, attempt)),
            None => accepted.entry(&attempt.serial).or_default().push((u64::MAX, attempt)),
        }
    }
    accepted.values().flat_map(|of_token| violations_of_token(of_token)).collect()
}

fn violations_of_token(accepted: &[(u64, &Attempt)]) -> Vec<String> {
    let mut found = Vec::new();
    for (position, (counter, attempt)) in accepted.iter().enumerate() {
        if attempt.counter().is_none() {
            found.push(format!("accepted though it is no OTP: {attempt}"));
            continue;
        }
        for (other, another) in accepted.iter().skip(position.saturating_add(1)) {
            if another.counter().is_none() {
                continue;
            }
            let older_later = (other < counter && attempt.ended < another.started)
                || (counter < other && another.ended < attempt.started);
            if counter == other {
                found.push(format!("accepted twice: {attempt}; and {another}"));
            } else if older_later {
                found.push(format!("accepted although a later OTP had been: {attempt}; and {another}"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome::{Accepted, Refused, Unavailable};
    use crate::history::Sent::{Right, Wrong};
    use crate::invariant::histories::{attempt, record};

    #[test]
    fn an_otp_accepted_at_two_nodes_is_found() {
        let twice = [attempt(0, 9, 1, Right(4), Accepted), attempt(1, 8, 2, Right(4), Accepted)];
        assert_eq!(violations(&record(&twice)).len(), 1);
    }

    #[test]
    fn an_otp_accepted_again_much_later_is_found() {
        let again = [
            attempt(0, 9, 1, Right(4), Accepted),
            attempt(20, 30, 1, Right(5), Accepted),
            attempt(90, 99, 2, Right(5), Accepted),
        ];
        assert_eq!(violations(&record(&again)).len(), 1);
    }

    #[test]
    fn an_earlier_otp_accepted_later_is_found_unless_both_were_under_way_at_once() {
        let later = [attempt(0, 9, 1, Right(5), Accepted), attempt(20, 30, 2, Right(4), Accepted)];
        assert_eq!(violations(&record(&later)).len(), 1);
        let at_once = [attempt(0, 25, 1, Right(5), Accepted), attempt(20, 30, 2, Right(4), Accepted)];
        assert_eq!(violations(&record(&at_once)), Vec::<String>::new());
    }

    #[test]
    fn accepted_digits_that_are_no_otp_are_found() {
        assert_eq!(violations(&record(&[attempt(0, 9, 1, Wrong, Accepted)])).len(), 1);
    }

    #[test]
    fn one_acceptance_beside_refusals_and_unknown_outcomes_is_right() {
        let fine = [
            attempt(0, 9, 1, Right(4), Unavailable),
            attempt(0, 9, 2, Right(4), Refused),
            attempt(10, 19, 3, Right(4), Accepted),
            attempt(30, 39, 3, Right(4), Refused),
        ];
        assert_eq!(violations(&record(&fine)), Vec::<String>::new());
    }

    #[test]
    fn the_second_of_two_acceptances_after_an_unknown_outcome_is_found() {
        let twice = [
            attempt(0, 9, 1, Right(4), Unavailable),
            attempt(10, 19, 3, Right(4), Accepted),
            attempt(30, 39, 2, Right(4), Accepted),
        ];
        assert_eq!(violations(&record(&twice)).len(), 1);
    }
}
