//! Reading the log at start, and refusing whatever is not provably complete.
//!
//! A node that starts with fewer entries than it acknowledged, or with an older vote, can elect a leader that lacks
//! committed data: an OTP would be accepted twice. So a bad spot is taken for the torn end of an unacknowledged write
//! only when nothing contradicts it: it lies in the newest segment, no record of a *later* write stands behind it, and
//! what remains reaches the high-water mark. (Records of the *same* write may stand behind it: a power cut keeps the
//! pages of one write in any order, and none of it had been acknowledged.) Everything else refuses.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{
    WalConfig,
    mark::{Mark, MarkFile},
    record::{EntryRecord, LogPosition, Record, RecordFault, VoteRecord, claimed_sequence},
    segment::{HeaderFault, SEGMENT_HEADER_LEN, SealedSegment, SegmentHeader, list_segments},
};
use crate::type_config::ClusterId;

/// What an operator does with a log that cannot be trusted.
pub const REMEDY: &str = "this node may have lost what it acknowledged and must not vote again: wipe its data directory \
and let it join as a new node under a new id (`tessera cluster join`)";

/// Why a log was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Another process has the log open.
    #[error("the write-ahead log in {} is in use by another process", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The directory belongs to another cluster or node.
    #[error(
        "{} belongs to node {found_node} of cluster {found_cluster}, but this is node {node} of cluster {cluster}: \
         correct the configuration or the mount; do not copy data directories between nodes", path.display()
    )]
    WrongOwner {
        /// The file that says so.
        path: PathBuf,
        /// Configured cluster.
        cluster: ClusterId,
        /// Configured node.
        node: u64,
        /// Cluster found.
        found_cluster: ClusterId,
        /// Node found.
        found_node: u64,
    },
    /// Records are damaged or missing.
    #[error("the write-ahead log is damaged: {} at byte {offset}: {damage}; {REMEDY}", path.display())]
    Damaged {
        /// The file concerned.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
}

/// What is wrong with a log.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Damage {
    /// Something unreadable that is not the torn end of the last write.
    #[error("{fault}, but record {later} of a later write follows")]
    BadRecord {
        /// Why it is unreadable.
        fault: RecordFault,
        /// Sequence number of the later record.
        later: u64,
    },
    /// Something unreadable in a segment that is not the newest.
    #[error("{0}, but a newer segment exists")]
    BadRecordInSealedSegment(RecordFault),
    /// A record this version cannot read.
    #[error("{0}")]
    Unreadable(RecordFault),
    /// The segment's first bytes are wrong.
    #[error("{0}")]
    Header(HeaderFault),
    /// A record out of order.
    #[error("record {expected} expected, record {found} found")]
    Sequence {
        /// Sequence number expected.
        expected: u64,
        /// Sequence number found.
        found: u64,
    },
    /// A segment file is missing or has another's name.
    #[error("segment {expected} expected, segment {found} found")]
    SegmentMissing {
        /// Number expected.
        expected: u64,
        /// Number found.
        found: u64,
    },
    /// There are no segments although records had been written.
    #[error("all segments are missing, the high-water mark is record {0}")]
    SegmentsMissing(u64),
    /// The log ends before its acknowledged end.
    #[error("the log ends with record {found}, but record {acknowledged} had been acknowledged")]
    BelowMark {
        /// Sequence number of the last good record.
        found: u64,
        /// Sequence number of the high-water mark.
        acknowledged: u64,
    },
    /// The log ends at the mark's record with other contents.
    #[error("the last entry is {found:?} (term, index), but {acknowledged:?} had been acknowledged")]
    OtherThanMark {
        /// Last entry found.
        found: Option<(u64, u64)>,
        /// Last entry according to the mark.
        acknowledged: Option<(u64, u64)>,
    },
    /// The vote is older than one that had been given.
    #[error("the vote is {found:?}, but {acknowledged:?} had been given")]
    VoteRolledBack {
        /// Vote found.
        found: Option<VoteRecord>,
        /// Vote according to the mark.
        acknowledged: VoteRecord,
    },
    /// The high-water mark is absent although segments exist.
    #[error("the high-water mark is missing")]
    MarkMissing,
    /// The high-water mark cannot be read.
    #[error("the high-water mark is unreadable")]
    MarkUnreadable,
    /// Entries are missing in the middle.
    #[error("entry {expected} expected, entry {found} found")]
    Hole {
        /// Index expected.
        expected: u64,
        /// Index found.
        found: u64,
    },
    /// A truncation of entries that a snapshot already contains.
    #[error("entries from {from} on were deleted, but entries up to {purged} had been purged as applied")]
    TruncatedBelowPurged {
        /// First index deleted.
        from: u64,
        /// Last index purged.
        purged: u64,
    },
}

