//! `tessera dev`: a whole cluster on this machine, of real server processes.
//!
//! Everything lives in one folder: keys, certificates, configuration files, data and logs. Started again on the same
//! folder, the cluster continues with its data.

mod demo;
mod folder;
mod process;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use tessera_client::Client;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use self::folder::{Folder, Wanted};
use self::process::Children;
use crate::output;

/// How long the cluster may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two looks at whether it is.
const READY_POLL: Duration = Duration::from_millis(40);

/// Login of the administrator of a development cluster.
const ADMIN: &str = "admin";

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tessera dev\n  tessera dev --nodes 3 --data-dir /tmp/otp --admin-password geheim\n\n\
    Node i listens on http-port + i - 1 for clients and on cluster-port + i - 1 for the other nodes. The folder gets\n\
    cluster.json with process ids, URLs and the administrator, and node-<i>/node.log. A node that dies is reported and\n\
    not restarted: `tessera server --config <folder>/node-<i>/node.toml` brings it back. Ctrl-C ends all nodes."
)]
pub(crate) struct Dev {
    /// Number of nodes; 1 unless given, or that of the folder
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: Option<u16>,
    /// Folder of everything
    #[arg(long, value_name = "FOLDER", default_value = "tessera-dev")]
    data_dir: PathBuf,
    /// Port for clients of the first node; 7480 unless given
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65000))]
    http_port: Option<u16>,
    /// Port for the other nodes of the first node; 7580 unless given
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65000))]
    cluster_port: Option<u16>,
    /// Password of the administrator `admin`; random unless given, and kept with the folder
    #[arg(long, value_name = "PASSWORD")]
    admin_password: Option<String>,
    /// Makes no demo realm, users and tokens
    #[arg(long)]
    no_demo: bool,
}

impl Dev {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let wanted = Wanted {
            nodes: self.nodes,
            http_port: self.http_port,
            cluster_port: self.cluster_port,
            admin_password: self.admin_password,
        };
        let folder = Folder::prepare(&self.data_dir, wanted)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(run(folder, !self.no_demo))
    }
}

async fn run(mut folder: Folder, with_demo: bool) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    folder.check_ports()?;
    let mut children = Children::start(&folder)?;
    folder.write_cluster_file(&children.pids())?;
    let result = tokio::select! {
        result = bring_up(&mut folder, &mut children, with_demo) => result,
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted before the cluster was ready")),
        _ = terminate.recv() => Err(anyhow::anyhow!("ended before the cluster was ready")),
    };
    if result.is_ok() {
        loop {
            tokio::select! {
                Some(died) = children.next_death() => output::note(&died),
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
            }
        }
    }
    output::note("stopping");
    children.stop().await;
    result
}

/// Waits until every node is ready, makes the demo, and says how to use the cluster.
async fn bring_up(folder: &mut Folder, children: &mut Children, with_demo: bool) -> anyhow::Result<()> {
    let client = Client::builder().urls(folder.urls()).build()?;
    wait_until_ready(&client, folder, children).await?;
    let demo = if with_demo {
        Some(demo::set_up(&client, folder).await.context("cannot make the demo")?)
    } else {
        None
    };
    output::line(&format!("Tessera {} is ready.", env!("CARGO_PKG_VERSION")));
    for (id, url) in (1..).zip(folder.urls()) {
        output::line(&format!("  node {id}: {url}"));
    }
    output::line(&format!("  administrator: {ADMIN}, password: {}", folder.admin_password()));
    if let Some(demo) = demo {
        output::line("Log in as the demo user alice (PIN 1234 and an OTP), replay it, look at the token:");
        for line in demo.curl_lines(folder) {
            output::line(&format!("  {line}"));
        }
    }
    output::line("Ctrl-C ends all nodes.");
    Ok(())
}

async fn wait_until_ready(client: &Client, folder: &Folder, children: &mut Children) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let nodes = client.readyz().await;
        if nodes.iter().all(|node| node.healthy) {
            return Ok(());
        }
        if let Some(died) = children.death_so_far() {
            anyhow::bail!("{died}");
        }
        if Instant::now() > deadline {
            let waiting: Vec<String> = nodes
                .iter()
                .filter(|node| !node.healthy)
                .map(|node| format!("{} ({})", node.url, node.message))
                .collect();
            anyhow::bail!(
                "not ready: {}; see the logs below {}",
                waiting.join(", "),
                folder.path().display()
            );
        }
        sleep(READY_POLL).await;
    }
}

/// What `cluster.json` says about a node.
fn node_entry(folder: &Folder, id: u16, pid: u32) -> serde_json::Value {
    let place = folder.node(id);
    json!({
        "id": id,
        "pid": pid,
        "http": place.url,
        "cluster": place.cluster,
        "data_dir": place.data_dir,
        "config": place.config,
    })
}
