//! Starting, stopping and refusing to start.

use std::path::Path;
use std::time::Duration;

use tessera_core::decide::session::AdminLogin;
use tessera_core::facts::Caller;
use tessera_node::keys::ClusterKeys;
use tessera_node::testing::{ADMIN, PASSWORD, configuration, single};
use tessera_node::{Fatal, Node, NotReady, StartError};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn ready(node: &Node) {
    let waiting = async {
        while node.readiness().is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{:?}", node.readiness()));
}

async fn may_log_in(node: &Node, password: &str) -> bool {
    let request = AdminLogin { login: ADMIN.to_owned(), password: password.into() };
    node.run(request, Caller::default()).await.unwrap().unwrap().is_some()
}

/// Puts other keys in the place of a key file.
fn replace_keys(folder: &Path) {
    let path = folder.join("cluster.key");
    std::fs::remove_file(&path).unwrap();
    ClusterKeys::generate().unwrap().create(&path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cluster_has_its_administrator_and_keeps_him() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(single(folder.path()).unwrap()).await.unwrap();
    ready(&node).await;
    assert!(may_log_in(&node, PASSWORD).await);
    assert!(!may_log_in(&node, "wrong").await);
    node.announce_shutdown();
    assert_eq!(node.readiness(), Err(NotReady::Stopping));
    node.shutdown().await;
    drop(node);

    let node = Node::start(configuration(folder.path()).unwrap()).await.unwrap();
    ready(&node).await;
    assert!(may_log_in(&node, PASSWORD).await);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_other_keys_does_not_serve() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(single(folder.path()).unwrap()).await.unwrap();
    ready(&node).await;
    node.shutdown().await;
    drop(node);
    replace_keys(folder.path());
    match Node::start(configuration(folder.path()).unwrap()).await {
        Err(StartError::WrongKeys(fatal)) => assert_eq!(fatal, Fatal::WrongKeys),
        Err(error) => panic!("{error}"),
        // The state may have to be rebuilt from the log first; then the node stops as soon as it sees the key check.
        Ok(node) => {
            let fatal = tokio::time::timeout(PATIENCE, node.failure()).await.unwrap();
            assert_eq!(fatal, Fatal::WrongKeys);
            assert_eq!(node.readiness(), Err(NotReady::Failed(Fatal::WrongKeys)));
            node.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_files_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = single(folder.path()).unwrap();
    std::fs::remove_file(folder.path().join("node-key.pem")).unwrap();
    assert!(matches!(Node::start(config.clone()).await, Err(StartError::Tls(_))));
    std::fs::remove_file(folder.path().join("cluster.key")).unwrap();
    assert!(matches!(Node::start(config).await, Err(StartError::Keys(_))));
    assert!(!folder.path().join("data").exists());
}
