//! The folder of a development cluster: what is in it, and how it is filled.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tessera_node::keys::ClusterKeys;
use tessera_node::{entropy, file, tls};

use super::ADMIN;
use super::demo::Demo;

/// Version of `dev.json`.
const VERSION: u32 = 1;
/// A `dev.json` of more than this is none.
const BYTES_MAX: u64 = 64 * 1024;
const HTTP_PORT: u16 = 7480;
const CLUSTER_PORT: u16 = 7580;
/// Letters and digits that are not mistaken for each other.
const PASSWORD_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What the command line asks for; what is not given is taken from the folder, or a default.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) nodes: Option<u16>,
    pub(super) http_port: Option<u16>,
    pub(super) cluster_port: Option<u16>,
    pub(super) admin_password: Option<String>,
}

/// `dev.json`: what has to stay the same when the cluster is started again.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    cluster_id: String,
    nodes: u16,
    http_port: u16,
    cluster_port: u16,
    admin_password: String,
    #[serde(default)]
    demo: Option<Demo>,
}

/// The folder of a development cluster.
pub(super) struct Folder {
    path: PathBuf,
    kept: Kept,
}

/// Where a node is and listens.
pub(super) struct NodePlace {
    pub(super) folder: PathBuf,
    pub(super) config: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) log: PathBuf,
    pub(super) url: String,
    pub(super) http: String,
    pub(super) cluster: String,
}

