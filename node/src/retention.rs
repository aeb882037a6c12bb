//! How much of the audit trail is kept: `audit.retention_days` and `audit.retention_rows` in the system configuration.
//!
//! The limits are replicated, because all nodes must remove the same: the leader looks up to which row the limits reach,
//! recomputes the chain up to there, and has that row's number and hash committed like any other change. A node removes
//! only what it has applied, and only if its own row has that hash.

use std::time::Duration;

use tessera_core::decide::maintenance::TrimHistory;
use tessera_core::decision::Refusal;
use tessera_core::facts::Caller;
use tessera_core::record::{Key, Record};
use tessera_core::settings::AuditRetention;
use tessera_core::time::UnixMillis;
use tessera_core::txn::HistoryRow;
use tessera_core::view::StateRead as _;
use tessera_raft::cluster::{HistoryError, HistoryFault, HistoryHead, Role};
use tessera_raft::history::HistoryReader;

use crate::node::Node;
use crate::run::RunError;

/// How often the limits are looked at.
const INTERVAL: Duration = Duration::from_secs(60);
/// Between two removals because of age: each is a row of the audit trail itself.
const PAUSE_MS: u64 = 3_600_000;
/// Rows removed by one transaction.
const ROWS_AT_ONCE: u64 = 1_000_000;
const DAY_MS: u64 = 86_400_000;

/// Why the audit trail was not trimmed.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The rows cannot be read.
    #[error("the audit trail cannot be read")]
    History(#[from] HistoryError),
    /// The rows to be removed are not in order; they are evidence now.
    #[error("the audit trail is not trimmed, because it is not in order: {0}")]
    Fault(HistoryFault),
    /// The cluster could not commit it.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The request was refused.
    #[error("the request was refused: {0}")]
    Refused(Refusal),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

/// Keeps the audit trail within its limits, as long as this node leads.
pub(crate) async fn keep_to_limits(node: Node) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        match trim(&node).await {
            Ok(_) => {}
            Err(error @ RetentionError::Fault(_)) => tracing::error!(error = %error, "the audit trail grows"),
            Err(error) => tracing::warn!(error = %error, "the audit trail was not trimmed"),
        }
    }
}

pub(crate) async fn trim(node: &Node) -> Result<u64, RetentionError> {
    let retention = node.configuration().settings.audit_retention();
    if retention == AuditRetention::default() || node.store().status().role != Role::Leader {
        return Ok(0);
    }
    let state = node.store().view();
    let removed = match state.record(&Key::HistoryAnchor).map(|slot| slot.record) {
        Some(Record::HistoryAnchor(anchor)) => Some((anchor.number, anchor.at)),
        _ => None,
    };
    node.store().flush_history().await?;
    let (head, now, history) = (state.history().number, node.store().now(), node.store().history());
    let look = move || last_to_remove(&history, Limits { retention, removed, head, now });
    let Some(last) = tokio::task::spawn_blocking(look).await.map_err(|_| RetentionError::Stopping)?? else {
        return Ok(0);
    };
    let caller = Caller { action: "audit/retention".to_owned(), ..Caller::default() };
    let request = TrimHistory { number: last.number, hash: last.hash };
    match node.run(request, caller).await?.map_err(RetentionError::Refused)? {
        true => {
            let count = last.number.saturating_sub(removed.map_or(0, |(number, _)| number));
            tracing::info!(
                rows = count,
                last = last.number,
                "rows of the audit trail beyond its limits are removed"
            );
            Ok(count)
        }
        false => Ok(0),
    }
}

/// What decides up to which row is removed.
#[derive(Clone, Copy, Debug)]
struct Limits {
    retention: AuditRetention,
    /// The last row removed so far, and when that was.
    removed: Option<(u64, UnixMillis)>,
    /// The newest row.
    head: u64,
    now: UnixMillis,
}

impl Limits {
    fn anchor(&self) -> u64 {
        self.removed.map_or(0, |(number, _)| number)
    }

