//! What administrators may do (reference policies 5).
//!
//! A scope without any active policy is open to every administrator; as soon as there is one, everybody whom none
//! matches is denied. Rights of scope `admin` hold in realms, those of `system` as a whole.

use std::collections::BTreeSet;

use super::Context;
use super::policies::{Who, subject};
use super::resolver::name_of;
use super::selection::Selection;
use super::user::{Identified, UserParams};
use crate::decision::{Refusal, Stop};
use crate::policy::Scope;
use crate::policy::catalogue::{Action, access, admin};
use crate::policy::query::{Lookup, Selection as Select};
use crate::record::{TokenType, TokenV1};
use crate::user::{RealmName, Serial};

/// A right to the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemRight {
    /// To read it.
    Read,
    /// To change it.
    Write,
}

impl SystemRight {
    const fn action(self) -> &'static Action<bool> {
        match self {
            Self::Read => &access::READ,
            Self::Write => &access::WRITE,
        }
    }
}

/// Refuses an administrator without a right to the configuration.
pub(super) fn require_system(cx: &mut Context<'_>, right: SystemRight) -> Result<(), Stop> {
    let configuration = cx.view.configuration();
    if !configuration.policies.has_active(Scope::System) {
        return Ok(());
    }
    let action = right.action();
    let facts = cx.facts;
    if let Some(administrator) = &facts.caller.administrator {
        let subject = subject(cx, Who::administrator(administrator))?;
        if configuration.policies.is_set(action.scope, action.name, &subject, cx)? {
            return Ok(());
        }
    }
    let name = action.name;
    Err(Refusal::NotAllowed(format!("you do not have the right to {name} the system configuration")).into())
}

/// Where an administrator may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Granted {
    /// Everywhere, tokens without realm included.
    Everywhere,
    /// In these realms, and with users of their resolvers.
    Within {
        /// What the policies name, in lower case; not all need exist.
        realms: BTreeSet<Box<str>>,
        /// The resolvers of those that exist.
        resolvers: BTreeSet<Box<str>>,
    },
}

/// Where the caller may do one of these actions; without any, where he may do anything at all.
pub(super) fn granted(cx: &mut Context<'_>, actions: &[&str]) -> Result<Granted, Stop> {
    let configuration = cx.view.configuration();
    if !configuration.policies.has_active(Scope::Admin) {
        return Ok(Granted::Everywhere);
    }
    let mut realms: BTreeSet<Box<str>> = BTreeSet::new();
    let facts = cx.facts;
    if let Some(administrator) = &facts.caller.administrator {
        let subject = subject(cx, Who::administrator(administrator))?;
        let lookup = Lookup {
            scope: Scope::Admin,
            action: None,
            set_only: true,
            selection: Select::Strict,
            complete: false,
        };
        let lookups = actions.iter().map(|action| Lookup { action: Some(action), ..lookup });
        let lookups: Vec<Lookup<'_>> = if actions.is_empty() { vec![lookup] } else { lookups.collect() };
        for lookup in lookups {
            for found in configuration.policies.select(&lookup, &subject, cx)? {
                realms.extend(found.policy.realm().written().map(Box::from));
            }
        }
    }
    if realms.contains("*") {
        return Ok(Granted::Everywhere);
    }
    let known = realms.iter().filter_map(|name| configuration.realms.get(&RealmName::from(&**name)));
    let resolvers = known.flat_map(|realm| &realm.resolvers).map(|spec| name_of(spec).into()).collect();
    Ok(Granted::Within { realms, resolvers })
}

impl Granted {
    /// Whether a realm is among those granted.
    pub(super) fn has_realm(&self, realm: &RealmName) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Within { realms, .. } => realms.contains(realm.as_str()),
        }
    }

    /// Whether nothing is granted anywhere.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Within { realms, .. } if realms.is_empty())
    }

    /// Whether a token may be handled: it is in one of the realms. A token without realm is out of reach.
    pub(super) fn has_token(&self, token: &TokenV1) -> bool {
        *self == Self::Everywhere || token.realms.iter().any(|realm| self.has_realm(realm))
    }

    /// Whether the user of a request may be handled.
    pub(super) fn has_user(&self, cx: &mut Context<'_>, params: &UserParams, user: &Identified) -> bool {
        let Self::Within { resolvers, .. } = self else { return true };
        let configuration = cx.view.configuration();
        let settings = &configuration.settings;
        let named = params.parse(settings.split_at_sign()).and_then(|parsed| parsed.realm).or(params.realm());
        if named.is_none()
            && !matches!(user, Identified::Known(_))
            && let Some(resolver) = params.resolver()
        {
            return resolvers.contains(resolver);
        }
        let realm = match user {
            Identified::Known(user) => Some(user.realm.clone()),
            Identified::Unknown(user) | Identified::Ambiguous(user) => user.realm.clone(),
            Identified::NoUser => named.map(RealmName::folded).or_else(|| settings.default_realm()),
        };
        realm.is_some_and(|realm| self.has_realm(&realm))
    }
}

