//! Backups: sending the state, the encrypted file, looking into it, and a new cluster from it.
//!
//! The node sends a pinned state as an archive (`tessera-raft`), whose secrets are sealed under the cluster key as they are
//! in the state. Whoever asked for it encrypts it into a file ([`container`]); the passphrase or backup key never reaches
//! a node. The cluster key is not part of the state. The file may carry a copy of the key file all the same, but only if
//! it is encrypted with a random key: a passphrase that is guessed must not give away every seed.
//!
//! Inside of the encryption a file is `length u32 LE | cluster key file, if included | archive`.

pub mod container;
mod inspect;
mod key_file;
mod restore;
mod source;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use tessera_raft::archive::{ArchiveError, ArchiveReader};
use zeroize::Zeroizing;

pub use container::{BackupKey, BackupSecret, ContainerError};
pub(crate) use inspect::hex;
pub use inspect::{Content, KeyReport, inspect};
pub use key_file::BackupKeyError;
pub use restore::{RestoreOptions, RestoreReport, restore};
pub use source::{BackupStream, NoBackup};

use crate::file;
use crate::keys::{ClusterKeys, KeyFileError, KeyLineProblem};
use container::{Opener, Sealer};

/// A cluster key file of more than this is none.
const KEY_FILE_BYTES_MAX: u32 = 64 * 1024;

/// Why a backup cannot be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The encryption of a file.
    #[error("{}: {problem}", path.display())]
    Container {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: ContainerError,
    },
    /// The content of a file.
    #[error("{}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ArchiveError,
    },
    /// The cluster key would be protected by a passphrase only.
    #[error(
        "the cluster key is included only in a backup that is encrypted with a backup key file, not with a passphrase"
    )]
    KeyUnderPassphrase,
    /// The included key file cannot be read.
    #[error("the cluster key file in the backup is damaged in line {line}: {problem}")]
    IncludedKeys {
        /// Line number from 1.
        line: usize,
        /// What is wrong.
        problem: KeyLineProblem,
    },
    /// A cluster key file on disk.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// A key the content needs is missing or another one.
    #[error("{0}")]
    WrongKeys(String),
    /// The state cannot be turned into a new cluster.
    #[error(transparent)]
    Restore(#[from] tessera_raft::restore::RestoreError),
    /// No random bytes.
    #[error(transparent)]
    NoEntropy(#[from] crate::entropy::NoEntropy),
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { action, path: path.clone(), source }
}

fn container_error(path: &Path) -> impl Fn(ContainerError) -> BackupError {
    let path = path.to_owned();
    move |problem| BackupError::Container { path: path.clone(), problem }
}

/// A file's problem with its encryption arrives wrapped into the error of a read; it is unwrapped to be told as it is.
fn archive_error(path: &Path) -> impl Fn(ArchiveError) -> BackupError {
    let path = path.to_owned();
    move |error| {
        let path = path.clone();
        let ArchiveError::Io { action, source } = error else {
            return BackupError::Archive { path, source: error };
        };
        match source.downcast::<ContainerError>() {
            Ok(problem) => BackupError::Container { path, problem },
            Err(source) => BackupError::Archive { path, source: ArchiveError::Io { action, source } },
        }
    }
}

/// A backup file that is being written. It appears under its name when it is complete and durable.
#[derive(Debug)]
pub struct BackupWriter {
    path: PathBuf,
    draft: PathBuf,
    sealer: Sealer<BufWriter<File>>,
}

impl BackupWriter {
    /// Begins a file, mode 0600, which must not exist yet. `include` is a cluster key file to be kept in it.
    ///
    /// # Errors
    /// When the file exists or cannot be written, or the secret is too weak for what it has to protect.
    pub fn create(path: &Path, secret: &BackupSecret, include: Option<&Path>) -> Result<Self, BackupError> {
        if include.is_some() && !secret.is_random() {
            return Err(BackupError::KeyUnderPassphrase);
        }
        let keys = match include {
            Some(path) => ClusterKeys::load(path)?.text(),
            None => Zeroizing::new(String::new()),
        };
        if path.exists() {
            return Err(io_error("write", path)(io::ErrorKind::AlreadyExists.into()));
        }
        let mut draft = path.as_os_str().to_owned();
        draft.push(".part");
        let draft = PathBuf::from(draft);
        let out = file::create_private(&draft).map_err(io_error("write", &draft))?;
        let begun = Sealer::begin(BufWriter::new(out), secret).map_err(container_error(&draft));
        let sealer = match begun {
            Ok(sealer) => sealer,
            Err(error) => {
                // The error that counts is the one that is returned.
                let _ = std::fs::remove_file(&draft);
                return Err(error);
            }
        };
        let mut writer = Self { path: path.to_owned(), draft, sealer };
        let length = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        writer.push(&length.to_le_bytes())?;
        writer.push(keys.as_bytes())?;
        Ok(writer)
    }

    /// Appends a piece of the archive.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.sealer.write_all(bytes).map_err(io_error("write", &self.draft))
    }

    /// Completes the file, reads it again from the disk to the end, and gives it its name.
    ///
    /// # Errors
    /// When it cannot be written, or the archive is not complete and correct.
    pub fn finish(self, secret: &BackupSecret) -> Result<Content, BackupError> {
        let Self { path, draft, sealer } = self;
        let finished = || {
            let out = sealer.finish().map_err(container_error(&draft))?;
            let file = out.into_inner().map_err(|error| io_error("write", &draft)(error.into_error()))?;
            file.sync_all().map_err(io_error("write", &draft))?;
            let content = inspect(&draft, secret, None)?;
            if content.included_keys.is_some() {
                content.require_keys()?;
            }
            name(&draft, &path).map_err(io_error("write", &path))?;
            Ok(content)
        };
        let result = finished();
        // Left behind it would only be confusing; there is a better error to tell if this fails as well.
        let _ = std::fs::remove_file(&draft);
        if result.is_ok()
            && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        {
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(io_error("sync", folder))?;
        }
        result
    }

    /// Gives the file up.
    pub fn discard(self) {
        // A file that cannot be removed is recognised by its name, and is incomplete.
        let _ = std::fs::remove_file(&self.draft);
    }
}

