//! Leaders that go away, and nodes that must not make them go away.

use std::time::Duration;

use tessera_raft::cluster::{CommitError, Role};
use tokio::time::Instant;

use crate::support::{
    Frozen, Nodes, SILENCE, TIMING, barrier_at_last, committed, committed_at_last, counter, holds, set, until,
};

#[tokio::test]
async fn another_node_leads_when_the_leader_stops() {
    let mut nodes = Nodes::cluster(3, |_| {}).await;
    let first = nodes.leader().await;
    let survivor = nodes.a_follower().await;
    committed(nodes.get(survivor).commit(set("t", 1)).await);
    nodes.kill(first).await;
    committed(nodes.get(survivor).commit(set("t", 2)).await);
    let second = nodes.leader().await;
    assert_ne!(second, first);
    let back = nodes.start(first).await;
    assert_eq!(counter(&*back.barrier().await.unwrap(), "t"), 2);
    assert_eq!(nodes.leader().await, second, "who comes back does not depose the leader");
}

#[tokio::test]
async fn leadership_is_handed_over_without_a_lost_commit() {
    let nodes = Nodes::cluster(3, |_| {}).await;
    let first = nodes.leader().await;
    let target = nodes.a_follower().await;
    let writer = nodes.get(first);
    let writing = tokio::spawn(async move {
        for value in 1..=200 {
            committed(writer.commit(set("t", value)).await);
        }
    });
    until("the cluster is busy", || counter(&*nodes.get(first).view(), "t") > 10).await;
    nodes.hand_over(target).await;
    writing.await.unwrap();
    let state = nodes.agreed().await;
    assert_eq!(counter(&*state, "t"), 200);
    assert_eq!(state.history().number, 200, "nothing was applied twice");
}

#[tokio::test]
async fn leadership_is_handed_over_among_five_nodes() {
    let nodes = Nodes::cluster(5, |_| {}).await;
    for round in 1..=5 {
        let leader = nodes.leader().await;
        let target = 1 + (leader + 1) % 5;
        nodes.hand_over(target).await;
        committed(nodes.get(leader).commit(set("t", round)).await);
    }
}

#[tokio::test]
async fn stopping_the_leader_hands_over_first() {
    let nodes = Nodes::cluster(3, |_| {}).await;
    let first = nodes.leader().await;
    let term = nodes.get(first).status().term;
    let other = nodes.get(nodes.a_follower().await);
    nodes.get(first).shutdown().await;
    let stopped = Instant::now();
    until("there is a new leader", || {
        let status = other.status();
        status.term > term && status.leader.is_some_and(|leader| leader != first)
    })
    .await;
    let without = stopped.elapsed();
    let election = Duration::from_millis(TIMING.election_max_ms);
    assert!(without < election, "it took {without:?}, as long as an election without a hand-over");
    assert!(!nodes.get(first).is_running());
    assert_eq!(nodes.get(first).commit(set("t", 1)).await, Err(CommitError::Stopping));
}

#[tokio::test]
async fn follower_that_was_frozen_does_not_depose_the_leader() {
    let nodes = Nodes::cluster(3, |_| {}).await;
    let leader = nodes.get(nodes.leader().await);
    let frozen = nodes.get(nodes.a_follower().await);
    let term = leader.status().term;
    let ice = Frozen::freeze(&frozen, 2).await;
    let until_then = Instant::now() + SILENCE;
    let mut value = 0;
    while Instant::now() < until_then {
        value += 1;
        committed(leader.commit(set("t", value)).await);
    }
    ice.thaw();
    until("the frozen node has caught up", || counter(&*frozen.view(), "t") == value).await;
    let (status, own) = (leader.clone(), leader.status().node_id);
    holds("the leader leads in the same term", Duration::from_secs(1), move || {
        let status = status.status();
        status.role == Role::Leader && status.leader == Some(own) && status.term == term
    })
    .await;
    committed(frozen.commit(set("t", 0)).await);
}

#[tokio::test]
async fn node_alone_neither_leads_nor_raises_the_term() {
    let mut nodes = Nodes::cluster(3, |config| config.commit_timeout = Duration::from_secs(2)).await;
    committed_at_last(&nodes.get(1), &set("t", 1)).await;
    let alone = nodes.a_follower().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != alone).collect();
    for id in &others {
        nodes.kill(*id).await;
    }
    let store = nodes.get(alone);
    let term = store.status().term;
    until("the node knows that it is alone", || !store.status().quorum).await;
    let watched = store.clone();
    holds("the term stays", SILENCE, move || watched.status().term == term).await;
    assert_ne!(store.status().role, Role::Leader);
    assert!(matches!(store.barrier().await, Err(CommitError::Unavailable)));
    for id in others {
        nodes.start(id).await;
    }
    nodes.leader().await;
    committed_at_last(&store, &set("t", 2)).await;
}

#[tokio::test]
async fn leader_without_majority_says_so_and_commits_nothing() {
    let mut nodes = Nodes::cluster(3, |config| config.commit_timeout = Duration::from_secs(3)).await;
    let leader_id = nodes.leader().await;
    let leader = nodes.get(leader_id);
    committed_at_last(&leader, &set("t", 1)).await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader_id).collect();
    for id in &others {
        nodes.kill(*id).await;
    }
    until("the leader notices", || !leader.status().quorum).await;
    // Proposed in the instant in which the majority seemed to be there, the fate is unknown; it is never reported as done.
    let lost = leader.commit(set("t", 2)).await;
    assert!(matches!(lost, Err(CommitError::Unavailable | CommitError::OutcomeUnknown)), "{lost:?}");
    assert!(matches!(leader.barrier().await, Err(CommitError::Unavailable)));
    for id in others {
        nodes.start(id).await;
    }
    nodes.leader().await;
    let state = barrier_at_last(&leader).await;
    if lost == Err(CommitError::Unavailable) {
        assert_eq!(counter(&*state, "t"), 1, "what was answered with Unavailable is not applied later");
    }
    committed_at_last(&leader, &set("t", 3)).await;
}
