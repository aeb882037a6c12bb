//! Policies of scope `authorization` around a login: where the user is looked for, whether the user may log in at all and
//! with this token, and what the client is told (reference policies 6.2 and 11.0).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Context;
use super::login::detail;
use super::policies::{Who, is_set, known_owner, value};
use super::realm::ADMIN_REALM;
use super::user::{Identified, KnownUser, UserParams, identify};
use super::validate::Verdict;
use crate::decision::{Refusal, Stop};
use crate::policy::catalogue::authorization::{
    AUTHORIZE, DETAIL_ON_FAIL, DETAIL_ON_SUCCESS, SERIAL, SETREALM, TOKENTYPE,
};
use crate::policy::condition::pattern::Search;
use crate::policy::value::words;
use crate::policy::{Identity, Scope};
use crate::user::{RealmName, Serial};

/// What a client is told about a login beside the verdict. Kept as JSON with the answer to a repeatable request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginDetail {
    /// Who logged in, with which token.
    Success(SuccessDetail),
    /// Why the login failed, in the words of the audit trail.
    Failure(String),
    /// What another server said who decided the login: a JSON object.
    Remote(String),
}

/// The members of `detail` after a successful login (reference http-api 7.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuccessDetail {
    /// The realm of the user.
    pub realm: Option<String>,
    /// What the user store says about the user; empty values are `None`.
    pub user: Option<BTreeMap<String, Option<String>>>,
    /// Whether the user is an administrator.
    pub is_admin: Option<bool>,
    /// The type of the token that was used.
    pub token_type: Option<String>,
    /// The token that was used.
    pub serial: Option<String>,
}

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visitor {
    /// The user, in the realm that counts.
    pub(super) identified: Identified,
    /// The default realm, for requests without a user.
    default_realm: Option<RealmName>,
}

impl Visitor {
    /// Finds the user of a request, in the realm that `setrealm` says: one step, which is not repeated.
    pub(super) fn find(cx: &mut Context<'_>, params: &UserParams) -> Result<Self, Stop> {
        let default_realm = cx.view.configuration().settings.default_realm();
        let visitor = Self { identified: identify(cx, params)?, default_realm };
        let login = match &visitor.identified {
            Identified::NoUser => return Ok(visitor),
            Identified::Known(user) => user.login.clone(),
            Identified::Unknown(user) | Identified::Ambiguous(user) => user.login.clone(),
        };
        let who = visitor.who();
        let Some(realm) = value(cx, &SETREALM, who)?.filter(|realm| !realm.trim().is_empty()) else {
            return Ok(visitor);
        };
        if who.realm == Some(&RealmName::folded(&realm)) {
            return Ok(visitor);
        }
        let moved = UserParams { user: login, realm: Some(realm.into()), res_conf: params.res_conf.clone() };
        Ok(Self { identified: identify(cx, &moved)?, ..visitor })
    }

    /// The user as policies see it.
    pub(super) fn who(&self) -> Who<'_> {
        match &self.identified {
            Identified::NoUser => Who { user: None, realm: self.default_realm.as_ref() },
            Identified::Known(user) => Who::user(user),
            Identified::Unknown(user) | Identified::Ambiguous(user) => {
                let realm = user.realm.as_ref();
                let identity = Identity {
                    login: &user.login,
                    realm: realm.map(RealmName::as_str),
                    resolver: None,
                    entry: None,
                };
                Who { user: Some(identity), realm: realm.or(self.default_realm.as_ref()) }
            }
        }
    }

    fn known(&self) -> Option<&KnownUser> {
        match &self.identified {
            Identified::Known(user) => Some(user),
            Identified::NoUser | Identified::Unknown(_) | Identified::Ambiguous(_) => None,
        }
    }
}

/// Whether the user may log in at all: everybody, until a policy has the action.
pub(super) fn may_log_in(cx: &mut Context<'_>, visitor: &Visitor) -> Result<bool, Stop> {
    let configuration = cx.view.configuration();
    if !configuration.policies.mentions(Scope::Authorization, AUTHORIZE.name) {
        return Ok(true);
    }
    if is_set(cx, &AUTHORIZE, visitor.who())? {
        return Ok(true);
    }
    detail(cx, "the user is not authorized to log in from this client");
    Ok(false)
}

/// Takes a success back if it was reached with a token the user may not use. Its counters stay where they are. Without
/// any token there is nothing to object to (D24).
pub(super) fn restrict_token(
    cx: &mut Context<'_>,
    visitor: &Visitor,
    mut verdict: Verdict,
) -> Result<Verdict, Stop> {
    if verdict.accepted && !cx.audit.serial.is_empty() && !may_use_token(cx, visitor)? {
        detail(cx, " the user is not authorized to log in with this token");
        cx.audit.success = false;
        verdict.accepted = false;
        verdict.auth_info = None;
    }
    Ok(verdict)
}

/// The token that decided stands in the audit row.
fn may_use_token(cx: &mut Context<'_>, visitor: &Visitor) -> Result<bool, Stop> {
    if let Some(types) = value(cx, &TOKENTYPE, visitor.who())? {
        let used = cx.audit.token_type.clone();
        let mut allowed = words(&types).peekable();
        let fits = |allowed: &str| allowed == "*" || allowed.eq_ignore_ascii_case(&used);
        if allowed.peek().is_some() && !allowed.any(fits) {
            return Ok(false);
        }
    }
    let Some(expression) = value(cx, &SERIAL, visitor.who())? else { return Ok(true) };
    let search = Search::parse(&expression)
        .map_err(|error| Refusal::Other(format!("policy action {}: {error}", SERIAL.name)))?;
    Ok(search.is_in(&cx.audit.serial))
}

/// Adds what policies let the client know. The user of a request without one is the owner of the token.
pub(super) fn tell(cx: &mut Context<'_>, visitor: &Visitor, mut verdict: Verdict) -> Result<Verdict, Stop> {
    let configuration = cx.view.configuration();
    // What another server tells is not mixed with anything.
    if verdict.detail.is_some() || !configuration.policies.has_active(Scope::Authorization) {
        return Ok(verdict);
    }
    let owner = match visitor.identified {
        Identified::NoUser => {
            let serial = Serial::from(&*cx.audit.serial);
            match cx.view.token(&serial) {
                Some(token) => known_owner(cx, &token)?,
                None => None,
            }
        }
        Identified::Known(_) | Identified::Unknown(_) | Identified::Ambiguous(_) => None,
    };
    let who = owner.as_ref().map_or_else(|| visitor.who(), Who::user);
    if verdict.accepted && is_set(cx, &DETAIL_ON_SUCCESS, who)? {
        let user = owner.as_ref().or_else(|| visitor.known());
        verdict.detail = Some(LoginDetail::Success(success(cx, user)));
    } else if !verdict.accepted && is_set(cx, &DETAIL_ON_FAIL, who)? {
        verdict.detail = Some(LoginDetail::Failure(cx.audit.action_detail.to_string()));
    }
    Ok(verdict)
}

fn success(cx: &Context<'_>, user: Option<&KnownUser>) -> SuccessDetail {
    let used = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    SuccessDetail {
        realm: user.map(|user| user.realm.to_string()),
        user: user.map(|user| {
            let attributes = user.entry.attributes.iter();
            attributes.map(|(name, value)| (name.clone(), used(value))).collect()
        }),
        is_admin: user.map(|user| user.realm.as_str() == ADMIN_REALM),
        token_type: used(&cx.audit.token_type),
        serial: used(&cx.audit.serial),
    }
}
