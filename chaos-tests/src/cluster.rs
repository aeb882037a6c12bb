//! A cluster of real processes in a temporary folder.
//!
//! Each node is a process of its own with a folder as an operator makes it ([`crate::layout`]); they talk to each other
//! through the proxies of [`crate::network`]. A node that was killed is started again from the same configuration file.
//! Everything ends when the [`Cluster`] is dropped; with `TESSERA_CHAOS_KEEP=<folder>` the folder with its logs is
//! copied there before.

mod breaking;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::join_all;
use tempfile::TempDir;

use crate::disk::SmallDisk;
use crate::environment::{self, Choices};
use crate::history::History;
use crate::layout::{ADMIN, ADMIN_PASSWORD, Layout, Place};
use crate::network::Network;
use crate::site::Site;
use crate::wait;

/// A cluster or a node that is not ready after this time is broken.
pub const START_LIMIT: Duration = Duration::from_secs(40);

/// How long a node may take to say who leads.
const STATUS_LIMIT: Duration = Duration::from_secs(3);

/// Look-ahead window of the tokens; wide enough for the OTPs that are used up by requests nobody answered.
pub const COUNT_WINDOW: u64 = 50;

/// What is special about a cluster.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Lines of every node's fault file from the beginning (`raft/src/fault.rs`).
    pub faults: Vec<String>,
    /// Gives the last node a small disk, if the harness may.
    pub small_disk: bool,
}

#[derive(Debug)]
struct Node {
    place: Place,
    url: String,
    /// `None` while it does not run.
    process: Option<Child>,
    frozen: bool,
    /// Lines of its fault file, by the name they begin with.
    faults: BTreeMap<String, String>,
    disk: Option<SmallDisk>,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    nodes: BTreeMap<u64, Node>,
    network: Network,
    history: Arc<History>,
    /// A logged-in client of every node, to ask who leads.
    observers: Vec<Site>,
    layout: Layout,
    /// The format level that nodes started from now on pretend to support.
    level: Option<i64>,
    // Last: the processes and disks in it end first.
    folder: TempDir,
}

impl Cluster {
    /// Starts a cluster and waits until all its nodes are ready.
    ///
    /// # Errors
    /// If it is not ready in time; the text holds the end of its log.
    pub async fn start(nodes: u16, choices: &mut Choices) -> Result<Self> {
        Self::start_with(nodes, &Options::default(), choices).await
    }

    /// Starts a special cluster.
    ///
    /// # Errors
    /// Like [`Cluster::start`].
    pub async fn start_with(nodes: u16, options: &Options, choices: &mut Choices) -> Result<Self> {
        let program = environment::program()?;
        let folder = tempfile::Builder::new().prefix("tessera-chaos-").tempdir()?;
        let layout = Layout::create(&program, folder.path(), nodes, choices)?;
        let mut network = Network::new(choices);
        let last = layout.places.last().map(|place| place.id);
        let mut members = BTreeMap::new();
        for place in layout.places.clone() {
            network.add(place.id, place.advertised, place.listening).await?;
            let wants_disk = options.small_disk && last == Some(place.id);
            let disk = if wants_disk { SmallDisk::mount(&place.data_dir) } else { None };
            let faults = options.faults.iter().map(|line| (first_word(line), line.clone())).collect();
            let url = format!("http://{}", place.http);
            let (process, frozen) = (None, false);
            members.insert(place.id, Node { place, url, process, frozen, faults, disk });
        }
        let history = Arc::new(History::default());
        let (observers, level) = (Vec::new(), None);
        let mut cluster =
            Self { program, nodes: members, network, history, observers, layout, level, folder };
        let ids = cluster.ids();
        for id in &ids {
            cluster.node(*id)?.write_faults()?;
            cluster.launch(*id)?;
        }
        cluster.wait_ready(&ids).await?;
        cluster.observers = cluster.sites().await?;
        Ok(cluster)
    }

    /// Nodes that are started from now on are of a version that supports this format level.
    pub fn upgrade_to(&mut self, level: i64) {
        self.level = Some(level);
    }

