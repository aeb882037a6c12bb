//! Records that expire: challenges and revoked sessions.

use serde::{Deserialize, Serialize};

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

/// The root of a transaction id: what stands before the dot (reference tokens 7.2).
pub(crate) fn root(id: &TransactionId) -> TransactionId {
    match id.as_str().split_once('.') {
        Some((root, _)) => TransactionId::from(root),
        None => id.clone(),
    }
}
