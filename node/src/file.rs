//! Files that hold secrets: readable by their owner only, written once, never echoed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Mode of a secret file: its owner reads and writes it, nobody else does anything.
const SECRET_MODE: u32 = 0o600;
/// The access bits of group and others.
const FOREIGN_ACCESS: u32 = 0o077;

/// Creates a folder that only its owner may enter: the audit trail in it is in the clear. One that exists stays as it is.
///
/// # Errors
/// When it cannot be created.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Why a file cannot be used. Contains its name, never its content.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refuses.
    #[error("cannot {action} {path}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Group or others may access the file.
    #[error("{path} has mode {mode:o}, but only its owner may access it: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is longer than anything of its kind.
    #[error("{path} is longer than {limit} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
}

impl FileError {
    /// The kind of the cause, as the operating system names it.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Io { source, .. } => source.kind(),
            Self::Exposed { .. } => io::ErrorKind::PermissionDenied,
            Self::TooLong { .. } => io::ErrorKind::InvalidData,
        }
    }
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> FileError + use<'a> {
    move |source| FileError::Io { action, path: path.to_owned(), source }
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read or is longer.
pub fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = File::open(path).map_err(failed("read", path))?;
    read_open(file, path, limit)
}

/// Reads a file that only its owner may access.
///
/// # Errors
/// As [`read`], and when group or others may access it.
pub fn read_secret(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = File::open(path).map_err(failed("read", path))?;
    let mode = file.metadata().map_err(failed("read", path))?.mode() & 0o7777;
    if mode & FOREIGN_ACCESS != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    read_open(file, path, limit)
}

fn read_open(file: File, path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let mut content = Zeroizing::new(Vec::new());
    let mut bounded = file.take(limit.saturating_add(1));
    bounded.read_to_end(&mut content).map_err(failed("read", path))?;
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > limit {
        return Err(FileError::TooLong { path: path.to_owned(), limit });
    }
    Ok(content)
}

/// Creates a file with mode 0600 for writing, in the place of one that may be there.
///
/// # Errors
/// When it cannot be created.
pub fn create_private(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    OpenOptions::new().write(true).create_new(true).mode(SECRET_MODE).open(path)
}

/// Creates a file with mode 0600 and makes it durable. An existing file is never overwritten.
///
/// # Errors
/// When it exists or cannot be written.
pub fn create_secret(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let attempt = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(SECRET_MODE).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    attempt().map_err(failed("write", path))
}

/// Replaces a file by one with mode 0600, so that readers see the old or the new content and nothing in between.
///
/// # Errors
/// When it cannot be written.
pub fn replace_secret(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let draft = PathBuf::from(name);
    match std::fs::remove_file(&draft) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("write", &draft)(error)),
    }
    create_secret(&draft, content)?;
    std::fs::rename(&draft, path).map_err(failed("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_stays_private_and_a_long_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session");
        replace_secret(&path, b"one").unwrap();
        replace_secret(&path, b"two").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read_secret(&path, 3).unwrap().as_slice(), b"two");
        assert!(matches!(read_secret(&path, 2), Err(FileError::TooLong { limit: 2, .. })));
        assert!(create_secret(&path, b"three").is_err());
    }
}
