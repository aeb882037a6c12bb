//! Everything that can break breaks, alone and two at a time, while clients go on; then all invariants are checked.
//!
//! Faults come in an order drawn from the seed, each once before any comes again, most of them together with a soft one or
//! with another hard one. Between faults the cluster heals: every node must become ready again.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::{Cluster, Options};
use crate::environment::{self, Choices};
use crate::fault::{Fault, Wounds};
use crate::history::{Outcome, Record};
use crate::invariant::{self, answers_again, no_replay, nothing_lost, one_order};
use crate::load::{self, Load};
use crate::oracle::{Kind, Token};
use crate::scenario::{self, Figures};
use crate::site::Site;
use crate::wait;

/// Length of the faulty phase in seconds, unless `TESSERA_CHAOS_SECONDS` says otherwise.
const SECONDS: u64 = 110;

/// Nodes, unless `TESSERA_CHAOS_NODES` says otherwise.
const NODES: u64 = 3;

/// OTPs of each token that are sent again in the end.
const SENT_AGAIN: usize = 6;

/// Log entries kept behind a snapshot: so few that a node which was away for a while needs the snapshot.
const KEEP_ENTRIES: &str = "keep-entries 100";

/// Runs until the time is over.
///
/// # Errors
/// If an invariant is violated.
pub async fn run() -> Result<Figures> {
    let nodes = u16::try_from(environment::number("TESSERA_CHAOS_NODES", NODES)).unwrap_or(3);
    let options = Options { faults: vec![KEEP_ENTRIES.to_owned()], small_disk: true };
    scenario::run_with("mixed", nodes, &options, scenario).await
}

async fn scenario(cluster: &mut Cluster, choices: &mut Choices, figures: &mut Figures) -> Result<()> {
    figures.add("nodes", cluster.ids().len());
    figures.add("network", "loopback addresses, a proxy of the harness on every link");
    let disk = if cluster.with_small_disk().is_some() { "a tmpfs, and a switch" } else { "a switch" };
    figures.add("full disks by", disk);
    let sites = cluster.sites().await?;
    let tokens = Tokens::new(choices);
    tokens.enrol(&sites).await?;
    let clients = tokens.clients(&sites, choices);
    let result = break_things(cluster, choices).await;
    // The figures say how far it came, also when a node did not come back.
    add_figures(figures, &cluster.history().record());
    result?;
    clients.stop().await?;

    scenario::progress(cluster, "the faults are over");
    load::send_again(&sites, &tokens.all(), &cluster.history().record(), SENT_AGAIN, choices).await;
    let listing = invariant::liveness::check(&sites, "mixed", choices).await?;
    let compared = invariant::equal_digests::check(&sites, cluster.ids().len()).await?;
    let compared = if compared == 0 { "not reported".to_owned() } else { compared.to_string() };
    figures.add("nodes with equal digests", compared);
    scenario::progress(cluster, "the nodes agree");
    let record = cluster.history().record();
    let report = one_order::check(&record);
    let lost = nothing_lost::violations(&record, &listing);
    add_figures(figures, &record);
    figures.add("OTPs accepted twice", no_replay::violations(&record).len());
    figures.add("fresh OTPs refused", invariant::no_wrong_no::violations(&record).len());
    figures.add("acknowledged changes lost", lost.len());
    figures.add(
        "tokens explained by one order",
        format!(
            "{} of {}, {} undecided",
            report.explained,
            report.explained + report.violations.len() + report.undecided,
            report.undecided
        ),
    );
    invariant::none("nothing_lost", &lost)?;
    invariant::check_history(&record)?;
    ensure!(record.count(&Outcome::Accepted) > 300, "hardly anything was accepted: the test shows nothing");
    ensure!(report.undecided * 20 <= report.explained, "too many histories could not be decided");
    Ok(())
}

/// Who owns what.
struct Tokens {
    /// OTPs sent to all nodes at once.
    contested: Vec<Token>,
    /// Users who log in at one node after the other.
    owned: Vec<Token>,
    /// Tokens that somebody tries to guess.
    guessed: Vec<Token>,
    /// Time-based tokens, sent to all nodes at once.
    timed: Vec<Token>,
}

