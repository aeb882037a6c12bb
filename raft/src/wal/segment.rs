//! Segment files: creation, appending, sealing.
//!
//! A segment is a 64-byte header and records behind it. The file is filled with zeros one step ahead of the records, so
//! that an ordinary `fdatasync` finds only overwritten blocks and need not wait for the file system's journal (measured
//! on ext4, 4 KiB appends: 61 µs instead of 113 µs at the median of an idle disk, and half the time at one record).
//! Zeros behind the last record are therefore the normal end of the newest segment. When a segment is sealed they are
//! cut off.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::record::Fields;
use crate::type_config::ClusterId;

/// Bytes before the first record.
pub(super) const SEGMENT_HEADER_LEN: usize = 64;
const SEGMENT_HEADER_BYTES: u64 = 64;
const MAGIC: [u8; 8] = *b"TSSRWAL\n";
const FORMAT: u32 = 1;
/// Zeros written ahead of the records at a time.
const FILL_STEP: u64 = 1024 * 1024;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
const EXTENSION: &str = "wal";

/// First bytes of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SegmentHeader {
    pub(super) cluster: ClusterId,
    pub(super) node: u64,
    /// Segments are numbered from 1 without a gap.
    pub(super) number: u64,
    /// Sequence number of the first record.
    pub(super) first_sequence: u64,
}

/// Why the first bytes of a file are no segment header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderFault {
    /// Not a segment, cut short, or with changed bytes.
    #[error("the segment header is damaged")]
    Damaged,
    /// Written by another program version.
    #[error("segment format {found} found, this program reads format {FORMAT}")]
    Format {
        /// Format number found.
        found: u32,
    },
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.cluster.0.to_le_bytes());
        out.extend_from_slice(&self.node.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let head = bytes.get(..SEGMENT_HEADER_LEN).ok_or(HeaderFault::Damaged)?;
        let covered = head.get(..SEGMENT_HEADER_LEN - 8).ok_or(HeaderFault::Damaged)?;
        let read = || {
            let mut fields = Fields(head);
            let magic = fields.array::<8>()?;
            let format = fields.u32()?;
            let reserved = fields.u32()?;
            let header = Self {
                cluster: ClusterId(fields.u128()?),
                node: fields.u64()?,
                number: fields.u64()?,
                first_sequence: fields.u64()?,
            };
            Some((magic, format, reserved, header, fields.u32()?, fields.u32()?))
        };
        let (magic, format, reserved, header, crc, padding) = read().ok_or(HeaderFault::Damaged)?;
        if magic != MAGIC || reserved != 0 || padding != 0 || crc != crc32fast::hash(covered) {
            return Err(HeaderFault::Damaged);
        }
        if format != FORMAT {
            return Err(HeaderFault::Format { found: format });
        }
        Ok(header)
    }
}

/// A segment that records are no longer written to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SealedSegment {
    pub(super) path: PathBuf,
    /// Highest index of the entries in it; `None` when it holds none.
    pub(super) last_index: Option<u64>,
}

/// The segment records are written to.
#[derive(Debug)]
pub(super) struct ActiveSegment {
    pub(super) path: PathBuf,
    pub(super) number: u64,
    pub(super) last_index: Option<u64>,
    file: File,
    /// Bytes of header and records.
    used: u64,
    /// End of the zeros written ahead.
    filled: u64,
}

impl ActiveSegment {
    /// Creates a segment so that it is either complete or absent after a crash.
    pub(super) fn create(dir: &Path, header: &SegmentHeader) -> io::Result<Self> {
        let path = segment_path(dir, header.number);
        let temporary = path.with_extension("tmp");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&temporary)?;
        file.write_all_at(&header.encode(), 0)?;
        let mut segment = Self {
            path,
            number: header.number,
            last_index: None,
            file,
            used: SEGMENT_HEADER_BYTES,
            filled: SEGMENT_HEADER_BYTES,
        };
        segment.fill(SEGMENT_HEADER_BYTES)?;
        segment.file.sync_all()?;
        fs::rename(&temporary, &segment.path)?;
        sync_dir(dir)?;
        Ok(segment)
    }

    /// Opens the newest segment after recovery and cuts off everything behind its last good record.
    pub(super) fn reopen(path: &Path, number: u64, used: u64, last_index: Option<u64>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        file.set_len(used)?;
        let mut segment = Self { path: path.to_owned(), number, last_index, file, used, filled: used };
        segment.fill(used)?;
        // What was read may have been in the page cache only; it must be durable before anyone relies on it.
        segment.file.sync_all()?;
        Ok(segment)
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Writes records behind the last one; they are durable after [`Self::sync`].
    pub(super) fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let length = u64::try_from(records.len()).map_err(io::Error::other)?;
        let end = self.used.saturating_add(length);
        self.file.write_all_at(records, self.used)?;
        self.used = end;
        if end > self.filled {
            self.fill(end)?;
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Cuts off the zeros and makes the file's length durable.
    pub(super) fn seal(self) -> io::Result<SealedSegment> {
        self.file.set_len(self.used)?;
        self.file.sync_all()?;
        Ok(SealedSegment { path: self.path, last_index: self.last_index })
    }

    /// Writes zeros from a place to the next multiple of [`FILL_STEP`].
    fn fill(&mut self, from: u64) -> io::Result<()> {
        let end = from.saturating_add(1).next_multiple_of(FILL_STEP);
        let mut at = from;
        while at < end {
            let step = usize::try_from(end - at).unwrap_or(ZEROS.len()).min(ZEROS.len());
            let zeros = ZEROS.get(..step).unwrap_or(&ZEROS);
            self.file.write_all_at(zeros, at)?;
            at = at.saturating_add(u64::try_from(step).map_err(io::Error::other)?);
        }
        self.filled = end;
        Ok(())
    }
}

/// Path of a segment.
pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.{EXTENSION}"))
}

/// The segments of a directory by number; remains of an interrupted creation are deleted.
pub(super) fn list_segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let extension = path.extension().and_then(OsStr::to_str);
        if extension == Some("tmp") {
            fs::remove_file(&path)?;
            continue;
        }
        if extension != Some(EXTENSION) {
            continue;
        }
        let number = path.file_stem().and_then(OsStr::to_str).and_then(|stem| stem.parse().ok());
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
