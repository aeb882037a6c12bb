//! The leader is killed under load at 64 connections whose client knows all nodes: how long does nobody get in?

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::{Cluster, START_LIMIT};
use crate::environment::Choices;
use crate::invariant;
use crate::load::{self, Load};
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};
use crate::wait;

const CONNECTIONS: usize = 64;
const TOKENS_EACH: usize = 4;
const KILLS: usize = 3;

/// A gap beyond this is a defect. The goal is 2 s; it is read from the figures, since a test's clock on a busy machine
/// judges the machine.
const GAP_MAX: Duration = Duration::from_secs(10);

/// Kills three leaders, one after the other.
///
/// # Errors
/// If a gap is longer than any election can explain, or an invariant is violated.
pub async fn run() -> Result<Figures> {
    scenario::run("leader_gap", 3, scenario).await
}

async fn scenario(cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures) -> Result<()> {
    let sites = cluster.sites().await?;
    let everywhere = cluster.site_of_all().await?;
    let tokens = Token::several("GAP", CONNECTIONS * TOKENS_EACH, Kind::Hotp, choices);
    load::enrol_all(&sites, &tokens).await?;
    let mut clients = Load::default();
    for own in tokens.chunks(TOKENS_EACH) {
        clients.logins(own.to_vec(), std::slice::from_ref(&everywhere));
    }
    for kill in 1..=KILLS {
        wait::pause(Duration::from_millis(choices.between(1_500, 2_000))).await;
        let leader = cluster.leader(&everywhere).await?;
        let killed_at = cluster.history().now();
        cluster.kill(&[leader]).await?;
        let history = cluster.history().clone();
        wait::until("a success after the leader was killed", START_LIMIT, || async {
            history.accepted_since(killed_at).then_some(())
        })
        .await?;
        wait::pause(Duration::from_secs(2)).await;
        let record = history.record();
        let gap = record.longest_gap(killed_at);
        figures
            .add(&format!("kill {kill}: longest time without a success"), format!("{} ms", gap.as_millis()));
        let slowest = record.slowest_login(killed_at);
        figures.add(
            &format!("kill {kill}: slowest login that succeeded"),
            format!("{} ms", slowest.as_millis()),
        );
        ensure!(gap < GAP_MAX, "no login succeeded for {} ms after the leader was killed", gap.as_millis());
        cluster.restart(&[leader]).await?;
    }
    clients.stop().await?;
    let record = cluster.history().record();
    figures.set_outcomes(&record);
    invariant::check_history(&record)?;
    let listing = invariant::liveness::check(&sites, "gap", choices).await?;
    let record = cluster.history().record();
    invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))
}
