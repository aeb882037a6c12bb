//! What keeps a token from taking part in a login, and how often it may be used (reference tokens 6.4).

use crate::calendar::parse_validity;
use crate::record::{InfoValue, TokenInfo, TokenV1, UsageV1};
use crate::time::UnixMillis;
use crate::token_info::{self, InfoFault};
use crate::user::RealmName;

/// Why a token takes no part in a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The user's realm is not one of the token's.
    RealmMismatch,
    /// Disabled.
    Inactive,
    /// Too many failures.
    Locked,
    /// Its scope excludes this part of the interface.
    OutOfScope,
    /// Its validity period has not begun.
    NotYetValid,
    /// Used as often as allowed.
    CountExceeded,
    /// Used successfully as often as allowed.
    SuccessCountExceeded,
    /// Its validity period is over.
    Expired,
}

impl Obstacle {
    /// The text of the audit trail's `action_detail` (reference http-api 21); none for a token out of scope.
    #[must_use]
    pub const fn text(self) -> Option<&'static str> {
        match self {
            Self::RealmMismatch => Some("Realm mismatch for token and user"),
            Self::Inactive => Some("Token inactive"),
            Self::Locked => Some("Failcounter exceeded"),
            Self::OutOfScope => None,
            Self::NotYetValid => Some("Authentication validity period mismatch!"),
            Self::CountExceeded => Some("Authentication counter exceeded"),
            Self::SuccessCountExceeded => Some("Authentication sucess counter exceeded"),
            Self::Expired => Some("Authentication validity period exceeded"),
        }
    }

    /// Whether the attempt counts as a failure of the token all the same.
    #[must_use]
    pub const fn counts_as_failure(self) -> bool {
        match self {
            Self::RealmMismatch | Self::Inactive | Self::OutOfScope => false,
            Self::Locked
            | Self::NotYetValid
            | Self::CountExceeded
            | Self::SuccessCountExceeded
            | Self::Expired => true,
        }
    }
}

/// What a login brings along that a token may not fit.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// Cluster time.
    pub now: UnixMillis,
    /// The realm of the user, if there is one.
    pub realm: Option<&'a RealmName>,
    /// The first segment of the request's path.
    pub area: &'a str,
}

/// The first obstacle, in the order of reference tokens 6.4.
///
/// # Errors
/// When the token information contains a limit that cannot be read; the token must not be used then.
pub fn find_obstacle(
    token: &TokenV1,
    usage: &UsageV1,
    occasion: Occasion<'_>,
) -> Result<Option<Obstacle>, InfoFault> {
    let elsewhere = |realm: &RealmName| !token.realms.is_empty() && !token.realms.contains(realm);
    if occasion.realm.is_some_and(elsewhere) {
        return Ok(Some(Obstacle::RealmMismatch));
    }
    if !token.active {
        return Ok(Some(Obstacle::Inactive));
    }
    if is_locked(token, usage) {
        return Ok(Some(Obstacle::Locked));
    }
    if !is_in_scope(&token.info, occasion.area)? {
        return Ok(Some(Obstacle::OutOfScope));
    }
    if date(&token.info, "validity_period_start")?.is_some_and(|start| occasion.now < start) {
        return Ok(Some(Obstacle::NotYetValid));
    }
    exceeded(token, usage, occasion.now)
}

/// Whether the token has failed too often.
#[must_use]
pub const fn is_locked(token: &TokenV1, usage: &UsageV1) -> bool {
    usage.fail_count >= token.fail_count_max
}

fn exceeded(token: &TokenV1, usage: &UsageV1, now: UnixMillis) -> Result<Option<Obstacle>, InfoFault> {
    let reached =
        |max: Option<u64>, count: Option<u32>| max.is_some_and(|max| u64::from(count.unwrap_or(0)) >= max);
    let limits = UsageLimits::of(&token.info)?;
    if reached(limits.attempts, usage.count_auth) {
        return Ok(Some(Obstacle::CountExceeded));
    }
    if reached(limits.successes, usage.count_auth_success) {
        return Ok(Some(Obstacle::SuccessCountExceeded));
    }
    let expired = date(&token.info, "validity_period_end")?.is_some_and(|end| now > end);
    Ok(expired.then_some(Obstacle::Expired))
}

