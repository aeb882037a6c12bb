//! Reading a snapshot.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use super::{
    BLOCK_HEAD, BLOCK_TAG, Counter, END_MARKER, Footer, MAX_RECORD, SnapshotError, SnapshotFile,
    SnapshotHeader, TAIL, block_crc, damaged, io_error,
};
use crate::{
    codec::{self, Kind},
    type_config::ClusterId,
};

/// Reads a snapshot record by record, after checking that its end is there.
pub struct SnapshotReader {
    pub(super) file: SnapshotFile,
    input: BufReader<File>,
    footer: Footer,
    /// Bytes of blocks not read yet.
    remaining: u64,
    blocks: u64,
    counter: Counter,
    crcs: crc32fast::Hasher,
    section: u8,
    block: Vec<u8>,
    block_at: usize,
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl std::fmt::Debug for SnapshotReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotReader").field("file", &self.file).finish_non_exhaustive()
    }
}

impl SnapshotReader {
    /// Opens a snapshot and checks its footer and header.
    ///
    /// # Errors
    /// When the file cannot be read, is incomplete, or belongs to another cluster.
    pub fn open(path: &Path, cluster: ClusterId) -> Result<Self, SnapshotError> {
        let mut input = BufReader::new(File::open(path).map_err(io_error("open", path))?);
        let length = input.seek(SeekFrom::End(0)).map_err(io_error("read", path))?;
        let tail_at = length.checked_sub(TAIL).ok_or_else(|| damaged(path, "it is too short"))?;
        let tail: [u8; 12] = read_at(&mut input, tail_at, path)?;
        let [f0, f1, f2, f3, marker @ ..] = tail;
        if marker != END_MARKER {
            return Err(damaged(path, "the end marker is missing"));
        }
        let footer_len = u64::from(u32::from_le_bytes([f0, f1, f2, f3]));
        let footer_at = tail_at
            .checked_sub(footer_len)
            .filter(|_| footer_len < 1024)
            .ok_or_else(|| damaged(path, "the footer's length is wrong"))?;
        let footer: Footer = read_envelope(&mut input, Kind::SnapshotFooter, footer_at, tail_at, path)?.0;
        let (header, header_len): (SnapshotHeader, u64) =
            read_envelope(&mut input, Kind::SnapshotHeader, 0, footer_at, path)?;
        if header.cluster != cluster {
            let found = header.cluster;
            return Err(SnapshotError::WrongCluster { path: path.to_owned(), expected: cluster, found });
        }
        Ok(Self {
            file: SnapshotFile { path: path.to_owned(), header },
            input,
            footer,
            remaining: footer_at.saturating_sub(header_len),
            blocks: 0,
            counter: Counter::default(),
            crcs: crc32fast::Hasher::new(),
            section: 0,
            block: Vec::new(),
            block_at: 0,
            decompressor: zstd::bulk::Decompressor::new().map_err(io_error("prepare", path))?,
        })
    }

    /// What the snapshot says about itself.
    #[must_use]
    pub fn header(&self) -> &SnapshotHeader {
        &self.file.header
    }

