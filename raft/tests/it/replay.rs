//! Transactions whose fate was unknown are applied at most once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tessera_core::txn::{HistoryRow, Outcome};
use tessera_raft::{
    cluster::{CommitError, Store},
    codec,
};

use crate::support::{Nodes, committed_at_last, set, until};

/// What the clients know: the names of the transactions that were acknowledged, and of those whose fate is unknown.
#[derive(Default)]
struct Known {
    acknowledged: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

/// Writes without pause; each transaction has a name of its own in the history.
async fn write(store: Store, client: u64, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) -> Known {
    let mut known = Known::default();
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        let name = format!("c{client}");
        let row = format!("{name}={number}");
        match store.commit(set(&name, number)).await {
            Ok(outcome) => {
                assert!(matches!(outcome.settled(), Outcome::Committed(_)));
                known.acknowledged.insert(row);
                done.fetch_add(1, Ordering::SeqCst);
            }
            Err(CommitError::OutcomeUnknown | CommitError::Stopping) => {
                known.unknown.insert(row);
            }
            // Not applied, which the comparison with the history shows.
            Err(CommitError::Unavailable | CommitError::Busy) => {}
            Err(error @ CommitError::TooLarge) => panic!("{error}"),
        }
    }
    known
}

#[tokio::test]
async fn transactions_are_applied_once_while_leaders_are_killed() {
    let mut nodes = Nodes::cluster(3, |_| {}).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    // Node 3 is never killed here, so that its clients see every change of leader.
    let clients: Vec<_> =
        (0..8).map(|client| tokio::spawn(write(nodes.get(3), client, stop.clone(), done.clone()))).collect();
    for _ in 0..3 {
        let before = done.load(Ordering::SeqCst);
        until("the clients get on", || done.load(Ordering::SeqCst) > before + 50).await;
        let mut leader = nodes.leader().await;
        if leader == 3 {
            nodes.hand_over(1).await;
            leader = 1;
        }
        nodes.kill(leader).await;
        let before = done.load(Ordering::SeqCst);
        until("the clients get on without it", || done.load(Ordering::SeqCst) > before + 50).await;
        nodes.start(leader).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut known = Known::default();
    for client in clients {
        let more = client.await.unwrap();
        known.acknowledged.extend(more.acknowledged);
        known.unknown.extend(more.unknown);
    }
    let state = nodes.agreed().await;
    let head = state.history().number;
    for store in nodes.all() {
        until("the history is complete", || store.history().status().complete >= head).await;
        let mut applied: BTreeMap<String, u32> = BTreeMap::new();
        for row in store.history().range(1, head, usize::MAX).unwrap() {
            let HistoryRow::Audit(row) = codec::decode_plain(&row.bytes).unwrap();
            *applied.entry(row.info.into()).or_default() += 1;
        }
        assert!(applied.values().all(|times| *times == 1), "a transaction was applied twice");
        let names: BTreeSet<String> = applied.into_keys().collect();
        assert!(known.acknowledged.is_subset(&names), "an acknowledged transaction is lost");
        let possible = &known.acknowledged | &known.unknown;
        assert!(names.is_subset(&possible), "a transaction appeared from nowhere");
    }
}

#[tokio::test]
async fn session_that_was_not_used_is_forgotten_and_replaced() {
    let nodes = Nodes::cluster(3, |config| {
        config.commit_timeout = Duration::from_millis(500);
        config.session_idle = Duration::from_secs(5);
    })
    .await;
    let store = nodes.get(2);
    committed_at_last(&store, &set("t", 1)).await;
    let sessions = || {
        store
            .view()
            .sessions()
            .filter(|(_, session)| session.node == 2)
            .map(|(id, _)| *id)
            .collect::<Vec<_>>()
    };
    until("the session is known here", || sessions().len() == 1).await;
    let first = sessions();
    until("the session is forgotten", || sessions().is_empty()).await;
    committed_at_last(&store, &set("t", 2)).await;
    until("there is another one", || sessions().len() == 1 && sessions() != first).await;
}
