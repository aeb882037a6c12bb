//! The high-water mark: what the log is known to have acknowledged, kept outside the segments.
//!
//! 64 bytes, rewritten in place after each `fdatasync` of the log and before anyone is told of it. It has no sync of
//! its own: it survives a killed process, and usually a power cut, and it never runs ahead of the log. The number that
//! counts is the sequence number of the last record. Because a truncation is a record too, the mark need not be lowered
//! before one, and a mark that a power cut set back cannot be mistaken for one that claims deleted entries.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use super::{
    record::{Fields, LogPosition, VoteRecord},
    segment::sync_dir,
};

/// Bytes of the file.
pub(super) const MARK_LEN: usize = 64;
const MAGIC: [u8; 4] = *b"TSM1";

/// What had been made durable when the mark was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Mark {
    /// The node the log belongs to.
    pub(super) node: u64,
    /// Sequence number of the last record; 0 before the first.
    pub(super) sequence: u64,
    /// Term and index of the last entry, purged or not.
    pub(super) last: Option<(u64, u64)>,
    pub(super) vote: Option<VoteRecord>,
}

impl Mark {
    pub(super) fn new(node: u64, sequence: u64, last: Option<LogPosition>, vote: Option<VoteRecord>) -> Self {
        Self { node, sequence, last: last.map(|position| (position.term, position.index)), vote }
    }

    pub(super) fn encode(&self) -> [u8; MARK_LEN] {
        let (last_term, last_index) = self.last.unwrap_or_default();
        let vote = self.vote.unwrap_or_default();
        let flags = u8::from(self.last.is_some())
            | u8::from(self.vote.is_some()) << 1
            | u8::from(vote.committed) << 2;
        let mut body = Vec::with_capacity(MARK_LEN - 8);
        for field in [self.node, self.sequence, last_index, last_term, vote.term, vote.node] {
            body.extend_from_slice(&field.to_le_bytes());
        }
        body.extend_from_slice(&[flags, 0, 0, 0, 0, 0, 0, 0]);
        let mut out = [0; MARK_LEN];
        if let Some((head, tail)) = out.split_at_mut_checked(8) {
            let (magic, crc) = head.split_at_mut(4);
            magic.copy_from_slice(&MAGIC);
            crc.copy_from_slice(&crc32fast::hash(&body).to_le_bytes());
            tail.copy_from_slice(&body);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != MARK_LEN {
            return None;
        }
        let mut fields = Fields(bytes);
        let (magic, crc) = (fields.array::<4>()?, fields.u32()?);
        if magic != MAGIC || crc != crc32fast::hash(fields.0) {
            return None;
        }
        let (node, sequence) = (fields.u64()?, fields.u64()?);
        let (last_index, last_term) = (fields.u64()?, fields.u64()?);
        let (term, voted_for, flags) = (fields.u64()?, fields.u64()?, fields.u8()?);
        let vote = VoteRecord { term, node: voted_for, committed: flags & 4 != 0 };
        Some(Self {
            node,
            sequence,
            last: (flags & 1 != 0).then_some((last_term, last_index)),
            vote: (flags & 2 != 0).then_some(vote),
        })
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct MarkFile(File);

impl MarkFile {
    /// Creates the file and makes its name durable.
    pub(super) fn create(path: &Path, mark: &Mark) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.write_all_at(&mark.encode(), 0)?;
        file.sync_all()?;
        if let Some(dir) = path.parent() {
            sync_dir(dir)?;
        }
        Ok(Self(file))
    }

    /// Bytes of the file, at most one more than a mark has; `None` when there is no file.
    pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::with_capacity(MARK_LEN + 1);
        file.take(65).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    pub(super) fn write(&self, mark: &Mark) -> io::Result<()> {
        self.0.write_all_at(&mark.encode(), 0)
    }
}
