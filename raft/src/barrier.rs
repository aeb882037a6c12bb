//! Linearizable reads: one round for all readers that wait (reference raft-and-storage 8).

use std::{future::Future, sync::Arc, time::Duration};

use openraft::Raft;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    election::server_metrics,
    proposer::{Leader, leader_of},
    transport::forward::{Answer, Forwarder},
    type_config::TypeConfig,
};

/// Readers that may wait.
const QUEUE: usize = 16 * 1024;
/// Time limit of one round.
const ROUND: Duration = Duration::from_secs(1);

/// The read index could not be found out: there is no leader, or it has no majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoReadIndex;

type Waiter = oneshot::Sender<Result<u64, NoReadIndex>>;

/// Collects readers and asks once for all of them.
#[derive(Clone, Debug)]
pub(crate) struct ReadIndexes(mpsc::Sender<Waiter>);

impl ReadIndexes {
    /// Starts collecting; `round` finds out the read index. Must be called on the runtime of Raft.
    fn start<F>(round: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<u64, NoReadIndex>> + Send + 'static,
    {
        let (sender, mut waiters) = mpsc::channel::<Waiter>(QUEUE);
        tokio::spawn(async move {
            let mut waiting = Vec::new();
            while waiters.recv_many(&mut waiting, QUEUE).await > 0 {
                // Only readers that asked before the round began may use its result.
                let index = timeout(ROUND, round()).await.unwrap_or(Err(NoReadIndex));
                for waiter in waiting.drain(..) {
                    // The reader may have given up.
                    let _ = waiter.send(index);
                }
            }
        });
        Self(sender)
    }

    /// Read indexes of this node as the leader; refused when it is not.
    pub(crate) fn of_leader(raft: Raft<TypeConfig>) -> Self {
        Self::start(move || {
            let raft = raft.clone();
            async move {
                let (index, _) = raft.get_read_log_id().await.map_err(|_| NoReadIndex)?;
                Ok(index.map_or(0, |id| id.index))
            }
        })
    }

    /// Read indexes from whoever leads.
    pub(crate) fn of_cluster(raft: Raft<TypeConfig>, here: Self, forwarder: Arc<Forwarder>) -> Self {
        Self::start(move || {
            let (raft, here, forwarder) = (raft.clone(), here.clone(), forwarder.clone());
            async move {
                match leader_of(&server_metrics(&raft)) {
                    Leader::Here => here.index().await,
                    Leader::There(leader, info) => match forwarder.read_index(leader, &info).await {
                        Answer::ReadIndex(index) => Ok(index),
                        Answer::Result(_)
                        | Answer::Clock(_)
                        | Answer::NotLeader
                        | Answer::Busy
                        | Answer::Unknown => Err(NoReadIndex),
                    },
                    Leader::Nobody => Err(NoReadIndex),
                }
            }
        })
    }

    /// An index such that everything committed before this call lies at or below it.
    pub(crate) async fn index(&self) -> Result<u64, NoReadIndex> {
        let (sender, index) = oneshot::channel();
        self.0.send(sender).await.map_err(|_| NoReadIndex)?;
        index.await.unwrap_or(Err(NoReadIndex))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn readers_share_a_round_that_began_after_they_asked() {
        let rounds = Arc::new(AtomicU64::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let (counted, opened) = (rounds.clone(), gate.clone());
        let reads = ReadIndexes::start(move || {
            let (rounds, gate) = (counted.clone(), opened.clone());
            async move {
                let round = rounds.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                Ok(round)
            }
        });
        let first = tokio::spawn({
            let reads = reads.clone();
            async move { reads.index().await }
        });
        while rounds.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let later: Vec<_> = (0..50).map(|_| reads.index()).collect();
        gate.add_permits(2);
        let later = join_all(later).await;
        assert_eq!(first.await.unwrap(), Ok(0));
        assert!(
            later.iter().all(|index| *index == Ok(1)),
            "a round that had begun before is not for later readers"
        );
        assert_eq!(rounds.load(Ordering::SeqCst), 2);
    }
}
