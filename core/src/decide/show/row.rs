//! One row of the token list (reference http-api 6.3).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::filter::NO_USER_INFO;
use super::owners::{Entries, entries};
use super::{Candidate, usage_of};
use crate::calendar::{DateTime, parse_validity};
use crate::decide::Context;
use crate::decide::resolver::resolver_id;
use crate::decision::Stop;
use crate::record::{InfoValue, TokenInfo, TokenType, TokenV1, UsageV1};
use crate::time::UnixMillis;
use crate::user::{Owner, RealmName, Serial, UserEntry};

/// A token as administrators see it. Never carries a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// `LinOtp.TokenId`.
    pub id: u64,
    /// `LinOtp.TokenSerialnumber`.
    pub serial: Serial,
    /// `LinOtp.TokenType`, spelled as token lists do.
    pub token_type: &'static str,
    /// `LinOtp.TokenDesc`.
    pub description: String,
    /// `LinOtp.TokenInfo`.
    pub info: InfoView,
    /// `LinOtp.IdResolver`; empty if unassigned.
    pub resolver_id: String,
    /// `LinOtp.IdResClass` and `LinOtp.Userid`; `None` if unassigned.
    pub owner: Option<Owner>,
    /// `LinOtp.OtpLen`.
    pub digits: u32,
    /// `LinOtp.MaxFail`.
    pub fail_count_max: u32,
    /// `LinOtp.FailCount`.
    pub fail_count: u32,
    /// `LinOtp.Count`.
    pub next_counter: u64,
    /// `LinOtp.CountWindow`.
    pub count_window: u32,
    /// `LinOtp.SyncWindow`.
    pub sync_window: u32,
    /// `LinOtp.Isactive`.
    pub active: bool,
    /// `LinOtp.CreationDate`.
    pub created_at: UnixMillis,
    /// `LinOtp.LastAuthSuccess`.
    pub last_success_at: Option<UnixMillis>,
    /// `LinOtp.LastAuthMatch`.
    pub last_match_at: Option<UnixMillis>,
    /// `LinOtp.RealmNames`.
    pub realms: Vec<RealmName>,
    /// `User.…`.
    pub user: RowUser,
}

/// The owner's attributes; all empty if unassigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowUser {
    /// `User.username`; `/:no user info:/` if the owner cannot be resolved.
    pub username: String,
    /// `User.userid`; as `username`.
    pub user_id: String,
    /// `User.description`.
    pub description: String,
    /// `User.<field>` for each requested field, in the order of the request.
    pub fields: Vec<(String, String)>,
}

/// Token information as one JSON object: what administrators set, and what logins changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InfoView(pub TokenInfo);

impl InfoView {
    /// Puts together a token's information.
    #[must_use]
    pub fn new(token: &TokenV1, usage: &UsageV1) -> Self {
        let mut info = token.info.clone();
        info.extend(usage.info.clone());
        let mut number = |key: &str, value: Option<u64>| {
            if let Some(value) = value {
                let value = InfoValue::Integer(i64::try_from(value).unwrap_or(i64::MAX));
                info.insert(key.into(), value);
            }
        };
        number("count_auth", usage.count_auth.map(u64::from));
        number("count_auth_success", usage.count_auth_success.map(u64::from));
        number("otp1c", usage.auto_resync.map(|memory| memory.counter));
        number("dueDate", usage.auto_resync.and_then(|memory| memory.due_at));
        if token.token_type == TokenType::Totp || usage.time_shift != 0 {
            info.insert("timeShift".into(), InfoValue::Integer(usage.time_shift));
        }
        Self(info)
    }

    /// The JSON text as the original prints it, with a line break after each member; empty if there is no information.
    #[must_use]
    pub fn text(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let members: Vec<String> =
            self.0.iter().map(|(key, value)| format!("{}: {}", quoted(key), json(value))).collect();
        format!("{{\n{}\n}}", members.join(",\n"))
    }

