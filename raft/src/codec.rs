//! The binary encoding of everything that is stored or sent. No other file names the encoding crate.
//!
//! Bytes are little endian, integers variable length, structs positional (reference raft-and-storage 9), inside an
//! envelope `magic u8 | format version u8 | kind u8 | flags u8 | crc32 u32 | len u32 | body`. The checksum covers the
//! first four bytes and the body, so that a body cannot be read as another kind.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::type_config::{Membership, NodeInfo};

/// First byte of every envelope.
const MAGIC: u8 = 0x7E;
/// Version of the envelope and of the encoding of its body.
const FORMAT_VERSION: u8 = 1;
/// Bytes before the body.
pub const ENVELOPE_LEN: usize = 12;
/// Longest accepted body in bytes. Far above a batch (128 KiB) and a Raft message (16 MiB), and a bound for hostile
/// length fields.
pub const MAX_BODY: usize = 64 * 1024 * 1024;

/// What an envelope contains. Variants are appended and never renumbered: the number is the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A batch of transactions, the payload of a log entry.
    Batch = 1,
    /// Members of the cluster, the payload of a membership entry.
    Membership = 2,
    /// First block of a snapshot file.
    SnapshotHeader = 3,
    /// Last block of a snapshot file.
    SnapshotFooter = 4,
    /// A request between the Raft instances of two nodes.
    RaftRequest = 5,
    /// The answer to a [`Kind::RaftRequest`].
    RaftReply = 6,
    /// A transaction or read forwarded to the leader.
    ForwardRequest = 7,
    /// The answer to a [`Kind::ForwardRequest`].
    ForwardReply = 8,
    /// First part of a backup. The numbers between are left to what nodes store and send.
    ArchiveHeader = 32,
    /// Records in a backup.
    ArchiveBlock = 33,
    /// Last part of a backup.
    ArchiveTrailer = 34,
}

/// Why bytes could not be encoded or decoded.
#[derive(Debug, Error)]
pub enum CodecError {
    /// The value cannot be represented.
    #[error("cannot encode a value of kind {kind:?}")]
    Encode {
        /// What was to be encoded.
        kind: Option<Kind>,
        /// The reason given by the encoder.
        #[source]
        source: bincode::error::EncodeError,
    },
    /// The body is longer than [`MAX_BODY`].
    #[error("body of {found} bytes exceeds the limit of {limit}")]
    TooLong {
        /// Length found.
        found: usize,
        /// Length allowed.
        limit: usize,
    },
    /// There are fewer bytes than the envelope needs.
    #[error("envelope of {needed} bytes expected, {found} bytes found")]
    Truncated {
        /// Bytes needed.
        needed: usize,
        /// Bytes present.
        found: usize,
    },
    /// Something else begins here.
    #[error("magic byte {expected:#04x} expected, {found:#04x} found")]
    Magic {
        /// The byte every envelope begins with.
        expected: u8,
        /// The byte found.
        found: u8,
    },
    /// Written by another version of the program.
    #[error("format version {found} found, this program reads version {expected}")]
    Version {
        /// Version this program reads.
        expected: u8,
        /// Version found.
        found: u8,
    },
    /// An envelope of another kind.
    #[error("kind {expected} ({expected_kind:?}) expected, kind {found} found")]
    WrongKind {
        /// Number of the expected kind.
        expected: u8,
        /// The expected kind.
        expected_kind: Kind,
        /// Number found.
        found: u8,
    },
    /// Flags are reserved and must be zero.
    #[error("flags 0 expected, {found:#04x} found")]
    Flags {
        /// Flags found.
        found: u8,
    },
    /// The bytes were changed.
    #[error("checksum {expected:08x} expected, {found:08x} found")]
    Checksum {
        /// Checksum stored in the envelope.
        expected: u32,
        /// Checksum of the bytes present.
        found: u32,
    },
    /// The length field and the number of bytes differ.
    #[error("body of {expected} bytes expected, {found} bytes found")]
    Length {
        /// Length stored in the envelope.
        expected: usize,
        /// Bytes behind the envelope.
        found: usize,
    },
    /// The body is not an encoding of the expected type.
    #[error("cannot decode the body")]
    Decode {
        /// The reason given by the decoder.
        #[source]
        source: bincode::error::DecodeError,
    },
    /// The type needed fewer bytes than there are: written by another version of it.
    #[error("body of {expected} bytes has only {consumed} bytes of the expected type")]
    Surplus {
        /// Bytes of the body.
        expected: usize,
        /// Bytes the type consumed.
        consumed: usize,
    },
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_BODY>()
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(body);
    hasher.finalize()
}

