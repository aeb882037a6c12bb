//! A pinned state as a stream: what a backup contains.
//!
//! `header envelope | block envelope* | trailer envelope`, each as [`crate::codec`] frames it, with a checksum. A block
//! holds whole records, `length u32 | key, revision, creation number, record` each, compressed with zstd; the trailer has
//! the number of records and the SHA-256 over everything before it. Writing and reading need the memory of one block. The
//! stream is not encrypted; who stores it has to do that. Sessions and indexes are left out: the ones belong to the
//! cluster the state comes from, the others follow from the records.

use std::io::{self, Read, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tessera_core::record::{Key, Record};
use tessera_core::time::UnixMillis;
use tessera_core::txn::Revision;
use tessera_core::view::Slot;
use thiserror::Error;

use crate::codec::{self, CodecError, ENVELOPE_LEN, Kind};
use crate::level::FORMAT_LEVEL;
use crate::state::{Counters, HistoryHead, State};
use crate::status::VERSION;

/// Raw bytes after which a block is written.
const BLOCK_BYTES: usize = 256 * 1024;
/// A block of more raw bytes than this is none: a single record may be longer than a block, but not than this.
const RAW_BYTES_MAX: u32 = 64 * 1024 * 1024;
const ZSTD_LEVEL: i32 = 1;

/// A sealing key the content was written under, as the caller describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveKey {
    /// Id of the key.
    pub id: u32,
    /// Its check value; empty if the node that wrote the archive did not hold it.
    pub check: Vec<u8>,
    /// Number of secrets sealed under it.
    pub sealed: u64,
    /// Number of PIN hashes made under it.
    pub pins: u64,
}

/// What an archive says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveHeader {
    /// Format level of the records.
    pub level: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// The cluster whose state it is, a UUID as text.
    pub cluster: String,
    /// The node that wrote it.
    pub node: u64,
    /// Cluster time at which the state was pinned.
    pub taken_at: UnixMillis,
    /// Revision of the state.
    pub revision: u64,
    /// Number of records that follow.
    pub records: u64,
    /// Number of records ever created.
    pub created: u64,
    /// Number of sessions ever opened.
    pub sessions: u64,
    /// Number of the newest row of the audit trail; the trail itself is not part of the archive.
    pub history_number: u64,
    /// Chain hash over all of those rows.
    pub history_hash: [u8; 32],
    /// The keys the content needs.
    pub keys: Vec<ArchiveKey>,
}

#[derive(Serialize, Deserialize)]
struct Block {
    number: u64,
    records: u32,
    raw_bytes: u32,
    stored: Bytes,
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Trailer {
    blocks: u64,
    records: u64,
    digest: [u8; 32],
}

/// Why an archive could not be written or read.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// It could not be read or written.
    #[error("cannot {action} the backup")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// It ends early.
    #[error("the backup ends too early: it was cut off")]
    Truncated,
    /// A part is not what was written.
    #[error("the backup's {part} is damaged")]
    Envelope {
        /// `header`, `block` or `trailer`.
        part: &'static str,
        /// The reason.
        #[source]
        source: CodecError,
    },
    /// Blocks are missing, exchanged or changed.
    #[error("the backup is damaged: {0}")]
    Damaged(&'static str),
    /// Written by a newer version of the program.
    #[error(
        "the backup has format level {found}, this program reads up to level {FORMAT_LEVEL}: use a newer one"
    )]
    Newer {
        /// Level in the header.
        found: u32,
    },
    /// A record cannot be understood.
    #[error("cannot convert a record of the backup")]
    Record(#[source] CodecError),
}

fn io_error(action: &'static str) -> impl Fn(io::Error) -> ArchiveError {
    move |source| {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return ArchiveError::Truncated;
        }
        ArchiveError::Io { action, source }
    }
}

/// The header for an archive of a pinned state. `now` is the cluster's time.
#[must_use]
pub fn header(
    state: &State,
    cluster: &str,
    node: u64,
    now: UnixMillis,
    keys: Vec<ArchiveKey>,
) -> ArchiveHeader {
    let counters = state.counters();
    ArchiveHeader {
        level: state.format_level(),
        version: VERSION.to_owned(),
        cluster: cluster.to_owned(),
        node,
        taken_at: now,
        revision: counters.revision,
        records: u64::try_from(state.len()).unwrap_or(u64::MAX),
        created: counters.created,
        sessions: counters.sessions,
        history_number: state.history().number,
        history_hash: state.history().hash,
        keys,
    }
}

