//! What must hold of every history, one file each.
//!
//! A check returns the violations as texts, none if all is well; so that a check can itself be tested with a history
//! that violates it.

pub mod answered;
pub mod answers_again;
pub mod equal_digests;
pub mod liveness;
pub mod never_back;
pub mod no_replay;
pub mod no_wrong_no;
pub mod nothing_lost;
pub mod one_order;

use anyhow::{Result, bail};

use crate::history::Record;

/// The checks that need nothing but the history.
///
/// # Errors
/// If one is violated; the text lists the first violations of each.
pub fn check_history(record: &Record) -> Result<()> {
    none("no_replay", &no_replay::violations(record))?;
    none("no_wrong_no", &no_wrong_no::violations(record))?;
    none("answered", &answered::violations(record))?;
    none("never_back", &never_back::violations(record))?;
    none("answers_again", &answers_again::violations(record))?;
    none("one_order", &one_order::check(record).violations)
}

/// Turns violations into an error.
///
/// # Errors
/// If there are any.
pub fn none(invariant: &str, violations: &[String]) -> Result<()> {
    if violations.is_empty() {
        return Ok(());
    }
    let first: Vec<&str> = violations.iter().take(10).map(String::as_str).collect();
    bail!("invariant {invariant} is violated {} times:\n  {}", violations.len(), first.join("\n  "))
}

#[cfg(test)]
pub(crate) mod histories {
    //! Short notation for histories in tests.

    use std::time::Duration;

    use crate::history::{Attempt, Outcome, Record, Sent};
    use crate::oracle::Kind;

    pub(crate) fn attempt(from: u64, to: u64, node: u64, sent: Sent, outcome: Outcome) -> Attempt {
        Attempt {
            serial: "T".into(),
            kind: Kind::Hotp,
            sent,
            node: Some(node),
            started: Duration::from_millis(from),
            ended: Duration::from_millis(to),
            outcome,
        }
    }

    pub(crate) fn record(attempts: &[Attempt]) -> Record {
        Record { attempts: attempts.to_vec(), ..Record::default() }
    }
}
