//! What was sent, to which node, when, and what came back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::oracle::Kind;
use crate::site::Shown;

/// The digits that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The OTP of this counter (TOTP: time step).
    Right(u64),
    /// Digits that are no OTP of the token.
    Wrong,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// `value: true`.
    Accepted,
    /// `value: false`.
    Refused,
    /// HTTP 503: the server says that it does not know.
    Unavailable,
    /// No complete answer: the connection broke or time ran out.
    Unanswered(String),
    /// No connection was made, so nothing was sent.
    NotSent,
    /// An answer that no request of these tests should get.
    Strange(String),
}

impl Outcome {
    /// True if the server has said yes or no.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Accepted | Self::Refused)
    }

    /// True if the request may have been carried out without the client knowing.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Unavailable | Self::Unanswered(_) | Self::Strange(_) => true,
            Self::Accepted | Self::Refused | Self::NotSent => false,
        }
    }
}

/// One `/validate` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Serial number of the token.
    pub serial: String,
    /// Kind of token.
    pub kind: Kind,
    /// The digits.
    pub sent: Sent,
    /// The node it was sent to; `None` when the client chose among all.
    pub node: Option<u64>,
    /// When it was sent, from the start of the history.
    pub started: Duration,
    /// When the outcome was known.
    pub ended: Duration,
    /// The outcome.
    pub outcome: Outcome,
}

impl Attempt {
    /// The counter, if the right OTP was sent.
    pub fn counter(&self) -> Option<u64> {
        match self.sent {
            Sent::Right(counter) => Some(counter),
            Sent::Wrong => None,
        }
    }

    /// True if this attempt used up its OTP, or may have.
    pub fn may_have_been_accepted(&self) -> bool {
        self.counter().is_some() && (self.outcome == Outcome::Accepted || self.outcome.is_unknown())
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { serial, kind: _, sent, node, started, ended, outcome } = self;
        write!(
            f,
            "{serial} {sent:?} at node {} from {} to {} ms: {outcome:?}",
            node.map_or_else(|| "any".to_owned(), |id| id.to_string()),
            started.as_millis(),
            ended.as_millis()
        )
    }
}

/// One `/admin/init` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Serial number of the token.
    pub serial: String,
    /// True if the server said that it is done.
    pub acknowledged: bool,
}

/// One `/admin/show` request for one token, with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Serial number of the token.
    pub serial: String,
    /// When it was sent.
    pub started: Duration,
    /// When the answer was there.
    pub ended: Duration,
    /// The answer.
    pub shown: Shown,
}

/// From when on a majority of the nodes was up and connected, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Majority {
    /// Since when.
    pub from: Duration,
    /// Whether there is one.
    pub exists: bool,
}

/// A time in which a process was down or frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The node.
    pub node: u64,
    /// When the signal was sent.
    pub from: Duration,
    /// When the node was ready again; `None` while it is not.
    pub until: Option<Duration>,
}

/// Everything seen so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Logins.
    pub attempts: Vec<Attempt>,
    /// Enrolments.
    pub enrolments: Vec<Enrolment>,
    /// Looks at single tokens.
    pub readings: Vec<Reading>,
    /// Outages.
    pub outages: Vec<Outage>,
    /// Whether there was a majority, in the order of time.
    pub majorities: Vec<Majority>,
    /// How often which fault was injected.
    pub faults: BTreeMap<&'static str, usize>,
}

impl Record {
    /// The attempts with a token, in the order in which they ended.
    pub fn attempts_of<'a>(&'a self, serial: &'a str) -> impl Iterator<Item = &'a Attempt> {
        self.attempts.iter().filter(move |attempt| attempt.serial == serial)
    }

    /// Number of attempts with this outcome.
    pub fn count(&self, outcome: &Outcome) -> usize {
        self.attempts.iter().filter(|attempt| attempt.outcome == *outcome).count()
    }

    /// Number of attempts whose outcome is not known.
    pub fn count_unknown(&self) -> usize {
        self.attempts.iter().filter(|attempt| attempt.outcome.is_unknown()).count()
    }
}

