//! Checking what was submitted against a list of tokens (reference tokens 6.4 to 6.9).
//!
//! Every token of the list ends up in one place: it took no part, its OTP was right, only its PIN was right, or nothing.
//! Nothing is written before all tokens have been looked at. What the places together mean is decided at the end.

use std::sync::Arc;

use super::exceed::retire;
use super::limits::{Obstacle, Occasion, UsageLimits, count, find_obstacle};
use super::pin::{OtpPinMode, PinCheck, Split, otp_pin_mode};
use super::user::KnownUser;
use super::validate::Verdict;
use super::{Context, last_access};
use crate::configuration::Configuration;
use crate::decision::{Defect, Stop};
use crate::record::{Key, Record, TokenV1, UsageV1};
use crate::secret::{SealError, SecretText};
use crate::time::UnixMillis;
use crate::token::{Attempt, Proof, TokenFault, Verification, remember};
use crate::user::Serial;

/// What is to be checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login<'a> {
    /// The user, if the request names one.
    pub(super) user: Option<&'a KnownUser>,
    /// What was submitted.
    pub(super) submitted: &'a SecretText,
    /// Whether the lengths of PIN and OTP are to be told.
    pub(super) auth_info: bool,
}

/// Where a token ended up.
enum Place {
    Valid { proof: Proof, lengths: Option<Vec<(String, u32)>> },
    PinMatching,
    Invalid,
}

/// A token that takes part.
struct Candidate {
    serial: Serial,
    token: Arc<TokenV1>,
    usage: Arc<UsageV1>,
    limits: UsageLimits,
    place: Place,
}

/// Checks a login against tokens, in their order.
pub(super) fn check_tokens(
    cx: &mut Context<'_>,
    login: Login<'_>,
    serials: &[Serial],
) -> Result<Verdict, Stop> {
    let configuration = cx.view.configuration();
    let mut round = Round {
        login,
        prepend_pin: configuration.settings.prepends_pin(),
        pins: PinCheck::new(otp_pin_mode(cx, login.user, serials)?, login.user),
        stamp: last_access::stamp(&configuration.settings, cx.facts.now),
        configuration,
        candidates: Vec::with_capacity(serials.len()),
        skipped: None,
    };
    for serial in serials {
        round.look_at(cx, serial)?;
    }
    Ok(round.conclude(cx))
}

struct Round<'a> {
    login: Login<'a>,
    configuration: Arc<Configuration>,
    prepend_pin: bool,
    pins: PinCheck<'a>,
    stamp: Option<UnixMillis>,
    candidates: Vec<Candidate>,
    /// Why the last token that took no part did not.
    skipped: Option<&'static str>,
}

