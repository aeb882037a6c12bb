//! Reading policies: `getPolicy`, `policies_flexi`, `checkPolicy`, `getPolicyDef` (reference policies 7).

use std::cmp::Ordering;
use std::sync::Arc;

use crate::decide::policies::{client, moment};
use crate::decide::resolver::name_of;
use crate::decide::rights::SystemRight;
use crate::decide::user::{Identified, UserParams, identify};
use crate::decide::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::policy::catalogue::{Definition, definitions};
use crate::policy::condition::Class;
use crate::policy::query::{Lookup, Selection};
use crate::policy::{Identity, Policy, Scope, Subject};

/// `system/getPolicy`: policies that pass all filters. Empty texts do not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetPolicy {
    /// `name`: exact names, separated by commas.
    pub name: Option<String>,
    /// `realm`: the policies closest to this realm.
    pub realm: Option<String>,
    /// `scope`: the exact scope.
    pub scope: Option<String>,
    /// `action`: policies with this action or `*`; what stands behind a `=` is ignored.
    pub action: Option<String>,
    /// `user`: policies that name this user literally, or everybody.
    pub user: Option<String>,
    /// `display_inactive`: inactive ones as well.
    pub inactive: bool,
}

/// `system/policies_flexi`: a page of the table of policies, inactive ones included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPolicies {
    /// `name`, `realm` and `scope`, as in [`GetPolicy`].
    pub filter: GetPolicy,
    /// The column.
    pub sort_by: SortBy,
    /// The last one first.
    pub descending: bool,
}

/// A column of the table of policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// Whether it is active.
    Active,
    /// The name.
    #[default]
    Name,
    /// The users.
    User,
    /// The scope.
    Scope,
    /// The actions.
    Action,
    /// The realms.
    Realm,
    /// The client addresses.
    Client,
    /// The times.
    Time,
}

/// `system/checkPolicy`: which policies apply to an imagined request. All five have to be sent, and may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckPolicy {
    /// `user`.
    pub user: Option<String>,
    /// `realm`.
    pub realm: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// `action`.
    pub action: Option<String>,
    /// `client`.
    pub client: Option<String>,
}

/// What [`CheckPolicy`] found.
#[derive(Clone, Debug)]
pub enum Checked {
    /// Everything is allowed: there is no active policy in the scope.
    Unrestricted(Scope),
    /// These policies apply; with none of them it is not allowed.
    Policies(Vec<Arc<Policy>>),
}

/// `system/getPolicyDef`: the actions of all scopes, or of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetPolicyDef {
    /// `scope`.
    pub scope: Option<String>,
}

pub(super) fn sent(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

impl GetPolicy {
    fn find(&self, cx: &mut Context<'_>) -> Vec<Arc<Policy>> {
        let configuration = cx.view.configuration();
        let names: Option<Vec<&str>> =
            sent(self.name.as_deref()).map(|names| names.split(',').map(str::trim).collect());
        let action = sent(self.action.as_deref())
            .map(|action| action.split_once('=').map_or(action, |(name, _)| name).trim());
        let realm = sent(self.realm.as_deref()).map(|realm| realm.trim().to_lowercase());
        let has_action = |policy: &Policy, action: &str| {
            policy.items().is_ok_and(|items| items.get(action).is_some() || items.has_star())
        };
        let mut found: Vec<(Arc<Policy>, Option<Class>)> = Vec::new();
        for policy in configuration.policies.iter() {
            let class = realm.as_deref().map(|realm| policy.realm().class(realm));
            let passes = (self.inactive || policy.fields.active)
                && names.as_ref().is_none_or(|names| names.contains(&policy.name.as_str()))
                && sent(self.scope.as_deref()).is_none_or(|scope| *policy.fields.scope == *scope)
                && action.is_none_or(|action| has_action(policy, action))
                && class != Some(None);
            if passes {
                found.push((policy.clone(), class.flatten()));
            }
        }
        let closest = found.iter().map(|(_, class)| *class).max().flatten();
        let kept = found.into_iter().filter(|(_, class)| *class == closest).map(|(policy, _)| policy);
        let user = sent(self.user.as_deref()).map(str::trim);
        kept.filter(|policy| user.is_none_or(|user| names_user(&policy.fields.user, user))).collect()
    }
}

/// Whether a user column literally names a user or everybody.
fn names_user(column: &str, user: &str) -> bool {
    column.split(',').any(|part| part == user || part == "*")
}

impl Request for GetPolicy {
    /// Ordered by name.
    type Reply = Vec<Arc<Policy>>;
    const LISTS: bool = true;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Read);

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<Arc<Policy>>, Stop> {
        cx.audit.success = true;
        Ok(self.find(cx))
    }
}