/// Encodes a value inside an envelope.
///
/// # Errors
/// When the value has no positional encoding or is longer than [`MAX_BODY`].
pub fn encode<T: Serialize + ?Sized>(kind: Kind, value: &T) -> Result<Vec<u8>, CodecError> {
    let body = bincode::serde::encode_to_vec(value, config())
        .map_err(|source| CodecError::Encode { kind: Some(kind), source })?;
    let too_long = || CodecError::TooLong { found: body.len(), limit: MAX_BODY };
    if body.len() > MAX_BODY {
        return Err(too_long());
    }
    let len = u32::try_from(body.len()).map_err(|_| too_long())?;
    let head = [MAGIC, FORMAT_VERSION, kind as u8, 0];
    let mut out = Vec::with_capacity(ENVELOPE_LEN + body.len());
    out.extend_from_slice(&head);
    out.extend_from_slice(&checksum(&head, &body).to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

/// Length of the envelope and body that begin here, for readers of a file that holds several.
///
/// # Errors
/// When the bytes do not begin with an envelope of this kind or its length exceeds [`MAX_BODY`].
pub fn envelope_len(kind: Kind, bytes: &[u8]) -> Result<usize, CodecError> {
    let truncated = CodecError::Truncated { needed: ENVELOPE_LEN, found: bytes.len() };
    let Some((head, _)) = bytes.split_first_chunk::<ENVELOPE_LEN>() else {
        return Err(truncated);
    };
    let [magic, version, found_kind, flags, _, _, _, _, l0, l1, l2, l3] = *head;
    if magic != MAGIC {
        return Err(CodecError::Magic { expected: MAGIC, found: magic });
    }
    if version != FORMAT_VERSION {
        return Err(CodecError::Version { expected: FORMAT_VERSION, found: version });
    }
    if found_kind != kind as u8 {
        return Err(CodecError::WrongKind { expected: kind as u8, expected_kind: kind, found: found_kind });
    }
    if flags != 0 {
        return Err(CodecError::Flags { found: flags });
    }
    let len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).map_err(|_| truncated)?;
    if len > MAX_BODY {
        return Err(CodecError::TooLong { found: len, limit: MAX_BODY });
    }
    Ok(ENVELOPE_LEN + len)
}

/// Decodes exactly one envelope.
///
/// # Errors
/// When anything differs from what [`encode`] with the same kind and type would have produced.
pub fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, CodecError> {
    let needed = envelope_len(kind, bytes)?;
    if bytes.len() != needed {
        return Err(CodecError::Length {
            expected: needed - ENVELOPE_LEN,
            found: bytes.len().saturating_sub(ENVELOPE_LEN),
        });
    }
    let Some((&[m, v, k, f, c0, c1, c2, c3, ..], body)) = bytes.split_first_chunk::<ENVELOPE_LEN>() else {
        return Err(CodecError::Truncated { needed, found: bytes.len() });
    };
    let expected = u32::from_le_bytes([c0, c1, c2, c3]);
    let found = checksum(&[m, v, k, f], body);
    if expected != found {
        return Err(CodecError::Checksum { expected, found });
    }
    decode_plain(body)
}

/// Encodes a value without an envelope, for use inside a block that has a checksum of its own.
///
/// # Errors
/// When the value has no positional encoding.
pub fn encode_plain<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, config()).map_err(|source| CodecError::Encode { kind: None, source })
}

/// As [`encode_plain`], behind what the buffer holds already: spares an allocation for each of many values.
///
/// # Errors
/// When the value has no positional encoding; then the buffer may hold a part of it.
pub fn write_plain<T: Serialize + ?Sized>(value: &T, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, buffer, config())
        .map(drop)
        .map_err(|source| CodecError::Encode { kind: None, source })
}

/// Decodes what [`encode_plain`] wrote.
///
/// # Errors
/// When the bytes are not an encoding of the type or are not consumed completely.
pub fn decode_plain<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MAX_BODY {
        return Err(CodecError::TooLong { found: bytes.len(), limit: MAX_BODY });
    }
    let (value, consumed) =
        bincode::serde::decode_from_slice(bytes, config()).map_err(|source| CodecError::Decode { source })?;
    if consumed != bytes.len() {
        return Err(CodecError::Surplus { expected: bytes.len(), consumed });
    }
    Ok(value)
}

/// The members of a cluster as they are stored; openraft's own type may change its shape with an upgrade.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, serde::Deserialize)]
pub struct MembershipV1 {
    /// Voters; two lists while a change is under way (joint consensus).
    pub configs: Vec<Vec<u64>>,
    /// All members, learners too: node, address of the Raft listener, URL of the web API.
    pub nodes: Vec<(u64, String, String)>,
}

