//! A cluster of real processes in a temporary folder.
//!
//! `tessera dev` lays out the folder and starts the processes. A node that was killed is started again from the
//! configuration file that `dev` wrote, as an operator would. Everything ends when the [`Cluster`] is dropped;
//! with `TESSERA_CHAOS_KEEP=<folder>` the folder with its logs is copied there before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tempfile::TempDir;

use crate::environment::{self, Choices};
use crate::history::History;
use crate::http;
use crate::process::{self, Signal};
use crate::site::Site;
use crate::wait;

/// A cluster or a node that is not ready after this time is broken.
pub const START_LIMIT: Duration = Duration::from_secs(40);

/// Time after which `dev` is not asked but ended.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Made up for each test run's own folder; nothing else is protected by it.
const ADMIN_PASSWORD: &str = "chaos-Test-1";

/// Look-ahead window of the tokens; wide enough for the OTPs that are used up by requests nobody answered.
pub const COUNT_WINDOW: u64 = 50;

/// What `tessera dev` writes about the cluster.
#[derive(Debug, Deserialize)]
struct Layout {
    nodes: Vec<NodeLayout>,
    admin: Admin,
}

#[derive(Debug, Deserialize)]
struct NodeLayout {
    id: u64,
    pid: u32,
    http: String,
    data_dir: PathBuf,
    config: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Admin {
    user: String,
    password: String,
}

#[derive(Debug)]
struct Node {
    url: String,
    data_dir: PathBuf,
    config: PathBuf,
    /// `None` while it is not running.
    pid: Option<u32>,
    /// Its process, if this harness started it and not `dev`.
    own: Option<Child>,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    folder: TempDir,
    dev: Child,
    nodes: BTreeMap<u64, Node>,
    admin: Admin,
    history: Arc<History>,
}

impl Cluster {
    /// Starts a cluster and waits until all its nodes are ready.
    ///
    /// # Errors
    /// If it is not ready in time; the text holds the end of its log.
    pub async fn start(nodes: u16, choices: &mut Choices) -> Result<Self> {
        let program = environment::program()?;
        let folder = tempfile::Builder::new().prefix("tessera-chaos-").tempdir()?;
        let (http, raft) = (process::free_ports(nodes, choices)?, process::free_ports(nodes, choices)?);
        let log = File::create(folder.path().join("dev.log"))?;
        let dev = Command::new(&program)
            .arg("dev")
            .args(["--nodes", &nodes.to_string(), "--http-port", &http.to_string()])
            .args(["--cluster-port", &raft.to_string(), "--admin-password", ADMIN_PASSWORD, "--no-demo"])
            .arg("--data-dir")
            .arg(folder.path().join("cluster"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let admin = Admin { user: String::new(), password: String::new() };
        let history = Arc::new(History::default());
        let mut cluster = Self { program, folder, dev, nodes: BTreeMap::new(), admin, history };
        let layout = cluster.layout(usize::from(nodes)).await?;
        cluster.admin = layout.admin;
        for NodeLayout { id, pid, http, data_dir, config } in layout.nodes {
            let url = if http.starts_with("http://") { http } else { format!("http://{http}") };
            let url = url.trim_end_matches('/').to_owned();
            cluster.nodes.insert(id, Node { url, data_dir, config, pid: Some(pid), own: None });
        }
        cluster.wait_ready(&cluster.ids()).await?;
        Ok(cluster)
    }

    /// Waits for the description that `dev` writes when its processes run.
    async fn layout(&mut self, nodes: usize) -> Result<Layout> {
        let path = self.folder.path().join("cluster/cluster.json");
        let started = Instant::now();
        loop {
            let text = fs::read(&path).unwrap_or_default();
            if let Ok(layout) = serde_json::from_slice::<Layout>(&text)
                && layout.nodes.len() == nodes
            {
                return Ok(layout);
            }
            if let Some(status) = self.dev.try_wait()? {
                bail!("`tessera dev` ended with {status}:\n{}", self.logs());
            }
            if started.elapsed() > START_LIMIT {
                bail!("`tessera dev` wrote no usable cluster.json:\n{}", self.logs());
            }
            wait::pause(Duration::from_millis(50)).await;
        }
    }

    /// What is seen of this cluster.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// All node ids.
    pub fn ids(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    /// Ids of the nodes that run.
    pub fn running(&self) -> Vec<u64> {
        self.nodes.iter().filter(|(_, node)| node.pid.is_some()).map(|(id, _)| *id).collect()
    }

    /// Base URL of a node.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn url(&self, id: u64) -> Result<&str> {
        Ok(&self.node(id)?.url)
    }

    /// Data directory of a node.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn data_dir(&self, id: u64) -> Result<&Path> {
        Ok(&self.node(id)?.data_dir)
    }

    /// A logged-in client for every node, in the order of their ids.
    ///
    /// # Errors
    /// If a login fails.
    pub async fn sites(&self) -> Result<Vec<Site>> {
        let mut sites = Vec::new();
        for (id, node) in &self.nodes {
            sites.push(self.logged_in(Some(*id), std::slice::from_ref(&node.url)).await?);
        }
        Ok(sites)
    }

    /// A logged-in client of all nodes.
    ///
    /// # Errors
    /// If the login fails.
    pub async fn site_of_all(&self) -> Result<Site> {
        let urls: Vec<String> = self.nodes.values().map(|node| node.url.clone()).collect();
        self.logged_in(None, &urls).await
    }

    async fn logged_in(&self, node: Option<u64>, urls: &[String]) -> Result<Site> {
        let site = Site::new(node, urls, self.history.clone())?;
        site.client()
            .login(&self.admin.user, &self.admin.password)
            .await
            .with_context(|| format!("the administrator cannot log in at {urls:?}"))?;
        Ok(site)
    }

    /// Settings for tests: a fail counter that never locks a token, and a wide look-ahead window.
    ///
    /// # Errors
    /// Those of the client.
    pub async fn relax_limits(&self) -> Result<()> {
        let site = self.site_of_all().await?;
        site.client().set_config("DefaultMaxFailCount", "1000000", None).await?;
        site.client().set_config("DefaultCountWindow", &COUNT_WINDOW.to_string(), None).await?;
        Ok(())
    }

    /// The leader as the running nodes see it, once they agree with each other.
    ///
    /// # Errors
    /// If none is known in time.
    pub async fn leader(&self, site: &Site) -> Result<u64> {
        wait::until("one leader in /cluster/status", START_LIMIT, || async {
            let status = site.client().cluster_status().await.ok()?;
            let mut leaders = status.nodes.iter().filter(|node| node.reachable && node.role == "leader");
            let leader = leaders.next()?.id.parse().ok()?;
            leaders.next().is_none().then_some(leader)
        })
        .await
    }

    /// Kills nodes (SIGKILL) at the same instant and waits until their processes are gone.
    ///
    /// # Errors
    /// If one of them does not run.
    pub async fn kill(&mut self, ids: &[u64]) -> Result<()> {
        let mut pids = Vec::new();
        for id in ids {
            pids.push(self.node(*id)?.pid.with_context(|| format!("node {id} does not run"))?);
            self.history.down(*id);
        }
        process::signal(Signal::Kill, &pids)?;
        let gone = || async { pids.iter().all(|pid| !process::is_alive(*pid)).then_some(()) };
        wait::until("killed processes to be gone", START_LIMIT, gone).await?;
        for id in ids {
            let node = self.node_mut(*id)?;
            node.pid = None;
            if let Some(mut child) = node.own.take() {
                child.wait()?;
            }
        }
        Ok(())
    }

    /// Asks a node to stop (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// If it does not run, is not gone in time, or did not end well.
    pub async fn terminate(&mut self, id: u64) -> Result<()> {
        let pid = self.node(id)?.pid.with_context(|| format!("node {id} does not run"))?;
        process::signal(Signal::Terminate, &[pid])?;
        let gone = || async { (!process::is_alive(pid)).then_some(()) };
        wait::until("the node to stop", START_LIMIT, gone).await?;
        self.history.down(id);
        let node = self.node_mut(id)?;
        node.pid = None;
        if let Some(mut child) = node.own.take() {
            let status = child.wait()?;
            anyhow::ensure!(status.success(), "node {id} ended with {status} after SIGTERM");
        }
        Ok(())
    }

    /// Freezes a node (SIGSTOP).
    ///
    /// # Errors
    /// If it does not run.
    pub fn freeze(&self, id: u64) -> Result<()> {
        self.history.down(id);
        process::signal(Signal::Stop, &[self.node(id)?.pid.context("the node does not run")?])
    }

    /// Lets a frozen node go on (SIGCONT).
    ///
    /// # Errors
    /// If it does not run.
    pub fn thaw(&self, id: u64) -> Result<()> {
        process::signal(Signal::Continue, &[self.node(id)?.pid.context("the node does not run")?])
    }

    /// Starts a node that was killed, without waiting for it.
    ///
    /// # Errors
    /// If the program cannot be run.
    pub fn launch(&mut self, id: u64) -> Result<()> {
        let child = self.server(id)?.spawn().context("cannot start a node")?;
        let node = self.node_mut(id)?;
        node.pid = Some(child.id());
        node.own = Some(child);
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
        let log = OpenOptions::new().create(true).append(true).open(self.log_path(id))?;
        let mut command = Command::new(&self.program);
        command.arg("server").arg("--config").arg(&self.node(id)?.config);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
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
        let ended = match (&mut node.own, node.pid) {
            (Some(child), _) => child.try_wait()?.map(|status| status.to_string()),
            (None, Some(pid)) => (!process::is_alive(pid)).then(|| "an unknown status".to_owned()),
            (None, None) => Some("a kill by this test".to_owned()),
        };
        match ended {
            None => Ok(()),
            Some(status) => {
                node.pid = None;
                node.own = None;
                bail!("node {id} ended with {status} instead of getting ready:\n{}", self.logs())
            }
        }
    }

    fn node(&self, id: u64) -> Result<&Node> {
        self.nodes.get(&id).with_context(|| format!("there is no node {id}"))
    }

    fn node_mut(&mut self, id: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&id).with_context(|| format!("there is no node {id}"))
    }

