//! Tokens that a login gives to its user, who has none (reference tokens 12.3 and 12.4).
//!
//! The unassigned tokens of a realm may be many, hence they are looked through without becoming preconditions. What the
//! decision rests on is read in the usual way: that the user has no token, which tokens the realm has, and the token that
//! is given away, so that two users cannot get the same one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::enrollment::{Place, limit_owned, limit_realms};
use super::fallback::is_password;
use super::limits::{Occasion, UsageLimits, find_obstacle};
use super::login::detail;
use super::pin::{OtpPinMode, store_pin};
use super::policies::{Who, is_on, value};
use super::user::{KnownUser, UserParams, realms_of};
use super::validate::{Check, Verdict, owns_tokens};
use super::{Context, last_access};
use crate::decision::{Refusal, Stop};
use crate::policy::catalogue::enrollment::{
    AUTOASSIGNMENT, AUTOASSIGNMENT_FROM_REALM, AUTOASSIGNMENT_WITHOUT_PASSWORD, IGNORE_AUTOASSIGNMENT_PIN,
};
use crate::record::{IndexKey, Key, Pin, Record, TokenType, TokenV1, UsageV1};
use crate::secret::SecretText;
use crate::settings::Settings;
use crate::token::{Attempt, Proof, Verification};
use crate::user::{RealmName, Serial};

/// Unassigned tokens of a realm that are tried for one login; beyond it nothing is assigned. The request needs no
/// authentication and could otherwise occupy the node.
const TOKENS_MAX: usize = 10_000;

/// The token whose OTP was sent.
struct Hit {
    serial: Serial,
    token: Arc<TokenV1>,
    usage: Arc<UsageV1>,
    proof: Proof,
    /// What stood in front of the OTP.
    pin: SecretText,
}

/// The answer if what was sent is the OTP of exactly one unassigned token: policy `autoassignment_without_password`.
pub(super) fn by_otp(cx: &mut Context<'_>, user: &KnownUser, check: &Check) -> Result<Option<Verdict>, Stop> {
    let who = Who::user(user);
    let names_token = check.serial.as_deref().is_some_and(|serial| !serial.is_empty());
    if names_token || !is_on(cx, &AUTOASSIGNMENT_WITHOUT_PASSWORD, who)? || owns_tokens(cx, user) {
        return Ok(None);
    }
    let from = value(cx, &AUTOASSIGNMENT_FROM_REALM, who)?;
    let from = from.as_deref().map(str::trim).filter(|realm| !realm.is_empty());
    let realm = from.map_or_else(|| user.realm.clone(), RealmName::folded);
    let Some(hit) = only_hit(cx, &realm, check, OtpPinMode::OnlyOtp) else { return Ok(None) };
    assign(cx, user, hit, Some(Pin::Unset))
}

/// The answer if what was sent is the user's password and the OTP of exactly one unassigned token: policy
/// `autoassignment`.
pub(super) fn by_password(
    cx: &mut Context<'_>,
    user: &KnownUser,
    check: &Check,
) -> Result<Option<Verdict>, Stop> {
    let who = Who::user(user);
    if !is_on(cx, &AUTOASSIGNMENT, who)? {
        return Ok(None);
    }
    let Some(hit) = only_hit(cx, &user.realm, check, OtpPinMode::TokenPin) else { return Ok(None) };
    if !is_password(cx, user, Some(&hit.pin))? {
        cx.note("not assigned: wrong user password");
        return Ok(None);
    }
    let pin = match is_on(cx, &IGNORE_AUTOASSIGNMENT_PIN, who)? {
        true => None,
        false => Some(store_pin(cx, &hit.serial, hit.pin.expose(), false)?),
    };
    assign(cx, user, hit, pin)
}

/// Whether tokens of a type are found by their OTP (reference tokens 2).
const fn is_found_by_otp(token_type: TokenType) -> bool {
    match token_type {
        TokenType::Hmac | TokenType::Totp | TokenType::Motp | TokenType::Pw | TokenType::Yubikey => true,
        TokenType::Spass | TokenType::Dpw | TokenType::Ocra2 | TokenType::Forward | TokenType::Yubico => {
            false
        }
    }
}