impl Tokens {
    fn new(choices: &mut Choices) -> Self {
        Self {
            contested: Token::several("CONTESTED", 160, Kind::Hotp, choices),
            owned: Token::several("OWNED", 64, Kind::Hotp, choices),
            guessed: Token::several("GUESSED", 12, Kind::Hotp, choices),
            timed: Token::several("TIMED", 60, Kind::Totp, choices),
        }
    }

    fn all(&self) -> Vec<Token> {
        [&self.contested, &self.owned, &self.guessed].into_iter().flatten().cloned().collect()
    }

    async fn enrol(&self, sites: &[Site]) -> Result<()> {
        for tokens in [&self.contested, &self.owned, &self.guessed, &self.timed] {
            load::enrol_all(sites, tokens).await?;
        }
        Ok(())
    }

    fn clients(&self, sites: &[Site], choices: &mut Choices) -> Load {
        let mut clients = Load::default();
        for own in self.contested.chunks(20) {
            clients.simultaneous_logins(own.to_vec(), sites);
        }
        for own in self.owned.chunks(8) {
            clients.logins(own.to_vec(), sites);
        }
        for own in self.guessed.chunks(4) {
            clients.guesses(own.to_vec(), sites);
        }
        clients.simultaneous_timed_logins(self.timed.clone(), sites);
        for admin in 0..2 {
            clients.enrolments(&format!("NEW-{admin}-"), choices.bits(), sites);
        }
        clients.looks(self.contested.clone(), sites);
        clients.looks([self.owned.clone(), self.guessed.clone()].concat(), sites);
        clients
    }
}

/// Faults in an order by chance, each once before any comes again.
struct Deck {
    all: Vec<Fault>,
    left: Vec<Fault>,
}

impl Deck {
    fn of(all: &[Fault]) -> Self {
        Self { all: all.to_vec(), left: Vec::new() }
    }

    fn next(&mut self, choices: &mut Choices) -> Option<Fault> {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            choices.shuffle(&mut self.left);
        }
        self.left.pop()
    }
}

async fn break_things(cluster: &mut Cluster, choices: &mut Choices) -> Result<()> {
    let duration = Duration::from_secs(environment::number("TESSERA_CHAOS_SECONDS", SECONDS));
    let begun = cluster.history().now();
    let (mut hard, mut soft) = (Deck::of(&Fault::HARD), Deck::of(&Fault::SOFT));
    while cluster.history().now().saturating_sub(begun) < duration {
        wait::pause(Duration::from_millis(choices.between(500, 1_200))).await;
        let Some(first) = hard.next(choices) else { continue };
        let second = match choices.between(0, 3) {
            0 => None,
            1 | 2 => soft.next(choices),
            // A rolling restart waits for each node to be ready, which another hard fault may prevent.
            _ if first == Fault::RollingRestart => None,
            _ => choices.pick(&Fault::HARD).copied().filter(|second| *second != Fault::RollingRestart),
        };
        let mut wounds = Wounds::default();
        for fault in second.into_iter().chain([first]) {
            scenario::progress(cluster, fault.name());
            fault.begin(cluster, choices, &mut wounds).await?;
        }
        wait::pause(Duration::from_millis(choices.between(500, 3_500))).await;
        wounds.heal(cluster).await?;
        scenario::progress(cluster, "healed");
    }
    Ok(())
}

fn add_figures(figures: &mut Figures, record: &Record) {
    let total: usize = record.faults.values().sum();
    let kinds: Vec<String> = record.faults.iter().map(|(name, count)| format!("{count} {name}")).collect();
    figures.set("faults injected", format!("{total}: {}", kinds.join(", ")));
    let logins = record.attempts.len() - record.count(&Outcome::NotSent);
    figures.set("requests sent", logins + record.enrolments.len() + record.readings.len());
    figures.set(
        "enrolments acknowledged",
        record.enrolments.iter().filter(|enrolment| enrolment.acknowledged).count(),
    );
    figures.set_outcomes(record);
    let mut recoveries = answers_again::recoveries(record);
    recoveries.sort_unstable();
    let middle = recoveries.get(recoveries.len() / 2).copied().unwrap_or_default();
    let worst = recoveries.last().copied().unwrap_or_default();
    figures.set(
        "majority connected until the next answer",
        format!(
            "{} times, median {} ms, worst {} ms",
            recoveries.len(),
            middle.as_millis(),
            worst.as_millis()
        ),
    );
}
