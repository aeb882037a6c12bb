//! Commits, reads, members and snapshots of a healthy cluster.

use std::{collections::BTreeSet, time::Duration};

use tessera_core::{
    txn::{Dependency, Outcome, Revision},
    view::StateRead,
};
use tessera_raft::cluster::{ClusterError, CommitError, Role, Store};
use tokio::time::Instant;

use crate::support::{CLUSTER, LONG, Nodes, committed, counter, increment, set, short_log, until, usage_key};

#[tokio::test]
async fn commit_from_any_node_reaches_every_node() {
    let nodes = Nodes::cluster(3, |_| {}).await;
    for node in 1..=3 {
        let name = format!("t{node}");
        let revision = committed(nodes.get(node).commit(set(&name, node)).await);
        for store in nodes.all() {
            let state = store.wait_applied(revision, Instant::now() + LONG).await.unwrap();
            assert_eq!(counter(&*state, &name), node);
            assert_eq!(state.record(&usage_key(&name)).unwrap().revision, revision);
        }
    }
    assert_eq!(nodes.agreed().await.history().number, 3);
}

#[tokio::test]
async fn barrier_sees_what_any_node_has_committed() {
    let nodes = Nodes::cluster(3, |_| {}).await;
    for round in 0..30 {
        let revision = committed(nodes.get(1 + round % 3).commit(set("t", round)).await);
        let state = nodes.get(1 + (round + 1) % 3).barrier().await.unwrap();
        assert!(state.revision() >= revision);
        assert_eq!(counter(&*state, "t"), round);
    }
}

/// Counts up until `times` attempts were committed; returns the revisions.
async fn count_up(store: Store, times: usize) -> Vec<Revision> {
    let mut revisions = Vec::new();
    while revisions.len() < times {
        let state = store.view();
        match store.commit(increment(&*state, "shared")).await.unwrap().settled() {
            Outcome::Committed(revision) => revisions.push(revision),
            Outcome::Conflict(dependency, revision) => {
                assert_eq!(dependency, Dependency::Record(usage_key("shared")));
                store.wait_applied(revision, Instant::now() + LONG).await.unwrap();
            }
            other @ (Outcome::Duplicate(_) | Outcome::UnknownSession) => panic!("{other:?}"),
        }
    }
    revisions
}

#[tokio::test]
async fn of_transactions_that_read_the_same_only_one_is_committed() {
    let nodes = Nodes::cluster(3, |_| {}).await;
    let tasks: Vec<_> = nodes
        .all()
        .into_iter()
        .flat_map(|store| [store.clone(), store])
        .map(|store| tokio::spawn(count_up(store, 10)))
        .collect();
    let mut revisions = BTreeSet::new();
    for task in tasks {
        for revision in task.await.unwrap() {
            assert!(revisions.insert(revision), "two commits with revision {revision:?}");
        }
    }
    assert_eq!(revisions.len(), 60);
    assert_eq!(counter(&*nodes.agreed().await, "shared"), 60, "no increment is lost or made twice");
}

#[tokio::test]
async fn everything_is_there_after_a_restart_of_all_nodes() {
    let mut nodes = Nodes::cluster(3, |_| {}).await;
    for value in 1..=20 {
        committed(nodes.get(1 + value % 3).commit(set("t", value)).await);
    }
    let before = nodes.agreed().await;
    for node in 1..=3 {
        nodes.kill(node).await;
    }
    for node in 1..=3 {
        let store = nodes.start(node).await;
        assert!(store.is_initialized());
        let again = store.bootstrap(nodes.members()).await;
        assert!(matches!(again, Err(ClusterError::AlreadyInitialized)));
    }
    let state = nodes.get(2).barrier().await.unwrap();
    assert_eq!(counter(&*state, "t"), 20);
    assert_eq!((state.revision(), state.history()), (before.revision(), before.history()));
    committed(nodes.get(3).commit(set("t", 21)).await);
}

#[tokio::test]
async fn single_node_is_a_cluster() {
    let mut nodes = Nodes::cluster(1, |_| {}).await;
    committed(nodes.get(1).commit(set("t", 1)).await);
    nodes.kill(1).await;
    let store = nodes.start(1).await;
    let state = store.barrier().await.unwrap();
    assert_eq!(counter(&*state, "t"), 1);
    committed(store.commit(increment(&*state, "t")).await);
    assert!(store.status().quorum);
}

#[tokio::test]
async fn bootstrap_refuses_unusable_members() {
    let mut nodes = Nodes::new(|_| {});
    nodes.start(1).await;
    nodes.start(2).await;
    let mut without = nodes.members();
    without.remove(&1);
    assert!(matches!(nodes.get(1).bootstrap(without).await, Err(ClusterError::NotAMember(1))));
    let mut same = nodes.members();
    same.insert(2, nodes.member(1));
    assert!(matches!(nodes.get(1).bootstrap(same).await, Err(ClusterError::SameAddress(1, 2))));
    assert!(!nodes.get(1).is_initialized());
}

