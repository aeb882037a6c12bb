//! The leader is cut off: from all, in one direction only, or from one half of the others.
//!
//! The majority that is left serves again within the election bound, the one who led says nothing wrong, and afterwards
//! all agree.
//!
//! A leader that hears nothing is the worst: its heartbeats keep the others from electing until its connections break.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Cluster, START_LIMIT};
use crate::environment::Choices;
use crate::fault::{Fault, Wounds};
use crate::history::Outcome;
use crate::invariant::{self, answers_again};
use crate::load::{self, Load};
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};
use crate::wait;

/// In this order.
const CUTS: [Fault; 4] = [Fault::LeaderAlone, Fault::LeaderUnheard, Fault::LeaderDeaf, Fault::Bridge];

/// Every kind of cut once.
///
/// # Errors
/// If the majority does not serve in time, or an invariant is violated.
pub async fn run() -> Result<Figures> {
    scenario::run("cut_off", 3, scenario).await
}

async fn scenario(cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures) -> Result<()> {
    let sites = cluster.sites().await?;
    let tokens = Token::several("CUT", 48, Kind::Hotp, choices);
    load::enrol_all(&sites, &tokens).await?;
    let mut clients = Load::default();
    for (own, site) in tokens.chunks(8).zip(sites.iter().cycle()) {
        clients.logins(own.to_vec(), std::slice::from_ref(site));
    }
    for cut in CUTS {
        let leader = cluster.current_leader().await.context("there is no leader")?;
        let mut wounds = Wounds::default();
        cut.begin(cluster, choices, &mut wounds).await?;
        let begun = cluster.history().now();
        let history = cluster.history().clone();
        let served = || async { history.accepted_elsewhere_since(begun, leader).then_some(()) };
        wait::until("a login at another node than the former leader", START_LIMIT, served)
            .await
            .with_context(|| format!("fault: {}", cut.name()))?;
        let took = cluster.history().now().saturating_sub(begun);
        figures
            .add(&format!("{}: first login elsewhere after", cut.name()), format!("{} ms", took.as_millis()));
        ensure!(took < answers_again::BOUND, "{}: it took {} ms", cut.name(), took.as_millis());
        wait::pause(Duration::from_secs(1)).await;
        wounds.heal(cluster).await?;
    }
    clients.stop().await?;
    let record = cluster.history().record();
    figures.set_outcomes(&record);
    ensure!(record.count(&Outcome::Accepted) > 100, "hardly anything was accepted: the test shows nothing");
    let listing = invariant::liveness::check(&sites, "cut", choices).await?;
    let record = cluster.history().record();
    invariant::check_history(&record)?;
    invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))
}