    /// What is seen of this cluster.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// The network between its nodes. Whoever changes it tells [`Cluster::note_majority`].
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// All node ids.
    pub fn ids(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    /// Ids of the nodes that run, frozen or not.
    pub fn running(&self) -> Vec<u64> {
        self.nodes.iter().filter(|(_, node)| node.process.is_some()).map(|(id, _)| *id).collect()
    }

    /// Ids of the nodes that run and are not frozen.
    pub fn awake(&self) -> Vec<u64> {
        let awake = |node: &Node| node.process.is_some() && !node.frozen;
        self.nodes.iter().filter(|(_, node)| awake(node)).map(|(id, _)| *id).collect()
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
        Ok(&self.node(id)?.place.data_dir)
    }

    /// Which nodes have a small disk of their own.
    pub fn with_small_disk(&self) -> Option<u64> {
        self.nodes.iter().find(|(_, node)| node.disk.is_some()).map(|(id, _)| *id)
    }

    /// The program under test.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The folder everything is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its nodes are, and where more would be.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Adds a node that does not run yet.
    ///
    /// # Errors
    /// If there is no proxy for it.
    pub async fn adopt(&mut self, place: Place) -> Result<()> {
        self.network.add(place.id, place.advertised, place.listening).await?;
        let url = format!("http://{}", place.http);
        let node = Node {
            url,
            process: None,
            frozen: false,
            faults: BTreeMap::new(),
            disk: None,
            place: place.clone(),
        };
        self.nodes.insert(place.id, node);
        Ok(())
    }

    /// Forgets a node that has ended for good.
    pub fn forget(&mut self, id: u64) {
        self.nodes.remove(&id);
    }

    /// A logged-in client of some nodes.
    ///
    /// # Errors
    /// If the login fails.
    pub async fn site_of(&self, ids: &[u64]) -> Result<Site> {
        let urls: Result<Vec<String>> = ids.iter().map(|id| Ok(self.url(*id)?.to_owned())).collect();
        self.logged_in(None, &urls?).await
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
        // A machine with much to do may keep the nodes from agreeing on a leader for a while.
        let login = || async { site.client().login(ADMIN, ADMIN_PASSWORD).await.ok() };
        wait::until("a login of the administrator", START_LIMIT, login)
            .await
            .with_context(|| format!("at {urls:?}"))?;
        Ok(site)
    }

    /// Settings for tests: a fail counter that never locks a token, and a wide look-ahead window.
    ///
    /// # Errors
    /// Those of the client.
    pub async fn relax_limits(&self) -> Result<()> {
        let site = self.site_of_all().await?;
        for (key, value) in
            [("DefaultMaxFailCount", "1000000"), ("DefaultCountWindow", &COUNT_WINDOW.to_string())]
        {
            let set = || async { site.client().set_config(key, value, None).await.ok() };
            wait::until("a setting to be taken", START_LIMIT, set).await.context(key)?;
        }
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

    /// The leader of the highest term that any node knows of; none if they cannot say so in time.
    pub async fn current_leader(&self) -> Option<u64> {
        let awake = self.awake();
        let asked = self.observers.iter().filter(|site| site.node.is_some_and(|id| awake.contains(&id)));
        let answers = join_all(asked.map(|site| async {
            tokio::time::timeout(STATUS_LIMIT, site.client().cluster_status()).await.ok()?.ok()
        }))
        .await;
        let nodes = answers.into_iter().flatten().flat_map(|status| status.nodes);
        let leaders = nodes.filter(|node| node.reachable && node.role == "leader");
        leaders.max_by_key(|node| node.term)?.id.parse().ok()
    }

    fn node(&self, id: u64) -> Result<&Node> {
        self.nodes.get(&id).with_context(|| format!("there is no node {id}"))
    }

    fn node_mut(&mut self, id: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&id).with_context(|| format!("there is no node {id}"))
    }

    /// The last lines of every log.
    pub fn logs(&self) -> String {
        self.nodes.values().map(|node| tail(&node.place.log)).collect()
    }
}

impl Node {
    fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// The file is replaced, so that the node never reads half of it.
    fn write_faults(&self) -> Result<()> {
        let lines: Vec<&str> = self.faults.values().map(String::as_str).collect();
        let new = self.place.faults.with_extension("new");
        fs::write(&new, lines.join("\n") + "\n")?;
        fs::rename(&new, &self.place.faults)?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes.values_mut() {
            if let Some(child) = &mut node.process {
                // It may have ended by itself.
                let _ = (child.kill(), child.wait());
            }
        }
        if let Some(folder) = std::env::var_os("TESSERA_CHAOS_KEEP") {
            let _ = Command::new("cp").arg("-a").arg(self.folder.path()).arg(folder).status();
        }
    }
}

fn first_word(line: &str) -> String {
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

/// The end of a text file, with its name.
fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n");
    format!("--- {}\n{last}\n", path.display())
}
