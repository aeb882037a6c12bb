//! Who a data directory belongs to, and whether it has been admitted to a cluster.
//!
//! A data directory is made with a random *incarnation*. The cluster remembers the incarnation of every member, so an
//! emptied directory, which has a new one, cannot pass for the old one: it may have acknowledged entries or voted, and has
//! forgotten (reference raft-and-storage 12, pitfall 19). Until a directory is admitted its node answers no other node and
//! votes for nobody. The *genesis* is drawn when a cluster is made and travels with every message: two clusters that were
//! made under one cluster id refuse each other instead of mixing their logs.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use thiserror::Error;

use crate::{
    transport::parse_cluster_id,
    type_config::{ClusterId, NodeId},
    wal::sync_dir,
};

/// Name of the file in the data directory.
const FILE: &str = "identity";
const FIRST_LINE: &str = "tessera-identity 1";
/// A file of more than this is none.
const BYTES_MAX: u64 = 4096;

/// 16 random bytes.
pub type Unique = [u8; 16];

/// Why a data directory was not opened.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The file is not as it was written.
    #[error(
        "{} is damaged ({problem}): this node may have forgotten what it acknowledged; wipe its data directory and let it \
         join as a new node (`tessera cluster replace`)", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The directory belongs to another cluster or node.
    #[error(
        "{} belongs to node {found_node} of cluster {found_cluster}, but this is node {node} of cluster {cluster}: \
         correct the configuration or the mount; do not copy data directories between nodes", path.display()
    )]
    WrongOwner {
        /// The file that says so.
        path: PathBuf,
        /// Configured cluster.
        cluster: ClusterId,
        /// Configured node.
        node: NodeId,
        /// Cluster found.
        found_cluster: ClusterId,
        /// Node found.
        found_node: NodeId,
    },
    /// One part of the directory is there, another one is gone.
    #[error(
        "{} is incomplete: {missing} is missing, so this node has forgotten what it acknowledged and must not vote again; \
         wipe the whole directory and let the node join as a new one (`tessera cluster replace {node}`)", path.display()
    )]
    Incomplete {
        /// The data directory.
        path: PathBuf,
        /// What is not there.
        missing: &'static str,
        /// The node.
        node: NodeId,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

/// How a directory was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Admission {
    genesis: Unique,
    /// Whether this directory's node made the cluster.
    founder: bool,
}

/// The identity of a data directory.
#[derive(Debug)]
pub(crate) struct OwnIdentity {
    path: PathBuf,
    cluster: ClusterId,
    node: NodeId,
    incarnation: Unique,
    admission: OnceLock<Admission>,
    /// Whether a member of a cluster this directory does not belong to has called this node a member.
    claimed: AtomicBool,
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> IdentityError {
    move |source| IdentityError::Io { action, path: path.to_owned(), source }
}

pub(crate) fn random() -> Result<Unique, IdentityError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| IdentityError::NoRandomness)?;
    Ok(bytes)
}

fn hex(bytes: &Unique) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

fn unhex(text: &str) -> Option<Unique> {
    parse_cluster_id(text).map(|id| id.0.to_be_bytes())
}

impl OwnIdentity {
    fn new(
        path: PathBuf,
        cluster: ClusterId,
        node: NodeId,
        incarnation: Unique,
        admission: OnceLock<Admission>,
    ) -> Self {
        Self { path, cluster, node, incarnation, admission, claimed: AtomicBool::new(false) }
    }

