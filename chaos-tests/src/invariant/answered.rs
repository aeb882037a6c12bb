//! A request that arrived at a node which was not killed is answered.
//!
//! With a verdict, or with 503 when the verdict cannot be known; its connection is not dropped and it does not wait for
//! ever. Requests to a node that was down or
//! frozen at any moment of theirs are not judged, nor is one that may have been sent over a connection which such an
//! outage had broken shortly before.

use std::time::Duration;

use crate::history::{Attempt, Outage, Outcome, Record};

/// A client may notice that late that a pooled connection is broken.
const BROKEN_CONNECTION: Duration = Duration::from_secs(5);

/// Every request at a surviving node that was not answered, or with something odd.
pub fn violations(record: &Record) -> Vec<String> {
    let mut found = Vec::new();
    for attempt in &record.attempts {
        let excused = record.outages.iter().any(|outage| excuses(outage, attempt));
        match &attempt.outcome {
            Outcome::Unanswered(_) | Outcome::NotSent if !excused => {
                found.push(format!("not answered by a node that was up: {attempt}"));
            }
            Outcome::Strange(_) => found.push(format!("a strange answer: {attempt}")),
            Outcome::Unanswered(_)
            | Outcome::NotSent
            | Outcome::Accepted
            | Outcome::Refused
            | Outcome::Unavailable => {}
        }
    }
    found
}

fn excuses(outage: &Outage, attempt: &Attempt) -> bool {
    attempt.node.is_none_or(|node| node == outage.node)
        && outage.from <= attempt.ended
        && outage.until.is_none_or(|until| attempt.started <= until.saturating_add(BROKEN_CONNECTION))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome::{NotSent, Refused, Strange, Unanswered, Unavailable};
    use crate::history::Sent::Right;
    use crate::invariant::histories::attempt;

    #[track_caller]
    fn check(attempts: &[Attempt], expected: usize) {
        let outage =
            Outage { node: 2, from: Duration::from_millis(100), until: Some(Duration::from_millis(200)) };
        let record = Record { attempts: attempts.to_vec(), outages: vec![outage], ..Record::default() };
        let found = violations(&record);
        assert_eq!(found.len(), expected, "{found:?}");
    }

    #[test]
    fn a_dropped_request_at_a_surviving_node_is_found() {
        check(&[attempt(90, 150, 1, Right(0), Unanswered("broken".into()))], 1);
        check(&[attempt(90, 150, 1, Right(0), NotSent)], 1);
        check(&[attempt(10, 50, 2, Right(0), Unanswered("broken".into()))], 1);
    }

    #[test]
    fn a_strange_answer_is_found_everywhere() {
        check(&[attempt(90, 150, 2, Right(0), Strange("500".into()))], 1);
    }

    #[test]
    fn answers_and_requests_to_the_dead_node_are_right() {
        check(
            &[
                attempt(90, 150, 1, Right(0), Unavailable),
                attempt(90, 150, 3, Right(0), Refused),
                attempt(90, 150, 2, Right(0), Unanswered("broken".into())),
                attempt(150, 151, 2, Right(0), NotSent),
            ],
            0,
        );
    }
}
