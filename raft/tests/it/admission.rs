//! Data directories that do not belong to the cluster take no part in it.

use std::time::Duration;

use tessera_raft::cluster::{ClusterError, CommitError, JoinAnswer, JoinDecision, OpenError, Store};
use tokio::time::timeout;

use crate::support::{LONG, Nodes, committed, counter, holds, set, until};

/// Opens a node's store without admitting it.
async fn fresh(nodes: &Nodes, node: u64) -> Store {
    Store::open(nodes.config(node)).await.unwrap()
}

/// Answers the next node that presents itself at `store`.
fn answer(store: &Store, decision: JoinDecision) -> tokio::task::JoinHandle<(u64, [u8; 16], bool)> {
    let mut requests = store.take_join_requests().unwrap();
    tokio::spawn(async move {
        let request = timeout(LONG, requests.recv()).await.unwrap().unwrap();
        let seen = (request.node, request.incarnation, request.token.is_some());
        request.answer(decision);
        seen
    })
}

#[tokio::test]
async fn emptied_node_takes_no_part_until_it_is_admitted() {
    let mut nodes = Nodes::cluster(3, |_| {}).await;
    committed(nodes.get(1).commit(set("t", 1)).await);
    let victim = nodes.a_follower().await;
    nodes.kill(victim).await;
    std::fs::remove_dir_all(nodes.data_dir(victim)).unwrap();
    let leader = nodes.get(nodes.leader().await);
    let emptied = fresh(&nodes, victim).await;
    assert!(!emptied.is_admitted());
    until("the leader has called it", || emptied.is_claimed_by_others()).await;
    committed(leader.commit(set("t", 2)).await);
    let watched = emptied.clone();
    holds("it accepts no entry and gives no vote", Duration::from_secs(1), move || {
        !watched.is_initialized() && watched.status().term == 0
    })
    .await;
    let seen = leader.cluster_status().await;
    assert!(seen.iter().any(|node| node.id == victim && !node.reachable), "{seen:?}");

    let address = leader.listen_addr().to_string();
    let asked = answer(&leader, JoinDecision::Refused("no".to_owned()));
    assert_eq!(emptied.ask_to_join(&address, Some("4-x".into())).await, JoinAnswer::Refused("no".to_owned()));
    assert_eq!(asked.await.unwrap(), (victim, emptied.incarnation(), true));
    assert!(!emptied.is_initialized());
    emptied.kill().await;
}

#[tokio::test]
async fn admitted_node_catches_up_and_stays_admitted() {
    let mut nodes = Nodes::cluster(1, |_| {}).await;
    committed(nodes.get(1).commit(set("t", 1)).await);
    let joining = fresh(&nodes, 2).await;
    let address = nodes.get(1).listen_addr().to_string();
    let asked = answer(&nodes.get(1), JoinDecision::Admitted);
    let JoinAnswer::Admitted(genesis) = joining.ask_to_join(&address, None).await else {
        panic!("not admitted")
    };
    assert_eq!(asked.await.unwrap(), (2, joining.incarnation(), false));
    joining.admit(genesis).await.unwrap();
    let place = tessera_raft::cluster::Member {
        raft_addr: joining.listen_addr().to_string(),
        api_url: String::new(),
    };
    nodes.get(1).add_learner(2, place).await.unwrap();
    until("the learner has the data", || counter(&*joining.view(), "t") == 1).await;
    let incarnation = joining.incarnation();
    joining.kill().await;
    drop(joining);
    let again = nodes.start(2).await;
    assert!(again.is_admitted() && !again.is_founder());
    assert_eq!(again.incarnation(), incarnation);
}

#[tokio::test]
async fn cluster_is_made_once_by_a_node_that_belongs_to_none() {
    let nodes = Nodes::new(|config| config.commit_timeout = Duration::from_secs(10));
    let (founder, other) = (fresh(&nodes, 1).await, fresh(&nodes, 2).await);
    let address = founder.listen_addr().to_string();
    assert_eq!(other.ask_to_join(&address, None).await, JoinAnswer::NoCluster);
    founder.found().await.unwrap();
    assert!(founder.is_founder());
    assert!(matches!(founder.found().await, Err(ClusterError::AlreadyInitialized)));
    committed(founder.commit(set("t", 1)).await);
    // Nobody decides here, so the node is told to ask again.
    drop(founder.take_join_requests());
    assert_eq!(other.ask_to_join(&address, None).await, JoinAnswer::TryAgain);
    assert!(matches!(other.ask_to_join("127.0.0.1:1", None).await, JoinAnswer::Unreachable(_)));
}

#[tokio::test]
async fn two_clusters_made_under_one_id_do_not_mix() {
    let mut nodes = Nodes::new(|config| config.commit_timeout = Duration::from_secs(2));
    let (one, two) = (fresh(&nodes, 1).await, fresh(&nodes, 2).await);
    one.found().await.unwrap();
    two.found().await.unwrap();
    committed(one.commit(set("t", 1)).await);
    committed(two.commit(set("t", 2)).await);
    let place =
        tessera_raft::cluster::Member { raft_addr: two.listen_addr().to_string(), api_url: String::new() };
    // The learner is a member of its own cluster and accepts nothing of this one.
    one.add_learner(2, place).await.unwrap();
    until("node 2 was called by the other cluster", || two.is_claimed_by_others()).await;
    committed(one.commit(set("t", 3)).await);
    assert_eq!(counter(&*two.view(), "t"), 2);
    assert_eq!((two.status().leader, one.status().leader), (Some(2), Some(1)));
    nodes.start(3).await;
    assert_eq!(nodes.get(3).commit(set("t", 4)).await, Err(CommitError::Unavailable));
}

#[tokio::test]
async fn directory_of_which_a_part_is_gone_is_refused() {
    let mut nodes = Nodes::cluster(1, |_| {}).await;
    committed(nodes.get(1).commit(set("t", 1)).await);
    nodes.kill(1).await;
    let folder = nodes.data_dir(1);
    std::fs::rename(folder.join("identity"), folder.join("identity.away")).unwrap();
    let refused = Store::open(nodes.config(1)).await.unwrap_err();
    assert!(matches!(refused, OpenError::Identity(_)), "{refused}");
    assert!(refused.to_string().contains("tessera cluster replace 1"), "{refused}");
    std::fs::rename(folder.join("identity.away"), folder.join("identity")).unwrap();
    std::fs::remove_dir_all(folder.join("wal")).unwrap();
    std::fs::remove_file(folder.join("wal.mark")).unwrap();
    let refused = Store::open(nodes.config(1)).await.unwrap_err();
    assert!(matches!(refused, OpenError::Identity(_)), "{refused}");
}
