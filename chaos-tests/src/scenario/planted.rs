//! The harness tested on known defects (`raft/src/fault.rs`).
//!
//! Each is planted in all nodes and must be found by the invariant that is there for it, and without the defect the same
//! scenario must find nothing.
//!
//! Silence of the invariants in the other scenarios means something only because of this.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Cluster, Options, START_LIMIT};
use crate::environment::Choices;
use crate::history::Record;
use crate::invariant::{liveness, never_back, no_replay, no_wrong_no, nothing_lost, one_order};
use crate::load::{self, Load};
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};
use crate::site::{Listing, Site};
use crate::wait;

/// Requests that must have been answered before something breaks.
const REQUESTS_BEFORE: usize = 200;

/// How long entries are reported durable before they are written: well below an election timeout, since an election
/// waits for the log.
const REPORTED_EARLY: &str = "report-before-flush-ms 200";

/// Where a node that had written what was acknowledged is elected, nothing is lost; not with every one of so many kills.
const KILLS_MAX: usize = 8;

/// How often the answers of the leader get lost.
const ROUNDS: usize = 6;

/// Whether the defect is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// The scenario as it should be.
    No,
    /// The defect is in every node.
    Yes,
}

/// What each check says after a scenario.
struct Found {
    no_replay: usize,
    no_wrong_no: usize,
    never_back: usize,
    nothing_lost: usize,
    one_order: usize,
}

impl Found {
    fn of(record: &Record, listing: &Listing, figures: &mut Figures) -> Self {
        let found = Self {
            no_replay: no_replay::violations(record).len(),
            no_wrong_no: no_wrong_no::violations(record).len(),
            never_back: never_back::violations(record).len(),
            nothing_lost: nothing_lost::violations(record, listing).len(),
            one_order: one_order::check(record).violations.len(),
        };
        figures.set_outcomes(record);
        figures.add("violations of no_replay", found.no_replay);
        figures.add("violations of no_wrong_no", found.no_wrong_no);
        figures.add("violations of never_back", found.never_back);
        figures.add("violations of nothing_lost", found.nothing_lost);
        figures.add("violations of one_order", found.one_order);
        found
    }

    fn total(&self) -> usize {
        let Self { no_replay, no_wrong_no, never_back, nothing_lost, one_order } = self;
        no_replay + no_wrong_no + never_back + nothing_lost + one_order
    }
}

/// The defect must be found by these checks; without it none finds anything.
fn judge(planted: Planted, found: &Found, finders: &[(&str, usize)]) -> Result<()> {
    match planted {
        Planted::No => {
            ensure!(found.total() == 0, "violations without a defect");
        }
        Planted::Yes => {
            for (name, count) in finders {
                ensure!(*count > 0, "{name} has not found the planted defect");
            }
        }
    }
    Ok(())
}

fn options(planted: Planted, defect: &str) -> Options {
    let faults = if planted == Planted::Yes { vec![defect.to_owned()] } else { Vec::new() };
    Options { faults, ..Options::default() }
}

/// Transactions are applied although what they had read has changed: the same OTPs are sent to all nodes at once.
///
/// # Errors
/// If the defect is not found, or something is found without it.
pub async fn skipped_revision_check(planted: Planted) -> Result<Figures> {
    let body = async |cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures| {
        let sites = cluster.sites().await?;
        let tokens = Token::several("TWICE", 60, Kind::Hotp, choices);
        load::enrol_all(&sites, &tokens).await?;
        for counter in 0..3 {
            for token in &tokens {
                load::everywhere(&sites, token, counter).await;
            }
        }
        let listing = sites.first().context("there are no nodes")?.tokens().await?;
        let found = Found::of(&cluster.history().record(), &listing, figures);
        judge(planted, &found, &[("no_replay", found.no_replay), ("one_order", found.one_order)])
    };
    let options = options(planted, "skip-revision-check");
    scenario::run_with("skipped_revision_check", 3, &options, body).await
}

