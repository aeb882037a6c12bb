//! Writing policies: `setPolicy`, `delPolicy`, `importPolicy` (reference policies 1.3 to 1.5 and 7).
//!
//! Every way in goes through [`Writer::write`], in one order of checks. What it reads, the whole configuration, is a
//! precondition of the transaction: of two changes that would lock everybody out only together, the second is decided
//! again and refused.

mod explain;
mod show;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::config::stamp;
use super::rights::SystemRight;
use super::{Context, Request};
use crate::configuration::Configuration;
use crate::decision::{Refusal, Stop};
use crate::policy::forward::{ForwardError, SEALED_IN, seal_secrets};
use crate::policy::validate::{InvalidAction, check_actions, lockout};
use crate::policy::{Policy, Scope, exchange};
use crate::record::{Key, PolicyV1, Record};
use crate::secret::{Purpose, SealError};
use crate::user::PolicyName;

pub use explain::{ExplainPolicy, Explained};
pub use show::{CheckPolicy, Checked, GetPolicy, GetPolicyDef, ListPolicies, SortBy};

/// The longest text of a column, in bytes.
const FIELD_BYTES_MAX: usize = 64 * 1024;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// `system/setPolicy`: creates or replaces a policy. The parameters as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetPolicy {
    /// `name`.
    pub name: Option<String>,
    /// `action`.
    pub action: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// `realm`.
    pub realm: Option<String>,
    /// `user`.
    pub user: Option<String>,
    /// `client`.
    pub client: Option<String>,
    /// `time`.
    pub time: Option<String>,
    /// `active`.
    pub active: Option<String>,
    /// `enforce`: not even a possible lockout is refused.
    pub enforce: bool,
}

/// `system/delPolicy`: deletes policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelPolicy {
    /// `name`: names, separated by commas.
    pub name: Option<String>,
    /// `enforce`: not even a possible lockout is refused.
    pub enforce: bool,
}

/// `system/importPolicy`: writes all policies of a file, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportPolicy {
    /// The file's text.
    pub file: Option<String>,
}

/// Policies being written. Later ones are checked against earlier ones of the same request.
struct Writer {
    configuration: Arc<Configuration>,
    changed: BTreeMap<PolicyName, Option<Arc<Policy>>>,
}

impl Writer {
    fn new(cx: &mut Context<'_>) -> Self {
        Self { configuration: cx.view.configuration(), changed: BTreeMap::new() }
    }

    fn get(&self, name: &PolicyName) -> Option<&Arc<Policy>> {
        match self.changed.get(name) {
            Some(changed) => changed.as_ref(),
            None => self.configuration.policies.get(name),
        }
    }

    /// All policies but one, as they are after the changes so far.
    fn others<'a>(&'a self, name: &'a PolicyName) -> impl Iterator<Item = &'a Policy> {
        let unchanged = self
            .configuration
            .policies
            .iter()
            .filter(|policy| !self.changed.contains_key(&policy.name))
            .map(Arc::as_ref);
        let changed = self.changed.values().flatten().map(Arc::as_ref);
        unchanged.chain(changed).filter(move |policy| policy.name != *name)
    }

    /// Checks a policy and writes it.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        name: &str,
        record: PolicyV1,
        enforce: bool,
    ) -> Result<(), Stop> {
        check_texts(name, &record)?;
        let name = PolicyName::from(name);
        let policy = Policy::compile(name.clone(), Arc::new(record));
        let was_system = self.get(&name).is_some_and(|earlier| earlier.scope == Some(Scope::System));
        if !enforce && (was_system || policy.scope == Some(Scope::System)) {
            self.refuse_lockout(&name, &policy, true)?;
        }
        let wrong = |problem: String| Refusal::Other(format!("policy {name}: {problem}"));
        if let Some(fault) = policy.fault() {
            return Err(wrong(fault.to_string()).into());
        }
        let completely = self.configuration.settings.validates_policy_actions();
        if let Ok(items) = policy.items() {
            check_actions(&policy.fields.scope, items, completely)
                .map_err(|error| wrong(shown(&error, &policy.record.action)))?;
        }
        let action = seal(cx, &policy.record.action)?;
        cx.note(&format!("name: {name}, scope: {}, action: {action}", policy.fields.scope));
        let record = Arc::new(PolicyV1 { action: action.into(), ..PolicyV1::clone(&policy.record) });
        cx.view.put(Key::Policy(name.clone()), Record::Policy(record.clone()));
        self.changed.insert(name.clone(), Some(Arc::new(Policy::compile(name, record))));
        Ok(())
    }

    /// Deletes a policy; `false` if there is none of this name.
    fn delete(&mut self, cx: &mut Context<'_>, name: &str, enforce: bool) -> Result<bool, Stop> {
        let name = PolicyName::from(name);
        let Some(policy) = self.get(&name).cloned() else { return Ok(false) };
        if !enforce && policy.scope == Some(Scope::System) {
            self.refuse_lockout(&name, &policy, false)?;
        }
        cx.view.delete(Key::Policy(name.clone()));
        self.changed.insert(name, None);
        Ok(true)
    }

    fn refuse_lockout(&self, name: &PolicyName, policy: &Policy, remains: bool) -> Result<(), Refusal> {
        match lockout(self.others(name), policy, remains) {
            None => Ok(()),
            Some(reason) => Err(Refusal::Other(format!(
                "policy {name}: administrators might lock themselves out: {reason}; send enforce=true to change it \
                 nevertheless"
            ))),
        }
    }
}

