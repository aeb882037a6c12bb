//! The chain of the audit trail in a running cluster: tampering shows, removed rows stay removed, repair respects both.

use std::{path::Path, time::Duration};

use tessera_core::{
    record::{HistoryAnchorV1, Key, Record},
    time::UnixMillis,
    txn::Txn,
};
use tessera_raft::{
    cluster::{HistoryFault, HistoryHead, Store},
    history::chain,
};

use crate::support::{Nodes, committed, set, short_log, until};

/// What a block of rows in the database looks like: number of parts u16, then hash, length u32 and bytes of each row.
const ROW_HEAD: usize = 36;

/// Opens the history of a stopped node as somebody would who wants to change it, and has every block changed.
fn tamper(data_dir: &Path, mut change: impl FnMut(u64, &mut Vec<u8>)) {
    let deadline = std::time::Instant::now() + crate::support::LONG;
    let database = loop {
        match sled::open(data_dir.join("history")) {
            Ok(database) => break database,
            // The node that was stopped still holds it for a moment.
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    let rows = database.open_tree("rows").unwrap();
    for entry in rows.iter() {
        let (key, value) = entry.unwrap();
        let first = u64::from_be_bytes(key[..8].try_into().unwrap());
        let mut value = value.to_vec();
        change(first, &mut value);
        rows.insert(key, value).unwrap();
    }
    database.flush().unwrap();
}

/// Calls back with the number of each row of a block and where its head begins.
fn each_row(first: u64, block: &mut [u8], mut change: impl FnMut(u64, &mut [u8], usize, usize)) {
    let (mut at, mut number) = (2, first);
    while at < block.len() {
        let length = u32::from_be_bytes(block[at + 32..at + ROW_HEAD].try_into().unwrap());
        let end = at + ROW_HEAD + usize::try_from(length).unwrap();
        change(number, block, at, end);
        (at, number) = (end, number + 1);
    }
}

async fn with_rows(count: u64) -> Nodes {
    let nodes = Nodes::cluster(3, |config| config.snapshot = short_log()).await;
    for value in 1..=count {
        committed(nodes.get(1).commit(set("t", value)).await);
    }
    nodes.agreed().await;
    for store in nodes.all() {
        let check = store.verify_history(1, 1000).await.unwrap();
        assert_eq!((check.fault, check.verified), (None, store.view().history()));
        assert!(check.is_complete());
    }
    nodes
}

async fn fault(store: &Store) -> Option<HistoryFault> {
    store.verify_history(1, 1000).await.unwrap().fault
}

#[tokio::test]
async fn a_changed_row_is_named() {
    let mut nodes = with_rows(30).await;
    let victim = nodes.a_follower().await;
    nodes.kill(victim).await;
    tamper(&nodes.data_dir(victim), |first, block| {
        each_row(first, block, |number, bytes, _, end| {
            if number == 17 {
                bytes[end - 1] ^= 1;
            }
        });
    });
    let store = nodes.start(victim).await;
    assert_eq!(fault(&store).await, Some(HistoryFault::Changed(17)));
    let other = nodes.get(nodes.leader().await);
    assert_eq!(fault(&other).await, None);
    // The documented remedy: without its history the node fetches all rows again.
    nodes.kill(victim).await;
    let history = nodes.data_dir(victim).join("history");
    std::fs::rename(&history, history.with_file_name("history.bad")).unwrap();
    let store = nodes.start(victim).await;
    until("the rows are fetched from the others", || store.history().status().complete == 30).await;
    assert_eq!(fault(&store).await, None);
}

#[tokio::test]
async fn a_chain_that_was_written_anew_shows_at_the_replicated_head() {
    let mut nodes = with_rows(30).await;
    let victim = nodes.a_follower().await;
    nodes.get(victim).snapshot().await.unwrap();
    until("the log will not be applied again", || nodes.get(victim).status().snapshot_index >= 30).await;
    let genuine = nodes.get(victim).history().hash(10).unwrap().unwrap();
    nodes.kill(victim).await;
    let mut previous = [0; 32];
    tamper(&nodes.data_dir(victim), |first, block| {
        each_row(first, block, |number, bytes, at, end| {
            if number == 17 {
                bytes[end - 1] ^= 1;
            }
            previous = chain(&previous, number, &bytes[at + ROW_HEAD..end]);
            bytes[at..at + 32].copy_from_slice(&previous);
        });
    });
    let store = nodes.start(victim).await;
    nodes.leader().await;
    assert_eq!(store.history().hash(10).unwrap(), Some(genuine), "rows in front of the change are the same");
    assert_eq!(fault(&store).await, Some(HistoryFault::OtherHead(30)));
}

fn trim(to: HistoryHead) -> Txn {
    let anchor = HistoryAnchorV1 { number: to.number, hash: to.hash, at: UnixMillis(1) };
    let mut txn = set("trimmed", to.number);
    txn.writes.push((Key::HistoryAnchor, Some(Record::HistoryAnchor(anchor))));
    txn
}

#[tokio::test]
async fn removed_rows_are_removed_everywhere_and_a_node_that_was_away_begins_behind_them() {
    let mut nodes = with_rows(30).await;
    let away = nodes.a_follower().await;
    nodes.kill(away).await;
    let leader = nodes.get(nodes.leader().await);
    let hash = leader.history().hash(20).unwrap().unwrap();
    let anchor = HistoryHead { number: 20, hash };
    committed(leader.commit(trim(anchor)).await);
    for value in 31..=40 {
        committed(leader.commit(set("t", value)).await);
    }
    until("both nodes have removed the rows", || {
        nodes.all().iter().all(|store| store.history().anchor() == anchor)
    })
    .await;
    assert_eq!(leader.history().range(1, 99, 99).unwrap()[0].number, 21);
    let check = leader.verify_history(1, 1000).await.unwrap();
    assert_eq!((check.fault, check.anchor, check.verified.number), (None, anchor, 41));

    // The node that was away has lost its rows as well: it gets those that are left.
    let history = nodes.data_dir(away).join("history");
    std::fs::rename(&history, history.with_file_name("history.bad")).unwrap();
    leader.snapshot().await.unwrap();
    until("the log is gone", || leader.metrics().log_entries < 20).await;
    let back = nodes.start(away).await;
    nodes.agreed().await;
    until("the rows are fetched from the others", || back.history().status().complete == 41).await;
    let check = back.verify_history(1, 1000).await.unwrap();
    assert_eq!((check.fault, check.anchor, check.verified), (None, anchor, back.view().history()));
    assert_eq!(back.history().range(1, 99, 99).unwrap()[0].number, 21);
}
