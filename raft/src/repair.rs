//! Fetches rows of the history that this node lacks: after a crash, after a snapshot, after damage (DESIGN section 4).
//!
//! The head of the chain is part of the replicated state, so what is missing is known exactly and what a peer sends is
//! checked before it is stored.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use openraft::Raft;
use tokio::{task::spawn_blocking, time::timeout};
use tonic::Status;

use crate::{
    election::{reached, server_metrics},
    history::{ChainHash, ChainedRow, History, HistoryError},
    state_store::Published,
    transport::{client::Peers, proto},
    type_config::{NodeId, TypeConfig},
};

/// Between two looks at the history.
const INTERVAL: Duration = Duration::from_secs(2);
/// Time limit for the next message with rows.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps the history complete.
pub(crate) struct HistoryRepair {
    pub(crate) node: NodeId,
    pub(crate) raft: Raft<TypeConfig>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) published: Arc<Published>,
    pub(crate) history: Arc<History>,
}

impl HistoryRepair {
    pub(crate) async fn run(self) {
        let mut applied = self.published.applied();
        // A node that has applied nothing knows no head.
        if !reached(&mut applied, |applied| applied.log_id.is_some()).await {
            return;
        }
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            if let Err(error) = self.repair().await {
                tracing::warn!(error = %error, "cannot complete the history");
            }
        }
    }

    async fn repair(&self) -> Result<(), HistoryError> {
        let (anchor, head) = {
            let state = self.published.state();
            (state.history_anchor(), state.history().number)
        };
        if anchor.number > self.history.reader().anchor().number {
            let history = self.history.clone();
            spawn_blocking(move || history.trim(anchor)).await.unwrap_or(Err(HistoryError::Closed))?;
        }
        while let Some(gap) = self.missing(head).await? {
            if !self.fetch(&gap).await {
                tracing::warn!(
                    first = gap.start(),
                    last = gap.end(),
                    "rows of the history are missing here and no other node could send them"
                );
                return Ok(());
            }
        }
        Ok(())
    }

    /// The first gap up to `head`, once everything handed to the writer before is written.
    async fn missing(&self, head: u64) -> Result<Option<RangeInclusive<u64>>, HistoryError> {
        let history = self.history.clone();
        let missing = spawn_blocking(move || {
            history.flush()?;
            history.reader().missing(head)
        });
        missing.await.unwrap_or(Err(HistoryError::Closed))
    }

    /// Asks the members one after the other; true when one of them had rows.
    async fn fetch(&self, gap: &RangeInclusive<u64>) -> bool {
        let metrics = server_metrics(&self.raft);
        let others = metrics.membership_config.membership().nodes().filter(|(id, _)| **id != self.node);
        for (peer, info) in others {
            match self.fetch_from(*peer, &info.raft_addr, gap).await {
                Ok(0) => {}
                Ok(rows) => {
                    tracing::info!(peer, rows, first = gap.start(), "fetched missing rows of the history");
                    return true;
                }
                Err(error) => tracing::debug!(peer, error = %error, "cannot fetch rows of the history"),
            }
        }
        false
    }

    async fn fetch_from(
        &self,
        peer: NodeId,
        address: &str,
        gap: &RangeInclusive<u64>,
    ) -> Result<u64, Status> {
        let mut messages = self.peers.fetch_history(peer, address, *gap.start(), *gap.end()).await?;
        let mut fetched = 0;
        loop {
            let message = timeout(MESSAGE_TIMEOUT, messages.message())
                .await
                .map_err(|_| Status::deadline_exceeded("the peer sends no more rows"))??;
            let Some(message) = message else { return Ok(fetched) };
            let rows = message.rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
            let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            let history = self.history.clone();
            spawn_blocking(move || history.insert_verified(rows))
                .await
                .unwrap_or(Err(HistoryError::Closed))
                .map_err(|error| Status::data_loss(error.to_string()))?;
            fetched += count;
        }
    }
}

fn row(row: &proto::history_rows::Row) -> Result<ChainedRow, Status> {
    let hash: ChainHash = row
        .hash
        .as_ref()
        .try_into()
        .map_err(|_| Status::invalid_argument("a row's hash is not 32 bytes long"))?;
    Ok(ChainedRow { number: row.number, bytes: row.row.to_vec(), hash })
}
