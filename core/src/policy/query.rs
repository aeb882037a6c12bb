//! The only way to ask which value applies to a request (reference policies 3).

use std::net::IpAddr;
use std::sync::Arc;

use super::catalogue::Action;
use super::condition::Class;
use super::condition::time::Moment;
use super::items::Written;
use super::scope::Scope;
use super::set::{Fault, Policy, PolicySet};
use super::value::ActionValue;
use crate::decision::{Refusal, Stop};
use crate::user::{PolicyName, UserEntry};

/// The user stores, as far as conditions look into them.
pub trait Directory {
    /// The user with this login in the resolver of this name; `None` if there is no such resolver, the login is not in
    /// it, or it does not answer.
    ///
    /// # Errors
    /// To ask the user store.
    fn find(&mut self, resolver: &str, login: &str) -> Result<Option<Arc<UserEntry>>, Stop>;
}

/// Whom user conditions are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The login.
    pub login: &'a str,
    /// The realm, in lower case.
    pub realm: Option<&'a str>,
    /// Name of the resolver it was found in.
    pub resolver: Option<&'a str>,
    /// What that resolver says about it.
    pub entry: Option<&'a UserEntry>,
}

impl Identity<'_> {
    /// Whether a condition is literally this user: `login`, `login@realm` or `login.resolver:`.
    pub(super) fn is_named_by(&self, text: &str) -> bool {
        if self.login.is_empty() {
            return false;
        }
        let Some(rest) = text.strip_prefix(self.login) else { return false };
        let in_realm = |realm: &str| rest.strip_prefix('@') == Some(realm);
        let in_resolver =
            |name: &str| rest.strip_prefix('.').and_then(|rest| rest.strip_suffix(':')) == Some(name);
        rest.is_empty() || self.realm.is_some_and(in_realm) || self.resolver.is_some_and(in_resolver)
    }

    /// Whether the login exists in a resolver, through which the user need not have been found.
    pub(super) fn in_resolver(&self, name: &str, directory: &mut dyn Directory) -> Result<bool, Stop> {
        if self.resolver == Some(name) && self.entry.is_some() {
            return Ok(true);
        }
        Ok(!self.login.is_empty() && directory.find(name, self.login)?.is_some())
    }

    /// Tests the user's record in a resolver, or in the user's own one, for which a realm is needed.
    pub(super) fn with_entry(
        &self,
        resolver: Option<&str>,
        directory: &mut dyn Directory,
        test: impl Fn(&UserEntry) -> bool,
    ) -> Result<bool, Stop> {
        let own = resolver.is_none_or(|name| self.resolver == Some(name));
        if own && let Some(entry) = self.entry {
            return Ok((resolver.is_some() || self.realm.is_some()) && test(entry));
        }
        let Some(name) = resolver.or(self.resolver.filter(|_| self.realm.is_some())) else {
            return Ok(false);
        };
        if self.login.is_empty() {
            return Ok(false);
        }
        Ok(directory.find(name, self.login)?.is_some_and(|entry| test(&entry)))
    }
}

/// What a request is about. A part that is `None` is not compared at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// The user.
    pub user: Option<Identity<'a>>,
    /// The realm, in lower case.
    pub realm: Option<&'a str>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The time.
    pub moment: Option<Moment>,
}

/// A value, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// The value.
    pub value: T,
    /// The policy it is taken from.
    pub policy: PolicyName,
    /// The first policy of the same precedence that says something else (D1).
    pub contradicted_by: Option<PolicyName>,
}

/// A policy that matches, and how closely.
#[derive(Clone, Copy, Debug)]
pub struct Match<'s> {
    /// The policy.
    pub policy: &'s Policy,
    /// How the user matches, if users were compared.
    pub user: Option<Class>,
    /// How the realm matches, if realms were compared.
    pub realm: Option<Class>,
    /// How the client matches, if clients were compared.
    pub client: Option<Class>,
}

/// How closely a policy matches in one column.
type ClassOf = fn(&Match<'_>) -> Option<Class>;

/// Which of the matching policies count (reference policies 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The closest by user; of those the closest by realm; of those the closest by client.
    Strict,
    /// All.
    Lazy,
}

/// A column of a policy that decides whether it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The action is switched off.
    Action,
    /// The users.
    User,
    /// The realms.
    Realm,
    /// The client addresses.
    Client,
    /// The times.
    Time,
}

impl Column {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::User => "user",
            Self::Realm => "realm",
            Self::Client => "client",
            Self::Time => "time",
        }
    }
}

