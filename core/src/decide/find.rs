//! Looking for the token or the moment of an OTP (reference http-api 11.2, 11.5, tokens 12.9, 8.2).
//!
//! `admin/getSerialByOtp` and `admin/totp_lookup` only read: an OTP that was looked up is still good for a login.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::directory::{Found, user_by_id};
use super::lifecycle::required;
use super::rights::{denied, require_realm, require_tokens};
use super::selection::note_tokens;
use super::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::policy::catalogue::admin;
use crate::record::{Key, Record, TokenType, TokenV1, UsageV1};
use crate::secret::SecretText;
use crate::settings::parse_duration;
use crate::token::{Attempt, TokenFault, Verification};
use crate::user::{RealmName, ResolverSpec, Serial};

/// How many values of each token are compared.
const WINDOW: u32 = 10;
/// The window of a look-up unless the request has one.
const LOOKUP_WINDOW: &str = "24h";
/// The widest window of a look-up, in seconds: 31 days are 89,280 steps.
const LOOKUP_WINDOW_MAX: u64 = 31 * 86_400;

/// `admin/getSerialByOtp`: which token shows this OTP next?
#[derive(Clone, Debug, Default)]
pub struct SerialByOtp {
    /// `otp`.
    pub otp: Option<SecretText>,
    /// `type`: only tokens of this type.
    pub token_type: Option<String>,
    /// `realm`: only tokens in this realm.
    pub realm: Option<String>,
    /// `assigned`: only tokens that have an owner, or that have none.
    pub assigned: Option<bool>,
}

/// The token of an OTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtpOwner {
    /// Its serial.
    pub serial: Serial,
    /// Login of its owner, if there is one.
    pub login: String,
    /// Where the owner comes from.
    pub resolver: Option<ResolverSpec>,
}

impl Request for SerialByOtp {
    /// Nothing if no token has this OTP.
    type Reply = Option<OtpOwner>;
    const LISTS: bool = true;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Option<OtpOwner>, Stop> {
        let otp = self.otp.as_ref().filter(|otp| !otp.expose().is_empty());
        let otp = otp.ok_or(Refusal::MissingParameter("otp"))?;
        let wanted = self.wanted_type()?;
        let realm = self.realm.as_deref().filter(|realm| !realm.is_empty()).map(RealmName::folded);
        let searched = realm.clone().or_else(|| cx.view.configuration().settings.default_realm());
        let granted = require_realm(cx, &admin::GET_SERIAL, searched.as_ref())?;
        let hits = self.hits(cx, otp.expose(), wanted, realm.as_ref());
        let serials: Vec<Serial> = hits.iter().map(|(serial, _)| serial.clone()).collect();
        note_tokens(cx, &serials);
        let (serial, token) = match hits.as_slice() {
            [] => return Ok(None),
            [(serial, token)] if !granted.has_token(token) => {
                return Err(denied(admin::GET_SERIAL.name, &format!("token {serial}")));
            }
            [hit] => hit.clone(),
            [..] => return Err(Refusal::SeveralTokens.into()),
        };
        let login = match &token.owner {
            None => String::new(),
            Some(owner) => match user_by_id(cx, owner)? {
                Found::Entry(entry) => entry.login.clone(),
                Found::Absent | Found::Unavailable => String::new(),
            },
        };
        cx.audit.success = true;
        cx.audit.user = login.as_str().into();
        let resolver = token.owner.as_ref().map(|owner| owner.resolver.clone());
        Ok(Some(OtpOwner { serial, login, resolver }))
    }
}

impl SerialByOtp {
    fn wanted_type(&self) -> Result<Option<TokenType>, Refusal> {
        let Some(name) = self.token_type.as_deref().filter(|name| !name.is_empty()) else { return Ok(None) };
        TokenType::find(name).map(Some).ok_or_else(|| Refusal::UnknownTokenType(name.to_owned()))
    }