    fn log_path(&self, id: u64) -> PathBuf {
        self.folder.path().join(format!("node-{id}.log"))
    }

    /// The last lines of every log.
    pub fn logs(&self) -> String {
        let mut files: Vec<PathBuf> = Vec::new();
        let of_dev = self.nodes.keys().map(|id| self.folder.path().join(format!("cluster/node-{id}")));
        for folder in of_dev.chain([self.folder.path().to_owned()]) {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            files.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "log")));
        }
        files.sort();
        files.iter().map(|path| tail(path)).collect()
    }

    /// Every process that may still be there: this harness's, and those of `dev`.
    fn end(&mut self) {
        let own: BTreeMap<u64, u32> =
            self.nodes.iter().filter_map(|(id, node)| Some((*id, node.own.as_ref()?.id()))).collect();
        for pid in own.values() {
            let _ = process::signal(Signal::Kill, &[*pid]);
        }
        for child in self.nodes.values_mut().filter_map(|node| node.own.as_mut()) {
            let _ = child.wait();
        }
        let of_dev = process::children_of(&BTreeSet::from([self.dev.id()]));
        for pid in &of_dev {
            // A frozen process would not hear that it is to end.
            let _ = process::signal(Signal::Continue, &[*pid]);
        }
        let _ = process::signal(Signal::Terminate, &[self.dev.id()]);
        let started = Instant::now();
        while matches!(self.dev.try_wait(), Ok(None)) && started.elapsed() < STOP_LIMIT {
            std::thread::park_timeout(Duration::from_millis(25));
        }
        let _ = self.dev.kill();
        let _ = self.dev.wait();
        for pid in of_dev.into_iter().filter(|pid| process::is_alive(*pid)) {
            let _ = process::signal(Signal::Kill, &[pid]);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
        if let Some(folder) = std::env::var_os("TESSERA_CHAOS_KEEP") {
            let _ = Command::new("cp").arg("-a").arg(self.folder.path()).arg(folder).status();
        }
    }
}

/// The end of a text file, with its name.
fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n");
    format!("--- {}\n{last}\n", path.display())
}
