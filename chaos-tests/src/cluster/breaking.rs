//! Starting, stopping, killing, freezing and misleading the nodes of a cluster.

use std::fs::{self, File, OpenOptions};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Cluster, START_LIMIT, first_word};
use crate::http;
use crate::process::{self, Signal};
use crate::wait;

/// A node asked to stop that still runs after this time is broken.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The nodes compare their states at least this far apart (`checkpoint_seconds`).
const CHECKPOINT_SECONDS: &str = "3";

impl Cluster {
    /// Kills nodes (SIGKILL) at the same instant and waits until their processes are gone.
    ///
    /// # Errors
    /// If one of them does not run.
    pub async fn kill(&mut self, ids: &[u64]) -> Result<()> {
        let pids = self.pids(ids)?;
        ids.iter().for_each(|id| self.history.down(*id));
        process::signal(Signal::Kill, &pids)?;
        self.note_majority();
        let gone = || async { pids.iter().all(|pid| !process::is_alive(*pid)).then_some(()) };
        wait::until("killed processes to be gone", START_LIMIT, gone).await?;
        for id in ids {
            self.reap(*id)?;
        }
        self.note_majority();
        Ok(())
    }

    /// Asks a node to stop (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// If it does not run, does not stop in time, or says that something went wrong.
    pub async fn terminate(&mut self, id: u64) -> Result<()> {
        let pids = self.pids(&[id])?;
        self.history.down(id);
        process::signal(Signal::Terminate, &pids)?;
        let gone = || async { pids.iter().all(|pid| !process::is_alive(*pid)).then_some(()) };
        wait::until("a process to stop", STOP_LIMIT, gone).await.with_context(|| self.logs())?;
        let status = self.reap(id)?;
        self.note_majority();
        if status.is_some_and(|status| !status.success()) {
            bail!("node {id} was asked to stop and ended with {status:?}\n{}", self.logs());
        }
        Ok(())
    }

    /// Waits until a node has ended by itself; returns how.
    ///
    /// # Errors
    /// If it still runs after the limit, or was not running.
    pub async fn ended(&mut self, id: u64) -> Result<ExitStatus> {
        let pids = self.pids(&[id])?;
        let gone = || async { pids.iter().all(|pid| !process::is_alive(*pid)).then_some(()) };
        wait::until("a node to end by itself", START_LIMIT, gone).await.with_context(|| self.logs())?;
        let status = self.reap(id)?;
        self.note_majority();
        status.context("the node was not running")
    }

    /// Waits for a node to end by itself; false if it has not after `limit`.
    ///
    /// # Errors
    /// If its state cannot be asked for.
    pub async fn wait_ended(&mut self, id: u64, limit: Duration) -> Result<bool> {
        let started = Instant::now();
        while started.elapsed() < limit {
            let node = self.node_mut(id)?;
            let ended = match &mut node.process {
                None => true,
                Some(child) => child.try_wait()?.is_some(),
            };
            if ended {
                node.process = None;
                self.note_majority();
                return Ok(true);
            }
            wait::pause(Duration::from_millis(25)).await;
        }
        Ok(false)
    }

    fn pids(&self, ids: &[u64]) -> Result<Vec<u32>> {
        ids.iter()
            .map(|id| self.node(*id)?.pid().with_context(|| format!("node {id} does not run")))
            .collect()
    }

    fn reap(&mut self, id: u64) -> Result<Option<ExitStatus>> {
        let node = self.node_mut(id)?;
        node.frozen = false;
        Ok(node.process.take().map(|mut child| child.wait()).transpose()?)
    }

    /// Freezes a node (SIGSTOP).
    ///
    /// # Errors
    /// If it does not run.
    pub fn freeze(&mut self, id: u64) -> Result<()> {
        let pids = self.pids(&[id])?;
        self.history.down(id);
        self.node_mut(id)?.frozen = true;
        process::signal(Signal::Stop, &pids)?;
        self.note_majority();
        Ok(())
    }

    /// Lets a frozen node go on (SIGCONT).
    ///
    /// # Errors
    /// If it does not run.
    pub fn thaw(&mut self, id: u64) -> Result<()> {
        process::signal(Signal::Continue, &self.pids(&[id])?)?;
        self.node_mut(id)?.frozen = false;
        self.note_majority();
        Ok(())
    }

    /// Sets a switch of a node (`raft/src/fault.rs`).
    ///
    /// # Errors
    /// If its file cannot be written.
    pub fn set_fault(&mut self, id: u64, line: &str) -> Result<()> {
        let node = self.node_mut(id)?;
        node.faults.insert(first_word(line), line.to_owned());
        node.write_faults()
    }

    /// Clears a switch of a node.
    ///
    /// # Errors
    /// If its file cannot be written.
    pub fn clear_fault(&mut self, id: u64, name: &str) -> Result<()> {
        let node = self.node_mut(id)?;
        node.faults.remove(name);
        node.write_faults()
    }

