//! Checking what was submitted against a list of tokens (reference tokens 6.4 to 6.9).
//!
//! Every token of the list ends up in one place: it took no part, its OTP was right, it is to be challenged, only its PIN
//! was right, or nothing. Nothing is written before all tokens have been looked at. What the places together mean is
//! decided at the end, in [`outcome`].

mod outcome;
mod preference;
pub(crate) mod target;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::challenge::{self, Found, ToChallenge};
use super::exceed::retire;
use super::limits::{Obstacle, Occasion, UsageLimits, find_obstacle};
use super::pin::{OtpPinMode, PinCheck, Split, otp_pin_mode};
use super::user::KnownUser;
use super::validate::Verdict;
use super::{Context, last_access};
use crate::configuration::Configuration;
use crate::decision::{Defect, Refusal, Stop};
use crate::facts::Answer;
use crate::record::{Key, Record, TokenV1, UsageV1};
use crate::secret::{SealError, SecretText};
use crate::time::UnixMillis;
use crate::token::{
    Answered, Answering, Attempt, Modes, Proof, TokenFault, TokenRules, Verification, remember,
};
use crate::user::Serial;

pub(super) use outcome::detail;
use preference::Preference;
use target::Target;

/// What is to be checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login<'a> {
    /// The user, if the request names one.
    pub(super) user: Option<&'a KnownUser>,
    /// What was submitted.
    pub(super) submitted: &'a SecretText,
    /// Whether the lengths of PIN and OTP are to be told.
    pub(super) auth_info: bool,
    /// The transaction that is answered.
    pub(super) transaction: Option<&'a str>,
    /// The parameters for the token types.
    pub(super) options: &'a BTreeMap<String, String>,
}

/// Whether a request says what a challenge is to be about.
fn has_input(options: &BTreeMap<String, String>) -> bool {
    options.contains_key("data") || options.contains_key("challenge")
}

/// Where a token ended up.
enum Place {
    Valid { proof: Proof, lengths: Option<Vec<(String, u32)>>, answered: Option<Found> },
    Challenged,
    PinMatching,
    Invalid,
}

/// A token that takes part.
struct Candidate {
    serial: Serial,
    token: Arc<TokenV1>,
    usage: Arc<UsageV1>,
    /// The token whose OTPs it takes, if it has none of its own.
    target: Option<Target>,
    limits: UsageLimits,
    place: Place,
}

impl Candidate {
    /// The rules of the token whose OTPs are checked.
    fn otp_rules(&self) -> &'static dyn TokenRules {
        self.target.as_ref().map_or(&self.token, |target| &target.token).token_type.rules()
    }
}

/// A token while it is looked at.
struct Subject<'t> {
    serial: &'t Serial,
    token: &'t TokenV1,
    usage: Arc<UsageV1>,
    target: Option<Target>,
}

impl Subject<'_> {
    /// The token whose OTPs are checked.
    fn otp_token(&self) -> &TokenV1 {
        self.target.as_ref().map_or(self.token, |target| &target.token)
    }

    fn rules(&self) -> &'static dyn TokenRules {
        self.otp_token().token_type.rules()
    }

    fn is_challenged_by_pin(&self) -> bool {
        self.target.is_some() || self.rules().is_challenged_by_pin()
    }
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
        preference: Preference::of_login(cx, login.user, serials)?,
        pins: PinCheck::new(otp_pin_mode(cx, login.user, serials)?, login.user),
        stamp: last_access::stamp(&configuration.settings, cx.facts.now),
        configuration,
        candidates: Vec::with_capacity(serials.len()),
        skipped: None,
    };
    for serial in serials {
        round.look_at(cx, serial)?;
    }
    round.conclude(cx)
}

/// A request by serial without anything submitted: it may trigger a challenge of the types that need no PIN for that.
///
/// # Errors
/// When the parameter `pass` would be needed, or the token cannot be challenged.
pub(super) fn trigger(
    cx: &mut Context<'_>,
    serials: &[Serial],
    options: &BTreeMap<String, String>,
) -> Result<Verdict, Stop> {
    let mut tokens = Vec::new();
    for serial in serials {
        let Some(token) = cx.view.token(serial) else { continue };
        let usage = cx.view.usage(serial);
        let occasion = Occasion { now: cx.facts.now, realm: None, area: "validate" };
        let usable = matches!(find_obstacle(&token, &usage, occasion), Ok(None));
        if usable && has_input(options) && token.token_type.rules().is_challenged_without_pin() {
            tokens.push(ToChallenge { serial: serial.clone(), token });
        }
    }
    if tokens.is_empty() {
        return Err(Refusal::MissingParameter("pass").into());
    }
    let challenge = challenge::create(cx, &tokens, options)?;
    super::selection::note_tokens(cx, serials);
    detail(cx, "challenge created");
    Ok(Verdict { challenge: Some(challenge), ..Verdict::default() })
}

