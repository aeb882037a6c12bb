//! Snapshot files: writing, verifying, reading and keeping them. What the sections contain is the state's business.
//!
//! `header envelope | block* | footer envelope | footer length u32 | end marker`. A block is `'B' | section u8 |
//! record count u32 | raw length u32 | stored length u32 | crc32 u32 | zstd level 1`, its raw bytes are records of
//! `length u32 | bytes`, at most 1 MiB unless a single record is longer. The footer has the number of records and the
//! checksum of all checksums, so a file that ends early, or lacks a block, is noticed. A file appears under its name
//! only when it is complete and durable. Memory is bounded by one block.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    codec::{CodecError, MembershipV1},
    type_config::{ClusterId, LogId},
    wal::sync_dir,
};

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use self::{
    reader::{SnapshotReader, verify},
    writer::SnapshotWriter,
};

/// Raw bytes after which a block is written.
const BLOCK_BYTES: usize = 1024 * 1024;
/// Longest accepted record in bytes, and with it the largest block.
const MAX_RECORD: usize = 64 * 1024 * 1024;
const ZSTD_LEVEL: i32 = 1;
const BLOCK_TAG: u8 = b'B';
const BLOCK_HEAD: usize = 18;
const END_MARKER: [u8; 8] = *b"TSSREND\n";
/// Length of the footer and end marker.
const TAIL: u64 = 12;
/// Snapshots kept.
const KEEP: usize = 2;
const EXTENSION: &str = "snapshot";

/// Position in the log, as stored in a snapshot: term, node, index.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredLogId {
    /// Term of the leader that proposed the entry.
    pub term: u64,
    /// That leader.
    pub node: u64,
    /// Index of the entry.
    pub index: u64,
}

impl From<LogId> for StoredLogId {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
    }
}

impl From<StoredLogId> for LogId {
    fn from(id: StoredLogId) -> Self {
        Self::new(openraft::CommittedLeaderId::new(id.term, id.node), id.index)
    }
}

/// What a snapshot says about itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// The cluster whose state it is.
    pub cluster: ClusterId,
    /// Last entry contained in the state.
    pub last_log_id: Option<StoredLogId>,
    /// Entry that established the members.
    pub membership_log_id: Option<StoredLogId>,
    /// Members of the cluster at that point.
    pub membership: MembershipV1,
    /// Format level of the state.
    pub feature_level: u32,
    /// Number of records per section, in the order of the sections.
    pub counts: Vec<(u8, u64)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Footer {
    blocks: u64,
    records: u64,
    crc_of_crcs: u32,
}

/// A handle on a snapshot; the bytes stay in the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SnapshotFile {
    /// Where it is; empty for the placeholder openraft asks for before a snapshot has arrived.
    pub path: PathBuf,
    /// What it says about itself.
    pub header: SnapshotHeader,
}

impl SnapshotFile {
    /// Identifier, the same on every node that holds this file.
    #[must_use]
    pub fn id(&self) -> String {
        self.path.file_stem().and_then(OsStr::to_str).unwrap_or_default().to_owned()
    }
}

/// Why a snapshot could not be written or read.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The operating system refused.
    #[error("cannot {action} snapshot file {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Header or footer are unreadable.
    #[error("snapshot {} has an unreadable {part}", path.display())]
    Envelope {
        /// The file.
        path: PathBuf,
        /// `header` or `footer`.
        part: &'static str,
        /// The reason.
        #[source]
        source: CodecError,
    },
    /// The file is not what was written.
    #[error("snapshot {} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The state of another cluster.
    #[error("snapshot {} belongs to cluster {found}, this is cluster {expected}", path.display())]
    WrongCluster {
        /// The file.
        path: PathBuf,
        /// This cluster.
        expected: ClusterId,
        /// The cluster in the header.
        found: ClusterId,
    },
    /// A record of the state has no encoding, or is of another version.
    #[error("cannot convert a record of the state")]
    Record(#[source] CodecError),
    /// Written by a newer version of the program.
    #[error(
        "the snapshot has format level {found}, this program reads up to level {expected}: upgrade this node"
    )]
    Newer {
        /// Level in the header.
        found: u32,
        /// Highest level this program reads.
        expected: u32,
    },
    /// A record longer than a snapshot can hold.
    #[error("snapshot record of {0} bytes exceeds the limit of {MAX_RECORD}")]
    RecordTooLong(usize),
    /// The header announced other numbers of records.
    #[error("snapshot header announces {announced:?} records per section, {written:?} were written")]
    Counts {
        /// From the header.
        announced: Vec<(u8, u64)>,
        /// Counted.
        written: Vec<(u8, u64)>,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    move |source| SnapshotError::Io { action, path: path.to_owned(), source }
}

fn damaged(path: &Path, what: &'static str) -> SnapshotError {
    SnapshotError::Damaged { path: path.to_owned(), what }
}

/// Counts records per section and checks that the sections come in one piece each.
#[derive(Clone, Default, Debug)]
struct Counter(Vec<(u8, u64)>);

impl Counter {
    fn add(&mut self, section: u8, records: u64) {
        match self.0.last_mut() {
            Some((last, count)) if *last == section => *count += records,
            _ => self.0.push((section, records)),
        }
    }

    fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Sections without records leave no trace in the file.
    fn check(&self, announced: &[(u8, u64)]) -> Result<(), SnapshotError> {
        if announced.iter().filter(|(_, count)| *count > 0).eq(self.0.iter()) {
            return Ok(());
        }
        Err(SnapshotError::Counts { announced: announced.to_vec(), written: self.0.clone() })
    }
}