impl Record {
    /// The longest time between two successes one after the other, from a moment on.
    pub fn longest_gap(&self, from: Duration) -> Duration {
        let mut successes: Vec<Duration> = self.accepted_from(from).map(|attempt| attempt.ended).collect();
        successes.push(from);
        successes.sort();
        let gaps =
            successes.iter().zip(successes.iter().skip(1)).map(|(one, next)| next.saturating_sub(*one));
        gaps.max().unwrap_or(Duration::MAX)
    }

    /// The longest that anybody who got in had waited, from a moment on.
    pub fn slowest_login(&self, from: Duration) -> Duration {
        let waited = self.accepted_from(from).map(|attempt| attempt.ended.saturating_sub(attempt.started));
        waited.max().unwrap_or_default()
    }

    fn accepted_from(&self, from: Duration) -> impl Iterator<Item = &Attempt> {
        let accepted = self.attempts.iter().filter(|attempt| attempt.outcome == Outcome::Accepted);
        accepted.filter(move |attempt| attempt.ended >= from)
    }
}

/// The record in the making, shared by all that send and break.
#[derive(Debug)]
pub struct History {
    start: Instant,
    record: Mutex<Record>,
}

impl Default for History {
    fn default() -> Self {
        Self { start: Instant::now(), record: Mutex::new(Record::default()) }
    }
}

impl History {
    /// Time since the start of the history.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// A copy of everything seen so far.
    pub fn record(&self) -> Record {
        self.lock().clone()
    }

    /// Adds an attempt.
    pub fn attempt(&self, attempt: Attempt) {
        self.lock().attempts.push(attempt);
    }

    /// Adds an enrolment.
    pub fn enrolment(&self, enrolment: Enrolment) {
        self.lock().enrolments.push(enrolment);
    }

    /// Adds a look at a token.
    pub fn reading(&self, reading: Reading) {
        self.lock().readings.push(reading);
    }

    /// Notes whether there is a majority from now on.
    pub fn majority(&self, exists: bool) {
        let from = self.now();
        let majorities = &mut self.lock().majorities;
        if majorities.last().is_none_or(|last| last.exists != exists) {
            majorities.push(Majority { from, exists });
        }
    }

    /// Counts a fault.
    pub fn fault(&self, name: &'static str) {
        let mut record = self.lock();
        let count = record.faults.entry(name).or_default();
        *count = count.saturating_add(1);
    }

    /// Whether a login that was sent after a moment has been accepted.
    pub fn accepted_since(&self, since: Duration) -> bool {
        self.any_accepted(since, |_| true)
    }

    /// Whether one has been accepted at another node than this one.
    pub fn accepted_elsewhere_since(&self, since: Duration, node: u64) -> bool {
        self.any_accepted(since, |attempt| attempt.node != Some(node))
    }

    fn any_accepted(&self, since: Duration, condition: impl Fn(&Attempt) -> bool) -> bool {
        let record = self.lock();
        let recent = record.attempts.iter().rev().take_while(|attempt| attempt.ended >= since);
        let mut accepted = recent.filter(|attempt| attempt.outcome == Outcome::Accepted);
        accepted.any(|attempt| attempt.started > since && condition(attempt))
    }

    /// A node is down from now on.
    pub fn down(&self, node: u64) {
        let from = self.now();
        self.lock().outages.push(Outage { node, from, until: None });
    }

    /// A node is up again.
    pub fn up(&self, node: u64) {
        let now = self.now();
        for outage in self.lock().outages.iter_mut().filter(|outage| outage.node == node) {
            outage.until.get_or_insert(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::histories::{attempt, record};

    #[test]
    fn the_gap_is_between_successes_after_a_moment() {
        let logins = [
            attempt(0, 10, 1, Sent::Right(0), Outcome::Accepted),
            attempt(900, 1_000, 1, Sent::Right(1), Outcome::Accepted),
            attempt(1_000, 1_900, 1, Sent::Right(2), Outcome::Refused),
            attempt(1_100, 2_500, 1, Sent::Right(3), Outcome::Accepted),
        ];
        let record_of = record(&logins);
        assert_eq!(record_of.longest_gap(Duration::from_millis(900)), Duration::from_millis(1_500));
        assert_eq!(record_of.slowest_login(Duration::from_millis(900)), Duration::from_millis(1_400));
        assert_eq!(record(&[]).longest_gap(Duration::ZERO), Duration::MAX);
    }
}