/// The refusal of an action.
pub(super) fn denied(action: &str, what: &str) -> Stop {
    Refusal::NotAllowed(format!("you do not have the right '{action}' for {what}")).into()
}

/// Refuses an action on a realm, or beside all realms, that the caller may not do there.
pub(super) fn require_realm(
    cx: &mut Context<'_>,
    action: &Action<bool>,
    realm: Option<&RealmName>,
) -> Result<Granted, Stop> {
    let granted = granted(cx, &[action.name])?;
    if granted == Granted::Everywhere || realm.is_some_and(|realm| granted.has_realm(realm)) {
        return Ok(granted);
    }
    let what = realm.map_or("tokens in no realm".to_owned(), |realm| format!("realm {realm}"));
    Err(denied(action.name, &what))
}

/// Refuses an action on tokens the caller may not handle; one that does not exist is in no realm.
pub(super) fn require_tokens(
    cx: &mut Context<'_>,
    action: &Action<bool>,
    serials: &[Serial],
) -> Result<(), Stop> {
    let granted = granted(cx, &[action.name])?;
    for serial in serials {
        if granted != Granted::Everywhere
            && !cx.view.token(serial).is_some_and(|token| granted.has_token(&token))
        {
            return Err(denied(action.name, &format!("token {serial}")));
        }
    }
    Ok(())
}

/// Refuses an action on a user the caller may not handle.
pub(super) fn require_user(
    cx: &mut Context<'_>,
    action: &Action<bool>,
    params: &UserParams,
    user: &Identified,
) -> Result<(), Stop> {
    let granted = granted(cx, &[action.name])?;
    if granted.has_user(cx, params, user) { Ok(()) } else { Err(denied(action.name, &describe(params))) }
}

/// Refuses an action on what a request selects: the tokens if it names a serial, else the user.
pub(super) fn require_selection(
    cx: &mut Context<'_>,
    action: &Action<bool>,
    selection: &Selection,
    selected: &super::selection::Selected,
) -> Result<(), Stop> {
    match selection.wanted_serial() {
        None => require_user(cx, action, &selection.user, &selected.user),
        Some(serial) if selected.serials.is_empty() => require_tokens(cx, action, &[Serial::from(serial)]),
        Some(_) => require_tokens(cx, action, &selected.serials),
    }
}

/// Refuses the enrolment of a token, and says where the caller may enrol: the user has to be manageable, some realm
/// has to be granted, and an existing token has to be in one of them.
pub(super) fn require_init(
    cx: &mut Context<'_>,
    token_type: TokenType,
    params: &UserParams,
    user: &Identified,
    existing: Option<&TokenV1>,
) -> Result<Granted, Stop> {
    let name = admin::init(token_type.name());
    let mut actions = vec![name.as_str()];
    if token_type == TokenType::Hmac {
        actions.push(admin::INIT_ETNG);
    }
    let granted = granted(cx, &actions)?;
    if granted.is_nothing() {
        return Err(denied(&name, "any realm"));
    }
    let names_place = *user != Identified::NoUser || params.realm().is_some();
    if names_place && !granted.has_user(cx, params, user) {
        return Err(denied(&name, &describe(params)));
    }
    match existing {
        Some(token) if !granted.has_token(token) => Err(denied(&name, "this token")),
        _ => Ok(granted),
    }
}

fn describe(params: &UserParams) -> String {
    match (params.user.as_str(), params.realm()) {
        ("", Some(realm)) => format!("realm {realm}"),
        ("", None) => "the default realm".to_owned(),
        (user, Some(realm)) => format!("user {user} in realm {realm}"),
        (user, None) => format!("user {user}"),
    }
}
