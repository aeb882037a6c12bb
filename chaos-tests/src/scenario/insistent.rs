//! Leaders are killed while clients repeat each login under its `Idempotency-Key` until it is answered: every one of them
//! gets in, although some never heard of their first attempt.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::environment::Choices;
use crate::history::Outcome;
use crate::invariant;
use crate::load::{self, Load};
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};
use crate::wait;

const CONNECTIONS: usize = 32;
const TOKENS_EACH: usize = 4;
const KILLS: usize = 4;

/// Kills leaders, one after the other.
///
/// # Errors
/// If a single login has another answer than yes, or an invariant is violated.
pub async fn run() -> Result<Figures> {
    scenario::run("insistent", 3, scenario).await
}

async fn scenario(cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures) -> Result<()> {
    let sites = cluster.sites().await?;
    let everywhere = cluster.site_of_all().await?;
    let tokens = Token::several("INS", CONNECTIONS * TOKENS_EACH, Kind::Hotp, choices);
    load::enrol_all(&sites, &tokens).await?;
    let mut clients = Load::default();
    for own in tokens.chunks(TOKENS_EACH) {
        clients.insistent_logins(own.to_vec(), std::slice::from_ref(&everywhere));
    }
    for _ in 0..KILLS {
        wait::pause(Duration::from_millis(choices.between(700, 1_500))).await;
        let leader = cluster.leader(&everywhere).await?;
        cluster.kill(&[leader]).await?;
        wait::pause(Duration::from_millis(choices.between(500, 1_500))).await;
        cluster.restart(&[leader]).await?;
    }
    clients.stop().await?;
    let record = cluster.history().record();
    figures.set_outcomes(&record);
    let failed: Vec<_> = record.attempts.iter().filter(|a| a.outcome != Outcome::Accepted).collect();
    ensure!(failed.is_empty(), "{} logins failed, for example {:?}", failed.len(), failed.first());
    invariant::check_history(&record)?;
    let listing = invariant::liveness::check(&sites, "insistent", choices).await?;
    let record = cluster.history().record();
    invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))
}