impl Folder {
    /// Opens a folder, or fills a new one.
    pub(super) fn prepare(path: &Path, wanted: Wanted) -> anyhow::Result<Self> {
        file::create_private_dir(path).with_context(|| format!("cannot create {}", path.display()))?;
        let path = path.canonicalize()?;
        let state = path.join("dev.json");
        let kept = match file::read_secret(&state, BYTES_MAX) {
            Ok(content) => {
                let kept: Kept = serde_json::from_slice(&content)
                    .with_context(|| format!("{} is not usable", state.display()))?;
                kept.check(&path, &wanted)?;
                kept
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Kept::new(wanted)?,
            Err(error) => return Err(error.into()),
        };
        let folder = Self { path, kept };
        folder.fill()?;
        folder.write()?;
        Ok(folder)
    }

    /// Writes what is missing. Existing files stay: they may have been changed on purpose.
    fn fill(&self) -> anyhow::Result<()> {
        let key = self.path.join("cluster.key");
        if !key.exists() {
            ClusterKeys::generate()?.create(&key)?;
        }
        self.write_missing("admin-password", &self.kept.admin_password)?;
        let (ca_file, ca_key_file) = (self.path.join("ca.pem"), self.path.join("ca-key.pem"));
        if !ca_file.exists() {
            tls::new_ca(&self.kept.cluster_id)?.create(&ca_file, &ca_key_file)?;
        }
        let ca = tls::Issued {
            certificate_pem: fs::read_to_string(&ca_file)?,
            private_key_pem: fs::read_to_string(&ca_key_file)?.into(),
        };
        for id in 1..=self.kept.nodes {
            let place = self.node(id);
            file::create_private_dir(&place.data_dir)?;
            let (certificate, key) = (place.folder.join("node.pem"), place.folder.join("node-key.pem"));
            if !certificate.exists() {
                let hosts = ["127.0.0.1".to_owned(), "localhost".to_owned()];
                tls::new_node(&ca, &self.kept.cluster_id, id.into(), &hosts)?.create(&certificate, &key)?;
            }
            if !place.config.exists() {
                fs::write(&place.config, self.node_config(id))?;
            }
        }
        Ok(())
    }

    fn write_missing(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let path = self.path.join(name);
        if path.exists() { Ok(()) } else { Ok(file::create_secret(&path, content.as_bytes())?) }
    }

    fn write(&self) -> anyhow::Result<()> {
        let content = serde_json::to_vec_pretty(&self.kept)?;
        Ok(file::replace_secret(&self.path.join("dev.json"), &content)?)
    }

    fn node_config(&self, id: u16) -> String {
        let place = self.node(id);
        let bootstrap = id == 1;
        let mut text = format!(
            "# Written by `tessera dev`, which does not write it again.\n\n\
             [node]\nid = {id}\nname = \"node-{id}\"\ndata_dir = \"data\"\n\n\
             [cluster]\nid = \"{}\"\nlisten = \"{}\"\nadvertise = \"{}\"\nbootstrap = {bootstrap}\n\
             key_file = \"../cluster.key\"\nca_file = \"../ca.pem\"\ncertificate_file = \"node.pem\"\n\
             private_key_file = \"node-key.pem\"\n\n\
             [http]\nlisten = \"{}\"\nurl = \"{}\"\nplain = true\ntrusted_proxies = [\"127.0.0.1\"]\n\n\
             [session]\ncookie_secure = false\n",
            self.kept.cluster_id, place.cluster, place.cluster, place.http, place.url
        );
        if bootstrap {
            // Writing to a string does not fail.
            let _ = write!(text, "\n[admin]\nuser = \"{ADMIN}\"\npassword_file = \"../admin-password\"\n");
        }
        for member in 1..=self.kept.nodes {
            let place = self.node(member);
            let (cluster, http) = (&place.cluster, &place.url);
            let _ =
                write!(text, "\n[[members]]\nid = {member}\ncluster = \"{cluster}\"\nhttp = \"{http}\"\n");
        }
        text
    }

    /// Where a node is and listens; ids count from 1.
    pub(super) fn node(&self, id: u16) -> NodePlace {
        let offset = id.saturating_sub(1);
        let http = format!("127.0.0.1:{}", self.kept.http_port.saturating_add(offset));
        let folder = self.path.join(format!("node-{id}"));
        NodePlace {
            config: folder.join("node.toml"),
            data_dir: folder.join("data"),
            log: folder.join("node.log"),
            url: format!("http://{http}"),
            http,
            cluster: format!("127.0.0.1:{}", self.kept.cluster_port.saturating_add(offset)),
            folder,
        }
    }

    /// The ids of all nodes.
    pub(super) fn ids(&self) -> std::ops::RangeInclusive<u16> {
        1..=self.kept.nodes
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.ids().map(|id| self.node(id).url).collect()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn admin_password(&self) -> &str {
        &self.kept.admin_password
    }

    pub(super) const fn demo(&self) -> Option<&Demo> {
        self.kept.demo.as_ref()
    }

    /// Remembers the demo, so that it is not made again.
    pub(super) fn keep_demo(&mut self, demo: Demo) -> anyhow::Result<()> {
        self.kept.demo = Some(demo);
        self.write()
    }

    /// A taken port is said before anything is started.
    pub(super) fn check_ports(&self) -> anyhow::Result<()> {
        for id in self.ids() {
            let place = self.node(id);
            for address in [&place.http, &place.cluster] {
                TcpListener::bind(address).with_context(|| format!("{address} of node {id} is not free"))?;
            }
        }
        Ok(())
    }

    /// Writes `cluster.json` for programs that use the cluster.
    pub(super) fn write_cluster_file(&self, pids: &[u32]) -> anyhow::Result<()> {
        let nodes: Vec<_> = self.ids().zip(pids).map(|(id, pid)| super::node_entry(self, id, *pid)).collect();
        let admin = json!({ "user": ADMIN, "password": self.kept.admin_password });
        let content = serde_json::to_vec_pretty(&json!({ "nodes": nodes, "admin": admin }))?;
        Ok(file::replace_secret(&self.path.join("cluster.json"), &content)?)
    }
}

impl Kept {
    fn new(wanted: Wanted) -> anyhow::Result<Self> {
        let password = match wanted.admin_password {
            Some(password) => password,
            None => random_password()?,
        };
        Ok(Self {
            version: VERSION,
            cluster_id: uuid::Builder::from_random_bytes(entropy::bytes()?).into_uuid().to_string(),
            nodes: wanted.nodes.unwrap_or(1),
            http_port: wanted.http_port.unwrap_or(HTTP_PORT),
            cluster_port: wanted.cluster_port.unwrap_or(CLUSTER_PORT),
            admin_password: password,
            demo: None,
        })
    }

    /// A folder has a cluster of a certain size at certain ports, which its members remember.
    fn check(&self, path: &Path, wanted: &Wanted) -> anyhow::Result<()> {
        let differs = |wanted: Option<u16>, kept: u16| wanted.is_some_and(|wanted| wanted != kept);
        let place = path.display();
        anyhow::ensure!(self.version == VERSION, "{place} was made by another version of `tessera dev`");
        anyhow::ensure!(
            !differs(wanted.nodes, self.nodes),
            "{place} holds a cluster of {} nodes",
            self.nodes
        );
        let ports =
            differs(wanted.http_port, self.http_port) || differs(wanted.cluster_port, self.cluster_port);
        let (http, cluster) = (self.http_port, self.cluster_port);
        anyhow::ensure!(
            !ports,
            "{place} holds a cluster at the ports {http} (clients) and {cluster} (nodes)"
        );
        let password = wanted.admin_password.as_ref().is_none_or(|password| *password == self.admin_password);
        anyhow::ensure!(password, "{place} holds a cluster with another administrator password");
        Ok(())
    }
}

fn random_password() -> anyhow::Result<String> {
    let bytes: [u8; 16] = entropy::bytes()?;
    let letter =
        |byte: &u8| PASSWORD_ALPHABET.get(usize::from(byte % 32)).map_or('a', |letter| char::from(*letter));
    Ok(bytes.iter().map(letter).collect())
}

#[cfg(test)]
mod tests {
    use tessera_node::NodeConfig;

    use super::*;

    fn wanted() -> Wanted {
        Wanted { nodes: Some(3), http_port: Some(17480), cluster_port: Some(17580), admin_password: None }
    }

    #[test]
    fn the_written_configurations_pass_the_check_and_fit_together() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::prepare(place.path(), wanted()).unwrap();
        for id in folder.ids() {
            let config = NodeConfig::load(&folder.node(id).config, []).unwrap();
            assert_eq!(config.check_files(), Vec::<String>::new());
            assert_eq!(config.node.id, u64::from(id));
            assert_eq!(config.members.len(), 3);
            assert_eq!(config.http.trusted_proxies, ["127.0.0.1"]);
            assert_eq!(config.http.listen.port(), 17479 + id);
            assert_eq!(config.cluster.listen.port(), 17579 + id);
            assert_eq!(config.cluster.bootstrap, id == 1);
            assert_eq!(config.admin.first.is_some(), id == 1);
        }
    }

    #[test]
    fn a_folder_is_used_again_with_what_it_holds() {
        let place = tempfile::tempdir().unwrap();
        let first = Folder::prepare(place.path(), wanted()).unwrap();
        let key = fs::read(place.path().join("cluster.key")).unwrap();
        let again = Folder::prepare(place.path(), Wanted::default()).unwrap();
        assert_eq!(again.urls(), first.urls());
        assert_eq!(again.admin_password(), first.admin_password());
        assert_eq!(fs::read(place.path().join("cluster.key")).unwrap(), key);
        for other in [
            Wanted { nodes: Some(5), ..Wanted::default() },
            Wanted { http_port: Some(1), ..Wanted::default() },
            Wanted { cluster_port: Some(1), ..Wanted::default() },
            Wanted { admin_password: Some("other".to_owned()), ..Wanted::default() },
        ] {
            assert!(Folder::prepare(place.path(), other).is_err());
        }
    }

    #[test]
    fn cluster_json_has_the_documented_members() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::prepare(place.path(), wanted()).unwrap();
        folder.write_cluster_file(&[11, 12, 13]).unwrap();
        let text = fs::read(place.path().join("cluster.json")).unwrap();
        let file: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(file["admin"]["user"], "admin");
        assert_eq!(file["admin"]["password"], folder.admin_password());
        let node = &file["nodes"][1];
        assert_eq!((node["id"].as_u64(), node["pid"].as_u64()), (Some(2), Some(12)));
        assert_eq!(node["http"], "http://127.0.0.1:17481");
        assert_eq!(node["cluster"], "127.0.0.1:17581");
        for name in ["data_dir", "config"] {
            assert!(Path::new(node[name].as_str().unwrap()).exists(), "{name}");
        }
    }

    #[test]
    fn generated_passwords_differ() {
        assert_ne!(random_password().unwrap(), random_password().unwrap());
    }
}
