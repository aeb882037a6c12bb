//! `tessera-bench`: a load generator for `/validate/check` of a running server or cluster.
//!
//! It enrols its own HOTP tokens through the web API, computes the OTPs itself and counts a reply as good only if it is
//! HTTP 200 with the verdict the OTP deserves. Exit status: 0 all verdicts right, 2 some verdict wrong, 1 it could
//! not be run. `benches/README.md` is the manual. Reading order: `plan.rs` (which OTP is sent and what must come
//! back), `worker.rs` (the loop of one client), `stats.rs`.

#![forbid(unsafe_code)]

mod args;
mod hotp;
mod http_client;
mod plan;
mod report;
mod setup;
mod stats;
mod verdict;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::args::Args;
use crate::plan::{BenchToken, Plan};
use crate::report::Report;
use crate::stats::{GapMeter, Stats};
use crate::worker::{Clock, Worker};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(message) => {
            // Status 2, which clap would use, means wrong verdicts here.
            let failed = message.use_stderr();
            return if message.print().is_ok() && !failed { ExitCode::SUCCESS } else { ExitCode::from(1) };
        }
    };
    let outcome = runtime(args.threads).and_then(|runtime| runtime.block_on(run(&args)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            report::complain(&format!("tessera-bench: {error:#}"));
            ExitCode::from(1)
        }
    }
}

fn runtime(threads: usize) -> anyhow::Result<Runtime> {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(threads.max(1)).enable_all().build().context("cannot start the runtime")
}

/// Returns whether all verdicts were right.
async fn run(args: &Args) -> anyhow::Result<bool> {
    args.check()?;
    let ca_pem = match &args.ca {
        Some(path) => Some(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
        None => None,
    };
    let admin = setup::connect(args, ca_pem.as_deref()).await?;
    let prepared = setup::prepare(args, &admin).await?;
    let tls = tessera_client::tls_config(ca_pem.as_deref(), args.insecure)?;
    let targets = args
        .urls
        .iter()
        .map(|url| http_client::Target::parse(url, &tls))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (stats, longest_gap) = drive(args, Arc::from(targets), prepared.tokens, prepared.window).await?;
    let report = Report::new(args, &stats, longest_gap, prepared.enrolment);
    report.print(args.json)?;
    if args.cleanup {
        setup::clean_up(args, &admin).await?;
    }
    Ok(stats.unexpected == 0)
}

/// Runs all clients for the warm-up and the measured time.
async fn drive(
    args: &Args,
    targets: Arc<[http_client::Target]>,
    tokens: Vec<BenchToken>,
    window: u64,
) -> anyhow::Result<(Stats, Duration)> {
    let first = Instant::now();
    let begin = first.checked_add(Duration::from_secs(args.warmup)).context("--warmup is too long")?;
    let end = begin.checked_add(Duration::from_secs(args.seconds)).context("--seconds is too long")?;
    let clock = Clock { first, begin, end };
    let gap = Arc::new(GapMeter::default());
    let mut workers = JoinSet::new();
    for (index, tokens) in plan::deal(tokens, args.connections).into_iter().enumerate() {
        let plan = Plan::new(args.mode, tokens, window, u64::try_from(index)?);
        let worker = Worker::new(index, args, Arc::clone(&targets), plan, Arc::clone(&gap));
        workers.spawn(worker.run(clock));
    }
    let mut total = Stats::new(targets.len())?;
    while let Some(stats) = workers.join_next().await {
        total.merge(&stats.context("a client task failed")??)?;
    }
    Ok((total, gap.finish(Duration::from_secs(args.seconds))))
}
