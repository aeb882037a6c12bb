//! Where the nodes of a cluster are and what is in their folders, made as an operator makes it: `tessera key`, `tessera
//! cert`, and a configuration file for each node (`deploy/node.example.toml`).

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::environment::Choices;
use crate::process;

/// The first administrator.
pub const ADMIN: &str = "admin";

/// Made up for each run's own folder; nothing else is protected by it.
pub const ADMIN_PASSWORD: &str = "chaos-Test-1";

/// Nodes at most: each has two addresses of its own.
const NODES_MAX: u8 = 90;

/// Where one node is.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its number.
    pub id: u64,
    /// Its configuration file.
    pub config: PathBuf,
    /// Log, snapshots and history.
    pub data_dir: PathBuf,
    /// The switches of `raft/src/fault.rs`.
    pub faults: PathBuf,
    /// What it writes to standard output and error.
    pub log: PathBuf,
    /// Where it listens for the other nodes.
    pub listening: SocketAddr,
    /// Where the other nodes look for it: the network's proxy.
    pub advertised: SocketAddr,
    /// Where it listens for clients.
    pub http: SocketAddr,
}

/// Where a cluster is.
#[derive(Debug)]
pub struct Layout {
    folder: PathBuf,
    cluster_id: String,
    ports: (u16, u16),
    /// The nodes it begins with.
    pub places: Vec<Place>,
}

impl Layout {
    /// Fills a folder with all that `nodes` nodes need.
    ///
    /// # Errors
    /// If the program does not make keys and certificates, or files cannot be written.
    pub fn create(program: &Path, folder: &Path, nodes: u16, choices: &mut Choices) -> Result<Self> {
        let nodes = u8::try_from(nodes).ok().filter(|nodes| *nodes <= NODES_MAX).context("too many nodes")?;
        let addresses: Vec<Ipv4Addr> =
            (1..=NODES_MAX).take(usize::from(nodes) + 8).map(listening_at).collect();
        let ports = (process::free_port(&addresses, choices)?, process::free_port(&addresses, choices)?);
        let random = format!("{:016x}{:016x}", choices.bits(), choices.bits());
        let part = |from: usize, to: usize| random.get(from..to).unwrap_or_default().to_owned();
        // A random UUID (RFC 9562 section 5.4).
        let cluster_id =
            format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32));
        let mut layout = Self { folder: folder.to_owned(), cluster_id, ports, places: Vec::new() };
        layout.places = (1..=nodes).map(|id| layout.place(id)).collect();
        layout.write(program)?;
        Ok(layout)
    }

    /// Where a node is that may join later.
    ///
    /// # Errors
    /// If there are no addresses for so many nodes.
    pub fn another(&self, id: u64) -> Result<Place> {
        let id = u8::try_from(id).ok().filter(|id| *id <= NODES_MAX).context("too many nodes")?;
        Ok(self.place(id))
    }

    /// Folder of the cluster's certification authority.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    fn place(&self, id: u8) -> Place {
        let folder = self.folder.join(format!("node-{id}"));
        let (cluster, http) = self.ports;
        Place {
            id: id.into(),
            config: folder.join("node.toml"),
            data_dir: folder.join("data"),
            faults: folder.join("faults"),
            log: folder.join("node.log"),
            listening: SocketAddr::from((listening_at(id), cluster)),
            advertised: SocketAddr::from((advertised_at(id), cluster)),
            http: SocketAddr::from((listening_at(id), http)),
        }
    }

    fn write(&self, program: &Path) -> Result<()> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        run(program, &["key", "new", &file("cluster.key")])?;
        let id = &self.cluster_id;
        run(
            program,
            &["cert", "ca", "--cluster-id", id, "--out", &file("ca.pem"), "--key-out", &file("ca-key.pem")],
        )?;
        write_private(&self.folder.join("admin-password"), ADMIN_PASSWORD)?;
        for place in &self.places {
            let folder = self.folder.join(format!("node-{}", place.id));
            fs::create_dir(&folder)?;
            fs::create_dir(&place.data_dir)?;
            let number = place.id.to_string();
            let (out, key) =
                (file(&format!("node-{number}/node.pem")), file(&format!("node-{number}/key.pem")));
            let authority = (file("ca.pem"), file("ca-key.pem"));
            let mut arguments = vec!["cert", "node", "--cluster-id", id, "--node-id", &number];
            arguments.extend([
                "--ca-cert",
                &authority.0,
                "--ca-key",
                &authority.1,
                "--out",
                &out,
                "--key-out",
                &key,
            ]);
            run(program, &arguments)?;
            fs::write(&place.config, self.configuration(place))?;
        }
        Ok(())
    }

    fn configuration(&self, place: &Place) -> String {
        let Place { id, listening, advertised, http, .. } = place;
        let first = *id == 1;
        let mut text = format!(
            "[node]\nid = {id}\nname = \"node-{id}\"\ndata_dir = \"data\"\n\n\
             [cluster]\nid = \"{}\"\nlisten = \"{listening}\"\nadvertise = \"{advertised}\"\nbootstrap = {first}\n\
             key_file = \"../cluster.key\"\nca_file = \"../ca.pem\"\ncertificate_file = \"node.pem\"\n\
             private_key_file = \"key.pem\"\n\n\
             [http]\nlisten = \"{http}\"\nurl = \"http://{http}\"\nplain = true\n\n\
             [session]\ncookie_secure = false\n",
            self.cluster_id
        );
        // Writing to a string cannot fail.
        if first {
            let _ = write!(text, "\n[admin]\nuser = \"{ADMIN}\"\npassword_file = \"../admin-password\"\n");
        }
        for Place { id, advertised, http, .. } in &self.places {
            let _ = write!(
                text,
                "\n[[members]]\nid = {id}\ncluster = \"{advertised}\"\nhttp = \"http://{http}\"\n"
            );
        }
        text
    }
}

fn listening_at(id: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, id.saturating_add(10))
}

fn advertised_at(id: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, id.saturating_add(110))
}

fn run(program: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        bail!("`tessera {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// A file that only its owner may read, as the program demands of secrets.
fn write_private(path: &Path, content: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())?;
    Ok(())
}
