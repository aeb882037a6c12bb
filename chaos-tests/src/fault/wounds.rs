//! What the faults under way have done, so that it can be undone.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;
use crate::operator::{self, Way};

/// What is to be healed.
#[derive(Debug, Default)]
pub struct Wounds {
    switches: BTreeSet<(u64, String)>,
    full_disks: BTreeSet<u64>,
    /// A node that joins.
    joining: Option<u64>,
}

impl Wounds {
    /// Kills those of these nodes that run.
    ///
    /// # Errors
    /// Those of [`Cluster::kill`].
    pub(super) async fn kill(&self, cluster: &mut Cluster, ids: &[u64]) -> Result<()> {
        let running = cluster.running();
        let victims: Vec<u64> = ids.iter().copied().filter(|id| running.contains(id)).collect();
        if victims.is_empty() { Ok(()) } else { cluster.kill(&victims).await }
    }

    /// Freezes a node that runs.
    ///
    /// # Errors
    /// Those of [`Cluster::freeze`].
    pub(super) fn freeze(&self, cluster: &mut Cluster, id: u64) -> Result<()> {
        if cluster.awake().contains(&id) { cluster.freeze(id) } else { Ok(()) }
    }

    /// Sets a switch until all is healed.
    ///
    /// # Errors
    /// Those of [`Cluster::set_fault`].
    pub(super) fn switch(&mut self, cluster: &mut Cluster, id: u64, line: &str) -> Result<()> {
        let name = line.split(' ').next().unwrap_or_default().to_owned();
        self.switches.insert((id, name));
        cluster.set_fault(id, line)
    }

    /// Fills a disk.
    ///
    /// # Errors
    /// Those of [`Cluster::fill_disk`].
    pub(super) fn fill_disk(&mut self, cluster: &mut Cluster, id: u64, real: bool) -> Result<()> {
        self.full_disks.insert(id);
        cluster.fill_disk(id, real)
    }

    /// Invites a node and starts it; what breaks next may break the admission, the catching up or the promotion.
    ///
    /// # Errors
    /// If there is no token for it or it does not start.
    pub(super) async fn let_join(&mut self, cluster: &mut Cluster) -> Result<()> {
        let status = cluster.site_of_all().await?.client().cluster_status().await?;
        let peer = status.nodes.first().context("the cluster has no nodes")?.raft_addr.clone();
        let token = operator::token(cluster, &cluster.ids(), &["token"]).await?;
        let way = Way::Configuration { peer: &peer, token: &token.token };
        operator::lay_out(cluster, token.node, &way).await?;
        self.joining = Some(token.node);
        cluster.launch(token.node)
    }

    /// Heals everything, and waits until all nodes are ready. A node that joined is removed again.
    ///
    /// # Errors
    /// If a node does not come back, or a new one does not come in or does not leave.
    pub async fn heal(self, cluster: &mut Cluster) -> Result<()> {
        cluster.network().heal();
        for (id, name) in self.switches {
            cluster.clear_fault(id, &name)?;
        }
        for id in self.full_disks {
            cluster.relieve_disk(id)?;
            // One that has not stopped by itself may have missed writes that are not vital; an operator restarts it too.
            if cluster.running().contains(&id) {
                cluster.kill(&[id]).await?;
            }
        }
        let awake = cluster.awake();
        let running = cluster.running();
        for id in cluster.ids() {
            if !running.contains(&id) {
                cluster.launch(id)?;
            } else if !awake.contains(&id) {
                cluster.thaw(id)?;
            }
        }
        cluster.note_majority();
        cluster.wait_ready(&cluster.ids()).await?;
        let Some(guest) = self.joining else { return Ok(()) };
        let others: Vec<u64> = cluster.ids().into_iter().filter(|id| *id != guest).collect();
        cluster.history().down(guest);
        operator::succeed(cluster, &others, &["cluster", "remove", &guest.to_string()]).await?;
        let status = cluster.ended(guest).await?;
        ensure!(status.success(), "the removed node {guest} ended with {status}");
        cluster.forget(guest);
        cluster.note_majority();
        Ok(())
    }
}