    /// Reads the identity of a data directory, or makes one in an empty directory. To be called before anything else is
    /// opened in it.
    pub(crate) fn open(dir: &Path, cluster: ClusterId, node: NodeId) -> Result<Arc<Self>, IdentityError> {
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        let path = dir.join(FILE);
        let has_log = has_log(dir).map_err(io_error("read", dir))?;
        let identity = match File::open(&path) {
            Ok(file) => {
                let mut text = String::new();
                file.take(BYTES_MAX).read_to_string(&mut text).map_err(io_error("read", &path))?;
                let damaged = |problem| IdentityError::Damaged { path: path.clone(), problem };
                Self::parse(path.clone(), &text).map_err(damaged)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if has_log {
                    let (path, missing) = (dir.to_owned(), "the file `identity`");
                    return Err(IdentityError::Incomplete { path, missing, node });
                }
                let fresh = Self::new(path, cluster, node, random()?, OnceLock::new());
                fresh.write(None)?;
                fresh
            }
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        if identity.cluster != cluster || identity.node != node {
            return Err(IdentityError::WrongOwner {
                path: identity.path,
                cluster,
                node,
                found_cluster: identity.cluster,
                found_node: identity.node,
            });
        }
        if identity.admission.get().is_some() && !has_log {
            let (path, missing) = (dir.to_owned(), "the write-ahead log");
            return Err(IdentityError::Incomplete { path, missing, node });
        }
        Ok(Arc::new(identity))
    }

    fn text(&self, admission: Option<Admission>) -> String {
        let mut text = format!(
            "{FIRST_LINE}\ncluster {}\nnode {}\nincarnation {}\n",
            self.cluster,
            self.node,
            hex(&self.incarnation)
        );
        if let Some(admission) = admission {
            let role = if admission.founder { "founder" } else { "joined" };
            // Writing to a string does not fail.
            let _ = writeln!(text, "genesis {}\nrole {role}", hex(&admission.genesis));
        }
        let _ = writeln!(text, "check {:08x}", crc32fast::hash(text.as_bytes()));
        text
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self, &'static str> {
        let (body, check) = text.rsplit_once("check ").ok_or("its last line is missing")?;
        if check.trim_end() != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
            return Err("its checksum is wrong");
        }
        let mut lines = body.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err("it was written by another version");
        }
        let mut next = |word: &str| lines.next()?.strip_prefix(word)?.strip_prefix(' ');
        let cluster = next("cluster").and_then(parse_cluster_id).ok_or("it names no cluster")?;
        let node = next("node").and_then(|text| text.parse().ok()).ok_or("it names no node")?;
        let incarnation = next("incarnation").and_then(unhex).ok_or("it has no incarnation")?;
        let admission = OnceLock::new();
        if let Some(genesis) = next("genesis") {
            let genesis = unhex(genesis).ok_or("its genesis is unusable")?;
            let founder = next("role").ok_or("it has no role")? == "founder";
            let _ = admission.set(Admission { genesis, founder });
        }
        Ok(Self::new(path, cluster, node, incarnation, admission))
    }

    /// Replaces the file, durably.
    fn write(&self, admission: Option<Admission>) -> Result<(), IdentityError> {
        let draft = self.path.with_extension("new");
        let attempt = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(self.text(admission).as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &self.path)?;
            self.path.parent().map_or(Ok(()), sync_dir)
        };
        attempt().map_err(io_error("write", &self.path))
    }

    /// The directory belongs to a cluster from now on. Durable when it returns; a second time it changes nothing.
    pub(crate) fn admit(&self, genesis: Unique, founder: bool) -> Result<(), IdentityError> {
        if self.admission.get().is_some() {
            return Ok(());
        }
        let admission = Admission { genesis, founder };
        self.write(Some(admission))?;
        // Only one task admits; a second one would have written the same.
        let _ = self.admission.set(admission);
        Ok(())
    }

    pub(crate) fn incarnation(&self) -> Unique {
        self.incarnation
    }

    /// What the cluster was given when it was made; `None` while the directory is not admitted.
    pub(crate) fn genesis(&self) -> Option<Unique> {
        self.admission.get().map(|admission| admission.genesis)
    }

    /// A member of another cluster than this directory's has sent this node a message.
    pub(crate) fn note_claim(&self) {
        self.claimed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Relaxed)
    }

    pub(crate) fn is_founder(&self) -> bool {
        self.admission.get().is_some_and(|admission| admission.founder)
    }
}

/// Whether there is a write-ahead log or a snapshot.
fn has_log(dir: &Path) -> io::Result<bool> {
    let filled = |name: &str| match fs::read_dir(dir.join(name)) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    Ok(dir.join("wal.mark").exists() || filled("wal")? || filled("snapshots")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: ClusterId = ClusterId(7);

    fn open(dir: &Path) -> Result<Arc<OwnIdentity>, IdentityError> {
        OwnIdentity::open(dir, CLUSTER, 4)
    }

    #[test]
    fn an_identity_is_kept_and_admitted_once() {
        let dir = tempfile::tempdir().unwrap();
        let fresh = open(dir.path()).unwrap();
        assert_eq!((fresh.genesis(), fresh.is_founder()), (None, false));
        let again = open(dir.path()).unwrap();
        assert_eq!(again.incarnation(), fresh.incarnation());
        again.admit([3; 16], true).unwrap();
        again.admit([4; 16], false).unwrap();
        fs::write(dir.path().join("wal.mark"), "").unwrap();
        let later = open(dir.path()).unwrap();
        assert_eq!((later.genesis(), later.is_founder()), (Some([3; 16]), true));
        assert_eq!(later.incarnation(), fresh.incarnation());
    }

    #[test]
    fn two_directories_differ() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_ne!(open(one.path()).unwrap().incarnation(), open(two.path()).unwrap().incarnation());
    }

    #[test]
    fn a_partly_emptied_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).unwrap().admit([3; 16], false).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Incomplete { .. }), "{error}");
        assert!(error.to_string().contains("tessera cluster replace 4"), "{error}");
        fs::remove_file(dir.path().join("identity")).unwrap();
        fs::create_dir_all(dir.path().join("snapshots/x")).unwrap();
        assert!(matches!(open(dir.path()), Err(IdentityError::Incomplete { .. })));
    }

    #[test]
    fn another_owner_and_every_changed_byte_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).unwrap();
        for (cluster, node) in [(ClusterId(8), 4), (CLUSTER, 5)] {
            let error = OwnIdentity::open(dir.path(), cluster, node).unwrap_err();
            assert!(matches!(error, IdentityError::WrongOwner { found_node: 4, .. }), "{error}");
        }
        let path = dir.path().join("identity");
        let good = fs::read(&path).unwrap();
        // The line end behind the checksum carries nothing.
        for at in 0..good.len() - 1 {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).unwrap();
            assert!(open(dir.path()).is_err(), "byte {at}");
        }
    }
}
