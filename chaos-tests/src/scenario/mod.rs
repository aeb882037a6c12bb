//! What runs while what breaks, one file each. A scenario starts its own cluster, fails with the seed and the logs, and
//! returns figures for people to read.

pub mod all_killed;
pub mod cut_off;
pub mod damaged_directory;
pub mod frozen_follower;
pub mod insistent;
pub mod killed_while_writing;
pub mod leader_gap;
pub mod leader_killed;
pub mod measure;
pub mod membership;
pub mod mixed;
pub mod no_majority;
pub mod planted;
pub mod rolled_back;
pub mod rolling_restart;
pub mod simultaneous;

use std::fmt;
use std::future::Future;

use anyhow::{Context as _, Result};

use crate::cluster::{Cluster, Options};
use crate::environment::{self, Choices};
use crate::history::{Outcome, Record};

/// Figures of a run, to be printed.
#[derive(Debug, Default)]
pub struct Figures {
    title: String,
    lines: Vec<(String, String)>,
}

impl Figures {
    /// Adds a line.
    pub fn add(&mut self, name: &str, value: impl fmt::Display) {
        self.lines.push((name.to_owned(), value.to_string()));
    }

    /// Adds a line, or replaces the one of the same name.
    pub fn set(&mut self, name: &str, value: impl fmt::Display) {
        match self.lines.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value.to_string(),
            None => self.add(name, value),
        }
    }

    /// The outcomes of all logins so far.
    pub fn set_outcomes(&mut self, record: &Record) {
        let text = format!(
            "{} accepted, {} refused, {} answered 503, {} of unknown outcome in all, {} not sent",
            record.count(&Outcome::Accepted),
            record.count(&Outcome::Refused),
            record.count(&Outcome::Unavailable),
            record.count_unknown(),
            record.count(&Outcome::NotSent),
        );
        self.set("logins", text);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        self.lines.iter().try_for_each(|(name, value)| writeln!(f, "  {name}: {value}"))
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
    run_with(name, nodes, &Options::default(), body).await
}

/// Runs a scenario on a special cluster.
///
/// # Errors
/// Like [`run`].
pub async fn run_with<F>(name: &str, nodes: u16, options: &Options, body: F) -> Result<Figures>
where
    F: AsyncFnOnce(&mut Cluster, &mut Choices, &mut Figures) -> Result<()>,
{
    let seed = environment::seed();
    let mut choices = Choices::new(seed);
    let title = format!("scenario {name}, TESSERA_CHAOS_SEED={seed}");
    let mut figures = Figures { title, lines: Vec::new() };
    let mut cluster = Cluster::start_with(nodes, options, &mut choices).await?;
    let begun = cluster.history().now();
    cluster.relax_limits().await.context("the settings for tests were not taken")?;
    let result = body(&mut cluster, &mut choices, &mut figures).await;
    figures.add("duration", format!("{} ms", cluster.history().now().saturating_sub(begun).as_millis()));
    match result {
        Ok(()) => Ok(figures),
        Err(error) => Err(error.context(format!("{figures}\n{}", cluster.logs()))),
    }
}

/// Says what is happening, for whoever watches a long run.
#[expect(clippy::print_stderr, reason = "the test runner keeps it unless a test fails or somebody watches")]
pub fn progress(cluster: &Cluster, what: &str) {
    eprintln!("{:>8} ms  {what}", cluster.history().now().as_millis());
}

/// Runs a future on a runtime like the ones the product's clients have.
///
/// # Errors
/// Those of the future, and of starting the runtime.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(future)
}