impl Round<'_> {
    fn look_at(&mut self, cx: &mut Context<'_>, serial: &Serial) -> Result<(), Stop> {
        let Some(token) = cx.view.token(serial) else { return Ok(()) };
        let usage = cx.view.usage(serial);
        let action = &cx.facts.caller.action;
        let occasion = Occasion {
            now: cx.facts.now,
            realm: self.login.user.map(|user| &user.realm),
            area: action.split_once('/').map_or(action.as_str(), |(area, _)| area),
        };
        let limits = match find_obstacle(&token, &usage, occasion) {
            Ok(None) => UsageLimits::of(&token.info),
            Ok(Some(obstacle)) => {
                if !retire(cx, self.login.user, serial, &token, obstacle)? {
                    self.skip(cx, serial, usage, obstacle);
                } else {
                    self.skipped = obstacle.text().or(self.skipped);
                }
                return Ok(());
            }
            Err(fault) => Err(fault),
        };
        let looked = match limits {
            Ok(limits) => self.authenticate(cx, serial, &token, usage).map(|result| (limits, result)),
            Err(fault) => Err(Trouble::Token(fault.into())),
        };
        match looked {
            Ok((limits, (place, usage))) => {
                self.candidates.push(Candidate { serial: serial.clone(), token, usage, limits, place });
            }
            Err(Trouble::Stop(stop)) => return Err(stop),
            // One token that cannot be used does not keep the user from logging in with another one.
            Err(Trouble::Token(fault)) => cx.note(&format!("token {serial}: {fault}")),
        }
        Ok(())
    }

    fn skip(&mut self, cx: &mut Context<'_>, serial: &Serial, mut usage: Arc<UsageV1>, obstacle: Obstacle) {
        self.skipped = obstacle.text().or(self.skipped);
        if obstacle.counts_as_failure() {
            let failed = Arc::make_mut(&mut usage);
            failed.fail_count = failed.fail_count.saturating_add(1);
            cx.view.put(Key::Usage(serial.clone()), Record::Usage(usage));
        }
    }

    /// PIN first, and the OTP only behind a right PIN; with the user store's password the other way round, so that
    /// guessing does not lock directory accounts (reference tokens 5.3).
    fn authenticate(
        &mut self,
        cx: &mut Context<'_>,
        serial: &Serial,
        token: &TokenV1,
        mut usage: Arc<UsageV1>,
    ) -> Result<(Place, Arc<UsageV1>), Trouble> {
        let rules = token.token_type.rules();
        let split = rules.split(token, self.pins.mode(), self.prepend_pin, self.login.submitted.expose());
        let otp_first = self.pins.mode() == OtpPinMode::Password;
        if !otp_first && !self.accepts_pin(cx, serial, token, &split)? {
            return Ok((Place::Invalid, usage));
        }
        let attempt = Attempt {
            serial,
            token,
            usage: &usage,
            otp: split.otp,
            now: cx.facts.now,
            settings: &self.configuration.settings,
            keyring: cx.facts.keyring,
        };
        let place = match rules.verify(&attempt)? {
            Verification::Accepted(_) if otp_first && !self.accepts_pin(cx, serial, token, &split)? => {
                Place::Invalid
            }
            Verification::Accepted(proof) => {
                Place::Valid { proof, lengths: self.login.auth_info.then(|| split.lengths()) }
            }
            Verification::Refused(memory) => {
                let before = usage.auto_resync;
                let mut after = UsageV1::clone(&usage);
                remember(&mut after, memory);
                if after.auto_resync != before {
                    usage = Arc::new(after);
                }
                if otp_first { Place::Invalid } else { Place::PinMatching }
            }
        };
        Ok((place, usage))
    }

    fn accepts_pin(
        &mut self,
        cx: &mut Context<'_>,
        serial: &Serial,
        token: &TokenV1,
        split: &Split<'_>,
    ) -> Result<bool, Trouble> {
        self.pins.accepts(cx, serial, token, split.pin).map_err(Trouble::from)
    }

    /// Combines the places (reference tokens 6.6).
    fn conclude(mut self, cx: &mut Context<'_>) -> Verdict {
        let mut candidates = std::mem::take(&mut self.candidates);
        let valid =
            candidates.iter().filter(|candidate| matches!(candidate.place, Place::Valid { .. })).count();
        let pin_matching = candidates.iter().any(|candidate| matches!(candidate.place, Place::PinMatching));
        let verdict = match (valid, candidates.is_empty()) {
            (1, _) => self.succeed(cx, &mut candidates),
            (0, true) => {
                detail(cx, self.skipped.unwrap_or("no token found!"));
                Verdict::default()
            }
            (0, false) => self.fail(cx, &mut candidates, pin_matching),
            (_, _) => several(cx, &mut candidates),
        };
        for candidate in candidates {
            self.write(cx, candidate);
        }
        verdict
    }

    /// Exactly one token has the OTP (reference tokens 6.7); all that took part start from zero failures.
    fn succeed(&self, cx: &mut Context<'_>, candidates: &mut [Candidate]) -> Verdict {
        let mut verdict = Verdict { accepted: true, ..Verdict::default() };
        for candidate in candidates {
            if candidate.usage.fail_count != 0 {
                Arc::make_mut(&mut candidate.usage).fail_count = 0;
            }
            if candidate.advance().is_none() {
                continue;
            }
            candidate.limits.count_success(Arc::make_mut(&mut candidate.usage));
            if let Place::Valid { lengths, .. } = &mut candidate.place {
                verdict.auth_info = lengths.take();
            }
            cx.audit.success = true;
            cx.audit.serial = candidate.serial.as_str().into();
            cx.audit.token_type = candidate.token.token_type.stored_name().into();
            let text = match self.login.user {
                Some(user) => format!("user '{}'@'{}' successfully authenticated.", user.login, user.realm),
                None => format!("serial '{}' successfully authenticated.", candidate.serial),
            };
            detail(cx, &text);
        }
        verdict
    }

    /// No token has the OTP. If the PIN of some was right, only they are blamed.
    fn fail(&self, cx: &mut Context<'_>, candidates: &mut [Candidate], pin_matching: bool) -> Verdict {
        let text = match (pin_matching, self.pins.mode()) {
            (true, _) => "wrong otp value",
            (false, OtpPinMode::Password) => "wrong user password -1",
            (false, _) => "wrong otp pin -1",
        };
        let blamed = |candidate: &Candidate| !pin_matching || matches!(candidate.place, Place::PinMatching);
        note_tokens(cx, candidates, blamed);
        detail(cx, text);
        for candidate in candidates {
            if !blamed(candidate) {
                continue;
            }
            let usage = Arc::make_mut(&mut candidate.usage);
            usage.fail_count = usage.fail_count.saturating_add(1);
            if pin_matching {
                count(&mut usage.count_auth);
            } else {
                candidate.limits.count_attempt(usage);
            }
            candidate.token.token_type.rules().on_failed(usage);
        }
        Verdict::default()
    }

    /// Stores what changed of a token that took part.
    fn write(&self, cx: &mut Context<'_>, mut candidate: Candidate) {
        if let Some(stamp) = self.stamp {
            let is_valid = matches!(candidate.place, Place::Valid { .. });
            let usage = Arc::make_mut(&mut candidate.usage);
            usage.last_match_at = Some(stamp);
            if is_valid {
                usage.last_success_at = Some(stamp);
            }
            if candidate.token.info.contains_key("last_access") {
                let mut token = TokenV1::clone(&candidate.token);
                token.info.remove("last_access");
                cx.view.put_token(&candidate.serial, token);
            }
        }
        let before = cx.view.usage(&candidate.serial);
        if before != candidate.usage {
            let key = Key::Usage(candidate.serial);
            cx.view.put(key, Record::Usage(candidate.usage));
        }
    }
}

