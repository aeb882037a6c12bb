//! Asking the policies on behalf of a request: here the request's client, time and user are put together, so that no
//! caller can forget one of them.

use std::net::IpAddr;
use std::sync::Arc;

use super::Context;
use super::directory::{Found, user_by_id, user_by_login};
use super::resolver::{name_of, spec};
use super::user::{KnownUser, realms_of};
use crate::decision::{Refusal, Stop};
use crate::facts::Administrator;
use crate::policy::catalogue::Action;
use crate::policy::condition::time::Moment;
use crate::policy::query::Found as FoundValue;
use crate::policy::value::ActionValue;
use crate::policy::{Directory, Identity, Scope, Subject};
use crate::record::TokenV1;
use crate::user::{RealmName, ResolverName, UserEntry};

/// Whom a lookup is about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Who<'a> {
    pub(super) user: Option<Identity<'a>>,
    pub(super) realm: Option<&'a RealmName>,
}

impl<'a> Who<'a> {
    /// A user in its realm.
    pub(super) fn user(user: &'a KnownUser) -> Self {
        let identity = Identity {
            login: &user.login,
            realm: Some(user.realm.as_str()),
            resolver: Some(name_of(&user.owner.resolver)),
            entry: Some(&user.entry),
        };
        Self { user: Some(identity), realm: Some(&user.realm) }
    }

    /// A realm without a user: a token nobody owns.
    pub(super) const fn realm(realm: &'a RealmName) -> Self {
        Self { user: None, realm: Some(realm) }
    }

    /// An administrator; the realm of a lookup is then not the administrator's.
    pub(super) fn administrator(administrator: &'a Administrator) -> Self {
        let identity = Identity {
            login: &administrator.login,
            realm: Some(&administrator.realm),
            resolver: Some(name_of(&administrator.resolver)),
            entry: None,
        };
        Self { user: Some(identity), realm: None }
    }
}

/// The owner of a token as its user store knows it; `None` if nobody owns it or the store does not say.
pub(super) fn known_owner(cx: &mut Context<'_>, token: &TokenV1) -> Result<Option<KnownUser>, Stop> {
    let Some(owner) = &token.owner else { return Ok(None) };
    let Found::Entry(entry) = user_by_id(cx, owner)? else { return Ok(None) };
    let realms = realms_of(cx, owner);
    let common = token.realms.iter().find(|realm| realms.contains(realm));
    let Some(realm) = common.or(realms.first()).cloned() else { return Ok(None) };
    Ok(Some(KnownUser { login: entry.login.clone(), realm, owner: owner.clone(), also: Vec::new(), entry }))
}

/// Conditions look into the user stores through the request's own questions.
impl Directory for Context<'_> {
    fn find(&mut self, resolver: &str, login: &str) -> Result<Option<Arc<UserEntry>>, Stop> {
        let configuration = self.view.configuration();
        let Some(record) = configuration.resolvers.get(&ResolverName::from(resolver)) else {
            return Ok(None);
        };
        match user_by_login(self, &spec(record.kind, resolver), login)? {
            Found::Entry(entry) => Ok(Some(entry)),
            Found::Absent | Found::Unavailable => Ok(None),
        }
    }
}

/// The subject of a lookup: the request's client and time, and whom it is about.
pub(super) fn subject<'a>(cx: &mut Context<'_>, who: Who<'a>) -> Result<Subject<'a>, Stop> {
    Ok(Subject {
        user: who.user,
        realm: who.realm.map(RealmName::as_str),
        client: client(&cx.facts.caller.client)?,
        moment: Some(moment(cx)),
    })
}

/// What the clock shows in the zone of the policies.
pub(super) fn moment(cx: &mut Context<'_>) -> Moment {
    cx.view.configuration().zone.moment(cx.facts.now)
}

/// A client address; none for requests of the node itself.
pub(super) fn client(text: &str) -> Result<Option<IpAddr>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(Some(address.to_canonical())),
        Err(_) => Err(Refusal::Other(format!("the client address '{text}' is not an IP address"))),
    }
}

/// The value of an action; `None` if no policy lays it down. A contradiction is noted in the audit row (D1).
pub(super) fn value<T: ActionValue>(
    cx: &mut Context<'_>,
    action: &Action<T>,
    who: Who<'_>,
) -> Result<Option<T>, Stop> {
    named_value(cx, action.scope, action.name, who)
}

/// As [`value`], for a name of a family.
pub(super) fn named_value<T: ActionValue>(
    cx: &mut Context<'_>,
    scope: Scope,
    name: &str,
    who: Who<'_>,
) -> Result<Option<T>, Stop> {
    let configuration = cx.view.configuration();
    if !configuration.policies.has_active(scope) {
        return Ok(None);
    }
    let subject = subject(cx, who)?;
    let found = configuration.policies.named_value::<T>(scope, name, &subject, cx)?;
    Ok(found.map(|FoundValue { value, policy, contradicted_by }| {
        if let Some(other) = contradicted_by {
            cx.note(&format!(
                "policies {policy} and {other} contradict each other in {name}, {policy} counts"
            ));
        }
        value
    }))
}

/// Whether a switch is on; it is off by default.
pub(super) fn is_on(cx: &mut Context<'_>, action: &Action<bool>, who: Who<'_>) -> Result<bool, Stop> {
    Ok(value(cx, action, who)?.unwrap_or(false))
}

/// Whether an action is set whose presence counts: a policy that says no is passed over.
pub(super) fn is_set(cx: &mut Context<'_>, action: &Action<bool>, who: Who<'_>) -> Result<bool, Stop> {
    let configuration = cx.view.configuration();
    if !configuration.policies.has_active(action.scope) {
        return Ok(false);
    }
    let subject = subject(cx, who)?;
    configuration.policies.is_set(action.scope, action.name, &subject, cx)
}