/// Writes a pinned state, whose header was made by [`header`].
///
/// # Errors
/// When `out` does not take it.
pub fn write(state: &State, header: &ArchiveHeader, out: &mut dyn Write) -> Result<(), ArchiveError> {
    let mut writer = Writer { out, hasher: Sha256::new(), raw: Vec::new(), records: 0, blocks: 0, total: 0 };
    writer.envelope(Kind::ArchiveHeader, "header", header)?;
    for (key, slot) in state.records() {
        writer.record(key, slot)?;
    }
    writer.finish()
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    hasher: Sha256,
    raw: Vec<u8>,
    records: u32,
    blocks: u64,
    total: u64,
}

impl Writer<'_> {
    fn envelope<T: Serialize>(
        &mut self,
        kind: Kind,
        part: &'static str,
        value: &T,
    ) -> Result<(), ArchiveError> {
        let bytes = codec::encode(kind, value).map_err(|source| ArchiveError::Envelope { part, source })?;
        self.hasher.update(&bytes);
        self.out.write_all(&bytes).map_err(io_error("write"))
    }

    fn record(&mut self, key: &Key, slot: &Slot) -> Result<(), ArchiveError> {
        let bytes = codec::encode_plain(&(key, slot.revision, slot.created, &slot.record))
            .map_err(ArchiveError::Record)?;
        let length = u32::try_from(bytes.len()).map_err(|_| ArchiveError::Damaged("a record is too long"))?;
        if self.records > 0 && self.raw.len() + 4 + bytes.len() > BLOCK_BYTES {
            self.block()?;
        }
        self.raw.extend_from_slice(&length.to_le_bytes());
        self.raw.extend_from_slice(&bytes);
        self.records += 1;
        Ok(())
    }

    fn block(&mut self) -> Result<(), ArchiveError> {
        let raw_bytes = u32::try_from(self.raw.len()).ok().filter(|length| *length <= RAW_BYTES_MAX);
        let raw_bytes = raw_bytes.ok_or(ArchiveError::Damaged("a record is too long"))?;
        let stored = zstd::bulk::compress(&self.raw, ZSTD_LEVEL).map_err(io_error("compress"))?;
        let block =
            Block { number: self.blocks, records: self.records, raw_bytes, stored: Bytes::from(stored) };
        self.envelope(Kind::ArchiveBlock, "block", &block)?;
        self.total += u64::from(self.records);
        self.blocks += 1;
        self.records = 0;
        self.raw.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(), ArchiveError> {
        if self.records > 0 {
            self.block()?;
        }
        let digest = self.hasher.clone().finalize().into();
        let trailer = Trailer { blocks: self.blocks, records: self.total, digest };
        self.envelope(Kind::ArchiveTrailer, "trailer", &trailer)?;
        self.out.flush().map_err(io_error("write"))
    }
}

/// Reads an archive record by record.
pub struct ArchiveReader<R> {
    input: R,
    header: ArchiveHeader,
    hasher: Sha256,
    raw: Vec<u8>,
    at: usize,
    blocks: u64,
    total: u64,
    ended: bool,
}