impl Candidate {
    /// Moves the token past its OTP, if that was right.
    fn advance(&mut self) -> Option<()> {
        let Place::Valid { proof, .. } = &self.place else { return None };
        self.token.token_type.rules().advance(Arc::make_mut(&mut self.usage), *proof);
        Some(())
    }
}

/// Several tokens have the OTP: it is used up on all of them and the login is refused.
fn several(cx: &mut Context<'_>, candidates: &mut [Candidate]) -> Verdict {
    note_tokens(cx, candidates, |candidate| matches!(candidate.place, Place::Valid { .. }));
    detail(cx, "Multiple valid tokens found!");
    for candidate in candidates {
        if candidate.advance().is_some() {
            candidate.limits.count_attempt(Arc::make_mut(&mut candidate.usage));
        }
    }
    Verdict::default()
}

/// The longest list of serials and of types in an audit row, in characters (reference http-api 21).
const AUDIT_SERIALS_MAX: usize = 29;
const AUDIT_TYPES_MAX: usize = 39;

/// Puts those of the tokens that are concerned into the audit row.
fn note_tokens(cx: &mut Context<'_>, candidates: &[Candidate], is_concerned: impl Fn(&Candidate) -> bool) {
    let mut serials: Vec<&str> = Vec::new();
    let mut types: Vec<&str> = Vec::new();
    for candidate in candidates.iter().filter(|candidate| is_concerned(candidate)) {
        serials.push(candidate.serial.as_str());
        let name = candidate.token.token_type.stored_name();
        if !types.contains(&name) {
            types.push(name);
        }
    }
    if let [serial] = *serials {
        cx.audit.serial = serial.into();
    } else {
        cx.audit.serial = serials.join(" ").chars().take(AUDIT_SERIALS_MAX).collect::<String>().into();
    }
    cx.audit.token_type = types.join(" ").chars().take(AUDIT_TYPES_MAX).collect::<String>().into();
}

/// Adds a reason to the audit row's `action_detail`, behind what looking up the user left there.
pub(super) fn detail(cx: &mut Context<'_>, text: &str) {
    let before = &cx.audit.action_detail;
    cx.audit.action_detail = if before.is_empty() { text.into() } else { format!("{before}{text}").into() };
}

/// What interrupts looking at a token.
enum Trouble {
    /// The whole request stops.
    Stop(Stop),
    /// This token is left out.
    Token(TokenFault),
}

/// A damaged secret concerns its token; a key this node does not hold concerns the node, which must not answer then.
impl From<TokenFault> for Trouble {
    fn from(fault: TokenFault) -> Self {
        match fault {
            TokenFault::Seal(error @ SealError::UnknownKey(_)) => Self::Stop(error.into()),
            TokenFault::Seal(SealError::Damaged(_))
            | TokenFault::NoSeed
            | TokenFault::Seed(_)
            | TokenFault::Digits(_)
            | TokenFault::Info(_) => Self::Token(fault),
        }
    }
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Defect(Defect::Seal(error)) => TokenFault::Seal(error).into(),
            Stop::Ask(_) | Stop::Refuse(_) | Stop::Defect(_) => Self::Stop(stop),
        }
    }
}