impl From<&Membership> for MembershipV1 {
    fn from(membership: &Membership) -> Self {
        Self {
            configs: membership.get_joint_config().iter().map(|set| set.iter().copied().collect()).collect(),
            nodes: membership
                .nodes()
                .map(|(id, info)| (*id, info.raft_addr.clone(), info.api_url.clone()))
                .collect(),
        }
    }
}

impl From<MembershipV1> for Membership {
    fn from(stored: MembershipV1) -> Self {
        let configs = stored.configs.into_iter().map(|ids| ids.into_iter().collect()).collect();
        let nodes: std::collections::BTreeMap<u64, NodeInfo> = stored
            .nodes
            .into_iter()
            .map(|(id, raft_addr, api_url)| (id, NodeInfo { raft_addr, api_url }))
            .collect();
        Self::new(configs, nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// Envelopes of the value `(1u8, "ab")`, computed with Python's `struct` and `zlib.crc32`.
    const FROZEN: [(Kind, &str); 11] = [
        (Kind::Batch, "7e010100436db1d50400000001026162"),
        (Kind::Membership, "7e010200ed1f25530400000001026162"),
        (Kind::SnapshotHeader, "7e01030048cc79980400000001026162"),
        (Kind::SnapshotFooter, "7e010400f0fc7c850400000001026162"),
        (Kind::RaftRequest, "7e010500552f204e0400000001026162"),
        (Kind::RaftReply, "7e010600fb5db4c80400000001026162"),
        (Kind::ForwardRequest, "7e0107005e8ee8030400000001026162"),
        (Kind::ForwardReply, "7e0108008b3cbef20400000001026162"),
        (Kind::ArchiveHeader, "7e012000d0bb41190400000001026162"),
        (Kind::ArchiveBlock, "7e01210075681dd20400000001026162"),
        (Kind::ArchiveTrailer, "7e012200db1a89540400000001026162"),
    ];

    #[test]
    fn every_kind_has_its_frozen_bytes() {
        for (kind, frozen) in FROZEN {
            assert_eq!(encode(kind, &(1u8, "ab")).unwrap(), unhex(frozen), "{kind:?}");
            assert_eq!(decode::<(u8, String)>(kind, &unhex(frozen)).unwrap(), (1, "ab".to_owned()));
        }
    }

    #[test]
    fn members_have_their_frozen_bytes() {
        let members = MembershipV1 {
            configs: vec![vec![1, 2, 3], vec![2, 3, 300]],
            nodes: vec![(1, "a:1".to_owned(), "u".to_owned()), (300, "b:2".to_owned(), String::new())],
        };
        let frozen = "7e0102000751cd5d1b0000000203010203030203fb2c01020103613a310175fb2c0103623a3200";
        assert_eq!(encode(Kind::Membership, &members).unwrap(), unhex(frozen));
        assert_eq!(decode::<MembershipV1>(Kind::Membership, &unhex(frozen)).unwrap(), members);
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let good = encode(Kind::Batch, &(7u64, "some text")).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<(u64, String)>(Kind::Batch, &bad).is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(decode::<(u64, String)>(Kind::Batch, &good[..len]).is_err(), "length {len}");
        }
    }

    #[track_caller]
    fn refused(bytes: &[u8], message: &str) {
        let error = decode::<u8>(Kind::Batch, bytes).unwrap_err();
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn errors_name_what_was_expected_and_what_was_found() {
        let good = encode(Kind::Batch, &5u8).unwrap();
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        refused(&with(0, 0x11), "magic byte 0x7e expected, 0x11 found");
        refused(&with(1, 9), "format version 9 found, this program reads version 1");
        refused(&with(2, 4), "kind 1 (Batch) expected, kind 4 found");
        refused(&with(2, 200), "kind 1 (Batch) expected, kind 200 found");
        refused(&with(3, 1), "flags 0 expected, 0x01 found");
        refused(&with(8, 2), "body of 2 bytes expected, 1 bytes found");
        refused(&with(11, 0xff), "body of 4278190081 bytes exceeds the limit of 67108864");
        refused(&good[..5], "envelope of 12 bytes expected, 5 bytes found");
        let longer = encode(Kind::Batch, &(5u8, 6u8)).unwrap();
        refused(&longer, "body of 2 bytes has only 1 bytes of the expected type");
    }

    #[test]
    fn a_hostile_length_inside_the_body_is_refused() {
        // A string of 2^62 bytes: varint marker 0xfd and eight bytes.
        let body = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0x40];
        assert!(decode_plain::<String>(&body).is_err());
        assert!(decode_plain::<Vec<u64>>(&body).is_err());
    }
}