impl<R> std::fmt::Debug for ArchiveReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveReader").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<R: Read> ArchiveReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it is damaged, or the archive was written by a newer version of the program.
    pub fn open(mut input: R) -> Result<Self, ArchiveError> {
        let mut hasher = Sha256::new();
        let (kind, bytes) = envelope(&mut input)?;
        if kind != Kind::ArchiveHeader as u8 {
            return Err(ArchiveError::Damaged("it does not begin with a header"));
        }
        let header: ArchiveHeader = codec::decode(Kind::ArchiveHeader, &bytes)
            .map_err(|source| ArchiveError::Envelope { part: "header", source })?;
        if header.level > FORMAT_LEVEL {
            return Err(ArchiveError::Newer { found: header.level });
        }
        hasher.update(&bytes);
        Ok(Self { input, header, hasher, raw: Vec::new(), at: 0, blocks: 0, total: 0, ended: false })
    }

    /// What the archive says about itself.
    #[must_use]
    pub const fn header(&self) -> &ArchiveHeader {
        &self.header
    }

    /// The next record; `None` after the last one, when all checksums and counts were right and nothing follows.
    ///
    /// # Errors
    /// When the archive cannot be read or is damaged.
    pub fn next_record(&mut self) -> Result<Option<(Key, Slot)>, ArchiveError> {
        while self.at == self.raw.len() {
            if self.ended || !self.next_block()? {
                return Ok(None);
            }
        }
        let rest = self.raw.get(self.at..).unwrap_or_default();
        let record = first_record(rest).ok_or(ArchiveError::Damaged("a record has no end"))?;
        self.at += 4 + record.len();
        let (key, revision, created, record): (Key, Revision, u64, Record) =
            codec::decode_plain(record).map_err(ArchiveError::Record)?;
        Ok(Some((key, Slot { revision, created, record })))
    }

    fn next_block(&mut self) -> Result<bool, ArchiveError> {
        let (kind, bytes) = envelope(&mut self.input)?;
        if kind == Kind::ArchiveTrailer as u8 {
            self.check_end(&bytes)?;
            self.ended = true;
            return Ok(false);
        }
        let block: Block = codec::decode(Kind::ArchiveBlock, &bytes)
            .map_err(|source| ArchiveError::Envelope { part: "block", source })?;
        self.hasher.update(&bytes);
        if block.number != self.blocks || block.raw_bytes > RAW_BYTES_MAX {
            return Err(ArchiveError::Damaged("blocks are missing or were exchanged"));
        }
        let raw_bytes = usize::try_from(block.raw_bytes).unwrap_or(usize::MAX);
        self.raw = zstd::bulk::decompress(&block.stored, raw_bytes)
            .map_err(|_| ArchiveError::Damaged("a block cannot be decompressed"))?;
        self.at = 0;
        count_records(&self.raw, block.records).ok_or(ArchiveError::Damaged("a block has other records"))?;
        self.blocks += 1;
        self.total += u64::from(block.records);
        Ok(true)
    }

    fn check_end(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let trailer: Trailer = codec::decode(Kind::ArchiveTrailer, bytes)
            .map_err(|source| ArchiveError::Envelope { part: "trailer", source })?;
        let digest = self.hasher.clone().finalize().into();
        let found = Trailer { blocks: self.blocks, records: self.total, digest };
        if found != trailer || self.total != self.header.records {
            return Err(ArchiveError::Damaged("blocks are missing or were changed"));
        }
        let mut more = [0; 1];
        match self.input.read(&mut more).map_err(io_error("read"))? {
            0 => Ok(()),
            _ => Err(ArchiveError::Damaged("something follows its end")),
        }
    }

    /// Reads all records into a state without sessions and history. Every index gets the state's revision.
    ///
    /// # Errors
    /// When the archive cannot be read or is damaged.
    pub(crate) fn into_state(mut self) -> Result<State, ArchiveError> {
        let counters = Counters {
            revision: self.header.revision,
            created: self.header.created,
            sessions: self.header.sessions,
            time: self.header.taken_at,
        };
        let mut state = State::restore(counters, HistoryHead::default());
        while let Some((key, slot)) = self.next_record()? {
            state.restore_record(key, slot);
        }
        let indexes: Vec<_> = state.index_revisions().map(|(index, _)| index.clone()).collect();
        for index in indexes {
            state.restore_index(&index, Revision(counters.revision));
        }
        Ok(state)
    }
}

/// The next envelope, still encoded, and the number of its kind.
fn envelope(input: &mut dyn Read) -> Result<(u8, Vec<u8>), ArchiveError> {
    let mut head = [0; ENVELOPE_LEN];
    input.read_exact(&mut head).map_err(io_error("read"))?;
    let [_, _, kind, ..] = head;
    let (expected, part) = match kind {
        kind if kind == Kind::ArchiveHeader as u8 => (Kind::ArchiveHeader, "header"),
        kind if kind == Kind::ArchiveTrailer as u8 => (Kind::ArchiveTrailer, "trailer"),
        _ => (Kind::ArchiveBlock, "block"),
    };
    let length =
        codec::envelope_len(expected, &head).map_err(|source| ArchiveError::Envelope { part, source })?;
    let mut bytes = head.to_vec();
    bytes.resize(length, 0);
    let body = bytes.get_mut(ENVELOPE_LEN..).unwrap_or_default();
    input.read_exact(body).map_err(io_error("read"))?;
    Ok((kind, bytes))
}

fn first_record(block: &[u8]) -> Option<&[u8]> {
    let (length, rest) = block.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// Whether a block consists of exactly this many records.
fn count_records(block: &[u8], count: u32) -> Option<()> {
    let mut rest = block;
    for _ in 0..count {
        rest = rest.get(4 + first_record(rest)?.len()..)?;
    }
    rest.is_empty().then_some(())
}

#[cfg(test)]
mod tests;
