//! All three nodes are killed at the same instant under load and started again, three times: every acknowledged
//! enrolment, counter and fail counter is there.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::stream::{self, StreamExt as _};

use crate::cluster::{Cluster, START_LIMIT};
use crate::environment::Choices;
use crate::history::{Outcome, Record};
use crate::invariant;
use crate::load::{self, Load};
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};
use crate::site::Site;
use crate::wait;

const ROUNDS: usize = 3;

/// Requests that must have been answered before the kill.
const REQUESTS_BEFORE_KILL: usize = 300;

/// Three rounds.
///
/// # Errors
/// If something acknowledged is gone or another invariant is violated.
pub async fn run() -> Result<Figures> {
    scenario::run("all_killed", 3, scenario).await
}

async fn scenario(cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures) -> Result<()> {
    let sites = cluster.sites().await?;
    for round in 1..=ROUNDS {
        let users = Token::several(&format!("USER{round}-"), 96, Kind::Hotp, choices);
        let guessed = Token::several(&format!("GUESSED{round}-"), 12, Kind::Hotp, choices);
        load::enrol_all(&sites, &users).await?;
        load::enrol_all(&sites, &guessed).await?;
        let mut clients = Load::default();
        for own in users.chunks(8) {
            clients.logins(own.to_vec(), &sites);
        }
        for own in guessed.chunks(3) {
            clients.guesses(own.to_vec(), &sites);
        }
        for admin in 0..6 {
            clients.enrolments(&format!("NEW{round}-{admin}-"), choices.bits(), &sites);
        }
        wait::until("requests to be answered", START_LIMIT, || async {
            (clients.done() >= REQUESTS_BEFORE_KILL).then_some(())
        })
        .await?;
        wait::pause(Duration::from_millis(choices.between(0, 500))).await;
        cluster.kill(&cluster.ids()).await?;
        clients.stop().await?;
        let before = cluster.history().record();
        cluster.restart(&cluster.ids()).await?;
        check_after(cluster, &sites, &users, &before, round, choices).await?;
    }
    let record = cluster.history().record();
    figures.add("rounds", ROUNDS);
    figures.add("acknowledged enrolments", record.enrolments.iter().filter(|one| one.acknowledged).count());
    figures.add(
        "enrolments of unknown outcome",
        record.enrolments.iter().filter(|one| !one.acknowledged).count(),
    );
    figures.set_outcomes(&record);
    Ok(())
}

async fn check_after(
    cluster: &Cluster,
    sites: &[Site],
    users: &[Token],
    before: &Record,
    round: usize,
    choices: &mut Choices,
) -> Result<()> {
    ensure!(before.count(&Outcome::Accepted) > 50, "hardly anything was accepted: the test shows nothing");
    let listing = invariant::liveness::check(sites, &format!("round-{round}"), choices).await?;
    let record = cluster.history().record();
    invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))?;
    // The last accepted OTP of every user, sent again.
    let last = users.iter().filter_map(|token| {
        let accepted = before.attempts_of(&token.serial).filter(|one| one.outcome == Outcome::Accepted);
        Some((token, accepted.filter_map(crate::history::Attempt::counter).max()?))
    });
    let replays: Vec<_> = last.zip(sites.iter().cycle()).collect();
    stream::iter(replays)
        .for_each_concurrent(16, |((token, counter), site)| async move {
            site.login(token, counter).await;
        })
        .await;
    invariant::check_history(&cluster.history().record())
}