    /// The tokens with this OTP. The scan is not recorded: nothing is written on its account.
    fn hits(
        &self,
        cx: &mut Context<'_>,
        otp: &str,
        wanted: Option<TokenType>,
        realm: Option<&RealmName>,
    ) -> Vec<(Serial, Arc<TokenV1>)> {
        let mut hits = Vec::new();
        let state = cx.view.unrecorded();
        let configuration = cx.view.configuration();
        state.scan(&Key::Token(Serial::from("")), &mut |key, slot| {
            let (Key::Token(serial), Record::Token(token)) = (key, &slot.record) else {
                return ControlFlow::Break(());
            };
            let fits = token.token_type.rules().is_found_by_otp()
                && wanted.is_none_or(|wanted| token.token_type == wanted)
                && realm.is_none_or(|realm| token.realms.contains(realm))
                && self.assigned.is_none_or(|assigned| token.owner.is_some() == assigned);
            if fits {
                let stored = state.record(&Key::Usage(serial.clone())).map(|slot| slot.record);
                let usage = match &stored {
                    Some(Record::Usage(usage)) => UsageV1::clone(usage),
                    _ => UsageV1::default(),
                };
                // A second OTP of an automatic resynchronisation is no hit.
                let usage = UsageV1 { auto_resync: None, ..usage };
                let searched = TokenV1 { count_window: WINDOW, ..TokenV1::clone(token) };
                let attempt = Attempt {
                    serial,
                    token: &searched,
                    usage: &usage,
                    otp,
                    challenge: None,
                    answer: None,
                    now: cx.facts.now,
                    settings: &configuration.settings,
                    keyring: cx.facts.keyring,
                };
                let found = token.token_type.rules().verify(&attempt);
                if matches!(found, Ok(Verification::Accepted(_))) {
                    hits.push((serial.clone(), token.clone()));
                }
            }
            ControlFlow::Continue(())
        });
        hits
    }
}

/// `admin/totp_lookup`: when did a time-based token show this OTP?
#[derive(Clone, Debug, Default)]
pub struct TotpLookup {
    /// `serial`.
    pub serial: Option<String>,
    /// `otp`.
    pub otp: Option<SecretText>,
    /// `window`: how far back, a duration; a day if absent.
    pub window: Option<String>,
}

/// The moment of an OTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtpMoment {
    /// The token.
    pub serial: Serial,
    /// The time step.
    pub counter: u64,
    /// When it began, in seconds since 1970.
    pub seconds: u64,
    /// Its length in seconds.
    pub span: u64,
}

impl Request for TotpLookup {
    /// Nothing if the token is not time-based or the OTP is not found.
    type Reply = Option<OtpMoment>;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Option<OtpMoment>, Stop> {
        let serial = Serial::from(required(self.serial.as_deref(), "serial")?);
        let otp = self.otp.as_ref().filter(|otp| !otp.expose().is_empty());
        let otp = otp.ok_or(Refusal::MissingParameter("otp"))?;
        let window = self.window.as_deref().filter(|window| !window.is_empty()).unwrap_or(LOOKUP_WINDOW);
        let refuse = |problem: &str| Refusal::InvalidParameter {
            name: "window".to_owned(),
            problem: problem.to_owned(),
        };
        let window = parse_duration(window).ok_or_else(|| refuse("a duration is needed, for example 2h"))?;
        if window > LOOKUP_WINDOW_MAX {
            return Err(refuse("at most 31 days can be searched").into());
        }
        require_tokens(cx, &admin::TOTP_LOOKUP, std::slice::from_ref(&serial))?;
        let Some(token) = cx.view.token(&serial) else {
            cx.audit.serial = serial.as_str().into();
            return Err(Refusal::UnknownSerial(serial.to_string()).into());
        };
        note_tokens(cx, std::slice::from_ref(&serial));
        let configuration = cx.view.configuration();
        let usage = cx.view.usage(&serial);
        let attempt = Attempt {
            serial: &serial,
            token: &token,
            usage: &usage,
            otp: otp.expose(),
            challenge: None,
            answer: None,
            now: cx.facts.now,
            settings: &configuration.settings,
            keyring: cx.facts.keyring,
        };
        match token.token_type.rules().shown_before(&attempt, window) {
            Ok(found) => {
                cx.audit.success = found.is_some();
                Ok(found.map(|(counter, span)| OtpMoment {
                    serial,
                    counter,
                    seconds: counter.saturating_mul(span),
                    span,
                }))
            }
            Err(TokenFault::Seal(error)) => Err(error.into()),
            Err(fault) => Err(Refusal::Other(format!("token {serial}: {fault}")).into()),
        }
    }
}
