//! `admin/losttoken`: a password for the time until a lost token is found or replaced (reference tokens 12.1).

use std::sync::Arc;

use super::enroll::{Init, SeedSource, store};
use super::enrollment::Place;
use super::lifecycle::{change_token, clear_failures};
use super::rights::require_tokens;
use super::selection::note_tokens;
use super::user::{Found, user_by_id};
use super::{Context, Request};
use crate::calendar::{DateTime, format_validity};
use crate::decision::{Refusal, Stop};
use crate::policy::catalogue::admin;
use crate::policy::catalogue::enrollment::{LOST_TOKEN_PW_CONTENTS, LOST_TOKEN_PW_LEN, LOST_TOKEN_VALID};
use crate::policy::value::IntOrDuration;
use crate::random_text;
use crate::record::{InfoValue, Pin, TokenType, TokenV1};
use crate::secret::{Purpose, SecretText};
use crate::serial;
use crate::time::UnixMillis;
use crate::user::{Serial, UserEntry};

/// Replaces a lost token by a temporary password.
#[derive(Clone, Debug, Default)]
pub struct LostToken {
    /// The lost token.
    pub serial: Option<String>,
    /// `type`: `password`, `email` or `sms`; anything else is `password`.
    pub kind: Option<String>,
    /// `email`: where a mail would go instead of the owner's address.
    pub email: Option<String>,
    /// `mobile`: where a message would go instead of the owner's number.
    pub mobile: Option<String>,
}

/// The replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Its serial, `lost` and that of the lost token.
    pub serial: Serial,
    /// Its type as clients know it.
    pub token_type: &'static str,
    /// The password.
    pub password: SecretText,
    /// Its last minute, `DD/MM/YY HH:MM` in UTC.
    pub end_date: String,
    /// Whether the PIN of the lost token is that of the replacement as well.
    pub copies_pin: bool,
}

/// What policies lay down about replacements.
struct Rules {
    /// Characters of the password.
    length: u32,
    /// Letters that select its alphabet.
    contents: Box<str>,
    /// How long it is good: days or seconds.
    valid: IntOrDuration,
}

/// The rules for the owner of a lost token, in its realms (reference policies 6.3). A number that makes no sense is as
/// good as none.
fn rules(cx: &mut Context<'_>, lost: &TokenV1) -> Result<Rules, Stop> {
    let place = Place::of_token(cx, lost)?;
    let length = place.first(cx, &LOST_TOKEN_PW_LEN)?.and_then(|length| u32::try_from(length).ok());
    Ok(Rules {
        length: length.filter(|length| *length > 0).unwrap_or(LENGTH_DEFAULT),
        contents: place.first(cx, &LOST_TOKEN_PW_CONTENTS)?.unwrap_or_default(),
        // A negative number of days stands for the default.
        valid: place.first(cx, &LOST_TOKEN_VALID)?.unwrap_or(IntOrDuration::Int(-1)),
    })
}

const LENGTH_DEFAULT: u32 = 10;
const DAYS_DEFAULT: u64 = 10;
const DAY: u64 = 86_400;

impl Request for LostToken {
    type Reply = Replacement;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Replacement, Stop> {
        let wanted = self.serial.as_deref().filter(|serial| !serial.is_empty());
        let lost_serial = Serial::from(wanted.ok_or(Refusal::Other("the serial is missing".to_owned()))?);
        require_tokens(cx, &admin::LOST_TOKEN, std::slice::from_ref(&lost_serial))?;
        let lost =
            cx.view.token(&lost_serial).ok_or_else(|| Refusal::UnknownSerial(lost_serial.to_string()))?;
        note_tokens(cx, std::slice::from_ref(&lost_serial));
        let owner = owner_of(cx, &lost, &lost_serial)?;
        self.check_kind(&owner)?;

        let Rules { length, contents, valid } = rules(cx, &lost)?;
        let password = random_text::make(&mut cx.random, length, &random_text::alphabet(&contents));
        let serial = serial::parse(&format!("lost{lost_serial}"))?;
        let end = end_of(valid, cx.facts.now)
            .ok_or_else(|| Refusal::Other("lostTokenValid is more days than there are".to_owned()))?;
        let end_date = format_validity(end);
        let copies_pin = lost.token_type != TokenType::Spass;
        let pin = if copies_pin { Some(copy_pin(cx, &lost_serial, &lost, &serial)?) } else { None };
        replace(cx, &serial, &lost, &password, |token| {
            token.description = format!("temporary replacement for {lost_serial}").into();
            token.pin = pin.unwrap_or_default();
            token.info.insert("validity_period_end".into(), InfoValue::Text(end_date.as_str().into()));
        })?;
        change_token(cx, &lost_serial, |token| token.active = false);
        cx.audit.success = true;
        let token_type = TokenType::Pw.stored_name();
        Ok(Replacement { serial, token_type, password, end_date, copies_pin })
    }
}

