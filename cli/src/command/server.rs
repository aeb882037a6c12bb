//! `tessera server`: the composition root of a node.
//!
//! Replication has a runtime of its own inside the store; HTTP, user stores and password hashes share the one made here.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tessera_api::{Api, ApiSettings, Network, Serving, Tls};
use tessera_node::{Fatal, Node, NodeConfig, telemetry, tls};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::output;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tessera server --config /etc/tessera/node.toml --check-config\n  \
    tessera server --config /etc/tessera/node.toml\n\n\
    Every key of the file can be given in the environment: TESSERA_HTTP_LISTEN for `listen` in [http].\n\
    SIGTERM stops the node without a failed request: leadership is handed over, clients are sent elsewhere for\n    `drain_seconds`, open requests are finished. SIGINT, or a second SIGTERM, skips the waiting.")]
pub(crate) struct Server {
    /// The node's configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Checks the configuration and the files it names, prints all problems, and starts nothing
    #[arg(long)]
    check_config: bool,
    /// Stops when standard input ends, which it does when the parent process is gone
    #[arg(long, hide = true)]
    stop_with_parent: bool,
}

impl Server {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = NodeConfig::load(&self.config, std::env::vars())?;
        if self.check_config {
            return check(&self.config, &config);
        }
        telemetry::start(&config.log)?;
        let mut builder = Builder::new_multi_thread();
        if config.http.threads > 0 {
            builder.worker_threads(config.http.threads);
        }
        let runtime = builder.enable_all().thread_name("tessera-http").build()?;
        let result = runtime.block_on(serve(config, self.stop_with_parent));
        // A password hash or a read of a user file that is still under way is not waited for.
        runtime.shutdown_background();
        result
    }
}

fn check(path: &std::path::Path, config: &NodeConfig) -> anyhow::Result<()> {
    let problems = config.check_files();
    anyhow::ensure!(problems.is_empty(), "{} is not usable:\n  {}", path.display(), problems.join("\n  "));
    output::line(&format!("{}: node {} of cluster {}", path.display(), config.node.id, config.cluster.id));
    output::line(&format!("clients: {} ({})", config.http.url, config.http.listen));
    output::line(&format!("cluster: {} ({})", config.cluster.advertise, config.cluster.listen));
    Ok(())
}

async fn serve(config: NodeConfig, stop_with_parent: bool) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let https = https(&config)?;
    let settings = settings(&config)?;
    let (listen, drain) = (config.http.listen, config.http.drain);
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let node = Node::start(config).await?;
    tracing::info!(node.id = node.config().node.id, http.listen = %listener.local_addr()?, "node started");
    let router = tessera_api::router(Api { node: node.clone(), settings })?;
    let (phase, serving) = watch::channel(Serving::Normal);
    let web = tokio::spawn(tessera_api::serve(listener, https, router, serving));
    let reason = signals.wait(stop_with_parent, &node).await;
    tracing::info!(reason = %reason.name(), "node is stopping");
    node.announce_shutdown();
    if let Reason::Terminated = reason {
        // While this node still serves, so that its clients notice nothing of the hand-over.
        node.hand_over().await;
        phase.send_replace(Serving::Leaving);
        signals.impatient_or(drain).await;
    }
    phase.send_replace(Serving::Stopped);
    let web = web.await;
    node.shutdown().await;
    web.context("the web server failed")?;
    match reason {
        Reason::Terminated | Reason::Asked(_) => {
            tracing::info!("node stopped");
            Ok(())
        }
        Reason::Failed(error) => Err(error),
    }
}

fn https(config: &NodeConfig) -> anyhow::Result<Option<Tls>> {
    let Some(files) = &config.http.tls else { return Ok(None) };
    let material = tls::load_server(&files.certificate, &files.private_key)?;
    if material.days_left < tls::EXPIRY_WARNING_DAYS {
        tracing::warn!(certificate.days = material.days_left, "the certificate for HTTPS ends soon");
    }
    Ok(Some(Tls::from_pem(&material.certificate_pem, &material.private_key_pem)?))
}

fn settings(config: &NodeConfig) -> anyhow::Result<ApiSettings> {
    let proxies: Result<Vec<Network>, _> =
        config.http.trusted_proxies.iter().map(|text| text.parse()).collect();
    let session = &config.session;
    Ok(ApiSettings {
        trusted_proxies: proxies.context("http.trusted_proxies")?,
        cookie_secure: session.cookie_secure,
        session_lifetime: Duration::from_secs(session.lifetime_seconds),
        session_refresh: Duration::from_secs(session.refresh_seconds),
        // The node's own answer to a slow cluster comes first.
        request_timeout: config.cluster.commit_timeout.saturating_mul(4),
        ..ApiSettings::default()
    })
}

/// Why a node stops.
enum Reason {
    /// SIGTERM: there is time to send clients elsewhere.
    Terminated,
    /// At once.
    Asked(&'static str),
    Failed(anyhow::Error),
}

impl Reason {
    fn name(&self) -> String {
        match self {
            Self::Terminated => "SIGTERM".to_owned(),
            Self::Asked(who) => (*who).to_owned(),
            Self::Failed(error) => error.to_string(),
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for a while, or until a second signal.
    async fn impatient_or(&mut self, time: Duration) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    async fn wait(&mut self, stop_with_parent: bool, node: &Node) -> Reason {
        let orphaned = async {
            if stop_with_parent {
                end_of_input().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Reason::Terminated,
            _ = self.interrupt.recv() => Reason::Asked("SIGINT"),
            () = orphaned => Reason::Asked("parent process gone"),
            fatal = node.failure() => match fatal {
                Fatal::Removed => Reason::Asked("removed from the cluster"),
                other @ (Fatal::WrongKeys
                | Fatal::MissingKeys
                | Fatal::ReplicationStopped
                | Fatal::NotAdmitted(_)) => Reason::Failed(other.into()),
            },
        }
    }
}

/// Waits for the end of standard input. A thread of its own reads it, because a runtime cannot stop a blocking read.
async fn end_of_input() {
    let (ended, end) = oneshot::channel();
    let reader = std::thread::Builder::new().name("tessera-stdin".to_owned()).spawn(move || {
        let mut buffer = [0; 64];
        while matches!(std::io::stdin().read(&mut buffer), Ok(1..)) {}
        // Nobody listens any more when the node is stopping for another reason.
        let _ = ended.send(());
    });
    match reader {
        Ok(_) => {
            let _ = end.await;
        }
        Err(error) => {
            tracing::warn!(%error, "cannot watch standard input");
            std::future::pending::<()>().await;
        }
    }
}
