//! The same fresh OTP of every token is sent to all three nodes at the same instant: one acceptance each.

use anyhow::{Result, ensure};
use futures::stream::{self, StreamExt as _};

use crate::cluster::Cluster;
use crate::environment::Choices;
use crate::history::Outcome;
use crate::invariant;
use crate::load;
use crate::oracle::{self, Kind, Token};
use crate::scenario::{self, Figures};
use crate::site::Site;

/// Tokens whose OTPs are under way at once, three requests each.
const AT_ONCE: usize = 16;

/// 1,000 counter-based and 50 time-based tokens.
///
/// # Errors
/// If an OTP is accepted never or twice, or another invariant is violated.
pub async fn run() -> Result<Figures> {
    scenario::run("simultaneous", 3, scenario).await
}

async fn scenario(cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures) -> Result<()> {
    let sites = cluster.sites().await?;
    let hotp = Token::several("HOTP", 1_000, Kind::Hotp, choices);
    let totp = Token::several("TOTP", 50, Kind::Totp, choices);
    let begun = cluster.history().now();
    load::enrol_all(&sites, &hotp).await?;
    load::enrol_all(&sites, &totp).await?;
    figures.add("enrolment of 1050 tokens", format!("{} ms", (cluster.history().now() - begun).as_millis()));

    let begun = cluster.history().now();
    let counter = choices.between(0, 9);
    one_acceptance_each(&sites, &hotp, |_| counter).await?;
    figures.add("3000 logins", format!("{} ms", (cluster.history().now() - begun).as_millis()));
    one_acceptance_each(&sites, &totp, |_| oracle::time_step()).await?;

    let record = cluster.history().record();
    figures.set_outcomes(&record);
    invariant::check_history(&record)?;
    ensure!(
        record.count(&Outcome::Accepted) == 1_050,
        "{} acceptances of 1050 OTPs",
        record.count(&Outcome::Accepted)
    );
    ensure!(record.count(&Outcome::Refused) == 2_100, "{} refusals of 2100", record.count(&Outcome::Refused));

    // Sent once more, one by one, each at another node.
    for (token, site) in hotp.iter().take(100).zip(sites.iter().cycle()) {
        let outcome = site.login(token, counter).await;
        ensure!(outcome == Outcome::Refused, "the replay of {} was answered {outcome:?}", token.serial);
    }
    let listing = invariant::liveness::check(&sites, "simultaneous", choices).await?;
    let mut record = cluster.history().record();
    record.attempts.retain(|attempt| !attempt.serial.starts_with("TOTP"));
    invariant::none("no_replay", &invariant::no_replay::violations(&record))?;
    invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))
}

/// Sends one OTP of every token to all sites and counts the acceptances.
async fn one_acceptance_each(
    sites: &[Site],
    tokens: &[Token],
    counter: impl Fn(&Token) -> u64,
) -> Result<()> {
    let counter = &counter;
    let outcomes: Vec<(&Token, Vec<Outcome>)> = stream::iter(tokens)
        .map(|token| async move { (token, load::everywhere(sites, token, counter(token)).await) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    for (token, outcomes) in &outcomes {
        let accepted = outcomes.iter().filter(|outcome| **outcome == Outcome::Accepted).count();
        ensure!(
            accepted == 1,
            "{} of 3 requests with one OTP of {} were accepted: {outcomes:?}",
            accepted,
            token.serial
        );
    }
    Ok(())
}
