//! What an operator wants a node with an empty data folder to become: a new cluster, or a member of one.
//!
//! `tessera cluster init` and `tessera cluster join` leave a small file in the node's data folder, and the waiting node
//! finds it. Whoever can write to that folder owns the node, so nothing else has to be proved, and a node that belongs
//! to no cluster, and so knows no administrator, need not listen to anybody.

use std::io;
use std::path::{Path, PathBuf};

use tessera_core::secret::SecretText;

use crate::file::{self, FileError};

const FIRST_LINE: &str = "tessera-start 1";
/// A file of more than this is none.
const BYTES_MAX: u64 = 16 * 1024;

/// What the node shall become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartRequest {
    /// The first node of a new cluster.
    Init,
    /// A member of the cluster that one of these addresses belongs to.
    Join {
        /// `host:port` of nodes of the cluster.
        peers: Vec<String>,
        /// The token for this node's id.
        token: SecretText,
    },
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("start-request")
}

impl StartRequest {
    /// Leaves the request in a data folder; an earlier one, and a refusal of it, are replaced.
    ///
    /// # Errors
    /// When the folder cannot be made or written to.
    pub fn write(&self, data_dir: &Path) -> Result<(), FileError> {
        let failed = |source| FileError::Io { action: "write", path: data_dir.to_owned(), source };
        file::create_private_dir(data_dir).map_err(failed)?;
        note_refusal(data_dir, None)?;
        let mut text = format!("{FIRST_LINE}\n");
        match self {
            Self::Init => text.push_str("init\n"),
            Self::Join { peers, token } => {
                text.push_str(&format!("join {}\n", token.expose()));
                text.extend(peers.iter().map(|peer| format!("peer {peer}\n")));
            }
        }
        file::replace_secret(&path(data_dir), text.as_bytes())
    }

    /// The request in a data folder, if there is one.
    ///
    /// # Errors
    /// When the file is there and cannot be used.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, FileError> {
        let path = path(data_dir);
        let content = match file::read_secret(&path, BYTES_MAX) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let invalid = || {
            let source = io::Error::new(io::ErrorKind::InvalidData, "not written by `tessera cluster`");
            FileError::Io { action: "read", path: path.clone(), source }
        };
        let text = std::str::from_utf8(&content).map_err(|_| invalid())?;
        Self::parse(text).map(Some).ok_or_else(invalid)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let what = lines.next()?;
        if what == "init" {
            return Some(Self::Init);
        }
        let token = SecretText::from(what.strip_prefix("join ")?);
        let peers = lines.map(|line| line.strip_prefix("peer ").map(str::to_owned));
        Some(Self::Join { peers: peers.collect::<Option<_>>()?, token })
    }

    /// Removes the request; it has done its work.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(data_dir: &Path) -> Result<(), FileError> {
        let path = path(data_dir);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(FileError::Io { action: "remove", path, source })
            }
            _ => Ok(()),
        }
    }
}

/// Whether a data folder belongs to a cluster already, so that its node is not to become anything else.
#[must_use]
pub fn is_admitted(data_dir: &Path) -> bool {
    let identity = std::fs::read_to_string(data_dir.join("identity")).unwrap_or_default();
    identity.lines().any(|line| line.starts_with("genesis "))
}

/// Why the node was refused by its cluster, if it was; noted for whoever waits for it on the same machine.
#[must_use]
pub fn refusal(data_dir: &Path) -> Option<String> {
    let content = file::read_secret(&refusal_path(data_dir), BYTES_MAX).ok()?;
    String::from_utf8(content.to_vec()).ok()
}

/// Notes that the node was refused, or that this is over.
///
/// # Errors
/// When the file cannot be written or removed.
pub(crate) fn note_refusal(data_dir: &Path, reason: Option<&str>) -> Result<(), FileError> {
    let path = refusal_path(data_dir);
    let Some(reason) = reason else {
        return match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(FileError::Io { action: "remove", path, source })
            }
            _ => Ok(()),
        };
    };
    file::replace_secret(&path, reason.as_bytes())
}

fn refusal_path(data_dir: &Path) -> PathBuf {
    data_dir.join("start-refused")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_found_once_it_is_written_and_not_after_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let join = StartRequest::Join {
            peers: vec!["otp1:7580".into(), "[::1]:7580".into()],
            token: "4-abc".into(),
        };
        assert_eq!(StartRequest::read(&data).unwrap(), None);
        for request in [StartRequest::Init, join] {
            request.write(&data).unwrap();
            assert_eq!(StartRequest::read(&data).unwrap(), Some(request));
        }
        StartRequest::remove(&data).unwrap();
        StartRequest::remove(&data).unwrap();
        assert_eq!(StartRequest::read(&data).unwrap(), None);
    }

    #[test]
    fn anything_else_is_refused_without_repeating_it() {
        let folder = tempfile::tempdir().unwrap();
        for text in [
            "",
            "tessera-start 2\ninit\n",
            "tessera-start 1\njoined Tr0mbone\n",
            "tessera-start 1\njoin t\npear x\n",
        ] {
            file::replace_secret(&path(folder.path()), text.as_bytes()).unwrap();
            let error = StartRequest::read(folder.path()).unwrap_err();
            assert!(!format!("{error:?}").contains("Tr0mbone"));
        }
    }
}
