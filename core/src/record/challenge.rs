//! Records that expire: challenges, revoked sessions, replies kept for repeated requests.

use serde::{Deserialize, Serialize};

use super::token::TokenType;
use crate::secret::PinHash;
use crate::time::UnixMillis;
use crate::user::{Serial, TransactionId};

/// A challenge sent to a user (reference tokens 7.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeV1 {
    /// The token that was challenged.
    pub serial: Serial,
    /// The prompt, URL or message returned to the client.
    pub message: Box<str>,
    /// Type-specific data, JSON text.
    pub data: Box<str>,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When the record may be removed. Whether it can still be answered is decided by configuration at reading time.
    pub expires_at: UnixMillis,
    /// Whether it can still be answered.
    pub open: bool,
    /// The user confirmed (`true`) or refused (`false`) it, for types that know that.
    pub confirmed: Option<bool>,
    /// Number of answers so far, right or wrong.
    pub received_count: u32,
    /// An answer has arrived.
    pub received: bool,
    /// The last answer was right.
    pub valid: bool,
}

/// A session token that was logged out before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationV1 {
    /// The end of the session token; afterwards it is refused anyway.
    pub expires_at: UnixMillis,
}

/// The answer to a check that its client may ask again (`Idempotency-Key`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyV1 {
    /// Keyed hash of the request, so that the answer is given to no other one.
    pub request: PinHash,
    /// When the record may be removed; from then on it is not used.
    pub expires_at: UnixMillis,
    /// Whether the login was accepted.
    pub accepted: bool,
    /// Lengths of PIN and OTP in the order they were sent, if the client wanted them.
    pub auth_info: Option<Vec<(Box<str>, u32)>>,
    /// The root transaction, if several tokens were challenged.
    pub root: Option<TransactionId>,
    /// The tokens that were challenged.
    pub challenges: Vec<ChallengedV1>,
    /// What policies let the client know besides, as JSON text.
    pub detail: Option<Box<str>>,
}

/// What a client was told about one challenged token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengedV1 {
    /// The id to be answered.
    pub transaction_id: TransactionId,
    /// Prompt, or payload for the authenticator.
    pub message: Box<str>,
    /// The token.
    pub serial: Serial,
    /// Its type.
    pub token_type: TokenType,
    /// Its description.
    pub description: Box<str>,
    /// What its type told besides, by name.
    pub attributes: Vec<(Box<str>, ChallengeAttributeV1)>,
}

/// A further member of what a client was told about a challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChallengeAttributeV1 {
    /// A text.
    Text(Box<str>),
    /// A text that is shown as QR code as well.
    Code(Box<str>),
}

/// The root of a transaction id: what stands before the dot (reference tokens 7.2).
pub(crate) fn root(id: &TransactionId) -> TransactionId {
    match id.as_str().split_once('.') {
        Some((root, _)) => TransactionId::from(root),
        None => id.clone(),
    }
}