/// Entries are reported durable before they are: all nodes are killed at the same instant under load.
///
/// # Errors
/// If the defect is not found, or something is found without it.
pub async fn reported_before_flush(planted: Planted) -> Result<Figures> {
    let body = async |cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures| {
        let sites = cluster.sites().await?;
        let (mut lost, mut kills) = (0, 0);
        while lost == 0 && kills < KILLS_MAX && (kills == 0 || planted == Planted::Yes) {
            kills += 1;
            lost = kill_all_under_load(cluster, &sites, &format!("{kills}"), choices).await?;
        }
        let listing = sites.first().context("there are no nodes")?.tokens().await?;
        let mut found = Found::of(&cluster.history().record(), &listing, figures);
        found.nothing_lost = found.nothing_lost.saturating_add(lost);
        figures.add("kills of all nodes", kills);
        figures.add("acknowledged changes lost with the last kill", lost);
        judge(planted, &found, &[("nothing_lost", lost)])
    };
    let options = options(planted, REPORTED_EARLY);
    scenario::run_with("reported_before_flush", 3, &options, body).await
}

/// Returns how much of what was acknowledged before the kill is gone after it. Then every OTP is sent again.
async fn kill_all_under_load(
    cluster: &mut Cluster,
    sites: &[Site],
    name: &str,
    choices: &mut Choices,
) -> Result<usize> {
    let users = Token::several(&format!("LOST-{name}-"), 64, Kind::Hotp, choices);
    load::enrol_all(sites, &users).await?;
    let mut clients = Load::default();
    for own in users.chunks(8) {
        clients.logins(own.to_vec(), sites);
    }
    for admin in 0..4 {
        clients.enrolments(&format!("NEW-{name}-{admin}-"), choices.bits(), sites);
    }
    enough(&clients).await?;
    cluster.kill(&cluster.ids()).await?;
    clients.stop().await?;
    let before = cluster.history().record();
    cluster.restart(&cluster.ids()).await?;
    let listed = || async { sites.first()?.tokens().await.ok() };
    let listing = wait::until("a list of tokens", START_LIMIT, listed).await?;
    load::send_again(sites, &users, &before, load::ALL, choices).await;
    Ok(nothing_lost::violations(&before, &listing).len())
}

/// The table of replies is dropped: the leader's answers to a follower get lost again and again, so that transactions
/// are proposed a second time.
///
/// # Errors
/// If the defect is not found, or something is found without it.
pub async fn dropped_reply_table(planted: Planted) -> Result<Figures> {
    let body = async |cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures| {
        let sites = cluster.sites().await?;
        let leader = cluster.current_leader().await.context("there is no leader")?;
        let follower =
            sites.iter().find(|site| site.node != Some(leader)).context("there is no follower")?.clone();
        let at = std::slice::from_ref(&follower);
        let users = Token::several("AGAIN", 96, Kind::Hotp, choices);
        load::enrol_all(&sites, &users).await?;
        let guessed = Token::several("GUESSED", 16, Kind::Hotp, choices);
        load::enrol_all(&sites, &guessed).await?;
        let mut clients = Load::default();
        for own in users.chunks(6) {
            clients.logins(own.to_vec(), at);
        }
        for own in guessed.chunks(2) {
            clients.guesses(own.to_vec(), at);
        }
        enough(&clients).await?;
        for _ in 0..ROUNDS {
            lose_answers(cluster, leader, follower.node.unwrap_or_default()).await;
        }
        clients.stop().await?;
        let listing = liveness::check(&sites, "again", choices).await?;
        let found = Found::of(&cluster.history().record(), &listing, figures);
        let finders = [("no_wrong_no", found.no_wrong_no), ("one_order", found.one_order)];
        judge(planted, &found, &finders)
    };
    scenario::run_with("dropped_reply_table", 3, &options(planted, "drop-replies"), body).await
}

/// The follower's requests arrive, the answers do not, and then the connections break.
async fn lose_answers(cluster: &Cluster, leader: u64, follower: u64) {
    let network = cluster.network();
    network.cut(leader, follower);
    wait::pause(Duration::from_millis(200)).await;
    network.reset(follower, leader);
    network.heal();
    wait::pause(Duration::from_millis(400)).await;
}

async fn enough(clients: &Load) -> Result<()> {
    wait::until("requests to be answered", START_LIMIT, || async {
        (clients.done() >= REQUESTS_BEFORE).then_some(())
    })
    .await
}
