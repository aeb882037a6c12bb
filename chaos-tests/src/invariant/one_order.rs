//! Every answer is explained by one order of the requests.
//!
//! For each counter-based token alone, which is enough because linearizability is local (Herlihy and Wing 1990, theorem
//! 1): there is one order of all logins with it and all looks at it, in keeping with who had ended before whom began, in
//! which an ordinary token (RFC 4226 section 7.2, with the fail counter of reference tokens) gives exactly these answers.
//! A request of unknown outcome may stand anywhere after it was sent, or nowhere. This implies that no OTP is accepted
//! twice and no fresh one refused, and more: a fail counter that was seen to count a refusal twice is found as well.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cluster::COUNT_WINDOW;
use crate::history::{Attempt, Outcome, Reading, Record, Sent};
use crate::linearizability::{self, Call, Specification, Verdict};
use crate::oracle::Kind;
use crate::site::Shown;

/// Situations after which the search for one token is given up: some hundred megabytes.
const LIMIT: usize = 2_000_000;

/// How many calls around an unexplained answer are shown.
const SHOWN_AROUND: usize = 12;

/// What the checker says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// A text for each token whose answers cannot be explained.
    pub violations: Vec<String>,
    /// Tokens whose answers can be.
    pub explained: usize,
    /// Tokens whose search was given up.
    pub undecided: usize,
}

/// A token, as RFC 4226 has it.
struct HotpToken;

#[derive(Debug, Clone)]
enum Operation {
    Login { sent: Sent, accepted: Option<bool> },
    Look(Shown),
}

/// Next acceptable counter, and refusals since the last success.
type Counters = (u64, u64);

impl Specification for HotpToken {
    type State = Counters;
    type Operation = Operation;

    fn initial(&self) -> Counters {
        (0, 0)
    }

    fn apply(&self, (next, failures): &Counters, operation: &Operation) -> Option<Counters> {
        match operation {
            Operation::Look(shown) => {
                let right = u64::try_from(shown.next_counter) == Ok(*next)
                    && u64::try_from(shown.fail_count) == Ok(*failures);
                right.then_some((*next, *failures))
            }
            Operation::Login { sent, accepted } => {
                let fresh = match sent {
                    Sent::Right(counter) if (*next..next.saturating_add(COUNT_WINDOW)).contains(counter) => {
                        Some(counter.saturating_add(1))
                    }
                    Sent::Right(_) | Sent::Wrong => None,
                };
                if accepted.is_some_and(|accepted| accepted != fresh.is_some()) {
                    return None;
                }
                Some(fresh.map_or((*next, failures.saturating_add(1)), |after| (after, 0)))
            }
        }
    }
}

/// Looks for such an order for every token.
pub fn check(record: &Record) -> Report {
    let mut tokens: BTreeMap<&str, Vec<(Call<Operation>, String)>> = BTreeMap::new();
    for attempt in record.attempts.iter().filter(|attempt| attempt.kind == Kind::Hotp) {
        if let Some(call) = login(attempt) {
            tokens.entry(&attempt.serial).or_default().push((call, attempt.to_string()));
        }
    }
    for reading in &record.readings {
        // Tokens that nobody has logged in with show nothing.
        if let Some(calls) = tokens.get_mut(reading.serial.as_str()) {
            calls.push((look(reading), format!("{reading:?}")));
        }
    }
    let mut report = Report::default();
    for (serial, calls) in tokens {
        let (calls, texts): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        match linearizability::check(&HotpToken, &calls, LIMIT) {
            Verdict::Linearizable => report.explained = report.explained.saturating_add(1),
            Verdict::Undecided => report.undecided = report.undecided.saturating_add(1),
            Verdict::Unexplained(stuck) => report.violations.push(describe(serial, &calls, &texts, stuck)),
        }
    }
    report
}

fn login(attempt: &Attempt) -> Option<Call<Operation>> {
    let (accepted, answered) = match attempt.outcome {
        Outcome::Accepted => (Some(true), Some(attempt.ended)),
        Outcome::Refused => (Some(false), Some(attempt.ended)),
        Outcome::Unavailable | Outcome::Unanswered(_) | Outcome::Strange(_) => (None, None),
        Outcome::NotSent => return None,
    };
    let operation = Operation::Login { sent: attempt.sent, accepted };
    Some(Call { operation, sent: attempt.started, answered })
}

fn look(reading: &Reading) -> Call<Operation> {
    Call { operation: Operation::Look(reading.shown), sent: reading.started, answered: Some(reading.ended) }
}