/// An error for the administrator. A comma in a secret may have made an action out of its end.
fn shown(error: &InvalidAction, action: &str) -> String {
    match error {
        InvalidAction::Unknown { scope, .. } if action.contains("secret") => {
            format!(
                "an action does not exist in scope {scope}; a secret with a comma has to be written with %2C"
            )
        }
        InvalidAction::Unknown { .. }
        | InvalidAction::Scope(_)
        | InvalidAction::Bare(_)
        | InvalidAction::Value { .. } => error.to_string(),
    }
}

/// Whether this can be the name of a policy.
fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn check_texts(name: &str, record: &PolicyV1) -> Result<(), Refusal> {
    let wrong = |problem: String| Err(Refusal::Other(problem));
    if name.is_empty() {
        return wrong("the name of a policy must not be empty".to_owned());
    }
    if record.action.trim().is_empty() {
        return wrong("both the name and the action of a policy are required".to_owned());
    }
    if !is_name(name) {
        return wrong("the name of a policy may only contain letters, digits and '_'".to_owned());
    }
    for (field, text) in [("scope", &record.scope), ("realm", &record.realm)] {
        if text.trim().is_empty() {
            return wrong(format!("policy {name} has no {field}"));
        }
    }
    let texts = [
        &record.active,
        &record.scope,
        &record.action,
        &record.realm,
        &record.user,
        &record.client,
        &record.time,
    ];
    if texts.iter().any(|text| text.len() > FIELD_BYTES_MAX) {
        return wrong(format!("policy {name}: a text may have at most {FIELD_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// The action with its secrets sealed.
fn seal(cx: &mut Context<'_>, action: &str) -> Result<String, Stop> {
    let keyring = cx.facts.keyring;
    let random = &mut cx.random;
    let sealed = seal_secrets(action, |clear| -> Result<String, SealError> {
        let sealed = keyring.seal(Purpose::Policy, SEALED_IN, clear.as_bytes(), random.bytes())?;
        Ok(sealed.to_text())
    });
    sealed.map_err(|error| match error {
        ForwardError::Items(error) => Stop::from(Refusal::Other(error.to_string())),
        ForwardError::Seal(error) => Stop::from(error),
    })
}

impl Request for SetPolicy {
    /// The name.
    type Reply = String;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Write);

    fn decide(&self, cx: &mut Context<'_>) -> Result<String, Stop> {
        let name = self.name.as_deref().ok_or(Refusal::MissingParameter("name"))?;
        if name.is_empty() {
            return Err(Refusal::Other("the name of a policy must not be empty".to_owned()).into());
        }
        let required = |text: &Option<String>, name| -> Result<Box<str>, Refusal> {
            text.as_deref().map(Box::from).ok_or(Refusal::MissingParameter(name))
        };
        let optional = |text: &Option<String>| -> Box<str> { text.as_deref().unwrap_or_default().into() };
        let record = PolicyV1 {
            action: required(&self.action, "action")?,
            scope: required(&self.scope, "scope")?,
            realm: required(&self.realm, "realm")?,
            active: self.active.as_deref().unwrap_or("True").into(),
            user: optional(&self.user),
            client: optional(&self.client),
            time: optional(&self.time),
        };
        Writer::new(cx).write(cx, name, record, self.enforce)?;
        stamp(cx);
        cx.audit.success = true;
        Ok(name.to_owned())
    }
}

impl Request for DelPolicy {
    /// The names of those that existed.
    type Reply = Vec<String>;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Write);

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<String>, Stop> {
        let missing = || Refusal::Other("the parameter 'name' is missing".to_owned());
        let names = self.name.as_deref().filter(|names| !names.trim().is_empty()).ok_or_else(missing)?;
        let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
            return Err(Refusal::PolicyName(wrong.chars().take(NAME_BYTES_MAX).collect()).into());
        }
        cx.note(&names.join(", "));
        let mut writer = Writer::new(cx);
        let mut deleted = Vec::new();
        for name in names {
            if writer.delete(cx, name, self.enforce)? {
                deleted.push(name.to_owned());
            }
        }
        if !deleted.is_empty() {
            stamp(cx);
        }
        cx.audit.success = true;
        Ok(deleted)
    }
}

impl Request for ImportPolicy {
    /// How many there were in the file.
    type Reply = usize;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Write);

    fn decide(&self, cx: &mut Context<'_>) -> Result<usize, Stop> {
        let file = self.file.as_deref().ok_or(Refusal::MissingParameter("file"))?;
        let policies = exchange::import(file).map_err(|error| Refusal::Other(error.to_string()))?;
        let count = policies.len();
        let mut writer = Writer::new(cx);
        for (name, record) in policies {
            let record = renamed(record);
            let policy = PolicyName::from(name.as_str());
            let is_system = |scope: &str| scope == Scope::System.name();
            let enforce = is_system(&record.scope)
                || writer.get(&policy).is_some_and(|earlier| is_system(&earlier.fields.scope));
            writer.write(cx, &name, record, enforce)?;
        }
        stamp(cx);
        cx.audit.success = true;
        Ok(count)
    }
}

/// Former names of actions become the present ones (reference policies 6.6, migration rule).
fn renamed(record: PolicyV1) -> PolicyV1 {
    if &*record.scope != Scope::Selfservice.name() {
        return record;
    }
    match crate::policy::items::with_present_names(&record.action) {
        Some(action) => PolicyV1 { action: action.into(), ..record },
        None => record,
    }
}
