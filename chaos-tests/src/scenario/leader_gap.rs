//! The leader is killed under load at 64 connections whose client knows all nodes: how long does nobody get in?

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::{Cluster, START_LIMIT};
use crate::environment::Choices;
use crate::history::{Outcome, Record};
use crate::invariant;
use crate::load::{self, Load};
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures, longest_gap};
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
            // One that was sent after the kill: an answer under way at the kill shows nothing.
            let fresh = |record: &Record| {
                record.attempts.iter().rev().take(2_000).any(|attempt| {
                    attempt.outcome == Outcome::Accepted
                        && attempt.started > killed_at + Duration::from_millis(100)
                })
            };
            fresh(&history.record()).then_some(())
        })
        .await?;
        wait::pause(Duration::from_secs(2)).await;
        let gap = longest_gap(&history.record(), killed_at);
        figures
            .add(&format!("kill {kill}: longest time without a success"), format!("{} ms", gap.as_millis()));
        let slowest = slowest_login(&history.record(), killed_at);
        figures.add(
            &format!("kill {kill}: slowest login that succeeded"),
            format!("{} ms", slowest.as_millis()),
        );
        ensure!(gap < GAP_MAX, "no login succeeded for {} ms after the leader was killed", gap.as_millis());
        cluster.restart(&[leader]).await?;
    }
    clients.stop().await?;
    let record = cluster.history().record();
    figures.add_outcomes(&record);
    invariant::check_history(&record)?;
    let listing = invariant::liveness::check(&sites, "gap", choices).await?;
    let record = cluster.history().record();
    invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))
}

/// The longest that anybody who got in had waited, from a moment on.
fn slowest_login(record: &Record, from: Duration) -> Duration {
    let accepted = record.attempts.iter().filter(|attempt| attempt.outcome == Outcome::Accepted);
    accepted
        .filter(|attempt| attempt.ended >= from)
        .map(|attempt| attempt.ended.saturating_sub(attempt.started))
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Sent::Right;
    use crate::invariant::histories::{attempt, record};

    #[test]
    fn the_gap_is_between_successes_after_the_kill() {
        let logins = [
            attempt(0, 10, 1, Right(0), Outcome::Accepted),
            attempt(900, 1_000, 1, Right(1), Outcome::Accepted),
            attempt(1_000, 1_900, 1, Right(2), Outcome::Refused),
            attempt(1_100, 2_500, 1, Right(3), Outcome::Accepted),
        ];
        assert_eq!(longest_gap(&record(&logins), Duration::from_millis(900)), Duration::from_millis(1_500));
        assert_eq!(longest_gap(&record(&[]), Duration::ZERO), Duration::MAX);
    }
}
