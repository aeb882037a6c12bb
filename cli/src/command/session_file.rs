//! The session kept by `tessera login`: a file that only its owner can read.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tessera_client::Session;
use tessera_node::file::{self, FileError};

/// A session file of more than this is none.
const BYTES_MAX: u64 = 64 * 1024;

/// What is kept between two commands.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The servers of the login.
    pub(super) urls: Vec<String>,
    /// The cookies.
    pub(super) session: Session,
}

/// `$XDG_STATE_HOME/tessera/session.json`, else below `~/.local/state`.
pub(super) fn path() -> Option<PathBuf> {
    place(std::env::var_os("XDG_STATE_HOME").map(PathBuf::from), std::env::var_os("HOME").map(PathBuf::from))
}

fn place(state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    // The XDG specification: relative paths are invalid and ignored.
    let state = state.filter(|path| path.is_absolute());
    let folder = state.or_else(|| home.map(|home| home.join(".local/state")))?;
    Some(folder.join("tessera/session.json"))
}

/// The kept session, if there is a usable one.
pub(super) fn load(path: &Path) -> anyhow::Result<Option<Kept>> {
    match file::read_secret(path, BYTES_MAX) {
        Ok(content) => Ok(serde_json::from_slice(&content).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("the session file cannot be used"),
    }
}

/// Keeps a session.
pub(super) fn store(path: &Path, kept: &Kept) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    file::replace_secret(path, &serde_json::to_vec(kept)?)?;
    Ok(())
}

/// Forgets the kept session.
pub(super) fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(FileError::Io { action: "remove", path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_place_follows_the_xdg_specification() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(place(path("/s"), path("/h")), path("/s/tessera/session.json"));
        assert_eq!(place(None, path("/h")), path("/h/.local/state/tessera/session.json"));
        assert_eq!(place(path("relative"), path("/h")), path("/h/.local/state/tessera/session.json"));
        assert_eq!(place(None, None), None);
    }

    #[test]
    fn a_session_is_kept_privately_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/session.json");
        assert!(load(&path).unwrap().is_none());
        let text = r#"{"user":"admin","url":"http://a","access_token":"t","csrf_token":"c"}"#;
        let session: Session = serde_json::from_str(text).unwrap();
        store(&path, &Kept { urls: vec!["http://a".to_owned()], session }).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let kept = load(&path).unwrap().unwrap();
        assert_eq!(
            (kept.urls.as_slice(), kept.session.user.as_str()),
            (["http://a".to_owned()].as_slice(), "admin")
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load(&path).is_err(), "a session others can read must not be used");
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(load(&path).unwrap().is_none());
    }
}