/// The unassigned token of a realm whose OTP was sent, behind what the mode says; none if there are several.
fn only_hit(cx: &mut Context<'_>, realm: &RealmName, check: &Check, mode: OtpPinMode) -> Option<Hit> {
    let submitted = check.pass.as_ref()?;
    let wanted = check.token_type.as_deref().filter(|name| !name.is_empty()).map(TokenType::find);
    let configuration = cx.view.configuration();
    let mut found: Option<Hit> = None;
    let mut tried = 0_usize;
    for key in cx.view.index(&IndexKey::TokensInRealm(realm.clone())) {
        let Key::Token(serial) = &key else { continue };
        let Some(Record::Token(token)) = cx.view.unrecorded().record(&key).map(|slot| slot.record) else {
            continue;
        };
        let fits = wanted.is_none_or(|wanted| wanted == Some(token.token_type));
        if token.owner.is_some() || !fits || !is_found_by_otp(token.token_type) {
            continue;
        }
        tried += 1;
        if tried > TOKENS_MAX {
            cx.note(&format!("not assigned: realm {realm} has more than {TOKENS_MAX} unassigned tokens"));
            return None;
        }
        let settings = &configuration.settings;
        let parts = token.token_type.rules().split(&token, mode, settings.prepends_pin(), submitted.expose());
        let Some((usage, proof)) = proven(cx, settings, (serial, &token), parts.otp) else { continue };
        if found.is_some() {
            cx.note("not assigned: the OTP is that of several tokens");
            return None;
        }
        let (serial, pin) = (serial.clone(), SecretText::from(parts.pin));
        found = Some(Hit { serial, token, usage, proof, pin });
    }
    // From here on both are preconditions.
    let hit = found?;
    let unchanged = cx.view.token(&hit.serial).as_ref() == Some(&hit.token);
    (unchanged && cx.view.usage(&hit.serial) == hit.usage).then_some(hit)
}

/// That an OTP is a token's, if the token can be used at all.
fn proven(
    cx: &Context<'_>,
    settings: &Settings,
    (serial, token): (&Serial, &TokenV1),
    otp: &str,
) -> Option<(Arc<UsageV1>, Proof)> {
    let usage = match cx.view.unrecorded().record(&Key::Usage(serial.clone())).map(|slot| slot.record) {
        Some(Record::Usage(usage)) => usage,
        _ => Arc::default(),
    };
    let occasion = Occasion { now: cx.facts.now, realm: None, area: "validate" };
    if !matches!(find_obstacle(token, &usage, occasion), Ok(None)) {
        return None;
    }
    let attempt = Attempt {
        serial,
        token,
        usage: &usage,
        otp,
        challenge: None,
        answer: None,
        now: cx.facts.now,
        settings,
        keyring: cx.facts.keyring,
    };
    match token.token_type.rules().verify(&attempt) {
        Ok(Verification::Accepted(proof)) => Some((usage, proof)),
        Ok(Verification::Refused(_)) | Err(_) => None,
    }
}

/// Gives the token to the user and logs in with it; `None` if a limit forbids that. With a PIN it gets that one.
fn assign(
    cx: &mut Context<'_>,
    user: &KnownUser,
    hit: Hit,
    pin: Option<Pin>,
) -> Result<Option<Verdict>, Stop> {
    let Hit { serial, token, usage, proof, .. } = hit;
    let realms = realms_of(cx, &user.owner);
    if let Err(stop) = within_limits(cx, user, &serial, token.token_type, &realms) {
        return match stop {
            Stop::Refuse(refusal) => {
                cx.note(&format!("not assigned: {refusal}"));
                Ok(None)
            }
            Stop::Ask(_) | Stop::Defect(_) => Err(stop),
        };
    }
    let rules = token.token_type.rules();
    let mut token = Arc::unwrap_or_clone(token);
    token.owner = Some(user.owner.clone());
    token.realms = realms;
    token.pin = pin.unwrap_or(token.pin);
    let mut usage = Arc::unwrap_or_clone(usage);
    rules.advance(&mut usage, proof);
    usage.fail_count = 0;
    let limits = UsageLimits::of(&token.info).map_err(|fault| Refusal::Other(fault.to_string()))?;
    limits.count_success(&mut usage);
    if let Some(stamp) = last_access::stamp(&cx.view.configuration().settings, cx.facts.now) {
        usage.last_match_at = Some(stamp);
        usage.last_success_at = Some(stamp);
    }
    cx.audit.success = true;
    cx.audit.serial = serial.as_str().into();
    cx.audit.token_type = token.token_type.stored_name().into();
    detail(cx, &format!("token {serial} was assigned to user '{}'@'{}'", user.login, user.realm));
    cx.view.put_token(&serial, token);
    cx.view.put_usage(&serial, usage);
    Ok(Some(Verdict { accepted: true, ..Verdict::default() }))
}

fn within_limits(
    cx: &mut Context<'_>,
    user: &KnownUser,
    serial: &Serial,
    token_type: TokenType,
    realms: &[RealmName],
) -> Result<(), Stop> {
    let place = Place::of(cx, Some(user), &UserParams::default());
    limit_owned(cx, &place, &BTreeMap::from([(serial.clone(), token_type)]))?;
    limit_realms(cx, &place, &BTreeSet::from([serial.clone()]), realms)
}
