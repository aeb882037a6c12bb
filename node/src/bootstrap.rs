//! The first start of a cluster.
//!
//! The node with `cluster.bootstrap = true` starts the replication with all members of its configuration; the others
//! only listen and are joined. Once there is a leader, the same node writes what every cluster has from the beginning:
//! the default settings, the administrators' realm, the first administrator, the signing key and the key check.

use std::collections::BTreeMap;
use std::time::Duration;

use tessera_core::decide::bootstrap::Bootstrap;
use tessera_core::facts::Caller;
use tessera_raft::cluster::{ClusterError, Member, Store};

use crate::config::NodeConfig;
use crate::keys::{self, KeyCheck};
use crate::node::Node;

/// Pause between two attempts while the cluster has no leader yet.
const RETRY: Duration = Duration::from_millis(50);

/// Starts the replication if this node is the one to do it and has not done it before.
pub(crate) async fn join_or_start(store: &Store, config: &NodeConfig) -> Result<(), ClusterError> {
    if !config.cluster.bootstrap || store.is_initialized() {
        return Ok(());
    }
    let members: BTreeMap<u64, Member> = config
        .members
        .iter()
        .map(|member| {
            let place = Member { raft_addr: member.cluster.clone(), api_url: member.http.clone() };
            (member.id, place)
        })
        .collect();
    tracing::info!(members = members.len(), "starting a new cluster");
    store.bootstrap(members).await
}

/// Writes what every cluster has from the beginning, unless it is there already. Tried until it succeeds.
pub(crate) async fn complete_first_start(node: Node) {
    if !node.config().cluster.bootstrap {
        return;
    }
    let request = Bootstrap { admin: node.config().admin.first.clone() };
    let caller = Caller { action: "bootstrap".to_owned(), ..Caller::default() };
    while keys::check(&*node.store().view(), &node.keyring()) == KeyCheck::Unknown {
        match node.run(request.clone(), caller.clone()).await {
            Ok(Ok(_)) => return tracing::info!("the first start of the cluster is complete"),
            Ok(Err(refusal)) => {
                tracing::error!(error = %refusal, "the first start of the cluster was refused");
                return;
            }
            Err(error) => tracing::debug!(error = %error, "the cluster is not available yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}
