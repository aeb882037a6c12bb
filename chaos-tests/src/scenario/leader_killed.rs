//! The same OTPs are sent to all three nodes at once while one leader after the other is killed, or frozen.
//!
//! Every two to three seconds the leader is killed and started again; or it is stopped for longer than an election
//! takes and goes on in the belief that it still leads. Afterwards every OTP that was ever sent is sent again.

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

/// Length of the phase in which leaders are killed, in seconds.
const SECONDS: u64 = 15;

/// Length of the phase in which leaders are frozen, in seconds.
const SECONDS_OF_FREEZING: u64 = 10;

/// Clients, each with its own tokens.
const CLIENTS: usize = 12;

/// Tokens of one client.
const TOKENS_EACH: usize = 40;

/// What happens to leaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Frozen,
}

/// Leaders are killed; at least one is, also in a short run.
///
/// # Errors
/// If an invariant is violated.
pub async fn run() -> Result<Figures> {
    run_with("leader_killed", Fault::Killed, SECONDS).await
}

/// Leaders are frozen.
///
/// # Errors
/// If an invariant is violated.
pub async fn run_freezing() -> Result<Figures> {
    run_with("leader_frozen", Fault::Frozen, SECONDS_OF_FREEZING).await
}

async fn run_with(name: &str, fault: Fault, seconds: u64) -> Result<Figures> {
    let duration = Duration::from_secs(seconds);
    let body = async |cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures| {
        scenario(cluster, choices, figures, fault, duration).await
    };
    scenario::run(name, 3, body).await
}

async fn scenario(
    cluster: &mut Cluster,
    choices: &mut Choices,
    figures: &mut Figures,
    fault: Fault,
    duration: Duration,
) -> Result<()> {
    let sites = cluster.sites().await?;
    let tokens = Token::several("STORM", CLIENTS * TOKENS_EACH, Kind::Hotp, choices);
    load::enrol_all(&sites, &tokens).await?;
    let mut clients = Load::default();
    for own in tokens.chunks(TOKENS_EACH) {
        clients.simultaneous_logins(own.to_vec(), &sites);
    }
    let faults = break_leaders(cluster, choices, fault, duration).await?;
    clients.stop().await?;

    let record = cluster.history().record();
    figures.add(&format!("leaders {fault:?}"), faults);
    figures.set_outcomes(&record);
    invariant::check_history(&record)?;
    ensure!(record.count(&Outcome::Accepted) > 100, "hardly anything was accepted: the test shows nothing");
    load::send_again(&sites, &tokens, &record, load::ALL, choices).await;
    load::send_again(&sites, &tokens, &record, load::ALL, choices).await;
    let listing = invariant::liveness::check(&sites, "storm", choices).await?;
    let record = cluster.history().record();
    invariant::check_history(&record)?;
    invariant::none("nothing_lost", &invariant::nothing_lost::violations(&record, &listing))
}

/// Kills or freezes the leader again and again; returns how often.
async fn break_leaders(
    cluster: &mut Cluster,
    choices: &mut Choices,
    fault: Fault,
    duration: Duration,
) -> Result<u64> {
    let observer = cluster.site_of_all().await?;
    let begun = cluster.history().now();
    let mut faults: u64 = 0;
    while faults == 0 || cluster.history().now().saturating_sub(begun) < duration {
        wait::pause(Duration::from_millis(choices.between(1_200, 1_800))).await;
        let leader = cluster.leader(&observer).await?;
        faults = faults.saturating_add(1);
        match fault {
            Fault::Killed => {
                cluster.kill(&[leader]).await?;
                wait::pause(Duration::from_millis(choices.between(600, 1_200))).await;
                cluster.restart(&[leader]).await?;
            }
            Fault::Frozen => {
                cluster.freeze(leader)?;
                wait::pause(Duration::from_millis(choices.between(1_000, 2_500))).await;
                cluster.thaw(leader)?;
                cluster.wait_ready(&[leader]).await?;
            }
        }
    }
    Ok(faults)
}
