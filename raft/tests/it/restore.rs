//! A new cluster from an archive.

use tessera_core::{time::UnixMillis, txn::Txn};
use tessera_raft::{
    archive::{self, ArchiveReader},
    cluster::{JoinAnswer, JoinDecision, Member, Store},
    restore::{RestoreError, RestoreTarget},
};

use crate::support::{CLUSTER, Nodes, committed, counter, increment, set};

const OLD_CLUSTER: &str = "9a0d7f3c-1111-4222-8333-444455556666";

/// Archives the state of a cluster with one counter.
async fn archived() -> Vec<u8> {
    let nodes = Nodes::cluster(1, |_| {}).await;
    let store = nodes.get(1);
    for value in [3, 7] {
        committed(store.commit(set("a", value)).await);
    }
    let state = store.barrier().await.unwrap();
    let header = archive::header(&state, OLD_CLUSTER, 1, UnixMillis(5), Vec::new());
    let mut bytes = Vec::new();
    archive::write(&state, &header, &mut bytes).unwrap();
    bytes
}

fn restore(target: &RestoreTarget, bytes: &[u8]) -> Result<(), RestoreError> {
    target.restore(ArchiveReader::open(bytes).unwrap(), |_| Ok(set("restored", 1)))
}

/// Whoever presents itself to `store` is admitted.
fn admit_everybody(store: &Store) {
    let mut requests = store.take_join_requests().unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            request.answer(JoinDecision::Admitted);
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_go_on_from_an_archive() {
    let bytes = archived().await;
    let mut nodes = Nodes::new(|_| {});
    // The address is known only once the node listens.
    nodes.start(1).await;
    nodes.kill(1).await;
    std::fs::remove_dir_all(nodes.data_dir(1)).unwrap();
    let target = RestoreTarget {
        data_dir: nodes.data_dir(1),
        cluster_id: CLUSTER.to_owned(),
        node_id: 1,
        place: nodes.member(1),
    };
    restore(&target, &bytes).unwrap();
    assert!(matches!(restore(&target, &bytes), Err(RestoreError::NotEmpty(_))));
    let first = nodes.start(1).await;
    assert!(first.is_founder());
    nodes.leader().await;
    admit_everybody(&first);
    for node in 2..=3 {
        let joining = Store::open(nodes.config(node)).await.unwrap();
        let answer = joining.ask_to_join(&first.listen_addr().to_string(), None).await;
        let JoinAnswer::Admitted(genesis) = answer else { panic!("{answer:?}") };
        joining.admit(genesis).await.unwrap();
        joining.kill().await;
        drop(joining);
        nodes.start(node).await;
        first.add_learner(node, nodes.member(node)).await.unwrap();
        first.promote(node).await.unwrap();
    }
    nodes.leader().await;
    let state = nodes.agreed().await;
    assert_eq!((counter(&*state, "a"), counter(&*state, "restored")), (7, 1));
    assert_eq!(state.history().number, 1, "the audit trail begins anew with one row");
    assert_eq!(nodes.get(1).history().range(1, 10, 10).unwrap().len(), 1);
    for store in nodes.all() {
        let txn = increment(&*store.barrier().await.unwrap(), "a");
        committed(store.commit(txn).await);
    }
    let state = nodes.agreed().await;
    assert_eq!(counter(&*state, "a"), 10);
    // What is on the disk is enough to start again.
    drop(first);
    for node in 1..=3 {
        nodes.kill(node).await;
    }
    for node in 1..=3 {
        nodes.start(node).await;
    }
    nodes.leader().await;
    assert_eq!(counter(&*nodes.agreed().await, "a"), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_must_not_be_written_is_refused_and_left_alone() {
    let bytes = archived().await;
    let folder = tempfile::tempdir().unwrap();
    let target = |cluster: &str, dir: &str| RestoreTarget {
        data_dir: folder.path().join(dir),
        cluster_id: cluster.to_owned(),
        node_id: 1,
        place: Member { raft_addr: "a:1".into(), api_url: String::new() },
    };
    assert!(matches!(restore(&target(OLD_CLUSTER, "a"), &bytes), Err(RestoreError::SameCluster(_))));
    assert!(matches!(restore(&target("x", "a"), &bytes), Err(RestoreError::Target(_))));
    std::fs::create_dir(folder.path().join("b")).unwrap();
    std::fs::write(folder.path().join("b/file"), "x").unwrap();
    let used = target(CLUSTER, "b");
    assert!(matches!(restore(&used, &bytes), Err(RestoreError::NotEmpty(_))));
    let refused = RestoreTarget { data_dir: folder.path().join("c"), ..used };
    let outcome = refused
        .restore(ArchiveReader::open(bytes.as_slice()).unwrap(), |_| Err::<Txn, _>("unfit".to_owned()));
    assert!(matches!(outcome, Err(RestoreError::Unfit(_))));
    assert!(!folder.path().join("a").exists() && !folder.path().join("c").exists());
    assert_eq!(std::fs::read_dir(folder.path().join("b")).unwrap().count(), 1);
}
