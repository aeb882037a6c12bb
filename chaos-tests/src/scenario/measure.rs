//! Figures for `docs/reliability.md`: how long nobody gets in when a leader is killed or stopped, and whether anybody
//! notices a rolling restart.
//!
//! Sixteen clients that know all nodes log in all the time, each with a fresh and correct OTP. The invariants are checked
//! as everywhere.

use std::time::Duration;

use anyhow::Result;

use crate::cluster::{Cluster, START_LIMIT};
use crate::environment::Choices;
use crate::history::{Outcome, Record};
use crate::invariant::{self, no_wrong_no};
use crate::load::{self, Load};
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};
use crate::site::Site;
use crate::wait;

const CLIENTS: usize = 16;
const TOKENS_EACH: usize = 8;

/// How long is watched after a leader is gone: longer than any gap that is not a defect.
const WATCHED: Duration = Duration::from_millis(2_500);

/// How a leader goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// SIGKILL.
    Killed,
    /// SIGTERM: it hands over first.
    Asked,
}

/// The leader is killed so many times.
///
/// # Errors
/// If an invariant is violated.
pub async fn failover(times: usize) -> Result<Figures> {
    let body = async |cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures| {
        leaders_leave(cluster, choices, figures, Leaving::Killed, times).await
    };
    scenario::run("failover", 3, body).await
}

/// The leader is asked to stop so many times.
///
/// # Errors
/// If an invariant is violated.
pub async fn handover(times: usize) -> Result<Figures> {
    let body = async |cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures| {
        leaders_leave(cluster, choices, figures, Leaving::Asked, times).await
    };
    scenario::run("handover", 3, body).await
}

/// All nodes are restarted one after the other, so many times.
///
/// # Errors
/// If an invariant is violated.
pub async fn rolling_restart(times: usize) -> Result<Figures> {
    let body = async |cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures| {
        let (clients, sites) = busy(cluster, choices).await?;
        let mut gaps = Vec::new();
        for _ in 0..times {
            for id in cluster.ids() {
                let asked_at = cluster.history().now();
                cluster.terminate(id).await?;
                cluster.restart(&[id]).await?;
                wait::pause(Duration::from_secs(1)).await;
                gaps.push(cluster.history().record().longest_gap(asked_at));
            }
        }
        clients.stop().await?;
        add_gaps(figures, "longest time without a success around each restart", gaps);
        finish(cluster, &sites, choices, figures).await
    };
    scenario::run("rolling_restart", 3, body).await
}

async fn busy(cluster: &Cluster, choices: &mut Choices) -> Result<(Load, Vec<Site>)> {
    let sites = cluster.sites().await?;
    let everywhere = cluster.site_of_all().await?;
    let tokens = Token::several("BUSY", CLIENTS * TOKENS_EACH, Kind::Hotp, choices);
    load::enrol_all(&sites, &tokens).await?;
    let mut clients = Load::default();
    for own in tokens.chunks(TOKENS_EACH) {
        clients.logins(own.to_vec(), std::slice::from_ref(&everywhere));
    }
    Ok((clients, sites))
}

async fn leaders_leave(
    cluster: &mut Cluster,
    choices: &mut Choices,
    figures: &mut Figures,
    leaving: Leaving,
    times: usize,
) -> Result<()> {
    let (clients, sites) = busy(cluster, choices).await?;
    let everywhere = cluster.site_of_all().await?;
    let mut gaps = Vec::new();
    for time in 1..=times {
        wait::pause(Duration::from_millis(choices.between(700, 1_200))).await;
        let leader = cluster.leader(&everywhere).await?;
        let gone_at = cluster.history().now();
        match leaving {
            Leaving::Killed => cluster.kill(&[leader]).await?,
            Leaving::Asked => cluster.terminate(leader).await?,
        }
        let history = cluster.history().clone();
        let accepted = || async { history.accepted_since(gone_at).then_some(()) };
        wait::until("a success after the leader has gone", START_LIMIT, accepted).await?;
        let watched = cluster.history().now().saturating_sub(gone_at);
        wait::pause(WATCHED.saturating_sub(watched)).await;
        let gap = history.record().longest_gap(gone_at);
        scenario::progress(cluster, &format!("{time} of {times}: {} ms without a success", gap.as_millis()));
        gaps.push(gap);
        cluster.restart(&[leader]).await?;
    }
    clients.stop().await?;
    add_gaps(figures, "longest time without a success after each", gaps);
    finish(cluster, &sites, choices, figures).await
}

fn add_gaps(figures: &mut Figures, name: &str, mut gaps: Vec<Duration>) {
    gaps.sort_unstable();
    let at = |part: usize| gaps.get((gaps.len() * part / 100).min(gaps.len().saturating_sub(1)));
    let ms = |gap: Option<&Duration>| gap.map_or(0, Duration::as_millis);
    figures.add("times", gaps.len());
    figures.add(
        name,
        format!(
            "least {} ms, median {} ms, 90 % {} ms, worst {} ms",
            ms(gaps.first()),
            ms(at(50)),
            ms(at(90)),
            ms(gaps.last())
        ),
    );
}

async fn finish(
    cluster: &Cluster,
    sites: &[Site],
    choices: &mut Choices,
    figures: &mut Figures,
) -> Result<()> {
    let record = cluster.history().record();
    figures.set_outcomes(&record);
    figures.add("correct OTPs refused", no_wrong_no::violations(&record).len());
    figures.add("requests without a verdict", without_verdict(&record));
    let listing = invariant::liveness::check(sites, "measured", choices).await?;
    let record = cluster.history().record();
    invariant::check_history(&record)?;
    invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))
}

/// Logins of clients that know all nodes, and that were answered neither yes nor no.
fn without_verdict(record: &Record) -> usize {
    let attempts = record.attempts.iter().filter(|attempt| attempt.node.is_none());
    attempts.filter(|attempt| !matches!(attempt.outcome, Outcome::Accepted | Outcome::Refused)).count()
}