/// What the records add up to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogContents {
    /// Live entries without a hole.
    pub entries: VecDeque<EntryRecord>,
    /// The last vote.
    pub vote: Option<VoteRecord>,
    /// Last entry deleted because a snapshot contains it.
    pub purged: Option<LogPosition>,
    /// Highest entry known to be committed and present.
    pub committed: Option<LogPosition>,
    /// Bytes of a torn, unacknowledged write that were cut off.
    pub torn_bytes: u64,
}

impl LogContents {
    /// The last entry, purged or not.
    #[must_use]
    pub fn last(&self) -> Option<LogPosition> {
        self.entries.back().map(|entry| entry.position).or(self.purged)
    }
}

/// State of the log after reading it, before anything was written.
pub(super) struct Recovered {
    pub(super) contents: LogContents,
    pub(super) sealed: VecDeque<SealedSegment>,
    /// Path, number, used bytes and highest index of the newest segment.
    pub(super) newest: Option<(PathBuf, u64, u64, Option<u64>)>,
    pub(super) next_sequence: u64,
}

#[derive(Default)]
struct Replay {
    contents: LogContents,
    /// Index the next entry must have; unknown until the first entry or truncation, because the segments before may
    /// have been deleted.
    expected: Option<u64>,
}

impl Replay {
    fn apply(&mut self, record: Record) -> Result<(), Damage> {
        match record {
            Record::Entry(entry) => {
                let found = entry.position.index;
                if let Some(expected) = self.expected.filter(|expected| *expected != found) {
                    return Err(Damage::Hole { expected, found });
                }
                self.expected = Some(found.saturating_add(1));
                self.contents.entries.push_back(entry);
            }
            Record::Vote(vote) => self.contents.vote = Some(vote),
            Record::Committed(position) => self.contents.committed = Some(position),
            Record::Truncate { from } => {
                if let Some(purged) = self.contents.purged.filter(|purged| from <= purged.index) {
                    return Err(Damage::TruncatedBelowPurged { from, purged: purged.index });
                }
                while self.contents.entries.back().is_some_and(|entry| entry.position.index >= from) {
                    self.contents.entries.pop_back();
                }
                self.expected = Some(self.expected.map_or(from, |expected| expected.min(from)));
            }
            Record::Purge(position) => {
                self.contents.purged = Some(position);
                while self
                    .contents
                    .entries
                    .front()
                    .is_some_and(|entry| entry.position.index <= position.index)
                {
                    self.contents.entries.pop_front();
                }
                self.expected = self.expected.map(|next| next.max(position.index.saturating_add(1)));
            }
        }
        Ok(())
    }

    /// The checks that need the whole log.
    fn finish(mut self, first_segment: u64) -> Result<LogContents, Damage> {
        let first = self.contents.entries.front().map(|entry| entry.position.index);
        match (first, self.contents.purged) {
            (Some(found), Some(purged)) if found != purged.index.saturating_add(1) => {
                return Err(Damage::Hole { expected: purged.index.saturating_add(1), found });
            }
            (_, None) if first_segment != 1 => {
                return Err(Damage::SegmentMissing { expected: 1, found: first_segment });
            }
            _ => {}
        }
        // openraft learns of a commit before the snapshot it came with has replaced the log; such a value would make it
        // ask for entries that are not there.
        let last = self.contents.last().map(|position| position.index);
        self.contents.committed = self.contents.committed.filter(|committed| Some(committed.index) <= last);
        Ok(self.contents)
    }
}

/// Reads the log of a data directory.
pub(super) fn recover(config: &WalConfig) -> Result<Recovered, OpenError> {
    let dir = config.segment_dir();
    let io = |action, path: &Path, source| OpenError::Io { action, path: path.to_owned(), source };
    let segments = list_segments(&dir).map_err(|source| io("list", &dir, source))?;
    let mark = read_mark(config, !segments.is_empty())?;
    let mut replay = Replay::default();
    let mut sealed = VecDeque::new();
    let mut newest = None;
    let mut next_sequence = None;
    let mut next_number = None;
    let mut torn_bytes = 0;
    let first_segment = segments.first().map_or(1, |(number, _)| *number);
    let segment_count = segments.len();
    for (position, (number, path)) in segments.into_iter().enumerate() {
        let bytes = fs::read(&path).map_err(|source| io("read", &path, source))?;
        let damaged = |offset, damage| OpenError::Damaged { path: path.clone(), offset, damage };
        let header = SegmentHeader::decode(&bytes).map_err(|fault| damaged(0, Damage::Header(fault)))?;
        config.check_owner(&path, header.cluster, header.node)?;
        let expected = next_number.unwrap_or(number);
        if number != expected || header.number != number {
            let found = if number == expected { header.number } else { number };
            return Err(damaged(0, Damage::SegmentMissing { expected, found }));
        }
        let sequence = next_sequence.unwrap_or(header.first_sequence);
        if header.first_sequence != sequence {
            let found = header.first_sequence;
            return Err(damaged(0, Damage::Sequence { expected: sequence, found }));
        }
        let is_newest = position + 1 == segment_count;
        let read = read_segment(&bytes, sequence, is_newest, &mut replay)
            .map_err(|(offset, damage)| damaged(offset, damage))?;
        next_sequence = Some(read.next_sequence);
        next_number = Some(number.saturating_add(1));
        torn_bytes = read.torn_bytes;
        if is_newest {
            newest = Some((path, number, read.used, read.last_index));
        } else {
            sealed.push_back(SealedSegment { path, last_index: read.last_index });
        }
    }
    let damaged = |damage| OpenError::Damaged { path: dir.clone(), offset: 0, damage };
    let mut contents = replay.finish(first_segment).map_err(damaged)?;
    contents.torn_bytes = torn_bytes;
    let next_sequence = next_sequence.unwrap_or(1);
    check_mark(&mark, next_sequence.saturating_sub(1), &contents).map_err(damaged)?;
    Ok(Recovered { contents, sealed, newest, next_sequence })
}

