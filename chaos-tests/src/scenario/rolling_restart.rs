//! Every node is stopped with SIGTERM and started again, one after the other, under load: does anybody notice?
//!
//! The same with a new version, which supports a higher format level: for a while the cluster is of two versions.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Cluster, START_LIMIT};
use crate::environment::Choices;
use crate::history::Outcome;
use crate::invariant;
use crate::load::{self, Load};
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};
use crate::wait;

const CONNECTIONS: usize = 32;
const TOKENS_EACH: usize = 4;

/// A gap beyond this is a defect. The goal is half a second; it is read from the figures, since a test's clock on a
/// busy machine judges the machine.
const GAP_MAX: Duration = Duration::from_secs(10);

/// Restarts the leader first, then the others.
///
/// # Errors
/// If a single login has another answer than yes, or an invariant is violated.
pub async fn run() -> Result<Figures> {
    scenario::run("rolling_restart", 3, scenario).await
}

/// Restarts all nodes with a version of the next format level.
///
/// # Errors
/// Like [`run`], or if the cluster does not take up the new level in the end.
pub async fn run_upgrading() -> Result<Figures> {
    let upgrade = async |cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures| {
        let observer = cluster.site_of_all().await?;
        let level = async || anyhow::Ok(observer.client().cluster_status().await?.format_level);
        let old = level().await?.context("the cluster does not say its format level")?;
        cluster.upgrade_to(old + 1);
        scenario(cluster, choices, figures).await?;
        wait::until("the new format level", START_LIMIT, || async {
            (level().await.ok()? == Some(old + 1)).then_some(())
        })
        .await?;
        figures.add("format level", format!("{old}, then {}", old + 1));
        Ok(())
    };
    scenario::run("rolling_upgrade", 3, upgrade).await
}

async fn scenario(cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures) -> Result<()> {
    let sites = cluster.sites().await?;
    let everywhere = cluster.site_of_all().await?;
    let tokens = Token::several("ROLL", CONNECTIONS * TOKENS_EACH, Kind::Hotp, choices);
    load::enrol_all(&sites, &tokens).await?;
    let mut clients = Load::default();
    for own in tokens.chunks(TOKENS_EACH) {
        clients.logins(own.to_vec(), std::slice::from_ref(&everywhere));
    }
    wait::pause(Duration::from_secs(1)).await;
    let leader = cluster.leader(&everywhere).await?;
    let mut order = cluster.ids();
    order.sort_by_key(|id| *id != leader);
    for id in order {
        let role = if cluster.leader(&everywhere).await? == id { "leader" } else { "follower" };
        let begun = cluster.history().now();
        cluster.terminate(id).await?;
        let stopped = cluster.history().now();
        cluster.restart(&[id]).await?;
        wait::pause(Duration::from_secs(1)).await;
        let gap = cluster.history().record().longest_gap(begun);
        figures.add(
            &format!("restart of {role} {id}"),
            format!(
                "stopped within {} ms, longest time without a success {} ms",
                stopped.saturating_sub(begun).as_millis(),
                gap.as_millis()
            ),
        );
        ensure!(gap < GAP_MAX, "no login succeeded for {} ms while node {id} restarted", gap.as_millis());
    }
    clients.stop().await?;
    let record = cluster.history().record();
    figures.set_outcomes(&record);
    let failed: Vec<_> = record.attempts.iter().filter(|a| a.outcome != Outcome::Accepted).collect();
    ensure!(failed.is_empty(), "{} logins failed, for example {:?}", failed.len(), failed.first());
    invariant::check_history(&record)?;
    let listing = invariant::liveness::check(&sites, "roll", choices).await?;
    let record = cluster.history().record();
    invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))
}
