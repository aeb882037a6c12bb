//! A node that was away for long.

use std::time::Duration;

use tessera_raft::config::SnapshotPolicy;
use tokio::task::JoinSet;

use crate::support::{Nodes, committed, counter, set, until};

/// What the others did meanwhile.
const TRANSACTIONS: u64 = 100_000;
/// So many at once.
const WRITERS: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_missed_a_hundred_thousand_transactions_catches_up_by_itself() {
    let mut nodes = Nodes::cluster(3, |config| {
        config.snapshot = SnapshotPolicy {
            transactions: TRANSACTIONS / 4,
            keep_entries: 50,
            pause: Duration::ZERO,
            ..SnapshotPolicy::default()
        };
    })
    .await;
    committed(nodes.get(1).commit(set("before", 1)).await);
    let away = nodes.a_follower().await;
    let had = nodes.get(away).barrier().await.unwrap().revision();
    nodes.kill(away).await;
    let leader = nodes.get(nodes.leader().await);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let leader = leader.clone();
        writers.spawn(async move {
            for value in 1..=TRANSACTIONS / WRITERS {
                committed(leader.commit(set(&writer.to_string(), value)).await);
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let snapshot = leader.status().snapshot_index;
    assert!(snapshot > 0, "the log alone brings the node back: the test shows less than it says");

    let back = nodes.start(away).await;
    let state = nodes.agreed().await;
    assert!(state.revision().0 >= had.0 + TRANSACTIONS);
    for writer in 0..WRITERS {
        assert_eq!(counter(&*back.view(), &writer.to_string()), TRANSACTIONS / WRITERS);
    }
    assert!(back.status().snapshot_index >= snapshot, "it got a snapshot");
    let rows = state.history().number;
    let history = back.history();
    until("the missing part of the audit trail has come", || {
        history.tail().unwrap().number >= rows && history.missing(rows).unwrap().is_none()
    })
    .await;
}
