//! The compiled policy set.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::condition::client::{ClientCondition, InvalidClient};
use super::condition::realm::RealmCondition;
use super::condition::time::{InvalidTime, TimeCondition};
use super::condition::user::{InvalidUser, UserCondition};
use super::items::{Items, ItemsError};
use super::scope::Scope;
use crate::record::PolicyV1;
use crate::user::PolicyName;

/// What an empty time column stands for.
const ALWAYS: &str = "* * * * * *;";

/// A policy's texts as administrators see them: empty columns are completed (reference policies 1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// `true` in any case, or nothing, when it was written.
    pub active: bool,
    /// The scope.
    pub scope: Box<str>,
    /// The actions.
    pub action: Box<str>,
    /// The realms, in lower case.
    pub realm: Box<str>,
    /// The users.
    pub user: Box<str>,
    /// The client addresses.
    pub client: Box<str>,
    /// The times.
    pub time: Box<str>,
}

impl Fields {
    /// Completes the texts of a record.
    #[must_use]
    pub fn of(record: &PolicyV1) -> Self {
        let scope = given(&record.scope);
        let completes = Scope::find(scope).is_some_and(Scope::completes_empty_fields);
        let or = |text: &str, fallback: &str| -> Box<str> {
            let text = given(text);
            if text.is_empty() { fallback.into() } else { text.into() }
        };
        let everybody = if completes { "*" } else { "" };
        let active = given(&record.active);
        Self {
            active: active.is_empty() || active.eq_ignore_ascii_case("true"),
            scope: scope.into(),
            action: given(&record.action).into(),
            realm: given(&record.realm).to_lowercase().into(),
            user: or(&record.user, everybody),
            client: or(&record.client, everybody),
            time: or(&record.time, ALWAYS),
        }
    }
}

/// The text of a column; the word `None` comes from old exports and stands for nothing.
fn given(text: &str) -> &str {
    match text.trim() {
        "" | "None" => "",
        _ => text,
    }
}

/// Why a stored policy cannot be applied. Every lookup that reaches the column fails (D15).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The action column.
    #[error("action: {0}")]
    Action(#[from] ItemsError),
    /// The user column.
    #[error("user: {0}")]
    User(#[from] InvalidUser),
    /// The client column.
    #[error("client: {0}")]
    Client(#[from] InvalidClient),
    /// The time column.
    #[error("time: {0}")]
    Time(#[from] InvalidTime),
}

/// A compiled policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// Its texts.
    pub fields: Fields,
    /// The texts as they are stored.
    pub record: Arc<PolicyV1>,
    /// Its scope, if that is a known one.
    pub scope: Option<Scope>,
    pub(super) items: Result<Items, Fault>,
    pub(super) realm: RealmCondition,
    pub(super) user: Result<UserCondition, Fault>,
    pub(super) client: Result<ClientCondition, Fault>,
    pub(super) time: Result<TimeCondition, Fault>,
}

impl Policy {
    /// Compiles a record. A column that cannot be parsed is kept as a fault.
    #[must_use]
    pub fn compile(name: PolicyName, record: Arc<PolicyV1>) -> Self {
        let fields = Fields::of(&record);
        let scope = Scope::find(&fields.scope);
        let items = match scope {
            Some(Scope::Reporting) => Items::parse_repeating(&fields.action),
            _ => Items::parse(&fields.action),
        };
        Self {
            name,
            scope,
            items: items.map_err(Fault::from),
            realm: RealmCondition::parse(&fields.realm),
            user: UserCondition::parse(&fields.user).map_err(Fault::from),
            client: ClientCondition::parse(&fields.client).map_err(Fault::from),
            time: TimeCondition::parse(&fields.time).map_err(Fault::from),
            fields,
            record,
        }
    }

    /// The first column that cannot be parsed.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        let faults = [
            self.items.as_ref().err(),
            self.user.as_ref().err(),
            self.client.as_ref().err(),
            self.time.as_ref().err(),
        ];
        faults.into_iter().flatten().next()
    }

    /// The actions, unless they cannot be parsed.
    ///
    /// # Errors
    /// The fault of the action column.
    pub fn items(&self) -> Result<&Items, &Fault> {
        self.items.as_ref()
    }

    /// How the policy matches a realm, given in lower case.
    #[must_use]
    pub fn realm(&self) -> &RealmCondition {
        &self.realm
    }
}

/// All policies, with the active ones indexed by scope and action.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    all: BTreeMap<PolicyName, Arc<Policy>>,
    scopes: BTreeMap<Scope, ScopeIndex>,
}

/// The active policies of a scope, each list ordered by name.
#[derive(Clone, Debug, Default)]
struct ScopeIndex {
    active: Vec<Arc<Policy>>,
    /// By the keys that occur in the scope; every list has the policies of `any` as well.
    by_action: BTreeMap<Box<str>, Vec<Arc<Policy>>>,
    /// Those that concern every action: with a `*`, or with actions that cannot be parsed.
    any: Vec<Arc<Policy>>,
}

