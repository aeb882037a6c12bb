//! `/validate/check` and `/validate/check_s`.
//!
//! Here is decided which tokens take part and what is answered when there are none (reference tokens 6.1 to 6.3,
//! http-api 7.1 and 7.3). The tokens themselves are checked in [`super::login`].

use std::collections::BTreeMap;
use std::ops::ControlFlow::{Break, Continue};

use super::authorize::{LoginDetail, Visitor, may_log_in, restrict_token, tell};
use super::autoassign;
use super::fallback;
use super::forward::forwarded;
use super::login::{Login, check_tokens, detail, trigger};
use super::selection::matches_pattern;
use super::user::{Identified, KnownUser, UserParams, tokens_of};
use super::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::record::{IndexKey, Key, Record, TokenType};
use crate::secret::SecretText;
use crate::user::{Owner, RealmName, Serial, TransactionId};

/// `validate/check` and its relatives: is this a valid login of this user?
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// The user; without one only `serial` can lead to a success.
    pub user: UserParams,
    /// What the caller sent as `pass`. `None` (parameter missing) is answered like a wrong one.
    pub pass: Option<SecretText>,
    /// Only this token; `*` matches any text, but only among the tokens of one owner.
    pub serial: Option<String>,
    /// Only tokens of this type, any case.
    pub token_type: Option<String>,
    /// The challenge that is answered (`state`, or else `transactionid`).
    pub transaction_id: Option<String>,
    /// Whether the reply shall tell how long PIN and OTP were (`auth_info` is `true` in any case).
    pub auth_info: bool,
    /// Every other parameter, for the token types.
    pub options: BTreeMap<String, String>,
}

/// `validate/check_s`: is this a valid login with this token?
#[derive(Clone, Debug, Default)]
pub struct CheckSerial {
    /// Used to find the token if no serial is given: the user must have exactly one.
    pub user: UserParams,
    /// The token; `*` matches any text, but only among the tokens of one owner.
    pub serial: Option<String>,
    /// What the caller sent as `pass`. `None` may only trigger a challenge.
    pub pass: Option<SecretText>,
    /// Only tokens of this type, any case; narrows a wild card.
    pub token_type: Option<String>,
    /// The challenge that is answered (`state`, or else `transactionid`).
    pub transaction_id: Option<String>,
    /// Whether the reply shall tell how long PIN and OTP were.
    pub auth_info: bool,
    /// Every other parameter, for the token types.
    pub options: BTreeMap<String, String>,
}

/// The answer to a check: `result.value` and what may stand in `detail`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the login is accepted.
    pub accepted: bool,
    /// `detail.auth_info`: `pin_length` and `otp_length` in characters, in the order they were sent.
    pub auth_info: Option<Vec<(String, u32)>>,
    /// The challenges that were triggered, if any; `accepted` is false then.
    pub challenge: Option<ChallengeReply>,
    /// What policies let the client know besides.
    pub detail: Option<LoginDetail>,
}

/// What the client is told about triggered challenges (reference tokens 7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChallengeReply {
    /// One token was challenged: its object is the `detail`.
    One(ChallengedToken),
    /// Several tokens were challenged under one root transaction.
    Several {
        /// The root transaction.
        transaction_id: TransactionId,
        /// One object per token.
        challenges: Vec<ChallengedToken>,
    },
}

/// One challenged token in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengedToken {
    /// The id to be answered.
    pub transaction_id: TransactionId,
    /// Prompt, or payload for the authenticator.
    pub message: String,
    /// The token.
    pub serial: Serial,
    /// Its type as stored (`HMAC`).
    pub token_type: &'static str,
    /// Its description.
    pub description: String,
    /// What the type tells besides, by its name in the reply.
    pub attributes: Vec<(String, Attribute)>,
}

/// A further member of a challenge in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A text that is shown as QR code as well: an object of `value` and `img`.
    Code(String),
}

/// `validate/ok` and `validate/fail`: a constant answer, audited like every call.
#[derive(Clone, Copy, Debug)]
pub struct Constant(pub bool);

impl Request for Constant {
    type Reply = Verdict;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Verdict, Stop> {
        cx.audit.success = self.0;
        Ok(Verdict { accepted: self.0, ..Verdict::default() })
    }
}

/// How many tokens a wild card may make a check walk through; beyond it the request is refused, for it needs no
/// authentication and could otherwise occupy the node.
const WILD_CARD_SCAN_MAX: usize = 50_000;

impl Request for Check {
    type Reply = Verdict;

    fn lane(&self) -> Option<String> {
        Some(lane(&self.user, self.serial.as_deref()))
    }

    fn decide(&self, cx: &mut Context<'_>) -> Result<Verdict, Stop> {
        let visitor = Visitor::find(cx, &self.user)?;
        let mut verdict = Verdict::default();
        if may_log_in(cx, &visitor)? {
            verdict = self.check(cx, &visitor.identified)?;
            verdict = restrict_token(cx, &visitor, verdict)?;
        }
        tell(cx, &visitor, verdict)
    }
}

