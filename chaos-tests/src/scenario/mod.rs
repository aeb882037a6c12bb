//! What runs while what breaks, one file each. A scenario starts its own cluster, fails with the seed and the logs, and
//! returns figures for people to read.

pub mod all_killed;
pub mod damaged_directory;
pub mod frozen_follower;
pub mod insistent;
pub mod killed_while_writing;
pub mod leader_gap;
pub mod leader_killed;
pub mod no_majority;
pub mod rolled_back;
pub mod rolling_restart;
pub mod simultaneous;

use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cluster::Cluster;
use crate::environment::{self, Choices};
use crate::history::{Outcome, Record};

/// Figures of a run, to be printed.
#[derive(Debug, Default)]
pub struct Figures(String);

impl Figures {
    /// Adds a line.
    pub fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "  {name}: {value}");
    }

    /// Adds the outcomes of all logins so far.
    pub fn add_outcomes(&mut self, record: &Record) {
        let text = format!(
            "{} accepted, {} refused, {} answered 503, {} of unknown outcome in all, {} not sent",
            record.count(&Outcome::Accepted),
            record.count(&Outcome::Refused),
            record.count(&Outcome::Unavailable),
            record.count_unknown(),
            record.count(&Outcome::NotSent),
        );
        self.add("logins", text);
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs a scenario on a new cluster of `nodes`.
///
/// # Errors
/// What the scenario found; the text names the seed and holds the ends of the logs.
pub async fn run<F>(name: &str, nodes: u16, body: F) -> Result<Figures>
where
    F: AsyncFnOnce(&mut Cluster, &mut Choices, &mut Figures) -> Result<()>,
{
    let seed = environment::seed();
    let mut choices = Choices::new(seed);
    let mut figures = Figures(format!("scenario {name}, TESSERA_CHAOS_SEED={seed}\n"));
    let mut cluster = Cluster::start(nodes, &mut choices).await?;
    let begun = cluster.history().now();
    cluster.relax_limits().await.context("the settings for tests were not taken")?;
    let result = body(&mut cluster, &mut choices, &mut figures).await;
    figures.add("duration", format!("{} ms", cluster.history().now().saturating_sub(begun).as_millis()));
    match result {
        Ok(()) => Ok(figures),
        Err(error) => Err(error.context(format!("{figures}\n{}", cluster.logs()))),
    }
}

/// The longest time between two successes one after the other, from a moment on.
pub(crate) fn longest_gap(record: &Record, from: Duration) -> Duration {
    let mut successes: Vec<Duration> = record
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome == Outcome::Accepted && attempt.ended >= from)
        .map(|attempt| attempt.ended)
        .collect();
    successes.push(from);
    successes.sort();
    successes
        .iter()
        .zip(successes.iter().skip(1))
        .map(|(one, next)| next.saturating_sub(*one))
        .max()
        .unwrap_or(Duration::MAX)
}

/// Runs a future on a runtime like the ones the product's clients have.
///
/// # Errors
/// Those of the future, and of starting the runtime.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(future)
}