    /// The last row beyond the limit of rows. A tenth more may gather, so that not every new row removes an old one.
    fn by_count(&self) -> Option<u64> {
        let kept = self.retention.rows?;
        let last = self.head.saturating_sub(kept);
        (last.saturating_sub(self.anchor()) >= (kept / 10).max(2)).then_some(last)
    }

    /// Rows from before this time are too old, if it is time to remove them.
    fn oldest(&self) -> Option<UnixMillis> {
        let age = self.retention.days?.saturating_mul(DAY_MS);
        let rested = self.removed.is_none_or(|(_, at)| self.now.0.saturating_sub(at.0) >= PAUSE_MS);
        rested.then(|| UnixMillis(self.now.0.saturating_sub(age)))
    }
}

/// The last row to be removed, with its hash as the recomputed chain gives it.
fn last_to_remove(history: &HistoryReader, limits: Limits) -> Result<Option<HistoryHead>, RetentionError> {
    let by_age = match limits.oldest() {
        Some(oldest) => last_before(history, limits.anchor(), limits.head, oldest)?,
        None => None,
    };
    let Some(last) = by_age.max(limits.by_count()).filter(|last| *last > limits.anchor()) else {
        return Ok(None);
    };
    let last = last.min(limits.anchor().saturating_add(ROWS_AT_ONCE));
    let verified = history.verify(limits.anchor().saturating_add(1), last, usize::MAX)?;
    match verified.fault {
        Some(fault) => Err(RetentionError::Fault(fault)),
        None => Ok(Some(verified.last)),
    }
}

/// The last row from before a time, by halving: rows are in the order of their transactions, whose times hardly ever go
/// back, and then by less than a second.
fn last_before(
    history: &HistoryReader,
    anchor: u64,
    head: u64,
    oldest: UnixMillis,
) -> Result<Option<u64>, RetentionError> {
    let (mut before, mut after) = (anchor, head.saturating_add(1));
    while before.saturating_add(1) < after {
        let middle = before + (after - before) / 2;
        match history.row(middle)? {
            Some(HistoryRow::Audit(row)) if row.at < oldest => before = middle,
            Some(HistoryRow::Audit(_)) => after = middle,
            None => return Err(RetentionError::Fault(HistoryFault::Missing(middle))),
        }
    }
    Ok((before > anchor).then_some(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(days: Option<u64>, rows: Option<u64>, removed: Option<(u64, u64)>) -> Limits {
        Limits {
            retention: AuditRetention { days, rows },
            removed: removed.map(|(number, at)| (number, UnixMillis(at))),
            head: 1000,
            now: UnixMillis(10 * DAY_MS),
        }
    }

    #[test]
    fn a_tenth_more_than_the_limit_may_gather() {
        assert_eq!(limits(None, None, None).by_count(), None);
        assert_eq!(limits(None, Some(900), None).by_count(), Some(100));
        assert_eq!(limits(None, Some(900), Some((11, 0))).by_count(), None);
        assert_eq!(limits(None, Some(900), Some((10, 0))).by_count(), Some(100));
        assert_eq!(limits(None, Some(1), Some((998, 0))).by_count(), None, "the removal itself is a row");
        assert_eq!(limits(None, Some(1), Some((997, 0))).by_count(), Some(999));
        assert_eq!(limits(None, Some(5000), None).by_count(), None);
    }

    #[test]
    fn old_rows_are_removed_once_an_hour_at_most() {
        assert_eq!(limits(Some(3), None, None).oldest(), Some(UnixMillis(7 * DAY_MS)));
        assert_eq!(limits(None, Some(3), None).oldest(), None);
        let moment = 10 * DAY_MS - PAUSE_MS;
        assert_eq!(limits(Some(3), None, Some((5, moment + 1))).oldest(), None);
        assert_eq!(limits(Some(3), None, Some((5, moment))).oldest(), Some(UnixMillis(7 * DAY_MS)));
        assert_eq!(
            limits(Some(99), None, None).oldest(),
            Some(UnixMillis(0)),
            "older than the epoch is nothing"
        );
    }
}
