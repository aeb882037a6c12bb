//! The audit trail: one row per request, part of the request's own transaction (reference http-api 21, users 20).

use serde::{Deserialize, Serialize};

use crate::record::TokenType;
use crate::time::UnixMillis;
use crate::txn::{HistoryRow, Txn};

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

/// The answer to a login, for the monitoring. Both texts come from closed sets: nothing of the audit row becomes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// The type of the tokens that took part; `none` without a token, `several` of different types.
    pub token_type: &'static str,
    /// `accepted`, `rejected` or `challenged`.
    pub result: &'static str,
}

impl Login {
    const ACCEPTED: &'static str = "accepted";
    const REJECTED: &'static str = "rejected";

    /// The answers that every cluster gives sooner or later.
    pub fn frequent() -> impl Iterator<Item = Self> {
        let types = TokenType::ALL.iter().map(|known| known.name()).chain([Self::no_type()]);
        types
            .flat_map(|token_type| [Self::ACCEPTED, Self::REJECTED].map(|result| Self { token_type, result }))
    }

    const fn no_type() -> &'static str {
        "none"
    }

    /// The login a transaction belongs to, as its audit row tells it (reference http-api 21); `None` for other requests.
    #[must_use]
    pub fn of(txn: &Txn) -> Option<Self> {
        let HistoryRow::Audit(row) = txn.history.first()?;
        if !row.action.starts_with("validate/") {
            return None;
        }
        let mut types = row.token_type.split_whitespace().map(TokenType::find);
        let token_type = match types.next() {
            None => Self::no_type(),
            Some(Some(first)) if types.all(|other| other == Some(first)) => first.name(),
            Some(_) => "several",
        };
        let result = if row.success {
            Self::ACCEPTED
        } else if &*row.action_detail == "challenge created" {
            "challenged"
        } else {
            Self::REJECTED
        };
        Some(Self { token_type, result })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(
        action: &str,
        token_type: &str,
        success: bool,
        detail: &str,
    ) -> Option<(&'static str, &'static str)> {
        let row = AuditRowV1 {
            action: action.into(),
            token_type: token_type.into(),
            success,
            action_detail: detail.into(),
            ..AuditRowV1::default()
        };
        let txn = Txn { history: vec![HistoryRow::Audit(row)], ..Txn::default() };
        Login::of(&txn).map(|login| (login.token_type, login.result))
    }

    #[test]
    fn logins_are_told_by_type_and_result() {
        assert_eq!(login("validate/check", "HMAC", true, ""), Some(("hmac", "accepted")));
        assert_eq!(login("validate/check", "TOTP TOTP", true, ""), Some(("totp", "accepted")));
        assert_eq!(login("validate/check_s", "totp", false, "wrong otp value"), Some(("totp", "rejected")));
        assert_eq!(login("validate/check", "hmac", false, "challenge created"), Some(("hmac", "challenged")));
        assert_eq!(login("validate/check", "", false, "no token found!"), Some(("none", "rejected")));
        assert_eq!(login("validate/check", "HMAC TOTP", true, ""), Some(("several", "accepted")));
        assert_eq!(login("validate/check", "alice", true, ""), Some(("several", "accepted")));
        assert_eq!(login("admin/init", "hmac", true, ""), None);
        assert_eq!(Login::of(&Txn::default()), None);
    }
}