impl Check {
    fn check(&self, cx: &mut Context<'_>, identified: &Identified) -> Result<Verdict, Stop> {
        let user = match identified {
            Identified::NoUser => None,
            Identified::Known(user) => Some(user),
            Identified::Unknown(_) => return Ok(without_user(cx)),
            Identified::Ambiguous(user) => {
                cx.note(&Refusal::AmbiguousUser(user.login.clone()).to_string());
                return Ok(Verdict::default());
            }
        };
        if let Some(user) = user {
            if let Some(verdict) = forwarded(cx, user, self)? {
                return Ok(verdict);
            }
            if let Some(verdict) = autoassign::by_otp(cx, user, self)? {
                return Ok(verdict);
            }
        }
        let serials = self.tokens(cx, user)?;
        if serials.is_empty() {
            return self.without_tokens(cx, user);
        }
        let Some(submitted) = &self.pass else {
            cx.note(&Refusal::MissingParameter("pass").to_string());
            return Ok(Verdict::default());
        };
        let login = Login {
            user,
            submitted,
            auth_info: self.auth_info,
            transaction: self.transaction_id.as_deref(),
            options: &self.options,
        };
        check_tokens(cx, login, &serials)
    }

    /// The tokens to be checked: the one named, else the user's.
    fn tokens(&self, cx: &mut Context<'_>, user: Option<&KnownUser>) -> Result<Vec<Serial>, Stop> {
        let mut serials = match (sent(self.serial.as_deref()), user) {
            (Some(serial), _) => by_serial(cx, serial),
            (None, Some(user)) => tokens_of(cx, user)?,
            (None, None) => Vec::new(),
        };
        keep_type(cx, &mut serials, self.token_type.as_deref());
        Ok(serials)
    }

    /// Only the lack of any token makes a user one without token: narrowing the request down to a token that does not
    /// exist must not let the owner of others in by `PassOnUserNoToken`.
    fn without_tokens(&self, cx: &mut Context<'_>, user: Option<&KnownUser>) -> Result<Verdict, Stop> {
        if let Some(user) = user
            && !owns_tokens(cx, user)
        {
            return fallback::without_tokens(cx, user, self);
        }
        let names_nothing = user.is_none() && sent(self.serial.as_deref()).is_none();
        if names_nothing && cx.view.configuration().settings.passes_users_without_token() {
            return Ok(passed(cx, "authenticated by PassOnUserNoToken"));
        }
        let usable = match user {
            Some(user) => !tokens_of(cx, user)?.is_empty(),
            None => true,
        };
        detail(cx, if usable { "no token found!" } else { "User has no tokens assigned" });
        Ok(Verdict::default())
    }
}

impl Request for CheckSerial {
    type Reply = Verdict;

    fn lane(&self) -> Option<String> {
        Some(lane(&self.user, self.serial.as_deref()))
    }

    fn decide(&self, cx: &mut Context<'_>) -> Result<Verdict, Stop> {
        let visitor = Visitor::find(cx, &self.user)?;
        let verdict = self.check(cx, &visitor.identified)?;
        tell(cx, &visitor, verdict)
    }
}

impl CheckSerial {
    fn check(&self, cx: &mut Context<'_>, identified: &Identified) -> Result<Verdict, Stop> {
        let mut serials = match sent(self.serial.as_deref()) {
            Some(serial) => by_serial(cx, serial),
            None => vec![only_token(cx, identified)?],
        };
        keep_type(cx, &mut serials, self.token_type.as_deref());
        let Some(submitted) = &self.pass else { return trigger(cx, &serials, &self.options) };
        if serials.is_empty() {
            detail(cx, "no token found!");
            return Ok(Verdict::default());
        }
        note_owner(cx, &serials);
        // No user is passed on: the token's realms alone decide.
        let login = Login {
            user: None,
            submitted,
            auth_info: self.auth_info,
            transaction: self.transaction_id.as_deref(),
            options: &self.options,
        };
        check_tokens(cx, login, &serials)
    }
}

/// The single token of the user.
fn only_token(cx: &mut Context<'_>, identified: &Identified) -> Result<Serial, Stop> {
    let user = match identified {
        Identified::Known(user) => user,
        Identified::NoUser => return Err(Refusal::NoSelection.into()),
        Identified::Unknown(user) => return Err(Refusal::UnknownUser(user.login.clone()).into()),
        Identified::Ambiguous(user) => return Err(Refusal::AmbiguousUser(user.login.clone()).into()),
    };
    let mut serials = tokens_of(cx, user)?.into_iter();
    match (serials.next(), serials.next()) {
        (Some(serial), None) => Ok(serial),
        (Some(_), Some(_)) => Err(Refusal::AmbiguousSerial(user.login.clone()).into()),
        (None, _) => Err(Refusal::Other(format!("user {} has no tokens", user.login)).into()),
    }
}