    /// The next record and its section; `None` after the last one, when all checksums and counts were right.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn next_record(&mut self) -> Result<Option<(u8, &[u8])>, SnapshotError> {
        while self.block_at == self.block.len() {
            let Some((count, stored, raw_len)) = self.next_block()? else {
                self.check_end()?;
                return Ok(None);
            };
            let path = &self.file.path;
            self.block = self
                .decompressor
                .decompress(&stored, raw_len)
                .map_err(|_| damaged(path, "a block cannot be decompressed"))?;
            self.block_at = 0;
            check_records(&self.block, count).ok_or_else(|| damaged(path, "a block has other records"))?;
        }
        let path = &self.file.path;
        let rest = self.block.get(self.block_at..).unwrap_or_default();
        let record = first_record(rest).ok_or_else(|| damaged(path, "a record has no end"))?;
        self.block_at += 4 + record.len();
        Ok(Some((self.section, record)))
    }

    /// Reads a block and checks its checksum: number of records, compressed bytes, raw length.
    fn next_block(&mut self) -> Result<Option<(u32, Vec<u8>, usize)>, SnapshotError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let path = &self.file.path;
        let too_long = || damaged(path, "a block has an impossible length");
        let mut head = [0; BLOCK_HEAD];
        self.input.read_exact(&mut head).map_err(io_error("read", path))?;
        let [tag, section, n0, n1, n2, n3, r0, r1, r2, r3, s0, s1, s2, s3, crc @ ..] = head;
        let covered = [tag, section, n0, n1, n2, n3, r0, r1, r2, r3, s0, s1, s2, s3];
        let count = u32::from_le_bytes([n0, n1, n2, n3]);
        let raw_len = u32::from_le_bytes([r0, r1, r2, r3]);
        let stored_len = u32::from_le_bytes([s0, s1, s2, s3]);
        let size = u64::from(stored_len).saturating_add(18);
        let raw_len = usize::try_from(raw_len).ok().filter(|len| *len <= MAX_RECORD + 4);
        let (Some(raw_len), Some(remaining), BLOCK_TAG) = (raw_len, self.remaining.checked_sub(size), tag)
        else {
            return Err(too_long());
        };
        let mut stored = vec![0; usize::try_from(stored_len).map_err(|_| too_long())?];
        self.input.read_exact(&mut stored).map_err(io_error("read", path))?;
        if block_crc(&covered, &stored) != u32::from_le_bytes(crc) {
            return Err(damaged(path, "a block has a wrong checksum"));
        }
        self.crcs.update(&crc);
        self.remaining = remaining;
        self.section = section;
        self.blocks += 1;
        self.counter.add(section, u64::from(count));
        Ok(Some((count, stored, raw_len)))
    }

    fn check_end(&self) -> Result<(), SnapshotError> {
        let found = Footer {
            blocks: self.blocks,
            records: self.counter.total(),
            crc_of_crcs: self.crcs.clone().finalize(),
        };
        if found != self.footer {
            return Err(damaged(&self.file.path, "blocks are missing or were exchanged"));
        }
        self.counter.check(&self.file.header.counts)
    }
}

/// Checks every checksum of a snapshot without decompressing it.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn verify(path: &Path, cluster: ClusterId) -> Result<SnapshotFile, SnapshotError> {
    let mut reader = SnapshotReader::open(path, cluster)?;
    while reader.next_block()?.is_some() {}
    reader.check_end()?;
    Ok(reader.file)
}

fn read_at<const N: usize>(
    input: &mut BufReader<File>,
    at: u64,
    path: &Path,
) -> Result<[u8; N], SnapshotError> {
    let mut bytes = [0; N];
    input.seek(SeekFrom::Start(at)).map_err(io_error("read", path))?;
    input.read_exact(&mut bytes).map_err(io_error("read", path))?;
    Ok(bytes)
}

/// Reads the envelope that begins at a place and ends before another one, and leaves the input behind it.
fn read_envelope<T: serde::de::DeserializeOwned>(
    input: &mut BufReader<File>,
    kind: Kind,
    at: u64,
    limit: u64,
    path: &Path,
) -> Result<(T, u64), SnapshotError> {
    let part = if kind == Kind::SnapshotHeader { "header" } else { "footer" };
    let unreadable = |source| SnapshotError::Envelope { path: path.to_owned(), part, source };
    let head: [u8; codec::ENVELOPE_LEN] = read_at(input, at, path)?;
    let length = codec::envelope_len(kind, &head).map_err(unreadable)?;
    let length_bytes = u64::try_from(length).unwrap_or(u64::MAX);
    if at.saturating_add(length_bytes) > limit {
        return Err(damaged(path, "an envelope reaches beyond its place"));
    }
    let mut bytes = head.to_vec();
    bytes.resize(length, 0);
    let body = bytes.get_mut(codec::ENVELOPE_LEN..).unwrap_or_default();
    input.read_exact(body).map_err(io_error("read", path))?;
    Ok((codec::decode(kind, &bytes).map_err(unreadable)?, length_bytes))
}

fn first_record(block: &[u8]) -> Option<&[u8]> {
    let (length, rest) = block.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// Whether a block consists of exactly this many records.
fn check_records(block: &[u8], count: u32) -> Option<()> {
    let mut rest = block;
    for _ in 0..count {
        rest = rest.get(4 + first_record(rest)?.len()..)?;
    }
    rest.is_empty().then_some(())
}
