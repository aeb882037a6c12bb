//! A follower is frozen for three seconds, many election timeouts, and goes on.
//!
//! Nobody who talks to the other nodes notices, and it does not unseat the leader with the election it would like to hold (pre-vote, Ongaro's thesis 9.6).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Cluster, START_LIMIT};
use crate::environment::Choices;
use crate::history::Outcome;
use crate::invariant;
use crate::load::{self, Load};
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};
use crate::site::Site;
use crate::wait;

const FROZEN: Duration = Duration::from_secs(3);

/// One follower, frozen twice.
///
/// # Errors
/// If the leader changes, a login is refused, or an invariant is violated.
pub async fn run() -> Result<Figures> {
    scenario::run("frozen_follower", 3, scenario).await
}

async fn scenario(cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures) -> Result<()> {
    let sites = cluster.sites().await?;
    let observer = cluster.site_of_all().await?;
    let leader = cluster.leader(&observer).await?;
    let follower = cluster.ids().into_iter().find(|id| *id != leader).context("there is no follower")?;
    let others: Vec<Site> = sites.iter().filter(|site| site.node != Some(follower)).cloned().collect();
    let at_leader: Site =
        sites.iter().find(|site| site.node == Some(leader)).cloned().context("no client of the leader")?;
    let term = term(&at_leader, leader).await?;

    let tokens = Token::several("ICE", 64, Kind::Hotp, choices);
    load::enrol_all(&sites, &tokens).await?;
    let mut clients = Load::default();
    for own in tokens.chunks(8) {
        clients.logins(own.to_vec(), &others);
    }
    for _ in 0..2 {
        cluster.freeze(follower)?;
        wait::pause(FROZEN).await;
        cluster.thaw(follower)?;
        cluster.wait_ready(&[follower]).await?;
        // It has caught up when it answers what needs a read barrier.
        let thawed =
            sites.iter().find(|site| site.node == Some(follower)).context("no client of the follower")?;
        wait::until("the thawed node to list tokens", START_LIMIT, || async { thawed.tokens().await.ok() })
            .await?;
        wait::pause(Duration::from_secs(1)).await;
    }
    clients.stop().await?;

    let record = cluster.history().record();
    figures.set_outcomes(&record);
    let accepted = record.count(&Outcome::Accepted);
    ensure!(accepted > 100, "hardly anything was accepted: the test shows nothing");
    ensure!(
        accepted == record.attempts.len(),
        "{} logins were not accepted",
        record.attempts.len() - accepted
    );
    ensure!(cluster.leader(&at_leader).await? == leader, "the frozen follower cost the leader its office");
    let now = self::term(&at_leader, leader).await?;
    ensure!(now == term, "the term went from {term} to {now}: there was an election");
    invariant::check_history(&record)?;
    let listing = invariant::liveness::check(&sites, "ice", choices).await?;
    invariant::none(
        "nothing_lost",
        &invariant::nothing_lost::violations(&cluster.history().record(), &listing),
    )
}

async fn term(site: &Site, leader: u64) -> Result<i64> {
    let status = site.client().cluster_status().await?;
    let node =
        status.nodes.iter().find(|node| node.id == leader.to_string()).context("the leader is not listed")?;
    node.term.context("the leader shows no term")
}