struct Round<'a> {
    login: Login<'a>,
    configuration: Arc<Configuration>,
    prepend_pin: bool,
    preference: Preference,
    pins: PinCheck<'a>,
    stamp: Option<UnixMillis>,
    candidates: Vec<Candidate>,
    /// Why the last token that took no part did not.
    skipped: Option<&'static str>,
}

impl<'a> Round<'a> {
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
        let mut subject = Subject { serial, token: &token, usage, target: None };
        let looked = match (limits, target::find(cx, &token)) {
            (Ok(limits), Ok(target)) => {
                subject.target = target;
                self.place(cx, &mut subject).map(|place| (limits, place))
            }
            (Err(fault), _) => Err(Trouble::Token(fault.into())),
            (_, Err(fault)) => Err(Trouble::Token(fault)),
        };
        let Subject { usage, target, .. } = subject;
        match looked {
            Ok((limits, place)) => {
                let serial = serial.clone();
                self.candidates.push(Candidate { serial, token, usage, target, limits, place });
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

    /// Whether it is a login, an answer to a challenge, or the wish for one (reference tokens 6.5).
    fn place(&mut self, cx: &mut Context<'_>, subject: &mut Subject<'_>) -> Result<Place, Trouble> {
        let place = match subject.rules().modes() {
            Modes::Authenticate => return self.authenticate(cx, subject),
            Modes::Both if !self.is_preferred(subject) && !self.names_challenge(cx, subject) => {
                return self.authenticate(cx, subject);
            }
            Modes::Both if self.login.transaction.is_some() => return self.respond(cx, subject),
            Modes::Both => self.authenticate(cx, subject)?,
            Modes::Challenge if self.is_answer(cx, subject)? => return self.respond(cx, subject),
            Modes::Challenge => Place::Invalid,
        };
        let asks = !matches!(place, Place::Valid { .. })
            && (subject.is_challenged_by_pin() || has_input(self.login.options))
            && self.is_pin(cx, subject)?;
        Ok(if asks { Place::Challenged } else { place })
    }

    /// Whether the token is to be challenged. A forward token is if its own type is or that of its target.
    fn is_preferred(&self, subject: &Subject<'_>) -> bool {
        [subject.token, subject.otp_token()].iter().any(|token| self.preference.includes(token.token_type))
    }

    /// Whether the request names a transaction in which this token was challenged. A client that sends along the state of
    /// an earlier login, or of another token, is treated as if it had not.
    fn names_challenge(&self, cx: &mut Context<'_>, subject: &Subject<'_>) -> bool {
        let transaction = self.login.transaction;
        transaction.is_some()
            && !challenge::of_token(cx, subject.serial, subject.token, transaction).is_empty()
    }

    /// Whether all of what was submitted is the PIN.
    fn is_pin(&mut self, cx: &mut Context<'_>, subject: &Subject<'_>) -> Result<bool, Trouble> {
        let submitted = self.login.submitted.expose();
        Ok(self.pins.accepts(cx, subject.serial, subject.token, submitted)?)
    }

    fn is_answer(&mut self, cx: &mut Context<'_>, subject: &Subject<'_>) -> Result<bool, Trouble> {
        match subject.rules().answering() {
            Answering::ByTransaction => Ok(self.login.transaction.is_some()),
            Answering::WheneverOpen => {
                if self.login.submitted.expose().is_empty() || self.is_pin(cx, subject)? {
                    return Ok(false);
                }
                Ok(has_input(self.login.options) || !self.open_challenges(cx, subject).is_empty())
            }
        }
    }

    /// The challenges that may be answered, newest first.
    fn open_challenges(&self, cx: &mut Context<'_>, subject: &Subject<'_>) -> Vec<Found> {
        let rules = subject.rules();
        let settings = &self.configuration.settings;
        let mut found = challenge::of_token(cx, subject.serial, subject.token, self.login.transaction);
        found.retain(|challenge| {
            challenge.record.open && rules.may_answer(settings, challenge.record.received_count)
        });
        found
    }

    /// PIN first, and the OTP only behind a right PIN; with the user store's password the other way round, so that
    /// guessing does not lock directory accounts (reference tokens 5.3).
    fn authenticate(&mut self, cx: &mut Context<'_>, subject: &mut Subject<'_>) -> Result<Place, Trouble> {
        let split = self.split(subject);
        let otp_first = self.pins.mode() == OtpPinMode::Password;
        if !otp_first && !self.accepts_pin(cx, subject, &split)? {
            return Ok(Place::Invalid);
        }
        Ok(match self.verify(cx, subject, split.otp, None)? {
            Verification::Accepted(_) if otp_first && !self.accepts_pin(cx, subject, &split)? => {
                Place::Invalid
            }
            Verification::Accepted(proof) => {
                let lengths = self.login.auth_info.then(|| split.lengths());
                Place::Valid { proof, lengths, answered: None }
            }
            Verification::Refused(_) if otp_first => Place::Invalid,
            Verification::Refused(_) => Place::PinMatching,
        })
    }

    /// An answer to a challenge: the bare OTP, for some types also behind the PIN.
    fn respond(&mut self, cx: &mut Context<'_>, subject: &mut Subject<'_>) -> Result<Place, Trouble> {
        let challenges = self.open_challenges(cx, subject);
        let split = self.split(subject);
        let behind_pin = subject.rules().answering() == Answering::WheneverOpen
            && self.accepts_pin(cx, subject, &split)?;
        let otp = match self.login.transaction {
            _ if behind_pin => split.otp,
            Some(_) if !challenges.is_empty() => self.login.submitted.expose(),
            _ => return Ok(Place::Invalid),
        };
        let by_transaction = self.login.transaction.is_some();
        for found in challenges {
            let answered = Answered { data: &found.record.data, by_transaction };
            if let Verification::Accepted(proof) = self.verify(cx, subject, otp, Some(answered))? {
                return Ok(Place::Valid { proof, lengths: None, answered: Some(found.clone()) });
            }
        }
        if let Some(data) =
            subject.rules().posed_by_client(subject.otp_token(), self.login.options).filter(|_| behind_pin)
        {
            let answered = Answered { data: &data, by_transaction: false };
            if let Verification::Accepted(proof) = self.verify(cx, subject, otp, Some(answered))? {
                return Ok(Place::Valid { proof, lengths: None, answered: None });
            }
        }
        Ok(Place::Invalid)
    }

    fn split(&self, subject: &Subject<'_>) -> Split<'a> {
        let submitted: &'a str = self.login.submitted.expose();
        subject.rules().split(subject.otp_token(), self.pins.mode(), self.prepend_pin, submitted)
    }

    /// Lets the type look at an OTP. What a refused one leaves in the memory of a resynchronisation is kept.
    fn verify(
        &self,
        cx: &mut Context<'_>,
        subject: &mut Subject<'_>,
        otp: &str,
        challenge: Option<Answered<'_>>,
    ) -> Result<Verification, Trouble> {
        let rules = subject.rules();
        let target = subject.target.as_ref();
        let mut attempt = Attempt {
            serial: target.map_or(subject.serial, |target| &target.serial),
            token: subject.otp_token(),
            usage: target.map_or(&subject.usage, |target| &target.usage),
            otp,
            challenge,
            answer: None,
            now: cx.facts.now,
            settings: &self.configuration.settings,
            keyring: cx.facts.keyring,
        };
        let answer: Answer;
        if let Some(question) = rules.question(&attempt)? {
            answer = cx.ask(question).map_err(Trouble::Stop)?.clone();
            attempt.answer = Some(&answer);
        }
        let verification = rules.verify(&attempt)?;
        if let (Verification::Refused(memory), Some(target)) = (&verification, &mut subject.target) {
            target.memory = *memory;
        } else if let Verification::Refused(memory) = &verification {
            let mut after = UsageV1::clone(&subject.usage);
            remember(&mut after, *memory);
            if after.auto_resync != subject.usage.auto_resync {
                subject.usage = Arc::new(after);
            }
        }
        Ok(verification)
    }

    fn accepts_pin(
        &mut self,
        cx: &mut Context<'_>,
        subject: &Subject<'_>,
        split: &Split<'_>,
    ) -> Result<bool, Trouble> {
        self.pins.accepts(cx, subject.serial, subject.token, split.pin).map_err(Trouble::from)
    }
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
            | TokenFault::Length(_)
            | TokenFault::Info(_)
            | TokenFault::Unusable(_) => Self::Token(fault),
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
