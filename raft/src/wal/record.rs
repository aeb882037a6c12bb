//! The records of the write-ahead log and their bytes.
//!
//! `body length u32 | crc32 u32 | sequence u64 | place u32 | index u64 | term u64 | node u64 | kind u8 | body`, little
//! endian. The checksum covers everything but itself, so that a record that was misplaced, or whose length was
//! changed, is noticed.
//!
//! *Sequence* numbers all records of this node's log without a gap, whatever they do to the Raft index; *place* is the
//! position within the write that carried the record. Together they tell a torn write (the records behind the bad spot
//! belong to the same, last write) from damage (a later write exists, so this one had been synced).

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

/// Bytes before the body of a record.
pub const RECORD_HEADER_LEN: usize = 45;
/// Longest body in bytes.
pub const MAX_RECORD_BODY: usize = 64 * 1024 * 1024;

/// Position of an entry in the Raft log: openraft's log id, in a form of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogPosition {
    /// Term of the leader that proposed the entry.
    pub term: u64,
    /// That leader.
    pub node: u64,
    /// Index of the entry.
    pub index: u64,
}

/// A vote. The order of the fields is the order of votes: a node's vote only ever grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct VoteRecord {
    /// Term voted in.
    pub term: u64,
    /// Node voted for.
    pub node: u64,
    /// Whether that node is known to have won.
    pub committed: bool,
}

/// What the body of an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// Nothing: the entry a new leader begins its term with.
    Blank,
    /// An encoded batch of transactions.
    Normal,
    /// Encoded members of the cluster.
    Membership,
}

/// An entry of the Raft log.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryRecord {
    /// Where it stands.
    pub position: LogPosition,
    /// What its body is.
    pub kind: EntryKind,
    /// The body, shared with the cache of the log and with the network.
    pub body: Bytes,
}

impl fmt::Debug for EntryRecord {
    /// Leaves the body out: it belongs to users and can be long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LogPosition { term, node, index } = self.position;
        write!(f, "{:?} {term}-{node}-{index} ({} bytes)", self.kind, self.body.len())
    }
}

/// One record of the write-ahead log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// An entry was appended.
    Entry(EntryRecord),
    /// The vote was changed.
    Vote(VoteRecord),
    /// Entries up to here are known to be committed.
    Committed(LogPosition),
    /// Entries from this index on were deleted.
    Truncate {
        /// First index deleted.
        from: u64,
    },
    /// Entries up to this one were deleted because a snapshot contains them.
    Purge(LogPosition),
}

/// A record read back, with its place in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded {
    /// The record.
    pub record: Record,
    /// Its sequence number.
    pub sequence: u64,
    /// Its position within the write that carried it.
    pub place: u32,
    /// Bytes it occupies.
    pub len: usize,
}

/// Why no record begins at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RecordFault {
    /// Fewer bytes than a record has.
    #[error("the file ends inside a record")]
    Short,
    /// A length no record has.
    #[error("record length {0} is not possible")]
    Length(u32),
    /// Changed bytes.
    #[error("record checksum {expected:08x} expected, {found:08x} found")]
    Checksum {
        /// Checksum stored.
        expected: u32,
        /// Checksum of the bytes present.
        found: u32,
    },
    /// A record of a newer program version, with a good checksum.
    #[error("record kind {0} is not known to this version")]
    Kind(u8),
    /// A good checksum over a body its kind does not have.
    #[error("body of {len} bytes does not fit record kind {kind}")]
    Body {
        /// Kind of the record.
        kind: u8,
        /// Length of its body.
        len: usize,
    },
}

/// A body longer than [`MAX_RECORD_BODY`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("log record body of {0} bytes exceeds the limit of {MAX_RECORD_BODY}")]
pub struct RecordTooLong(pub usize);

const BLANK: u8 = 1;
const NORMAL: u8 = 2;
const MEMBERSHIP: u8 = 3;
const VOTE: u8 = 4;
const COMMITTED: u8 = 5;
const TRUNCATE: u8 = 6;
const PURGE: u8 = 7;

impl Record {
    fn parts(&self) -> (u8, LogPosition, &[u8]) {
        match self {
            Self::Entry(entry) => {
                let kind = match entry.kind {
                    EntryKind::Blank => BLANK,
                    EntryKind::Normal => NORMAL,
                    EntryKind::Membership => MEMBERSHIP,
                };
                (kind, entry.position, &entry.body)
            }
            Self::Vote(vote) => {
                let body: &[u8] = if vote.committed { &[1] } else { &[0] };
                (VOTE, LogPosition { term: vote.term, node: vote.node, index: 0 }, body)
            }
            Self::Committed(position) => (COMMITTED, *position, &[]),
            Self::Truncate { from } => (TRUNCATE, LogPosition { term: 0, node: 0, index: *from }, &[]),
            Self::Purge(position) => (PURGE, *position, &[]),
        }
    }

