//! The audit trail: one row per request, part of the request's own transaction (reference http-api 21, users 20).

use serde::{Deserialize, Serialize};

use crate::time::UnixMillis;

/// A row of the audit trail. Its number and its place in the hash chain are given when it is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRowV1 {
    /// When the request was decided.
    pub at: UnixMillis,
    /// Request path without the leading slash.
    pub action: Box<str>,
    /// Whether the request succeeded.
    pub success: bool,
    /// Affected tokens, joined by blanks.
    pub serial: Box<str>,
    /// Their types.
    pub token_type: Box<str>,
    /// Login of the user concerned.
    pub user: Box<str>,
    /// The user's realm.
    pub realm: Box<str>,
    /// The administrator, `login@realm (resolver)`, or empty.
    pub administrator: Box<str>,
    /// Reason codes and changed fields.
    pub action_detail: Box<str>,
    /// Free text.
    pub info: Box<str>,
    /// Host name of the node that decided.
    pub server: Box<str>,
    /// Address of the client.
    pub client: Box<str>,
    /// The request's id, as in the log and in the reply's header `X-Request-Id`.
    pub request_id: Box<str>,
}
