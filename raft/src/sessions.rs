//! At most once: every transaction of this node has an identity, and is proposed under it until its fate is known
//! (reference raft-and-storage 7).
//!
//! The state remembers the outcomes of a session's transactions. A transaction whose fate is unknown, because the leader
//! is gone or its answer was lost, is proposed again under the same id: it is applied now, or its first outcome comes
//! back. What the state may forget travels with every command: `acked_below`, the lowest number still awaited here. A
//! late copy of a forgotten transaction, still queued somewhere, is refused by the state.
//!
//! **Unknown session.** Sessions expire after ten minutes without use, of replicated time. Then the outcomes are gone
//! too. If the very first attempt is refused this way the transaction was never applied, and it is proposed anew in a
//! new session. If an earlier attempt had ended without an answer, it may have been applied while the session still
//! existed; proposing it under a new id could apply it twice, so the answer is [`CommitError::OutcomeUnknown`]. With
//! ten minutes against the five seconds of a commit this is a theoretical case.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tessera_core::txn::{Outcome, Txn, TxnId};
use thiserror::Error;
use tokio::time::Instant;

use crate::{
    batch::{Command, CommandReply, encode_command},
    proposer::{Fate, Proposer},
    type_config::NodeId,
};

/// A session takes no new transactions when its oldest open one is this far behind: the state remembers 4,096 outcomes.
const SPAN_MAX: u64 = 4000;
/// Longest accepted command in bytes.
pub(crate) const COMMAND_MAX: usize = 4 * 1024 * 1024;

/// Why a commit has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CommitError {
    /// There was no leader, or no majority, in time. The transaction was not and will not be applied.
    #[error("no leader could be reached in time; nothing was written")]
    Unavailable,
    /// The transaction may be applied or not, now or later.
    #[error("the outcome of the transaction is unknown")]
    OutcomeUnknown,
    /// The leader has too much to do. The transaction was not applied.
    #[error("too many transactions are waiting; nothing was written")]
    Busy,
    /// The transaction is too large to be replicated, or cannot be encoded. It was not applied.
    #[error("the transaction is too large to be replicated")]
    TooLarge,
    /// This node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

#[derive(Debug, Default)]
struct Numbers {
    last: u64,
    open: BTreeSet<u64>,
}

/// A session and the numbers of its transactions.
#[derive(Debug)]
struct Session {
    id: u64,
    numbers: Mutex<Numbers>,
}

/// A transaction's number, open until this is dropped.
struct Number {
    session: Arc<Session>,
    number: u64,
}

impl Session {
    fn new(id: u64) -> Self {
        Self { id, numbers: Mutex::default() }
    }

    /// The next number; `None` when the oldest open one is too far behind.
    fn next(self: &Arc<Self>) -> Option<Number> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.last.saturating_add(1);
        if numbers.open.first().is_some_and(|oldest| number - oldest >= SPAN_MAX) {
            return None;
        }
        numbers.last = number;
        numbers.open.insert(number);
        Some(Number { session: self.clone(), number })
    }

    fn acked_below(&self) -> u64 {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.open.first().copied().unwrap_or_else(|| numbers.last.saturating_add(1))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.session.numbers.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&self.number);
    }
}

/// The sessions of this node.
pub(crate) struct Sessions {
    node: NodeId,
    proposer: Proposer,
    current: Mutex<Option<Arc<Session>>>,
    opening: tokio::sync::Mutex<()>,
}

impl Sessions {
    pub(crate) fn new(node: NodeId, proposer: Proposer) -> Self {
        Self { node, proposer, current: Mutex::default(), opening: tokio::sync::Mutex::default() }
    }

    /// Opens the first session, so that the first request does not have to wait for it.
    pub(crate) async fn open(&self, limit: Duration) -> bool {
        self.session(None, Instant::now() + limit).await.is_ok()
    }