impl ScopeIndex {
    fn of(active: Vec<Arc<Policy>>) -> Self {
        let mut keys: BTreeMap<Box<str>, Vec<Arc<Policy>>> = BTreeMap::new();
        for items in active.iter().filter_map(|policy| policy.items.as_ref().ok()) {
            for (key, _) in items.iter() {
                if !keys.contains_key(key) {
                    keys.insert(key.into(), Vec::new());
                }
            }
        }
        let mut index = Self { active, by_action: keys, any: Vec::new() };
        for policy in &index.active {
            match &policy.items {
                Ok(items) if !items.has_star() => {
                    for (key, _) in items.iter() {
                        if let Some(list) = index.by_action.get_mut(key) {
                            list.push(policy.clone());
                        }
                    }
                }
                Ok(_) | Err(_) => {
                    index.any.push(policy.clone());
                    for list in index.by_action.values_mut() {
                        list.push(policy.clone());
                    }
                }
            }
        }
        index
    }
}

impl PolicySet {
    /// Compiles records. The order in which they come does not matter.
    #[must_use]
    pub fn compile(records: impl IntoIterator<Item = (PolicyName, Arc<PolicyV1>)>) -> Self {
        let compile = |(name, record): (PolicyName, Arc<PolicyV1>)| {
            (name.clone(), Arc::new(Policy::compile(name, record)))
        };
        let all: BTreeMap<_, _> = records.into_iter().map(compile).collect();
        let mut active: BTreeMap<Scope, Vec<Arc<Policy>>> = BTreeMap::new();
        for policy in all.values().filter(|policy| policy.fields.active) {
            if let Some(scope) = policy.scope {
                active.entry(scope).or_default().push(policy.clone());
            }
        }
        let scopes = active.into_iter().map(|(scope, list)| (scope, ScopeIndex::of(list))).collect();
        Self { all, scopes }
    }

    /// A policy by its name.
    #[must_use]
    pub fn get(&self, name: &PolicyName) -> Option<&Arc<Policy>> {
        self.all.get(name)
    }

    /// All policies, inactive ones included, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.all.values()
    }

    /// Whether there is an active policy in a scope: only then is the scope restricted (reference policies 5.1).
    #[must_use]
    pub fn has_active(&self, scope: Scope) -> bool {
        self.scopes.contains_key(&scope)
    }

    /// The active policies of a scope that may concern an action, or all of them.
    pub(super) fn candidates(&self, scope: Scope, action: Option<&str>) -> &[Arc<Policy>] {
        let Some(index) = self.scopes.get(&scope) else { return &[] };
        match action {
            None => &index.active,
            Some(action) => index.by_action.get(action).unwrap_or(&index.any),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(scope: &str, action: &str) -> PolicyV1 {
        PolicyV1 { scope: scope.into(), action: action.into(), realm: "R1".into(), ..PolicyV1::default() }
    }

    /// Reference policies 1.1.
    #[test]
    fn empty_columns_are_completed_by_scope() {
        let open = Fields::of(&record("authentication", "autosms"));
        assert_eq!((&*open.user, &*open.client, &*open.time, &*open.realm), ("*", "*", ALWAYS, "r1"));
        let closed = Fields::of(&record("notification", "enrollment"));
        assert_eq!((&*closed.user, &*closed.client, &*closed.time), ("", "", ALWAYS));
        let old = PolicyV1 {
            user: "None".into(),
            client: " None ".into(),
            time: "None".into(),
            ..record("selfservice", "reset")
        };
        assert_eq!(Fields::of(&old), Fields::of(&record("selfservice", "reset")));
    }

    /// Reference policies 1.1 and case AD-16.
    #[test]
    fn only_the_word_true_or_nothing_makes_a_policy_active() {
        for (text, active) in [
            ("", true),
            ("True", true),
            ("TRUE", true),
            ("None", true),
            ("1", false),
            ("yes", false),
            ("on", false),
            ("False", false),
        ] {
            let record = PolicyV1 { active: text.into(), ..record("system", "*") };
            assert_eq!(Fields::of(&record).active, active, "{text}");
        }
    }

    #[test]
    fn actions_lead_to_the_policies_that_may_concern_them() {
        let named = |name: &str, action: &str| (PolicyName::from(name), Arc::new(record("admin", action)));
        let set = PolicySet::compile([
            named("c", "enable, disable"),
            named("a", "*"),
            named("b", "enable"),
            named("d", "broken='"),
        ]);
        let names = |action| -> Vec<&str> {
            set.candidates(Scope::Admin, action).iter().map(|policy| policy.name.as_str()).collect()
        };
        assert_eq!(names(Some("enable")), ["a", "b", "c", "d"]);
        assert_eq!(names(Some("disable")), ["a", "c", "d"]);
        assert_eq!(names(Some("remove")), ["a", "d"]);
        assert_eq!(names(None), ["a", "b", "c", "d"]);
        assert!(set.candidates(Scope::System, None).is_empty());
        assert!(set.has_active(Scope::Admin) && !set.has_active(Scope::System));
        assert_eq!(set.iter().count(), 4);
    }
}
