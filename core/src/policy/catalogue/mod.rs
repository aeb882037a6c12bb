//! Every policy action, by scope (reference policies 6).
//!
//! One item per action: its name, the type of its value, the values it may have, and the text that `getPolicyDef` and
//! the manual show. The item is what a decision asks with ([`crate::policy::query`]); nobody else spells an action's
//! name. Actions of features that do not exist yet are defined, so that they are checked, stored and listed;
//! [`waiting`] says what they wait for.

pub mod access;
pub mod admin;
pub mod authentication;
pub mod authorization;
pub mod enrollment;
pub mod selfservice;
mod waiting;

use std::marker::PhantomData;

use super::scope::Scope;
use super::value::Kind;

pub use waiting::Feature;

/// A policy action whose value is read as a `T`.
#[derive(Debug)]
pub struct Action<T> {
    /// Its scope.
    pub scope: Scope,
    /// Its name in policies.
    pub name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> Action<T> {
    const fn new(scope: Scope, name: &'static str) -> Self {
        Self { scope, name, value: PhantomData }
    }
}

/// Which values an action may be given (reference policies 1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Any of its type.
    Any,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A number from the first to the second.
    Within(i64, i64),
    /// Words separated by blanks, each one of these.
    Parts(&'static [&'static str]),
}

/// What is known of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its scope.
    pub scope: Scope,
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// Its values.
    pub values: Values,
    doc: &'static str,
}

impl Definition {
    /// What it does, in plain sentences.
    #[must_use]
    pub fn description(&self) -> String {
        let lines: Vec<&str> = self.doc.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join(" ").replace('`', "")
    }

    /// The feature without which it has no effect yet.
    #[must_use]
    pub fn waits_for(&self) -> Option<Feature> {
        waiting::feature(self.scope, self.name)
    }
}

/// The actions of one scope: typed items, and the list of their definitions.
macro_rules! actions {
    ($list:ident in $scope:expr; $($(#[doc = $doc:literal])+ $item:ident: $value:ty = $name:literal $(, $values:expr)?;)+) => {
        $($(#[doc = $doc])+ pub const $item: $crate::policy::catalogue::Action<$value> =
            $crate::policy::catalogue::Action::new($scope, $name);)+

        pub(super) const $list: &[$crate::policy::catalogue::Definition] = &[$(
            $crate::policy::catalogue::Definition {
                scope: $scope,
                name: $name,
                kind: <$value as $crate::policy::value::ActionValue>::KIND,
                values: $crate::policy::catalogue::values!($($values)?),
                doc: concat!($($doc, "\n"),+),
            }
        ),+];
    };
}

/// Actions whose names end with a token type, in capitals.
macro_rules! family {
    ($list:ident in $scope:expr, $prefix:literal: $value:ty, $before:literal, $after:literal; $($token_type:literal)+) => {
        pub(super) const $list: &[$crate::policy::catalogue::Definition] = &[$(
            $crate::policy::catalogue::Definition {
                scope: $scope,
                name: concat!($prefix, $token_type),
                kind: <$value as $crate::policy::value::ActionValue>::KIND,
                values: $crate::policy::catalogue::Values::Any,
                doc: concat!($before, $token_type, $after),
            }
        ),+];
    };
}

macro_rules! values {
    () => {
        $crate::policy::catalogue::Values::Any
    };
    ($values:expr) => {
        $values
    };
}

pub(crate) use {actions, family, values};

/// The definitions of a scope.
pub fn definitions(scope: Scope) -> impl Iterator<Item = &'static Definition> {
    let lists: &[&'static [Definition]] = match scope {
        Scope::Admin => &[admin::INIT, admin::DEFINITIONS],
        Scope::Audit => &[access::AUDIT],
        Scope::Authentication => {
            &[authentication::DEFINITIONS, authentication::MESSAGES, authentication::APPS]
        }
        Scope::Authorization => &[authorization::DEFINITIONS],
        Scope::Enrollment => {
            &[enrollment::DEFINITIONS, enrollment::MAX_TOKEN_OF_TYPE, enrollment::AUTHENTICATORS]
        }
        Scope::GetToken => &[access::GET_TOKEN],
        Scope::Monitoring => &[access::MONITORING],
        Scope::Notification => &[access::NOTIFICATION],
        Scope::Ocra | Scope::Ocra2 => &[],
        Scope::Reporting => &[access::REPORTING],
        Scope::ReportingAccess => &[access::REPORTING_ACCESS],
        Scope::Selfservice => &[selfservice::ENROLL, selfservice::DEFINITIONS, selfservice::SETTINGS],
        Scope::System => &[access::SYSTEM],
        Scope::Tools => &[access::TOOLS],
    };
    lists.iter().copied().flatten()
}

/// The definition an action's key belongs to: what stands before its first dot counts.
#[must_use]
pub fn find(scope: Scope, key: &str) -> Option<&'static Definition> {
    let name = key.split_once('.').map_or(key, |(name, _)| name);
    definitions(scope).find(|definition| definition.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_is_defined_once_and_described() {
        let mut count = 0;
        for scope in Scope::ALL {
            let mut names = BTreeSet::new();
            for definition in definitions(scope) {
                assert!(names.insert(definition.name), "{scope}/{} is defined twice", definition.name);
                assert_eq!(definition.scope, scope);
                let text = definition.description();
                assert!(text.len() > 15 && text.ends_with('.'), "{scope}/{}: {text}", definition.name);
                assert!(!definition.name.contains('.'), "{} could not be found", definition.name);
                count += 1;
            }
        }
        assert!(count > 170, "only {count} actions are defined");
    }

    #[test]
    fn sub_keys_lead_to_their_action() {
        assert_eq!(find(Scope::Authentication, "qrtanurl.app2").map(|found| found.name), Some("qrtanurl"));
        assert_eq!(find(Scope::Authentication, "nosuch"), None);
        assert_eq!(find(Scope::Enrollment, "otppin"), None);
    }

    #[test]
    fn everything_that_waits_exists() {
        for (scope, name) in waiting::names() {
            assert!(definitions(scope).any(|definition| definition.name == name), "{scope}/{name}");
        }
    }
}
