//! The transaction: what the Raft log carries (DESIGN section 2).
//!
//! A transaction is data, never logic: what was read, what is written, what is added to the history. Applying compares
//! and stores, and needs no key, no clock and no knowledge of tokens.

use serde::{Deserialize, Serialize};

use crate::audit::AuditRowV1;
use crate::record::{IndexKey, Key, Record};
use crate::time::UnixMillis;

/// Position of a committed change in the order of all changes. 0 stands for "absent".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(pub u64);

/// Something a decision can depend on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dependency {
    /// A record, or its absence.
    Record(Key),
    /// The members of an index.
    Index(IndexKey),
}

/// One thing a decision read, and the revision it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// What was read.
    pub dependency: Dependency,
    /// Its revision then; 0 if it was absent or empty from the beginning.
    pub revision: Revision,
}

/// A row of the history, which only grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryRow {
    /// A row of the audit trail.
    Audit(AuditRowV1),
}

/// A transaction, proposed by the node that decided it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    /// Cluster time at which it was decided.
    pub now: UnixMillis,
    /// Everything the decision read. It is applied only if all of it is still so.
    pub expects: Vec<Expectation>,
    /// Records to store, or to remove where the record is `None`. A key occurs at most once.
    pub writes: Vec<(Key, Option<Record>)>,
    /// Rows to append to the history.
    pub history: Vec<HistoryRow>,
}

/// Identifies a transaction for ever: a node's session and its sequence number in it. A transaction whose fate is
/// unknown is proposed again under the same id and applied at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TxnId {
    /// The session, given by the replicated state.
    pub session: u64,
    /// Counts the session's transactions from 1.
    pub sequence: u64,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was applied; its changes carry this revision.
    Committed(Revision),
    /// It was not applied: something it had read is now at another revision.
    Conflict(Dependency, Revision),
    /// It had been applied or refused before, with this outcome.
    Duplicate(Box<Outcome>),
    /// The session is not known (expired): it was not applied.
    UnknownSession,
}

impl Outcome {
    /// The outcome itself, whether it was reached now or before.
    #[must_use]
    pub fn settled(self) -> Self {
        match self {
            Self::Duplicate(first) => *first,
            other @ (Self::Committed(_) | Self::Conflict(..) | Self::UnknownSession) => other,
        }
    }
}