impl LostToken {
    /// Without an address a mail cannot be sent, and the replacement is a password after all. With one it would have to
    /// be a token type that does not exist; handing out a password instead would surprise.
    fn check_kind(&self, owner: &UserEntry) -> Result<(), Refusal> {
        let kind = self.kind.as_deref().unwrap_or("password");
        let attribute = |name: &str| owner.attributes.get(name).is_some_and(|text| !text.is_empty());
        let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let reachable = match kind {
            "email" => given(&self.email) || attribute("email"),
            "sms" => given(&self.mobile) || attribute("mobile"),
            _ => false,
        };
        if reachable { Err(Refusal::UnknownTokenType(kind.to_owned())) } else { Ok(()) }
    }
}

/// The owner, who must exist: nobody else could use the password.
fn owner_of(cx: &mut Context<'_>, lost: &TokenV1, serial: &Serial) -> Result<Arc<UserEntry>, Stop> {
    let refuse = |problem: &str| Stop::from(Refusal::Other(format!("token {serial} {problem}")));
    let owner =
        lost.owner.as_ref().ok_or_else(|| refuse("has no owner, only an assigned token can be lost"))?;
    match user_by_id(cx, owner)? {
        Found::Entry(entry) if !entry.login.is_empty() => Ok(entry),
        Found::Entry(_) | Found::Absent => Err(refuse("belongs to a user who does not exist")),
        Found::Unavailable => Err(refuse("belongs to a user whose user store does not answer")),
    }
}

/// The PIN as the other token stores it. A reversible one is sealed for its token.
pub(super) fn copy_pin(
    cx: &mut Context<'_>,
    from: &Serial,
    token: &TokenV1,
    to: &Serial,
) -> Result<Pin, Stop> {
    Ok(match &token.pin {
        Pin::Unset => Pin::Unset,
        Pin::Hashed(hash) => Pin::Hashed(hash.clone()),
        Pin::Reversible(sealed) => {
            let pin = cx.facts.keyring.open(Purpose::UserPin, from.as_str(), sealed)?;
            let nonce = cx.random.bytes();
            Pin::Reversible(cx.facts.keyring.seal(Purpose::UserPin, to.as_str(), &pin, nonce)?)
        }
    })
}

/// Creates the replacement, or sets up that of an earlier loss again.
fn replace(
    cx: &mut Context<'_>,
    serial: &Serial,
    lost: &TokenV1,
    password: &SecretText,
    change: impl FnOnce(&mut TokenV1),
) -> Result<(), Stop> {
    let init = Init {
        seed: SeedSource { given: Some(password.clone()), generate: false },
        enable: Some(true),
        ..Init::default()
    };
    let configuration = cx.view.configuration();
    let mut draft = init.draft(cx, TokenType::Pw, serial, &configuration.settings)?;
    init.set_common(&mut draft.token)?;
    TokenType::Pw.rules().enroll(cx, &init, &mut draft)?;
    draft.token.owner.clone_from(&lost.owner);
    draft.token.realms.clone_from(&lost.realms);
    change(&mut draft.token);
    store(cx, draft)?;
    clear_failures(cx, serial);
    Ok(())
}

/// The last minute: a number of days ends before midnight, a duration when it is over. A negative number stands for the
/// default.
fn end_of(valid: IntOrDuration, now: UnixMillis) -> Option<UnixMillis> {
    let days = match valid {
        IntOrDuration::Seconds(seconds) => return Some(now.plus_seconds(seconds)),
        IntOrDuration::Int(days) => u64::try_from(days).unwrap_or(DAYS_DEFAULT),
    };
    let day = DateTime::of(now.plus_seconds(days.checked_mul(DAY)?));
    DateTime { hour: 23, minute: 59, second: 0, ..day }.instant()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T03:10:00Z; expected values by `date -u`.
    #[test]
    fn end_is_a_day_or_a_moment() {
        let now = UnixMillis::from_seconds(1_795_317_000);
        let end = |valid| end_of(valid, now).map(format_validity);
        let days = |days| end(IntOrDuration::Int(days));
        assert_eq!(days(-1).as_deref(), Some("02/12/26 23:59"));
        assert_eq!(days(0).as_deref(), Some("22/11/26 23:59"));
        assert_eq!(days(40).as_deref(), Some("01/01/27 23:59"));
        assert_eq!(days(i64::MAX), None);
        assert_eq!(end(IntOrDuration::Seconds(26 * 3600)).as_deref(), Some("23/11/26 05:10"));
    }
}