    /// Commits a transaction, or finds out that it was not.
    pub(crate) async fn commit(&self, txn: Txn, limit: Duration) -> Result<Outcome, CommitError> {
        let deadline = Instant::now() + limit;
        let mut unusable = None;
        let mut command = Command::Txn { id: TxnId { session: 0, sequence: 0 }, acked_below: 0, txn };
        loop {
            let session = self.session(unusable.take(), deadline).await?;
            let Some(number) = session.next() else {
                unusable = Some(session);
                continue;
            };
            if let Command::Txn { id, acked_below, .. } = &mut command {
                *id = TxnId { session: session.id, sequence: number.number };
                *acked_below = session.acked_below();
            }
            let bytes = encode_command(&command).map_err(|_| CommitError::TooLarge)?;
            if bytes.len() > COMMAND_MAX {
                return Err(CommitError::TooLarge);
            }
            match self.proposer.propose(bytes, deadline).await {
                Fate::Reply { reply: CommandReply::Txn(outcome), retried } => match outcome {
                    Outcome::UnknownSession if retried => return Err(CommitError::OutcomeUnknown),
                    Outcome::UnknownSession => unusable = Some(session.clone()),
                    Outcome::Committed(_) | Outcome::Conflict(..) | Outcome::Duplicate(_) => {
                        return Ok(outcome);
                    }
                },
                Fate::Reply {
                    reply: CommandReply::Session(_) | CommandReply::Done | CommandReply::Checkpoint(_),
                    ..
                }
                | Fate::Unknown => {
                    return Err(CommitError::OutcomeUnknown);
                }
                Fate::NotProposed => return Err(CommitError::Unavailable),
                Fate::Busy => return Err(CommitError::Busy),
                Fate::Stopping => return Err(CommitError::Stopping),
            }
        }
    }

    /// The current session, or a new one if there is none or it is the one that cannot be used.
    async fn session(
        &self,
        unusable: Option<Arc<Session>>,
        deadline: Instant,
    ) -> Result<Arc<Session>, CommitError> {
        if let Some(session) = self.usable(unusable.as_ref()) {
            return Ok(session);
        }
        let _guard = tokio::time::timeout_at(deadline, self.opening.lock())
            .await
            .map_err(|_| CommitError::Unavailable)?;
        if let Some(session) = self.usable(unusable.as_ref()) {
            return Ok(session);
        }
        let mut incarnation = [0; 16];
        getrandom::fill(&mut incarnation).map_err(|_| CommitError::Unavailable)?;
        let command = Command::OpenSession { node: self.node, incarnation };
        let bytes = encode_command(&command).map_err(|_| CommitError::Unavailable)?;
        // Opening is idempotent and changes no record, so that its fate does not matter to the caller.
        match self.proposer.propose(bytes, deadline).await {
            Fate::Reply { reply: CommandReply::Session(id), .. } => {
                let session = Arc::new(Session::new(id));
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
                Ok(session)
            }
            Fate::Busy => Err(CommitError::Busy),
            Fate::Stopping => Err(CommitError::Stopping),
            Fate::Reply { .. } | Fate::NotProposed | Fate::Unknown => Err(CommitError::Unavailable),
        }
    }

    fn usable(&self, unusable: Option<&Arc<Session>>) -> Option<Arc<Session>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        if unusable.is_some_and(|unusable| Arc::ptr_eq(unusable, &current)) { None } else { Some(current) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_from_one_and_the_lowest_open_one_is_kept() {
        let session = Arc::new(Session::new(7));
        assert_eq!(session.acked_below(), 1);
        let numbers: Vec<Number> = std::iter::from_fn(|| session.next()).take(3).collect();
        assert_eq!(numbers.iter().map(|n| n.number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(session.acked_below(), 1);
        let mut numbers = numbers.into_iter();
        let (first, second, third) = (numbers.next(), numbers.next(), numbers.next());
        drop(second);
        assert_eq!(session.acked_below(), 1);
        drop(first);
        assert_eq!(session.acked_below(), 3);
        drop(third);
        assert_eq!(session.acked_below(), 4);
    }

    #[test]
    fn session_is_full_when_its_oldest_transaction_is_too_far_behind() {
        let session = Arc::new(Session::new(7));
        let oldest = session.next();
        for _ in 1..SPAN_MAX {
            assert!(session.next().is_some());
        }
        assert!(session.next().is_none());
        drop(oldest);
        assert!(session.next().is_some());
    }
}
