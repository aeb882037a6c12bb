//! Nodes of different versions in one cluster, as during a rolling upgrade.

use std::time::Duration;

use tessera_core::{
    record::{Key, Record},
    txn::{Dependency, Expectation, Txn},
    view::StateRead,
};
use tessera_raft::{
    cluster::{CommitError, State, Store},
    config::StoreConfig,
    level::FORMAT_LEVEL,
};

use crate::support::{Nodes, committed, counter, holds, set, short_log, until};

/// A version that is one format level ahead.
const NEWER: u32 = FORMAT_LEVEL + 1;

/// What raises the level; the node's janitor decides the same.
fn raise(state: &State, level: u32) -> Txn {
    let revision = state.record(&Key::FormatLevel).map(|slot| slot.revision).unwrap_or_default();
    Txn {
        expects: vec![Expectation { dependency: Dependency::Record(Key::FormatLevel), revision }],
        writes: vec![(Key::FormatLevel, Some(Record::FormatLevel(level)))],
        ..Txn::default()
    }
}

fn newer(mut config: StoreConfig) -> StoreConfig {
    config.format_level = NEWER;
    config
}

/// A cluster of three nodes of the newer version, at the newer level.
async fn raised() -> Nodes {
    let nodes = Nodes::cluster(3, |config| {
        config.format_level = NEWER;
        config.snapshot = short_log();
        config.commit_timeout = Duration::from_secs(10);
    })
    .await;
    let store = nodes.get(1);
    until("all members have answered", || store.status().leader.is_some()).await;
    assert_eq!(level_when_known(&store).await, Some(NEWER));
    committed(store.commit(raise(&store.view(), NEWER)).await);
    nodes.agreed().await;
    nodes
}

async fn level_when_known(store: &Store) -> Option<u32> {
    for _ in 0..50 {
        if store.cluster_status().await.iter().all(|node| node.reachable) {
            break;
        }
    }
    store.raisable_level().await
}

/// What an error and its sources say.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn cluster_works_at_the_level_of_its_oldest_version_until_the_last_node_is_upgraded() {
    let mut nodes = Nodes::cluster(3, |_| {}).await;
    for node in 1..=3 {
        committed(nodes.get(node).commit(set("t", node)).await);
        let status = nodes.get(node).status();
        assert_eq!((status.format_level, status.supported_level), (FORMAT_LEVEL, FORMAT_LEVEL));
        let any = nodes.get(1 + node % 3);
        assert_eq!(level_when_known(&any).await, None, "node {node} and later ones are still old");
        nodes.kill(node).await;
        nodes.leader().await;
        let config = newer(nodes.config(node));
        nodes.start_with(node, config).await;
        nodes.leader().await;
        committed(nodes.get(node).commit(set("t", 10 + node)).await);
    }
    let store = nodes.get(2);
    assert_eq!(level_when_known(&store).await, Some(NEWER));
    committed(store.commit(raise(&store.view(), NEWER)).await);
    let state = nodes.agreed().await;
    assert_eq!((state.format_level(), counter(&*state, "t")), (NEWER, 13));
    assert_eq!(level_when_known(&store).await, None, "there is nothing higher");
}

#[tokio::test]
async fn level_is_not_raised_while_a_member_does_not_answer() {
    let mut nodes = Nodes::cluster(3, |config| config.format_level = NEWER).await;
    let away = nodes.a_follower().await;
    nodes.kill(away).await;
    let leader = nodes.get(nodes.leader().await);
    assert_eq!(leader.raisable_level().await, None);
}

#[tokio::test]
async fn node_that_was_downgraded_stops_and_says_why() {
    let mut nodes = raised().await;
    let victim = nodes.a_follower().await;
    nodes.kill(victim).await;
    let mut old = nodes.config(victim);
    old.format_level = FORMAT_LEVEL;
    // With the log only: it stops at the entry that raised the level, or at the first message of another node.
    match Store::open(old.clone()).await {
        Err(error) => {
            let text = chain(&error);
            assert!(text.contains("level 2") && text.contains("upgrade this node"), "{text}");
        }
        Ok(store) => {
            until("it stops", || !store.status().running).await;
            assert_eq!(store.view().format_level(), FORMAT_LEVEL, "nothing of the new level is applied");
            store.kill().await;
        }
    }
    // With a snapshot of the newer level.
    nodes.start(victim).await;
    nodes.leader().await;
    nodes.get(victim).snapshot().await.unwrap();
    until("there is a snapshot", || nodes.get(victim).status().snapshot_index > 0).await;
    nodes.kill(victim).await;
    let error = loop {
        match Store::open(old.clone()).await {
            Err(error) if chain(&error).contains("format level") => break error,
            // Its former self still holds the disk or the address.
            Err(_) => tokio::task::yield_now().await,
            Ok(_) => panic!("a snapshot of a higher level was read"),
        }
    };
    let text = chain(&error);
    assert!(text.contains("format level 2") && text.contains("upgrade this node"), "{text}");
    // Upgraded again, it takes part again.
    nodes.start(victim).await;
    committed(nodes.get(victim).commit(set("t", 1)).await);
}

#[tokio::test]
async fn old_version_that_joins_a_newer_cluster_is_refused() {
    let mut nodes = raised().await;
    let mut old = nodes.config(4);
    old.format_level = FORMAT_LEVEL;
    old.commit_timeout = Duration::from_secs(1);
    let leader = nodes.get(nodes.leader().await);
    let joining = nodes.start_with(4, old).await;
    // The change of members itself is committed by the others.
    leader.add_learner(4, nodes.member(4)).await.unwrap();
    holds("nothing reaches the old node", Duration::from_secs(2), || !joining.is_initialized()).await;
    assert!(matches!(joining.commit(set("t", 1)).await, Err(CommitError::Unavailable)));
    let status = leader.cluster_status().await;
    let refused = status.iter().find(|node| node.id == 4).unwrap();
    assert!(!refused.reachable);
    committed(leader.commit(set("t", 2)).await);
}