/// The snapshots of a node.
#[derive(Clone, Debug)]
pub struct SnapshotDir {
    dir: PathBuf,
    cluster: ClusterId,
}

impl SnapshotDir {
    /// Opens the directory, creating it if needed, and deletes what interrupted writers left behind.
    ///
    /// # Errors
    /// When the directory cannot be created or listed.
    pub fn open(dir: &Path, cluster: ClusterId) -> Result<Self, SnapshotError> {
        fs::create_dir_all(dir).map_err(io_error("create the directory of", dir))?;
        for path in paths(dir, "tmp")? {
            fs::remove_file(&path).map_err(io_error("delete", &path))?;
        }
        Ok(Self { dir: dir.to_owned(), cluster })
    }

    /// The cluster whose snapshots these are.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// An empty header of this cluster, to be completed.
    #[must_use]
    pub fn header(&self) -> SnapshotHeader {
        SnapshotHeader { cluster: self.cluster, ..SnapshotHeader::default() }
    }

    /// All snapshots with a readable header and footer, the newest first.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn list(&self) -> Result<Vec<SnapshotFile>, SnapshotError> {
        let mut found = Vec::new();
        for path in paths(&self.dir, EXTENSION)? {
            match SnapshotReader::open(&path, self.cluster) {
                Ok(reader) => found.push(reader.file),
                Err(error) => {
                    tracing::warn!(path = %path.display(), error = %error, "ignored a bad snapshot");
                }
            }
        }
        Ok(found)
    }

    /// The newest snapshot whose every block has a good checksum.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn newest(&self) -> Result<Option<SnapshotFile>, SnapshotError> {
        Ok(self.list()?.into_iter().find(|file| match verify(&file.path, self.cluster) {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(path = %file.path.display(), error = %error, "ignored a damaged snapshot");
                false
            }
        }))
    }

    /// Begins a snapshot.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn begin(&self, header: SnapshotHeader) -> Result<SnapshotWriter, SnapshotError> {
        SnapshotWriter::begin(self.clone(), header)
    }

    /// Begins to receive a snapshot from a peer.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn receive(&self) -> Result<SnapshotReceiver, SnapshotError> {
        let temporary = self.temporary_path("receive")?;
        let file = File::create_new(&temporary).map_err(io_error("create", &temporary))?;
        Ok(SnapshotReceiver { dir: self.clone(), file, temporary: Temporary(temporary) })
    }

    /// Moves a complete, synced temporary file to its name and deletes all but the two newest snapshots.
    fn publish(&self, temporary: &Temporary, header: SnapshotHeader) -> Result<SnapshotFile, SnapshotError> {
        let id = header.last_log_id.unwrap_or(StoredLogId { term: 0, node: 0, index: 0 });
        let name = format!("{:020}-{:020}-{:020}.{EXTENSION}", id.index, id.term, id.node);
        let path = self.dir.join(name);
        fs::rename(&temporary.0, &path).map_err(io_error("rename", &path))?;
        sync_dir(&self.dir).map_err(io_error("sync the directory of", &path))?;
        // The next snapshot deletes what could not be deleted now.
        if let Err(error) = self.prune() {
            tracing::warn!(error = %error, "cannot delete old snapshots");
        }
        Ok(SnapshotFile { path, header })
    }

    /// Deletes all but the two newest readable snapshots; one with a bad header or footer does not count.
    fn prune(&self) -> Result<(), SnapshotError> {
        let keep: Vec<PathBuf> = self.list()?.into_iter().take(KEEP).map(|file| file.path).collect();
        for path in paths(&self.dir, EXTENSION)? {
            if !keep.contains(&path) {
                fs::remove_file(&path).map_err(io_error("delete", &path))?;
            }
        }
        Ok(())
    }

    fn temporary_path(&self, purpose: &str) -> Result<PathBuf, SnapshotError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| io_error("name", &self.dir)(io::Error::other(error)))?;
        Ok(self.dir.join(format!("{purpose}-{:016x}.tmp", u64::from_le_bytes(random))))
    }
}

/// Files with an extension, the greatest name first.
fn paths(dir: &Path, extension: &str) -> Result<Vec<PathBuf>, SnapshotError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_error("list the directory of", dir))? {
        let path = entry.map_err(io_error("list the directory of", dir))?.path();
        if path.extension().and_then(OsStr::to_str) == Some(extension) {
            found.push(path);
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// A temporary file that is deleted unless it was renamed.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing under this name; otherwise the next start deletes it again.
        let _ = fs::remove_file(&self.0);
    }
}

fn block_crc(head: &[u8], stored: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(stored);
    hasher.finalize()
}

/// Receives a snapshot from a peer, chunk by chunk.
#[derive(Debug)]
pub struct SnapshotReceiver {
    dir: SnapshotDir,
    file: File,
    temporary: Temporary,
}

impl SnapshotReceiver {
    /// Appends the next bytes of the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), SnapshotError> {
        self.file.write_all(chunk).map_err(io_error("write", &self.temporary.0))
    }

    /// Verifies the file, makes it durable and gives it its name.
    ///
    /// # Errors
    /// When the bytes received are not a complete snapshot of this cluster.
    pub fn finish(self) -> Result<SnapshotFile, SnapshotError> {
        self.file.sync_all().map_err(io_error("sync", &self.temporary.0))?;
        let header = verify(&self.temporary.0, self.dir.cluster)?.header;
        self.dir.publish(&self.temporary, header)
    }
}
