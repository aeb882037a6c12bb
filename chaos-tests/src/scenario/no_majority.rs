//! Two of three nodes are gone: the third cannot know anything for certain, so it says 503 with an empty body after the
//! commit timeout, and never `false`. When one of them returns, logins work again.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;

use crate::cluster::Cluster;
use crate::environment::Choices;
use crate::history::Outcome;
use crate::http;
use crate::invariant;
use crate::load;
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};
use crate::site::{PATIENCE, Site};

/// The server waits this long for a leader before it says 503 (DESIGN 3: `commit_timeout`).
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The leader and a follower are killed.
///
/// # Errors
/// If the survivor answers anything but 503, or the cluster does not heal.
pub async fn run() -> Result<Figures> {
    scenario::run("no_majority", 3, scenario).await
}

async fn scenario(cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures) -> Result<()> {
    let sites = cluster.sites().await?;
    let tokens = Token::several("ALONE", 20, Kind::Hotp, choices);
    load::enrol_all(&sites, &tokens).await?;
    let observer = cluster.site_of_all().await?;
    let leader = cluster.leader(&observer).await?;
    let mut followers = cluster.ids().into_iter().filter(|id| *id != leader);
    let (survivor, other) = (
        followers.next().context("there is no follower")?,
        followers.next().context("there is one follower")?,
    );
    let site = sites.iter().find(|site| site.node == Some(survivor)).context("no client of the survivor")?;
    cluster.kill(&[leader, other]).await?;

    let url = cluster.url(survivor)?.to_owned();
    let form = format!(
        "serial={}&pass=000000",
        tokens.first().map(|token| token.serial.as_str()).unwrap_or_default()
    );
    let answer = http::request(&url, "/validate/check_s", Some(&form), PATIENCE).await?;
    figures.add(
        "answer without a majority",
        format!("{} after {} ms", answer.status, answer.elapsed.as_millis()),
    );
    ensure!(answer.status == 503 && answer.body.is_empty(), "not an empty 503: {answer:?}");
    ensure!(answer.elapsed < COMMIT_TIMEOUT * 2, "503 came only after {} ms", answer.elapsed.as_millis());
    ensure!(
        answer.elapsed > COMMIT_TIMEOUT / 2,
        "503 came without waiting: {} ms",
        answer.elapsed.as_millis()
    );
    let ready = http::request(&url, "/readyz", None, PATIENCE).await?;
    ensure!(ready.status == 503, "the survivor calls itself ready: {}", ready.status);
    let outcomes: Vec<Outcome> = join_all(tokens.iter().map(|token| site.login(token, 0))).await;
    for outcome in &outcomes {
        ensure!(*outcome == Outcome::Unavailable, "without a majority a login was answered {outcome:?}");
    }

    cluster.restart(&[other]).await?;
    cluster.wait_ready(&[survivor]).await?;
    let two: Vec<Site> = sites.iter().filter(|site| site.node != Some(leader)).cloned().collect();
    logins_work_again(&two, &tokens).await?;
    cluster.restart(&[leader]).await?;
    let listing = invariant::liveness::check(&sites, "alone", choices).await?;
    let record = cluster.history().record();
    figures.set_outcomes(&record);
    invariant::check_history(&record)?;
    // The request of the raw connection is not in the history.
    let raw = tokens.first().map(|token| token.serial.clone());
    let mut record = record;
    record.attempts.retain(|attempt| Some(&attempt.serial) != raw.as_ref());
    invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))
}

async fn logins_work_again(sites: &[Site], tokens: &[Token]) -> Result<()> {
    for (token, site) in tokens.iter().zip(sites.iter().cycle()) {
        let outcome = site.login(token, 1).await;
        ensure!(
            outcome == Outcome::Accepted,
            "with a majority again, {} was answered {outcome:?}",
            token.serial
        );
    }
    Ok(())
}
