//! A node of its own is killed while it writes, again and again, sometimes while it is still starting: it always opens
//! its data directory again, and every acknowledged enrolment is there.

use std::time::Duration;

use anyhow::Result;

use crate::cluster::{Cluster, START_LIMIT};
use crate::environment::{self, Choices};
use crate::invariant;
use crate::load::Load;
use crate::scenario::{self, Figures};
use crate::wait;

/// Rounds, unless `TESSERA_KILL_ROUNDS` says otherwise.
const ROUNDS: u64 = 15;

/// Administrators who enrol at once.
const ADMINISTRATORS: u64 = 8;

/// One round after the other on the same data directory.
///
/// # Errors
/// If the node does not open its data directory, or has lost something.
pub async fn run() -> Result<Figures> {
    scenario::run("killed_while_writing", 1, scenario).await
}

async fn scenario(cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures) -> Result<()> {
    let rounds = environment::number("TESSERA_KILL_ROUNDS", ROUNDS);
    let sites = cluster.sites().await?;
    let node = cluster.ids();
    let mut slowest = Duration::ZERO;
    for round in 1..=rounds {
        let mut clients = Load::default();
        for admin in 0..ADMINISTRATORS {
            clients.enrolments(&format!("W{round}-{admin}-"), choices.bits(), &sites);
        }
        wait::until("an enrolment", START_LIMIT, || async { (clients.done() > 0).then_some(()) }).await?;
        wait::pause(Duration::from_millis(choices.between(0, 700))).await;
        cluster.kill(&node).await?;
        clients.stop().await?;
        if round % 3 == 0 {
            // Recovery writes too: it is killed at some moment of its own.
            for id in &node {
                cluster.launch(*id)?;
            }
            wait::pause(Duration::from_millis(choices.between(1, 400))).await;
            cluster.kill(&node).await?;
        }
        let begun = cluster.history().now();
        cluster.restart(&node).await?;
        slowest = slowest.max(cluster.history().now().saturating_sub(begun));
        if let Some(site) = sites.first() {
            let listing = site.tokens().await?;
            let record = cluster.history().record();
            invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))?;
        }
    }
    let record = cluster.history().record();
    figures.add("rounds", rounds);
    figures.add("acknowledged enrolments", record.enrolments.iter().filter(|one| one.acknowledged).count());
    figures.add("slowest start", format!("{} ms", slowest.as_millis()));
    invariant::liveness::check(&sites, "written", choices).await.map(|_| ())
}