    /// Appends the record's bytes to a buffer.
    ///
    /// # Errors
    /// When the body is longer than [`MAX_RECORD_BODY`]; the buffer is then unchanged.
    pub fn encode_into(&self, sequence: u64, place: u32, out: &mut Vec<u8>) -> Result<(), RecordTooLong> {
        let (kind, position, body) = self.parts();
        let len = match u32::try_from(body.len()) {
            Ok(len) if body.len() <= MAX_RECORD_BODY => len,
            _ => return Err(RecordTooLong(body.len())),
        };
        let mut head = [0u8; RECORD_HEADER_LEN - 8];
        let mut rest = head.as_mut_slice();
        put(&mut rest, &sequence.to_le_bytes());
        put(&mut rest, &place.to_le_bytes());
        put(&mut rest, &position.index.to_le_bytes());
        put(&mut rest, &position.term.to_le_bytes());
        put(&mut rest, &position.node.to_le_bytes());
        put(&mut rest, &[kind]);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&len.to_le_bytes());
        hasher.update(&head);
        hasher.update(body);
        out.reserve(RECORD_HEADER_LEN + body.len());
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&hasher.finalize().to_le_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(body);
        Ok(())
    }

    /// Reads the record that begins at the first byte.
    ///
    /// # Errors
    /// When no valid record begins there.
    pub fn decode(bytes: &[u8]) -> Result<Decoded, RecordFault> {
        let (len_bytes, rest) = bytes.split_first_chunk::<4>().ok_or(RecordFault::Short)?;
        let (crc_bytes, rest) = rest.split_first_chunk::<4>().ok_or(RecordFault::Short)?;
        let stored_len = u32::from_le_bytes(*len_bytes);
        let len = usize::try_from(stored_len).map_err(|_| RecordFault::Length(stored_len))?;
        if len > MAX_RECORD_BODY {
            return Err(RecordFault::Length(stored_len));
        }
        let covered = rest.get(..RECORD_HEADER_LEN - 8 + len).ok_or(RecordFault::Short)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(len_bytes);
        hasher.update(covered);
        let (expected, found) = (u32::from_le_bytes(*crc_bytes), hasher.finalize());
        if expected != found {
            return Err(RecordFault::Checksum { expected, found });
        }
        let mut fields = Fields(covered);
        let sequence = fields.u64().ok_or(RecordFault::Short)?;
        let place = fields.u32().ok_or(RecordFault::Short)?;
        let index = fields.u64().ok_or(RecordFault::Short)?;
        let term = fields.u64().ok_or(RecordFault::Short)?;
        let node = fields.u64().ok_or(RecordFault::Short)?;
        let kind = fields.u8().ok_or(RecordFault::Short)?;
        let record = Self::from_parts(kind, LogPosition { term, node, index }, fields.0)?;
        Ok(Decoded { record, sequence, place, len: RECORD_HEADER_LEN + len })
    }

    fn from_parts(kind: u8, position: LogPosition, body: &[u8]) -> Result<Self, RecordFault> {
        let entry = |entry_kind| {
            Self::Entry(EntryRecord { position, kind: entry_kind, body: Bytes::copy_from_slice(body) })
        };
        let record = match (kind, body) {
            (BLANK, []) => entry(EntryKind::Blank),
            (NORMAL, _) => entry(EntryKind::Normal),
            (MEMBERSHIP, _) => entry(EntryKind::Membership),
            (VOTE, [committed @ (0 | 1)]) => Self::Vote(VoteRecord {
                term: position.term,
                node: position.node,
                committed: *committed == 1,
            }),
            (COMMITTED, []) => Self::Committed(position),
            (TRUNCATE, []) => Self::Truncate { from: position.index },
            (PURGE, []) => Self::Purge(position),
            (BLANK | VOTE | COMMITTED | TRUNCATE | PURGE, _) => {
                return Err(RecordFault::Body { kind, len: body.len() });
            }
            _ => return Err(RecordFault::Kind(kind)),
        };
        Ok(record)
    }
}

/// Sequence number of the record that would begin at the first byte, valid or not: a cheap test before a checksum is
/// computed at every byte of a damaged file.
pub(super) fn claimed_sequence(bytes: &[u8]) -> Option<u64> {
    Fields(bytes.get(8..)?).u64()
}

fn put(rest: &mut &mut [u8], bytes: &[u8]) {
    let taken = std::mem::take(rest);
    if let Some((head, tail)) = taken.split_at_mut_checked(bytes.len()) {
        head.copy_from_slice(bytes);
        *rest = tail;
    }
}

/// Little-endian fields read off the front of a slice.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }
}
