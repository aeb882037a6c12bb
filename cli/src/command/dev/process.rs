//! The server processes of a development cluster.
//!
//! A child's standard input is a pipe whose other end is held here. It stops by itself when that end is closed, which the
//! operating system does as well when this process is killed, so that no server stays behind.

use std::fs::OpenOptions;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::folder::Folder;

/// How long a node may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// The running servers.
pub(super) struct Children {
    pids: Vec<u32>,
    deaths: mpsc::Receiver<String>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Children {
    /// Starts the server of every node.
    pub(super) fn start(folder: &Folder) -> anyhow::Result<Self> {
        let stop = watch::Sender::new(false);
        let (died, deaths) = mpsc::channel(16);
        let mut children = Self { pids: Vec::new(), deaths, stop, tasks: JoinSet::new() };
        for id in folder.ids() {
            let child = spawn(folder, id).with_context(|| format!("cannot start node {id}"))?;
            children.pids.push(child.id().unwrap_or_default());
            let (stopping, died) = (children.stop.subscribe(), died.clone());
            let place = folder.node(id);
            let (log, config) = (place.log.display().to_string(), place.config.display().to_string());
            children.tasks.spawn(async move {
                if let Some(status) = attend(child, stopping).await {
                    let report = format!(
                        "node {id} died ({status}), see {log}; `tessera server --config {config}` brings it back"
                    );
                    // Nobody listens any more when everything is stopping.
                    let _ = died.send(report).await;
                }
            });
        }
        Ok(children)
    }

    /// Process ids in the order of the nodes.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.pids.clone()
    }

    /// Waits for a node to die and says so; `None` when none is left.
    pub(super) async fn next_death(&mut self) -> Option<String> {
        self.deaths.recv().await
    }

    /// Whether a node has died.
    pub(super) fn death_so_far(&mut self) -> Option<String> {
        self.deaths.try_recv().ok()
    }

    /// Stops all nodes and waits until they are gone.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

fn spawn(folder: &Folder, id: u16) -> anyhow::Result<Child> {
    let place = folder.node(id);
    let log = OpenOptions::new().create(true).append(true).open(&place.log)?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["server", "--stop-with-parent", "--config"])
        .arg(&place.config)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C in a terminal reaches this process only, which then stops the nodes in its own way.
        .process_group(0)
        .kill_on_drop(true);
    // A variable meant for one server must not give all nodes the same address.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TESSERA_") {
            command.env_remove(name);
        }
    }
    Ok(command.spawn()?)
}

/// Waits until a child dies by itself, or stops it when it is time; then there is nothing to report.
async fn attend(mut child: Child, mut stopping: watch::Receiver<bool>) -> Option<ExitStatus> {
    // Waiting for a child closes its standard input, which here is the signal to stop.
    let input = child.stdin.take();
    tokio::select! {
        status = child.wait() => return status.ok(),
        _ = stopping.wait_for(|stop| *stop) => drop(input),
    }
    if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        // It may have ended in this moment.
        let _ = child.kill().await;
    }
    None
}
