//! What a log entry contains: a batch of commands, each encoded by the node that proposed it.
//!
//! The leader concatenates encoded commands without taking them apart, so a command is encoded once, whatever the number
//! of nodes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tessera_core::time::UnixMillis;
use tessera_core::txn::{Outcome, Txn, TxnId};

use crate::codec::{self, CodecError, Kind};
use crate::type_config::Payload;

/// A change of the replicated state. Variants are appended and never changed: the position is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A transaction of a node's session.
    Txn {
        /// Its identity; proposed again under the same id while its fate is unknown.
        id: TxnId,
        /// The lowest sequence number of the session that is still awaited; outcomes below are forgotten.
        acked_below: u64,
        /// What to compare and write.
        txn: Txn,
    },
    /// Gives a node a session, under which its transactions are applied at most once.
    OpenSession {
        /// The node.
        node: u64,
        /// Drawn at random by the node, so that opening is idempotent too.
        incarnation: [u8; 16],
    },
    /// Forgets sessions that were not used since that replicated time.
    ExpireSessions {
        /// Sessions last used before this are removed.
        idle_since: UnixMillis,
    },
    /// Changes nothing. Every node computes the digest of its state behind the entry that holds this, so that the nodes
    /// can compare what they have.
    Checkpoint,
}

/// The result of a command, for the node that proposed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandReply {
    /// To [`Command::Txn`].
    Txn(Outcome),
    /// To [`Command::OpenSession`].
    Session(u64),
    /// To [`Command::ExpireSessions`].
    Done,
    /// To [`Command::Checkpoint`]: the index of the entry.
    Checkpoint(u64),
}

/// A batch of commands as it is stored and sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The leader's clock when it made the batch. The state's time becomes the latest it has seen.
    pub time: UnixMillis,
    /// Encoded commands ([`encode_command`]).
    pub commands: Vec<Bytes>,
}

/// Encodes a command for a batch.
///
/// # Errors
/// When a part of it has no positional encoding.
pub fn encode_command(command: &Command) -> Result<Bytes, CodecError> {
    codec::encode_plain(command).map(Bytes::from)
}

/// Decodes a command. A leader does so before it proposes what another node sent: an entry that cannot be decoded stops
/// every node that applies it.
///
/// # Errors
/// When the bytes are not a command this version knows.
pub fn decode_command(bytes: &[u8]) -> Result<Command, CodecError> {
    codec::decode_plain(bytes)
}

impl Batch {
    /// The batch as the payload of a log entry.
    ///
    /// # Errors
    /// When the batch is longer than an envelope may be.
    pub fn encode(&self) -> Result<Payload, CodecError> {
        codec::encode(Kind::Batch, self).map(|bytes| Payload(Bytes::from(bytes)))
    }

    /// Reads the payload of a log entry.
    ///
    /// # Errors
    /// When it is damaged or of another version.
    pub fn decode(payload: &Payload) -> Result<Self, CodecError> {
        codec::decode(Kind::Batch, &payload.0)
    }
}
