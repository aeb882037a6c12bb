//! Reads the password file and notices when it has changed.

use std::error::Error;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::ResolverError;
use super::table::Table;

/// Largest accepted file: 64 MiB, more than half a million users.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file changed this recently may change again without its times showing it, because the kernel stamps files
/// with the granularity of its timer tick (10 ms at most). Such a file is read once more at the next look.
const SETTLING_TIME_NS: i128 = 50_000_000;

/// Why a password file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is missing or cannot be read.
    #[error("cannot read password file {path}")]
    Unreadable {
        /// The configured path.
        path: PathBuf,
        /// The answer of the operating system.
        #[source]
        source: io::Error,
    },
    /// The path leads to a directory, a device or the like.
    #[error("password file {path} is not a regular file")]
    NotAFile {
        /// The configured path.
        path: PathBuf,
    },
    /// The file exceeds [`FILE_BYTES_MAX`].
    #[error("password file {path} is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge {
        /// The configured path.
        path: PathBuf,
    },
    /// The file holds no line that can be understood.
    #[error("password file {path} has no usable line")]
    NoUsableLine {
        /// The configured path.
        path: PathBuf,
    },
}

/// A load error that snapshots can share.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub(super) struct SharedLoadError(Arc<LoadError>);

impl SharedLoadError {
    /// The same error as users of the resolver see it.
    pub(super) fn in_resolver(&self, resolver: &str) -> ResolverError {
        let resolver = resolver.to_owned();
        let source: Arc<dyn Error + Send + Sync> = Arc::<LoadError>::clone(&self.0);
        match *self.0 {
            LoadError::Unreadable { .. } => ResolverError::Unavailable { resolver, source },
            LoadError::NotAFile { .. } | LoadError::TooLarge { .. } | LoadError::NoUsableLine { .. } => {
                ResolverError::Misconfigured { resolver, source }
            }
        }
    }
}

/// Tells two states of a file apart without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ns = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
        now_ns.abs_diff(self.changed_ns) > SETTLING_TIME_NS.unsigned_abs()
    }
}

fn nanoseconds(seconds: i64, fraction: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(fraction)
}

/// What one reading of the file gave.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// State of the file when it was opened; `None` when it has to be read again in any case.
    stamp: Option<Stamp>,
    /// The users, or why there are none.
    pub(super) content: Result<Arc<Table>, SharedLoadError>,
}

impl Snapshot {
    /// Tells whether the file still is what was read. Costs one system call.
    pub(super) fn is_current(&self, path: &Path) -> bool {
        match (&self.stamp, fs::metadata(path)) {
            (Some(stamp), Ok(metadata)) => *stamp == Stamp::of(&metadata),
            _ => false,
        }
    }
}

/// Reads the file at `path` for the resolver `name`.
pub(super) fn load(path: &Path, name: &str) -> Snapshot {
    match read(path) {
        Ok((metadata, bytes)) => {
            let stamp = Stamp::of(&metadata);
            let table = Table::parse(&bytes, name);
            let content = if table.user_count() > 0 {
                Ok(Arc::new(table))
            } else {
                Err(SharedLoadError(Arc::new(LoadError::NoUsableLine { path: path.to_owned() })))
            };
            Snapshot { stamp: Some(stamp).filter(Stamp::is_settled), content }
        }
        Err(error) => Snapshot { stamp: None, content: Err(SharedLoadError(Arc::new(error))) },
    }
}

/// The bytes of the file and its metadata from before they were read, so that a change in between is noticed.
fn read(path: &Path) -> Result<(Metadata, Vec<u8>), LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    // Asked before opening as well: opening a FIFO would wait for a writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(LoadError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(LoadError::NotAFile { path: path.to_owned() });
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    let length = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    Ok((metadata, bytes))
}