    /// The JSON object, with the validity period in ISO 8601 without zone (`tokeninfo_format=json`).
    #[must_use]
    pub fn object(&self) -> serde_json::Map<String, serde_json::Value> {
        self.0.iter().map(|(key, value)| (key.to_string(), structured(key, value))).collect()
    }
}

fn structured(key: &str, value: &InfoValue) -> serde_json::Value {
    match value {
        InfoValue::Text(text) if matches!(key, "validity_period_start" | "validity_period_end") => {
            iso_date(text).unwrap_or_else(|| text.to_string()).into()
        }
        InfoValue::Text(text) => text.to_string().into(),
        InfoValue::Integer(number) => (*number).into(),
        InfoValue::Json(text) => serde_json::from_str(text).unwrap_or_default(),
    }
}

fn iso_date(text: &str) -> Option<String> {
    let DateTime { year, month, day, hour, minute, second } = DateTime::of(parse_validity(text)?);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"))
}

fn json(value: &InfoValue) -> String {
    match value {
        InfoValue::Text(text) => quoted(text),
        InfoValue::Integer(number) => number.to_string(),
        InfoValue::Json(text) => text.to_string(),
    }
}

/// A JSON string in ASCII.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}

/// Makes the rows of a page; asks for their owners.
pub(super) fn rows(
    cx: &mut Context<'_>,
    shown: &[Candidate],
    user_fields: &[String],
) -> Result<Vec<TokenRow>, Stop> {
    let owners: BTreeSet<Owner> =
        shown.iter().filter_map(|candidate| candidate.token.owner.clone()).collect();
    let entries = entries(cx, owners)?;
    Ok(shown.iter().map(|candidate| row(cx, candidate, &entries, user_fields)).collect())
}

fn row(cx: &mut Context<'_>, candidate: &Candidate, entries: &Entries, user_fields: &[String]) -> TokenRow {
    let Candidate { serial, created, token, .. } = candidate;
    let usage = usage_of(cx.view.unrecorded(), serial);
    let configuration = cx.view.configuration();
    let source = token.owner.as_ref().and_then(|owner| configuration.sources.get(&owner.resolver));
    TokenRow {
        id: *created,
        serial: serial.clone(),
        token_type: token.token_type.stored_name(),
        description: token.description.to_string(),
        info: InfoView::new(token, &usage),
        resolver_id: source.map(resolver_id).unwrap_or_default(),
        owner: token.owner.clone(),
        digits: token.digits,
        fail_count_max: token.fail_count_max,
        fail_count: usage.fail_count,
        next_counter: usage.next_counter,
        count_window: token.count_window,
        sync_window: token.sync_window,
        active: token.active,
        created_at: token.created_at,
        last_success_at: usage.last_success_at,
        last_match_at: usage.last_match_at,
        realms: token.realms.clone(),
        user: row_user(token.owner.as_ref(), entries, user_fields),
    }
}

fn row_user(owner: Option<&Owner>, entries: &Entries, user_fields: &[String]) -> RowUser {
    let entry: Option<&Arc<UserEntry>> = owner.and_then(|owner| entries.get(owner)).and_then(Option::as_ref);
    let attribute =
        |name: &str| entry.and_then(|entry| entry.attributes.get(name)).cloned().unwrap_or_default();
    let fields = user_fields.iter().map(|name| (name.clone(), attribute(name))).collect();
    match (owner, entry) {
        (None, _) => RowUser { fields, ..RowUser::default() },
        (Some(_), None) => RowUser {
            username: NO_USER_INFO.to_owned(),
            user_id: NO_USER_INFO.to_owned(),
            description: String::new(),
            fields,
        },
        (Some(_), Some(entry)) => RowUser {
            username: entry.login.clone(),
            user_id: entry.user_id.to_string(),
            description: attribute("description"),
            fields,
        },
    }
}
