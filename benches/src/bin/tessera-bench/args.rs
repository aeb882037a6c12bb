//! Command line.

use std::path::PathBuf;

use anyhow::ensure;
use clap::{Parser, ValueEnum};

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The next OTP of a token; must be accepted.
    Fresh,
    /// An OTP that is not in the window; must be refused.
    Wrong,
    /// Every OTP twice, the second time at another node; must be accepted, then refused.
    Replay,
    /// Eight fresh OTPs, a wrong one, a replay.
    Mixed,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Wrong => "wrong",
            Self::Replay => "replay",
            Self::Mixed => "mixed",
        }
    }
}

/// How clients choose a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spread {
    /// A client changes node with each request.
    Request,
    /// A client stays with one node as long as it answers.
    Client,
}

/// Load generator for /validate/check of a running server or cluster.
#[derive(Debug, Parser)]
#[command(name = "tessera-bench", version)]
pub(crate) struct Args {
    /// Base URL of a node; repeat it for a cluster.
    #[arg(long = "url", required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// Administrator who enrols the tokens.
    #[arg(long, value_name = "NAME")]
    pub(crate) admin: String,
    /// Password of the administrator.
    #[arg(long, env = "TESSERA_ADMIN_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub(crate) admin_password: Password,
    /// Clients, each with one open request; every client holds a connection to every node.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Measured time.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Time before the measured time, in seconds.
    #[arg(long, default_value_t = 1)]
    pub(crate) warmup: u64,
    /// What is sent.
    #[arg(long, value_enum, default_value_t = Mode::Fresh)]
    pub(crate) mode: Mode,
    /// Users, each with one HOTP token; at least one per client.
    #[arg(long, default_value_t = 256)]
    pub(crate) users: usize,
    /// How clients choose a node.
    #[arg(long, value_enum, default_value_t = Spread::Request)]
    pub(crate) spread: Spread,
    /// Open loop: requests per second over all clients.
    #[arg(long, value_name = "R")]
    pub(crate) rate: Option<u32>,
    /// Count latency from the moment a request was due, so that a stalled server cannot hide its stall.
    #[arg(long, requires = "rate")]
    pub(crate) latency_from_due: bool,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Time limit of a request, in seconds.
    #[arg(long, default_value_t = 10)]
    pub(crate) timeout: u64,
    /// Beginning of the serial numbers.
    #[arg(long, default_value = "BENCH")]
    pub(crate) serial_prefix: String,
    /// User file to write; every server must be able to read it at this path.
    #[arg(long, value_name = "PATH")]
    pub(crate) passwd_file: Option<PathBuf>,
    /// Remove tokens, realm, resolver and user file afterwards.
    #[arg(long)]
    pub(crate) cleanup: bool,
    /// Trust these certification authorities (PEM file).
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Accept every server certificate.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Threads of the load generator; one drives tens of thousands of requests per second.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
}

/// A password that `Debug` does not show.
#[derive(Clone)]
pub(crate) struct Password(pub(crate) String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Args {
    /// Checks what the parser cannot.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.connections > 0, "--connections must be at least 1");
        ensure!(self.seconds > 0, "--seconds must be at least 1");
        ensure!(self.timeout > 0, "--timeout must be at least 1");
        ensure!(self.rate != Some(0), "--rate must be at least 1");
        ensure!(
            self.users >= self.connections,
            "--users must be at least --connections: no two clients may use one token"
        );
        Ok(())
    }
}