/// What became of a policy in a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Counts,
    /// It matches, but another one is closer in this column.
    Hidden(Column),
    /// This column does not match.
    Differs(Column),
    /// It is not active.
    Inactive,
    /// A column cannot be parsed; the request fails.
    Broken(String),
}

/// What is looked up.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// The scope.
    pub scope: Scope,
    /// Only policies with this action, or with `*`.
    pub action: Option<&'a str>,
    /// Policies whose item is false do not count (D2): for permissions and presence checks.
    pub set_only: bool,
    /// Which of the matching policies are returned.
    pub selection: Selection,
    /// Also the conditions are compared that the scope does not look at.
    pub complete: bool,
}

impl<'a> Lookup<'a> {
    /// The closest policies that have an action, whatever its value.
    #[must_use]
    pub const fn strict(scope: Scope, action: &'a str) -> Self {
        Self { scope, action: Some(action), set_only: false, selection: Selection::Strict, complete: false }
    }
}

impl PolicySet {
    /// The policies that apply, ordered by name.
    ///
    /// # Errors
    /// To ask a user store; a refusal if a policy that is reached cannot be parsed.
    pub fn select<'s>(
        &'s self,
        lookup: &Lookup<'_>,
        subject: &Subject<'_>,
        directory: &mut dyn Directory,
    ) -> Result<Vec<Match<'s>>, Stop> {
        let mut matches = Vec::new();
        for policy in self.candidates(lookup.scope, lookup.action) {
            if let Ok(found) = policy.matches(lookup, subject, directory)? {
                matches.push(found);
            }
        }
        if lookup.selection == Selection::Strict && matches.len() > 1 {
            keep_closest(&mut matches, |found| found.user);
            keep_closest(&mut matches, |found| found.realm);
            keep_closest(&mut matches, |found| found.client);
        }
        Ok(matches)
    }

    /// The value of an action; `None` if no policy lays it down, a `*` included.
    ///
    /// # Errors
    /// As [`Self::select`], and a refusal if the value is not of the action's type.
    pub fn value<T: ActionValue>(
        &self,
        action: &Action<T>,
        subject: &Subject<'_>,
        directory: &mut dyn Directory,
    ) -> Result<Option<Found<T>>, Stop> {
        self.named_value(action.scope, action.name, subject, directory)
    }

    /// As [`Self::value`], for a name that is made at run time: a sub-key, or one of a family.
    ///
    /// # Errors
    /// As [`Self::value`].
    pub fn named_value<T: ActionValue>(
        &self,
        scope: Scope,
        name: &str,
        subject: &Subject<'_>,
        directory: &mut dyn Directory,
    ) -> Result<Option<Found<T>>, Stop> {
        let lookup = Lookup::strict(scope, name);
        let mut first: Option<Found<T>> = None;
        for found in self.select(&lookup, subject, directory)? {
            let Some(written) = found.policy.items.as_ref().ok().and_then(|items| items.get(name)) else {
                continue;
            };
            let value = T::read(written).ok_or_else(|| unreadable::<T>(found.policy, name, written))?;
            match &mut first {
                None => {
                    let policy = found.policy.name.clone();
                    first = Some(Found { value, policy, contradicted_by: None });
                }
                Some(first) if first.value != value && first.contradicted_by.is_none() => {
                    first.contradicted_by = Some(found.policy.name.clone());
                }
                Some(_) => {}
            }
        }
        Ok(first)
    }

    /// Whether a permission is granted, or an action whose presence counts is set.
    ///
    /// # Errors
    /// As [`Self::select`].
    pub fn is_set(
        &self,
        scope: Scope,
        action: &str,
        subject: &Subject<'_>,
        directory: &mut dyn Directory,
    ) -> Result<bool, Stop> {
        let lookup = Lookup { set_only: true, ..Lookup::strict(scope, action) };
        Ok(!self.select(&lookup, subject, directory)?.is_empty())
    }

    /// What becomes of each policy of the scope that has the action, inactive ones included, ordered by name.
    ///
    /// # Errors
    /// To ask a user store.
    pub fn explain(
        &self,
        lookup: &Lookup<'_>,
        subject: &Subject<'_>,
        directory: &mut dyn Directory,
    ) -> Result<Vec<(Arc<Policy>, Verdict)>, Stop> {
        let mut explained = Vec::new();
        let mut matches = Vec::new();
        for policy in self.iter().filter(|policy| policy.concerns(lookup)) {
            let verdict = if policy.fields.active {
                match policy.matches(lookup, subject, directory) {
                    Ok(Ok(found)) => {
                        matches.push(found);
                        Verdict::Counts
                    }
                    Ok(Err(column)) => Verdict::Differs(column),
                    Err(Stop::Refuse(refusal)) => Verdict::Broken(refusal.to_string()),
                    Err(stop @ (Stop::Ask(_) | Stop::Defect(_))) => return Err(stop),
                }
            } else {
                Verdict::Inactive
            };
            explained.push((policy.clone(), verdict));
        }
        let stages: [(Column, ClassOf); 3] = [
            (Column::User, |found| found.user),
            (Column::Realm, |found| found.realm),
            (Column::Client, |found| found.client),
        ];
        for (column, class) in stages {
            let before: Vec<PolicyName> = matches.iter().map(|found| found.policy.name.clone()).collect();
            keep_closest(&mut matches, class);
            for name in before {
                let hidden = !matches.iter().any(|found| found.policy.name == name);
                if let Some((_, verdict)) =
                    explained.iter_mut().find(|(policy, _)| hidden && policy.name == name)
                {
                    *verdict = Verdict::Hidden(column);
                }
            }
        }
        Ok(explained)
    }

    /// Whether any active policy sets an action, for whomever.
    #[must_use]
    pub fn mentions(&self, scope: Scope, action: &str) -> bool {
        self.candidates(scope, Some(action)).iter().any(|policy| policy.sets(action).unwrap_or(true))
    }
}