/// Gives a file its name, unless there is another one under it by now.
fn name(draft: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
            // A file system without hard links.
            std::fs::rename(draft, path)
        }
        named => named,
    }
}

type FileOpener = Opener<BufReader<File>>;

/// An opened backup file: the archive in it, and the cluster key file if it has one.
struct Opened {
    archive: ArchiveReader<BufReader<FileOpener>>,
    keys: Option<ClusterKeys>,
}

fn open(path: &Path, secret: &BackupSecret) -> Result<Opened, BackupError> {
    let file = File::open(path).map_err(io_error("read", path))?;
    let opener = Opener::begin(BufReader::new(file), secret).map_err(container_error(path))?;
    let mut input = BufReader::with_capacity(64 * 1024, opener);
    let failed = |source| archive_error(path)(ArchiveError::Io { action: "read", source });
    let mut length = [0; 4];
    input.read_exact(&mut length).map_err(failed)?;
    let length = u32::from_le_bytes(length);
    if length > KEY_FILE_BYTES_MAX {
        return Err(BackupError::IncludedKeys { line: 1, problem: KeyLineProblem::Version });
    }
    let mut text = Zeroizing::new(String::new());
    let read = (&mut input).take(length.into()).read_to_string(&mut text).map_err(failed)?;
    if u32::try_from(read) != Ok(length) {
        return Err(container_error(path)(ContainerError::Truncated));
    }
    let keys = match length {
        0 => None,
        _ => {
            let keys = ClusterKeys::parse(&text);
            Some(keys.map_err(|(line, problem)| BackupError::IncludedKeys { line, problem })?)
        }
    };
    let archive = ArchiveReader::open(input).map_err(archive_error(path))?;
    Ok(Opened { archive, keys })
}