impl SortBy {
    /// The column with this name; none stands for the name.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn parse(text: Option<&str>) -> Result<Self, Refusal> {
        Ok(match text.unwrap_or_default() {
            "active" => Self::Active,
            "" | "name" => Self::Name,
            "user" => Self::User,
            "scope" => Self::Scope,
            "action" => Self::Action,
            "realm" => Self::Realm,
            "client" => Self::Client,
            "time" => Self::Time,
            other => {
                let problem = format!("policies cannot be sorted by '{other}'");
                return Err(Refusal::InvalidParameter { name: "sortname".to_owned(), problem });
            }
        })
    }

    fn compare(self, a: &Policy, b: &Policy) -> Ordering {
        let (one, other) = (&a.fields, &b.fields);
        match self {
            Self::Active => one.active.cmp(&other.active),
            Self::Name => Ordering::Equal,
            Self::User => one.user.cmp(&other.user),
            Self::Scope => one.scope.cmp(&other.scope),
            Self::Action => one.action.cmp(&other.action),
            Self::Realm => one.realm.cmp(&other.realm),
            Self::Client => one.client.cmp(&other.client),
            Self::Time => one.time.cmp(&other.time),
        }
        .then(a.name.cmp(&b.name))
    }
}

impl Request for ListPolicies {
    /// All rows in order; cutting them to a page is up to the caller.
    type Reply = Vec<Arc<Policy>>;
    const LISTS: bool = true;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Read);

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<Arc<Policy>>, Stop> {
        let mut rows = GetPolicy { inactive: true, ..self.filter.clone() }.find(cx);
        rows.sort_by(|a, b| self.sort_by.compare(a, b));
        if self.descending {
            rows.reverse();
        }
        cx.audit.success = true;
        Ok(rows)
    }
}

impl Request for CheckPolicy {
    type Reply = Checked;
    const LISTS: bool = true;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Read);

    fn decide(&self, cx: &mut Context<'_>) -> Result<Checked, Stop> {
        let required = |text: &Option<String>, name| text.clone().ok_or(Refusal::MissingParameter(name));
        let user = required(&self.user, "user")?;
        let realm = required(&self.realm, "realm")?.trim().to_lowercase();
        let scope = required(&self.scope, "scope")?;
        let action = required(&self.action, "action")?;
        let address = client(required(&self.client, "client")?.trim())?;
        let scope =
            Scope::find(&scope).ok_or_else(|| Refusal::Other(format!("there is no scope '{scope}'")))?;
        let configuration = cx.view.configuration();
        cx.audit.success = true;
        let is_right = matches!(scope, Scope::Admin | Scope::System);
        if is_right && !configuration.policies.has_active(scope) {
            return Ok(Checked::Unrestricted(scope));
        }
        let realm = Some(realm.as_str()).filter(|realm| !realm.is_empty());
        let named = action.split_once('=').map_or(action.as_str(), |(name, _)| name).trim();
        let lookup = Lookup {
            scope,
            action: sent(Some(named)),
            set_only: false,
            selection: Selection::Strict,
            complete: is_right,
        };
        let params =
            UserParams { user: user.trim().to_owned(), realm: realm.map(str::to_owned), res_conf: None };
        let known = if is_right { Identified::NoUser } else { identify(cx, &params)? };
        let who = identity(&params.user, realm, &known);
        let moment = (!is_right).then(|| moment(cx));
        let subject = Subject { user: who, realm, client: address, moment };
        let found = configuration.policies.select(&lookup, &subject, cx)?;
        let names: Vec<_> = found.iter().map(|found| found.policy.name.clone()).collect();
        Ok(Checked::Policies(
            names.iter().filter_map(|name| configuration.policies.get(name).cloned()).collect(),
        ))
    }
}

/// The user as given; what the user stores say about it if it exists.
pub(super) fn identity<'a>(
    user: &'a str,
    realm: Option<&'a str>,
    known: &'a Identified,
) -> Option<Identity<'a>> {
    if user.is_empty() {
        return None;
    }
    Some(match known {
        Identified::Known(known) => Identity {
            login: &known.login,
            realm: Some(known.realm.as_str()),
            resolver: Some(name_of(&known.owner.resolver)),
            entry: Some(&known.entry),
        },
        Identified::NoUser | Identified::Unknown(_) | Identified::Ambiguous(_) => match user.rsplit_once('@')
        {
            Some((login, own)) => Identity { login, realm: Some(own), resolver: None, entry: None },
            None => Identity { login: user, realm, resolver: None, entry: None },
        },
    })
}

impl Request for GetPolicyDef {
    /// The scopes with their actions.
    type Reply = Vec<(Scope, Vec<&'static Definition>)>;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Read);

    fn decide(&self, cx: &mut Context<'_>) -> Result<Self::Reply, Stop> {
        let scopes: Vec<Scope> = match sent(self.scope.as_deref()) {
            None => Scope::ALL.into_iter().filter(|scope| definitions(*scope).next().is_some()).collect(),
            Some(name) => {
                vec![Scope::find(name).ok_or_else(|| Refusal::Other(format!("there is no scope '{name}'")))?]
            }
        };
        cx.audit.success = true;
        Ok(scopes.into_iter().map(|scope| (scope, definitions(scope).collect())).collect())
    }
}