fn read_mark(config: &WalConfig, segments_exist: bool) -> Result<Mark, OpenError> {
    let path = config.mark_path();
    let damaged = |damage| OpenError::Damaged { path: path.clone(), offset: 0, damage };
    let bytes = MarkFile::read(&path).map_err(|source| OpenError::Io {
        action: "read",
        path: path.clone(),
        source,
    })?;
    let mark = match bytes {
        Some(bytes) => Mark::decode(&bytes).ok_or_else(|| damaged(Damage::MarkUnreadable))?,
        None if segments_exist => return Err(damaged(Damage::MarkMissing)),
        None => return Ok(Mark { node: config.node, ..Mark::default() }),
    };
    config.check_owner(&path, config.cluster, mark.node)?;
    if !segments_exist && mark.sequence != 0 {
        return Err(damaged(Damage::SegmentsMissing(mark.sequence)));
    }
    Ok(mark)
}

fn check_mark(mark: &Mark, last_sequence: u64, contents: &LogContents) -> Result<(), Damage> {
    if last_sequence < mark.sequence {
        return Err(Damage::BelowMark { found: last_sequence, acknowledged: mark.sequence });
    }
    if let Some(acknowledged) = mark.vote
        && contents.vote < Some(acknowledged)
    {
        return Err(Damage::VoteRolledBack { found: contents.vote, acknowledged });
    }
    let found = contents.last().map(|position| (position.term, position.index));
    if last_sequence == mark.sequence && found != mark.last {
        return Err(Damage::OtherThanMark { found, acknowledged: mark.last });
    }
    Ok(())
}

struct SegmentRead {
    next_sequence: u64,
    /// End of the last good record.
    used: u64,
    last_index: Option<u64>,
    torn_bytes: u64,
}

/// Replays one segment; fails with the offset of what is wrong.
fn read_segment(
    bytes: &[u8],
    first_sequence: u64,
    is_newest: bool,
    replay: &mut Replay,
) -> Result<SegmentRead, (u64, Damage)> {
    let mut at = SEGMENT_HEADER_LEN;
    let mut sequence = first_sequence;
    let mut last_index = None;
    let mut torn_bytes = 0;
    loop {
        let offset = byte_offset(at);
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.iter().all(|byte| *byte == 0) && (is_newest || rest.is_empty()) {
            break;
        }
        match Record::decode(rest) {
            Ok(decoded) => {
                if decoded.sequence != sequence {
                    let damage = Damage::Sequence { expected: sequence, found: decoded.sequence };
                    return Err((offset, damage));
                }
                if let Record::Entry(entry) = &decoded.record {
                    last_index = last_index.max(Some(entry.position.index));
                }
                replay.apply(decoded.record).map_err(|damage| (offset, damage))?;
                sequence = sequence.saturating_add(1);
                at += decoded.len;
            }
            Err(fault @ (RecordFault::Kind(_) | RecordFault::Body { .. })) => {
                return Err((offset, Damage::Unreadable(fault)));
            }
            Err(fault) if !is_newest => return Err((offset, Damage::BadRecordInSealedSegment(fault))),
            Err(fault) => {
                if let Some(later) = find_later_write(rest, sequence) {
                    return Err((offset, Damage::BadRecord { fault, later }));
                }
                let torn = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                torn_bytes = byte_offset(torn);
                break;
            }
        }
    }
    Ok(SegmentRead { next_sequence: sequence, used: byte_offset(at), last_index, torn_bytes })
}

/// Looks behind a bad spot, byte by byte, for a record of a write that began after it.
fn find_later_write(bytes: &[u8], bad_sequence: u64) -> Option<u64> {
    (1..bytes.len()).find_map(|at| {
        let rest = bytes.get(at..)?;
        let claimed = claimed_sequence(rest)?;
        // A segment has far fewer records than this; the bound only saves computing checksums.
        let plausible = claimed > bad_sequence && claimed - bad_sequence < 1 << 32;
        let decoded = plausible.then(|| Record::decode(rest).ok())??;
        let write_began_with = decoded.sequence.saturating_sub(u64::from(decoded.place));
        (write_began_with > bad_sequence).then_some(decoded.sequence)
    })
}

fn byte_offset(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}