#[tokio::test]
async fn node_with_the_certificate_of_another_node_is_not_accepted() {
    let mut nodes = Nodes::new(|config| config.commit_timeout = Duration::from_secs(2));
    nodes.start(1).await;
    let mut config = nodes.config(2);
    config.tls = nodes.pki.node(7, CLUSTER);
    nodes.start_with(2, config).await;
    nodes.get(1).bootstrap(nodes.members()).await.unwrap();
    assert!(matches!(nodes.get(1).commit(set("t", 1)).await, Err(CommitError::Unavailable)));
    let status = nodes.get(1).cluster_status().await;
    assert_eq!(
        status.iter().map(|node| (node.id, node.reachable)).collect::<Vec<_>>(),
        [(1, true), (2, false)]
    );
    assert!(!nodes.get(2).is_initialized(), "nothing of node 1 has got through");
}

#[tokio::test]
async fn node_of_another_cluster_is_not_accepted() {
    let mut nodes = Nodes::new(|config| config.commit_timeout = Duration::from_secs(2));
    nodes.start(1).await;
    let other = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    let mut config = nodes.config(2);
    config.tls = nodes.pki.node(2, other);
    config.cluster_id = other.into();
    nodes.start_with(2, config).await;
    nodes.get(1).bootstrap(nodes.members()).await.unwrap();
    assert!(matches!(nodes.get(1).commit(set("t", 1)).await, Err(CommitError::Unavailable)));
    assert!(!nodes.get(2).is_initialized());
}

#[tokio::test]
async fn node_that_was_away_gets_a_snapshot_and_the_missing_history() {
    let mut nodes = Nodes::cluster(3, |config| config.snapshot = short_log()).await;
    committed(nodes.get(1).commit(set("t", 0)).await);
    nodes.agreed().await;
    let away = nodes.a_follower().await;
    nodes.kill(away).await;
    let mut last = Revision(0);
    for value in 1..=50 {
        last = committed(nodes.all()[0].commit(set("t", value)).await);
    }
    // Both, since either of them may lead when the third returns.
    for store in nodes.all() {
        store.wait_applied(last, Instant::now() + LONG).await.unwrap();
        store.snapshot().await.unwrap();
        until("the node has a snapshot and purged its log", || {
            store.status().snapshot_index >= 50 && store.metrics().log_entries < 20
        })
        .await;
    }
    let back = nodes.start(away).await;
    let state = nodes.agreed().await;
    assert_eq!(counter(&*state, "t"), 50);
    assert!(back.status().snapshot_index >= 50, "it came by a snapshot");
    until("the history is complete", || back.history().status().complete == 51).await;
    let verified = back.history().verify_tail(1).unwrap().unwrap();
    assert_eq!(verified, (51, state.history().hash));
}

#[tokio::test]
async fn node_is_added_promoted_and_removed() {
    let mut nodes = Nodes::cluster(3, |_| {}).await;
    committed(nodes.get(1).commit(set("t", 1)).await);
    let leader_id = nodes.leader().await;
    let leader = nodes.get(leader_id);
    let joined = nodes.start(4).await;
    leader.add_learner(4, nodes.member(4)).await.unwrap();
    leader.add_learner(4, nodes.member(4)).await.unwrap();
    let taken = leader.add_learner(5, nodes.member(4)).await;
    assert!(matches!(taken, Err(ClusterError::SameAddress(4, 5))));
    until("the learner follows", || leader.lag(4) == Some(0) && joined.status().role == Role::Learner).await;
    assert_eq!(counter(&*joined.barrier().await.unwrap(), "t"), 1);
    committed(joined.commit(set("t", 2)).await);
    leader.promote(4).await.unwrap();
    until("the new node votes", || joined.status().voters == [1, 2, 3, 4] && !joined.status().joint).await;
    assert!(matches!(leader.remove(leader_id).await, Err(ClusterError::IsLeader(id)) if id == leader_id));
    let refused = joined.remove(1).await;
    assert!(matches!(refused, Err(ClusterError::NotLeader { leader: Some(id) }) if id == leader_id));
    leader.remove(4).await.unwrap();
    assert_eq!(leader.status().members.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    nodes.kill(4).await;
    committed(nodes.get(2).commit(set("t", 3)).await);
    // A busy machine may keep a node from answering in time.
    let deadline = Instant::now() + LONG;
    let status = loop {
        let status = leader.cluster_status().await;
        if status.iter().all(|node| node.reachable) || Instant::now() > deadline {
            break status;
        }
    };
    assert!(
        status.iter().all(|node| node.reachable && node.voter && node.version == env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(status.iter().filter(|node| node.role == Some(Role::Leader)).count(), 1);
}