fn keep_closest<'s>(matches: &mut Vec<Match<'s>>, class: impl Fn(&Match<'s>) -> Option<Class>) {
    let best = matches.iter().map(&class).max().flatten();
    matches.retain(|found| class(found) == best);
}

fn unreadable<T: ActionValue>(policy: &Policy, action: &str, written: &Written) -> Stop {
    let kind = T::KIND.name();
    let shown = match written {
        Written::On => "nothing",
        Written::Off => "false",
        Written::Text(text) => text,
    };
    Refusal::Other(format!(
        "policy {}: the value of {action} is {shown}, but {kind} is expected",
        policy.name
    ))
    .into()
}

fn broken(policy: &Policy, fault: &Fault) -> Stop {
    Refusal::Other(format!("policy {} cannot be applied: {fault}", policy.name)).into()
}

impl Policy {
    /// Whether the policy has an action by name or `*`, and its item is not false.
    fn sets(&self, action: &str) -> Result<bool, &Fault> {
        let items = self.items.as_ref()?;
        Ok(match items.get(action) {
            Some(written) => bool::read(written).unwrap_or(false),
            None => items.has_star(),
        })
    }

    /// Whether the policy is of the scope, and has the action or might have it.
    fn concerns(&self, lookup: &Lookup<'_>) -> bool {
        let has = |action: &str| {
            self.items.as_ref().map_or(true, |items| items.get(action).is_some() || items.has_star())
        };
        self.scope == Some(lookup.scope) && lookup.action.is_none_or(has)
    }

    fn matches(
        &self,
        lookup: &Lookup<'_>,
        subject: &Subject<'_>,
        directory: &mut dyn Directory,
    ) -> Result<Result<Match<'_>, Column>, Stop> {
        if let Err(fault) = &self.items {
            return Err(broken(self, fault));
        }
        if lookup.set_only
            && let Some(action) = lookup.action
            && !self.sets(action).unwrap_or(false)
        {
            return Ok(Err(Column::Action));
        }
        let ignored = lookup.scope.ignores();
        let realm = match subject.realm.filter(|_| lookup.complete || !ignored.realm) {
            None => None,
            Some(realm) => match self.realm.class(realm) {
                None => return Ok(Err(Column::Realm)),
                class => class,
            },
        };
        let client = match subject.client.filter(|_| lookup.complete || !ignored.client) {
            None => None,
            Some(client) => match self.client.as_ref().map_err(|fault| broken(self, fault))?.class(client) {
                None => return Ok(Err(Column::Client)),
                class => class,
            },
        };
        if let Some(moment) = subject.moment
            && !self.time.as_ref().map_err(|fault| broken(self, fault))?.holds(moment)
        {
            return Ok(Err(Column::Time));
        }
        // Users last: only their conditions may have to ask the outside world.
        let user = match &subject.user {
            None => None,
            Some(who) => {
                match self.user.as_ref().map_err(|fault| broken(self, fault))?.class(who, directory)? {
                    None => return Ok(Err(Column::User)),
                    class => class,
                }
            }
        };
        Ok(Ok(Match { policy: self, user, realm, client }))
    }
}

#[cfg(test)]
mod tests;