/// How often a token may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageLimits {
    /// `count_auth_max`.
    pub attempts: Option<u64>,
    /// `count_auth_success_max`.
    pub successes: Option<u64>,
}

impl UsageLimits {
    /// The limits in a token's information.
    ///
    /// # Errors
    /// When one is not a number.
    pub fn of(info: &TokenInfo) -> Result<Self, InfoFault> {
        Ok(Self {
            attempts: token_info::limit(info, "count_auth_max")?,
            successes: token_info::limit(info, "count_auth_success_max")?,
        })
    }

    /// Counts a successful login, where there is a limit.
    pub fn count_success(self, usage: &mut UsageV1) {
        if self.successes.is_some() {
            count(&mut usage.count_auth_success);
        }
        self.count_attempt(usage);
    }

    /// Counts a login, where there is a limit.
    pub fn count_attempt(self, usage: &mut UsageV1) {
        if self.attempts.is_some() {
            count(&mut usage.count_auth);
        }
    }
}

/// Adds one to a usage counter.
pub fn count(counter: &mut Option<u32>) {
    *counter = Some(counter.unwrap_or(0).saturating_add(1));
}

fn date(info: &TokenInfo, key: &'static str) -> Result<Option<UnixMillis>, InfoFault> {
    let fault = InfoFault { key, expected: "a date in the form DD/MM/YY HH:MM" };
    match info.get(key) {
        None => Ok(None),
        Some(InfoValue::Text(text)) if text.trim().is_empty() => Ok(None),
        Some(InfoValue::Text(text)) => parse_validity(text).map(Some).ok_or(fault),
        Some(InfoValue::Json(text)) if &**text == "null" => Ok(None),
        Some(InfoValue::Integer(_) | InfoValue::Json(_)) => Err(fault),
    }
}

/// What `scope` may contain.
#[derive(serde::Deserialize)]
struct Scope {
    path: Option<Vec<String>>,
}

/// The first path segments a scope is limited to; empty means everywhere.
///
/// # Errors
/// When the text is not a JSON object, or `path` not a list of texts.
pub fn scope_paths(json: &str) -> Result<Vec<String>, InfoFault> {
    serde_json::from_str::<Scope>(json)
        .map(|scope| scope.path.unwrap_or_default())
        .map_err(|_| InfoFault { key: "scope", expected: "a JSON object whose 'path' is a list of texts" })
}

fn is_in_scope(info: &TokenInfo, area: &str) -> Result<bool, InfoFault> {
    let paths = match info.get("scope") {
        Some(InfoValue::Json(json) | InfoValue::Text(json)) if !json.is_empty() => scope_paths(json)?,
        _ => return Ok(true),
    };
    Ok(paths.is_empty() || paths.iter().any(|path| path == area))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_name_path_segments() {
        let info = |json: &str| TokenInfo::from([("scope".into(), InfoValue::Json(json.into()))]);
        for (json, area, expected) in [
            (r#"{"path":["userservice"]}"#, "userservice", Some(true)),
            (r#"{"path":["userservice"]}"#, "validate", Some(false)),
            (r#"{"path":["userservice","validate"]}"#, "validate", Some(true)),
            (r#"{"path":[]}"#, "validate", Some(true)),
            (r#"{"other":1}"#, "validate", Some(true)),
            (r#"{"path":"validate"}"#, "validate", None),
            (r#"["validate"]"#, "userservice", None),
            ("{", "validate", None),
        ] {
            assert_eq!(is_in_scope(&info(json), area).ok(), expected, "{json} in {area}");
        }
        assert_eq!(is_in_scope(&TokenInfo::new(), "validate"), Ok(true));
    }

    #[test]
    fn unreadable_dates_are_an_error_not_unlimited() {
        let read = |value: InfoValue| date(&TokenInfo::from([("k".into(), value)]), "k");
        assert_eq!(read(InfoValue::Text("".into())), Ok(None));
        assert_eq!(
            read(InfoValue::Text("21/11/26 20:30".into())),
            Ok(Some(UnixMillis::from_seconds(1_795_293_000)))
        );
        assert!(read(InfoValue::Text("never".into())).is_err());
        assert!(read(InfoValue::Integer(5)).is_err());
    }
}