    /// Lets a node's disk be full: its small disk in fact, or by a switch. The node is expected to stop.
    ///
    /// # Errors
    /// If the disk cannot be filled.
    pub fn fill_disk(&mut self, id: u64, real: bool) -> Result<()> {
        self.history.down(id);
        match &self.node(id)?.disk {
            Some(disk) if real => disk.fill(),
            _ => self.set_fault(id, "disk-full"),
        }
    }

    /// Gives a node's disk its space back.
    ///
    /// # Errors
    /// If the switch cannot be cleared.
    pub fn relieve_disk(&mut self, id: u64) -> Result<()> {
        if let Some(disk) = &self.node(id)?.disk {
            disk.relieve();
        }
        self.clear_fault(id, "disk-full")
    }

    /// Writes into the history whether a majority of the nodes runs and is connected, each with each.
    pub fn note_majority(&self) {
        let awake = self.awake();
        let connected = |one: u64| {
            awake.iter().filter(|other| one == **other || self.network.connects(one, **other)).count()
        };
        // With one node that reaches a majority directly that node can lead, or vote for one that can.
        let majority = awake.iter().any(|id| connected(*id) > self.nodes.len() / 2);
        self.history.majority(majority);
    }

    /// Starts a node that does not run, without waiting for it.
    ///
    /// # Errors
    /// If the program cannot be run.
    pub fn launch(&mut self, id: u64) -> Result<()> {
        let child = self.server(id)?.spawn().context("cannot start a node")?;
        self.network.set_pid(id, child.id());
        let node = self.node_mut(id)?;
        node.process = Some(child);
        node.frozen = false;
        self.note_majority();
        Ok(())
    }

    /// Starts a node that is expected to end by itself, and returns how it ended and what it wrote.
    ///
    /// # Errors
    /// If it still runs after the limit.
    pub async fn launch_in_vain(&mut self, id: u64) -> Result<(ExitStatus, String)> {
        let log = self.folder.path().join(format!("refused-{id}.log"));
        let file = File::create(&log)?;
        let mut child = self.server(id)?.stdout(file.try_clone()?).stderr(file).spawn()?;
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            if let Some(status) = child.try_wait()? {
                return Ok((status, fs::read_to_string(&log)?));
            }
            wait::pause(Duration::from_millis(25)).await;
        }
        child.kill()?;
        child.wait()?;
        bail!("node {id} was expected to refuse to start, but it runs:\n{}", fs::read_to_string(&log)?)
    }

    fn server(&self, id: u64) -> Result<Command> {
        let place = &self.node(id)?.place;
        let log = OpenOptions::new().create(true).append(true).open(&place.log)?;
        let mut command = Command::new(&self.program);
        // The pipe ends with this process, however it ends, and the node with the pipe.
        command.args(["server", "--stop-with-parent", "--config"]).arg(&place.config);
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        // A variable meant for the harness, or for another server, is not meant for these.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TESSERA_"))
        {
            command.env_remove(name);
        }
        command.env("TESSERA_TEST_FAULTS", &place.faults);
        command.env("TESSERA_CLUSTER_CHECKPOINT_SECONDS", CHECKPOINT_SECONDS);
        Ok(command)
    }

    /// Waits until these nodes say that they are ready.
    ///
    /// # Errors
    /// If one ends or is not ready in time.
    pub async fn wait_ready(&mut self, ids: &[u64]) -> Result<()> {
        for id in ids {
            let started = Instant::now();
            let url = self.node(*id)?.url.clone();
            loop {
                let answer = http::request(&url, "/readyz", None, Duration::from_secs(2)).await;
                if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                    break;
                }
                self.check_runs(*id)?;
                if started.elapsed() > START_LIMIT {
                    bail!("node {id} is not ready: {answer:?}\n{}", self.logs());
                }
                wait::pause(Duration::from_millis(25)).await;
            }
            self.history.up(*id);
        }
        Ok(())
    }

    /// Starts nodes that were killed and waits until they are ready.
    ///
    /// # Errors
    /// Those of [`Cluster::launch`] and [`Cluster::wait_ready`].
    pub async fn restart(&mut self, ids: &[u64]) -> Result<()> {
        for id in ids {
            self.launch(*id)?;
        }
        self.wait_ready(ids).await
    }

    fn check_runs(&mut self, id: u64) -> Result<()> {
        let node = self.node_mut(id)?;
        let ended = match &mut node.process {
            Some(child) => child.try_wait()?.map(|status| status.to_string()),
            None => Some("a fault of this test".to_owned()),
        };
        match ended {
            None => Ok(()),
            Some(status) => {
                node.process = None;
                bail!("node {id} ended with {status} instead of getting ready:\n{}", self.logs())
            }
        }
    }
}