fn describe(serial: &str, calls: &[Call<Operation>], texts: &[String], stuck: usize) -> String {
    let mut order: Vec<(&Call<Operation>, &String, bool)> =
        calls.iter().zip(texts).enumerate().map(|(at, (call, text))| (call, text, at == stuck)).collect();
    order.sort_by_key(|(call, ..)| call.sent);
    let at = order.iter().position(|(.., is_stuck)| *is_stuck).unwrap_or_default();
    let mut text = format!("{serial}: no order of the requests explains the answer marked with >");
    let around = order.iter().skip(at.saturating_sub(SHOWN_AROUND)).take(2 * SHOWN_AROUND);
    for (_, line, is_stuck) in around {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n    {} {line}", if *is_stuck { '>' } else { ' ' });
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::history::Outcome::{Accepted, Refused, Unavailable};
    use crate::history::Sent::{Right, Wrong};
    use crate::invariant::histories::{attempt, record};

    fn reading(from: u64, to: u64, next_counter: i64, fail_count: i64) -> Reading {
        Reading {
            serial: "T".into(),
            started: Duration::from_millis(from),
            ended: Duration::from_millis(to),
            shown: Shown { next_counter, fail_count },
        }
    }

    #[track_caller]
    fn expect(attempts: &[Attempt], readings: &[Reading], violations: usize) {
        let record = Record { readings: readings.to_vec(), ..record(attempts) };
        let report = check(&record);
        assert_eq!(report.violations.len(), violations, "{report:?}");
        assert_eq!(report.explained + report.violations.len(), 1);
    }

    #[test]
    fn an_ordinary_token_is_explained() {
        let logins = [
            attempt(0, 9, 1, Right(0), Accepted),
            attempt(10, 19, 2, Right(0), Refused),
            attempt(20, 29, 3, Wrong, Refused),
            attempt(40, 49, 3, Right(3), Accepted),
        ];
        expect(&logins, &[reading(30, 39, 1, 2), reading(50, 59, 4, 0)], 0);
    }

    #[test]
    fn an_otp_accepted_twice_is_found() {
        expect(&[attempt(0, 9, 1, Right(4), Accepted), attempt(1, 8, 2, Right(4), Accepted)], &[], 1);
    }

    #[test]
    fn a_fresh_otp_refused_is_found() {
        expect(&[attempt(0, 9, 1, Right(0), Refused)], &[], 1);
        let at_once = [attempt(0, 9, 1, Right(0), Refused), attempt(0, 9, 1, Right(0), Accepted)];
        expect(&at_once, &[], 0);
        let too_late = [attempt(0, 9, 1, Right(0), Refused), attempt(10, 19, 1, Right(0), Accepted)];
        expect(&too_late, &[], 1);
    }

    /// What a dropped reply table does to wrong digits: the answers are right, but one refusal was counted twice.
    #[test]
    fn a_refusal_counted_twice_is_found() {
        let refused = [attempt(0, 9, 1, Wrong, Refused)];
        expect(&refused, &[reading(10, 19, 0, 1)], 0);
        expect(&refused, &[reading(10, 19, 0, 2)], 1);
        expect(&refused, &[reading(10, 19, 0, 0)], 1);
        expect(&refused, &[reading(5, 19, 0, 0)], 0);
    }

    /// Each answer alone is right, but together they need the counter to go back.
    #[test]
    fn a_counter_that_went_back_is_found() {
        let logins = [attempt(0, 9, 1, Right(5), Accepted), attempt(20, 29, 2, Right(7), Accepted)];
        expect(&logins, &[reading(10, 19, 6, 0), reading(30, 39, 8, 0)], 0);
        expect(&logins, &[reading(10, 19, 8, 0), reading(30, 39, 6, 0)], 1);
    }

    #[test]
    fn an_unknown_outcome_explains_one_acceptance_but_not_two() {
        let unknown = attempt(0, 9, 1, Right(2), Unavailable);
        expect(&[unknown.clone(), attempt(10, 19, 2, Right(2), Refused)], &[reading(20, 29, 3, 1)], 0);
        expect(&[unknown.clone(), attempt(10, 19, 2, Right(2), Accepted)], &[reading(20, 29, 3, 0)], 0);
        // It never happened, or happened after the other and was refused.
        expect(&[unknown.clone(), attempt(10, 19, 2, Right(2), Accepted)], &[reading(20, 29, 3, 1)], 0);
        expect(&[unknown, attempt(10, 19, 2, Right(2), Refused)], &[reading(20, 29, 0, 1)], 1);
    }

    #[test]
    fn the_unexplained_answer_is_marked() {
        let report = check(&record(&[
            attempt(0, 9, 1, Right(4), Accepted),
            attempt(10, 19, 2, Right(4), Accepted),
            attempt(20, 29, 3, Wrong, Refused),
        ]));
        let marked = report.violations[0].lines().find(|line| line.contains('>') && line.contains("Right"));
        assert!(marked.is_some_and(|line| line.contains("at node 2")), "{report:?}");
    }
}