/// Whether a user owns any token, of whatever state and realm: only one without any may be let in by the rules for
/// users without token (reference policies 11.0).
pub(super) fn owns_tokens(cx: &mut Context<'_>, user: &KnownUser) -> bool {
    let owners = std::iter::once(&user.owner).chain(&user.also);
    let mut owns = false;
    for owner in owners {
        owns |= !cx.view.index(&IndexKey::TokensOfOwner(owner.clone())).is_empty();
    }
    owns
}

/// Requests of the same user, or about the same token, share a lane.
pub(super) fn lane(user: &UserParams, serial: Option<&str>) -> String {
    match sent(serial) {
        Some(serial) => format!("s\0{serial}"),
        None => format!("u\0{}\0{}", user.user, user.realm().unwrap_or_default().to_lowercase()),
    }
}

/// A parameter that is there and not empty.
fn sent(parameter: Option<&str>) -> Option<&str> {
    parameter.filter(|text| !text.is_empty())
}

/// The user does not exist in any resolver of the realm.
fn without_user(cx: &mut Context<'_>) -> Verdict {
    if cx.view.configuration().settings.passes_unknown_users() {
        return passed(cx, "authenticated by PassOnUserNotFound");
    }
    detail(cx, "User not found");
    Verdict::default()
}

pub(super) fn passed(cx: &mut Context<'_>, rule: &str) -> Verdict {
    detail(cx, rule);
    cx.audit.success = true;
    Verdict { accepted: true, ..Verdict::default() }
}

/// The existing tokens with this serial. With a wild card: none at all unless all of them have the same owner, or else one
/// request could be tried against every token (reference tokens 6.1).
fn by_serial(cx: &mut Context<'_>, wanted: &str) -> Vec<Serial> {
    if !wanted.contains('*') {
        let serial = Serial::from(wanted);
        return if cx.view.token(&serial).is_some() { vec![serial] } else { Vec::new() };
    }
    let mut serials = scan(cx, wanted);
    let mut owners: Vec<Option<Owner>> = Vec::new();
    // The candidates came from an unrecorded listing; what is used of them is read again.
    serials.retain(|serial| match cx.view.token(serial) {
        Some(token) => {
            if !owners.contains(&token.owner) {
                owners.push(token.owner.clone());
            }
            true
        }
        None => false,
    });
    match owners.as_slice() {
        [Some(owner)] => {
            // A token that appears meanwhile may match as well.
            cx.view.index(&IndexKey::TokensOfOwner(owner.clone()));
            serials
        }
        [None] if serials.len() == 1 => serials,
        [] => Vec::new(),
        _ => {
            cx.note("the tokens matched by the wild card do not have the same owner");
            Vec::new()
        }
    }
}

/// Serials that match a pattern; stops as soon as a second owner makes them useless.
fn scan(cx: &mut Context<'_>, pattern: &str) -> Vec<Serial> {
    let prefix = pattern.split('*').next().unwrap_or_default();
    let mut serials = Vec::new();
    let mut owner: Option<Option<Owner>> = None;
    let mut visited = 0_usize;
    cx.view.unrecorded().scan(&Key::Token(Serial::from(prefix)), &mut |key, slot| {
        let (Key::Token(serial), Record::Token(token)) = (key, &slot.record) else { return Break(()) };
        if !serial.as_str().starts_with(prefix) {
            return Break(());
        }
        visited += 1;
        if visited > WILD_CARD_SCAN_MAX {
            serials.clear();
            return Break(());
        }
        if !matches_pattern(pattern, serial.as_str()) {
            return Continue(());
        }
        serials.push(serial.clone());
        match &owner {
            Some(first) if *first != token.owner || first.is_none() => return Break(()),
            Some(_) => {}
            None => owner = Some(token.owner.clone()),
        }
        Continue(())
    });
    if visited > WILD_CARD_SCAN_MAX {
        cx.note("the wild card spans too many tokens");
    }
    serials
}

/// Keeps the tokens of one type.
fn keep_type(cx: &mut Context<'_>, serials: &mut Vec<Serial>, wanted: Option<&str>) {
    let Some(wanted) = sent(wanted) else { return };
    let wanted = TokenType::find(wanted);
    serials.retain(|serial| cx.view.token(serial).is_some_and(|token| Some(token.token_type) == wanted));
}

/// Names the realms of a token that is checked without a user.
fn note_owner(cx: &mut Context<'_>, serials: &[Serial]) {
    let Some(token) = serials.first().and_then(|serial| cx.view.token(serial)) else { return };
    if cx.audit.realm.is_empty() {
        let realms: Vec<&str> = token.realms.iter().map(RealmName::as_str).collect();
        cx.audit.realm = realms.join(" ").into();
    }
}
