//! What an operator can have checked: that the nodes hold the same state, and that the history was not tampered with.

use std::time::Duration;

use tokio::{task::spawn_blocking, time::Instant};

use crate::history::Verified;

use super::{CommitError, ComparedState, HistoryError, HistoryFault, HistoryHead, StateCheckpoint, Store};

/// How far a node has recomputed its chain of history rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryCheck {
    /// The last row removed by the retention; the chain begins behind it.
    pub anchor: HistoryHead,
    /// The newest row as the replicated state has it.
    pub head: HistoryHead,
    /// The last row that was found good.
    pub verified: HistoryHead,
    /// What is wrong behind it.
    pub fault: Option<HistoryFault>,
}

impl HistoryCheck {
    /// Whether there is nothing more to check: the newest row was reached, or a bad one.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.fault.is_some() || self.verified.number >= self.head.number
    }
}

impl Store {
    /// Puts a checkpoint into the log and compares the states of all members behind it. Members that do not answer
    /// within `limit` have no digest in the result.
    ///
    /// # Errors
    /// [`CommitError`] when there is no checkpoint, or this node did not get there in time.
    pub async fn compare_states(&self, limit: Duration) -> Result<Vec<ComparedState>, CommitError> {
        let comparison = self.inner.comparison.clone();
        let deadline = Instant::now() + limit;
        let compared = self.inner.runtime.handle.spawn(async move { comparison.compare_now(deadline).await });
        compared.await.unwrap_or(Err(CommitError::Stopping))
    }

    /// The digests of this node's state that it remembers, the oldest first.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<StateCheckpoint> {
        self.inner.comparison.checkpoints.own()
    }

    /// The format level the cluster could be raised to: the lowest that all members support, if that is higher than the
    /// active one. `None` as well while a member does not answer.
    pub async fn raisable_level(&self) -> Option<u32> {
        let lowest = self.cluster_status().await.iter().map(|node| node.supported_level).min()?;
        (lowest > self.status().format_level).then_some(lowest)
    }

    /// Waits until the rows of everything applied here can be read.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn flush_history(&self) -> Result<(), HistoryError> {
        let history = self.inner.history.clone();
        spawn_blocking(move || history.flush()).await.unwrap_or(Err(HistoryError::Closed))
    }

    /// Recomputes the chain of this node's history rows from a row on, at most `limit` rows. The newest row must have
    /// the hash that the replicated state has; the rows in front of `from` are taken for granted.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub async fn verify_history(&self, from: u64, limit: usize) -> Result<HistoryCheck, HistoryError> {
        let (state, history) = (self.view(), self.inner.history.clone());
        let (anchor, head) = (state.history_anchor(), state.history());
        drop(state);
        let verified = spawn_blocking(move || {
            // What was applied a moment ago may still be on its way to the disk.
            history.flush()?;
            if anchor.number > history.reader().anchor().number {
                match history.trim(anchor) {
                    Err(HistoryError::Contradiction(row)) => {
                        let (last, fault) = (history.reader().anchor(), Some(HistoryFault::OtherAnchor(row)));
                        return Ok(Verified { last, fault });
                    }
                    other => other?,
                }
            }
            history.reader().verify(from, head.number, limit)
        });
        let verified = verified.await.unwrap_or(Err(HistoryError::Closed))?;
        let mut fault = verified.fault;
        if fault.is_none() && verified.last.number == head.number && verified.last.hash != head.hash {
            fault = Some(HistoryFault::OtherHead(head.number));
        }
        Ok(HistoryCheck { anchor, head, verified: verified.last, fault })
    }
}
