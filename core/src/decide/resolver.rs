//! Resolver definitions (reference http-api 12.7, users 2).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::config::stamp;
use super::lifecycle::{change_token, required};
use super::rights::SystemRight;
use super::{Context, Request};
use crate::decision::{Defect, Refusal, Stop};
use crate::facts::{Answer, Question, ResolverRef};
use crate::record::{Key, Parameter, RealmV1, Record, ResolverKind, ResolverV1};
use crate::settings::parse_word;
use crate::user::{ResolverName, ResolverSpec, Serial};

/// The resolver of the local administrators, made at the first start; it cannot be changed or deleted.
pub const LOCAL_ADMIN_RESOLVER: &str = "LinOTP_local_admins";

/// Parameters of a passwd resolver.
const PASSWD_PARAMETER: &str = "fileName";

/// Kind, `type` of the API, class of the specification, and the other classes read as the same (reference users 2.1).
const KINDS: [(ResolverKind, &str, &str, [&str; 2]); 3] = [
    (
        ResolverKind::Passwd,
        "passwdresolver",
        "useridresolver.PasswdIdResolver.IdResolver",
        ["useridresolveree.PasswdIdResolver.IdResolver", "useridresolver.passwdresolver"],
    ),
    (
        ResolverKind::Ldap,
        "ldapresolver",
        "useridresolver.LDAPIdResolver.IdResolver",
        ["useridresolveree.LDAPIdResolver.IdResolver", "useridresolver.ldapresolver"],
    ),
    (
        ResolverKind::Sql,
        "sqlresolver",
        "useridresolver.SQLIdResolver.IdResolver",
        ["useridresolveree.SQLIdResolver.IdResolver", "useridresolver.sqlresolver"],
    ),
];

/// The `type` of a kind in the API and in configuration keys.
#[must_use]
pub const fn type_name(kind: ResolverKind) -> &'static str {
    match kind {
        ResolverKind::Passwd => "passwdresolver",
        ResolverKind::Ldap => "ldapresolver",
        ResolverKind::Sql => "sqlresolver",
    }
}

/// The specification of a resolver: class and name.
#[must_use]
pub fn spec(kind: ResolverKind, name: &str) -> ResolverSpec {
    let class = KINDS.iter().find(|known| known.0 == kind).map_or("", |known| known.2);
    ResolverSpec::from(format!("{class}.{name}"))
}

/// Reads a specification in any of its spellings; `None` if the class is unknown or the name is missing.
#[must_use]
pub fn parse_spec(text: &str) -> Option<(ResolverKind, &str)> {
    let (class, name) = text.rsplit_once('.')?;
    let known = KINDS.iter().find(|known| known.2 == class || known.3.contains(&class))?;
    (!name.is_empty()).then_some((known.0, name))
}

/// The resolver's name inside its specification.
#[must_use]
pub fn name_of(spec: &ResolverSpec) -> &str {
    spec.as_str().rsplit_once('.').map_or(spec.as_str(), |(_, name)| name)
}

/// Whether this is the resolver of the local administrators, whose users are records of ours.
#[must_use]
pub fn is_local_admins(spec: &ResolverSpec) -> bool {
    name_of(spec) == LOCAL_ADMIN_RESOLVER
}

/// The id string a resolver goes by in `LinOtp.IdResolver` (reference users 2.1): the file of a passwd resolver, else
/// short class and name. Nothing is keyed on it.
#[must_use]
pub fn resolver_id(resolver: &ResolverRef) -> String {
    let name = name_of(&resolver.spec);
    match resolver.definition.kind {
        ResolverKind::Passwd => match resolver.definition.parameters.get(PASSWD_PARAMETER) {
            Some(Parameter::Plain(file)) => file.to_string(),
            Some(Parameter::Secret(_)) | None => String::new(),
        },
        ResolverKind::Ldap => format!("LDAPIdResolver.IdResolver.{name}"),
        ResolverKind::Sql => format!("SQLIdResolver.IdResolver.{name}"),
    }
}

/// `system/setResolver`: creates, updates or renames a definition (reference http-api 12.7, users 2.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetResolver {
    /// `name`.
    pub name: Option<String>,
    /// `type`.
    pub kind: Option<String>,
    /// `previous_name`: absent or empty creates, the same name updates, another one renames.
    pub previous_name: Option<String>,
    /// `readonly`: marks a managed resolver; empty is ignored.
    pub readonly: Option<String>,
    /// The remaining parameters; those the type does not know are ignored.
    pub parameters: BTreeMap<String, String>,
}

/// `system/getResolvers`: all definitions by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetResolvers;

/// `system/getResolver`: one definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetResolver {
    /// `resolver`.
    pub resolver: Option<String>,
}

/// `system/delResolver`: deletes a definition that no realm uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelResolver {
    /// `resolver`.
    pub resolver: Option<String>,
}

/// A definition as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverView {
    /// Its name.
    pub name: String,
    /// Its `type`.
    pub kind: &'static str,
    /// Its specification.
    pub spec: ResolverSpec,
    /// Its first configuration key, with the `linotp.` prefix.
    pub entry: String,
    /// All parameters as text; secret ones are empty (reference users 2.3, Decision).
    pub data: BTreeMap<String, String>,
    /// Whether it is the resolver of the local administrators.
    pub admin: bool,
    /// Whether it can neither be changed nor deleted.
    pub immutable: bool,
    /// Whether it is managed; shown only if so.
    pub readonly: bool,
}

impl ResolverView {
    fn new(name: &ResolverName, resolver: &ResolverV1) -> Self {
        let kind = type_name(resolver.kind);
        let admin = name.as_str() == LOCAL_ADMIN_RESOLVER;
        let first = resolver.parameters.keys().next().map_or("readonly", |key| key);
        let shown = resolver.parameters.iter().map(|(key, parameter)| (key.to_string(), shown(parameter)));
        Self {
            name: name.to_string(),
            kind,
            spec: spec(resolver.kind, name.as_str()),
            entry: format!("linotp.{kind}.{first}.{name}"),
            data: shown.collect(),
            admin,
            immutable: admin,
            readonly: resolver.readonly,
        }
    }
}

/// A parameter as administrators see it: a secret one is empty.
pub(super) fn shown(parameter: &Parameter) -> String {
    match parameter {
        Parameter::Plain(text) => text.to_string(),
        Parameter::Secret(_) => String::new(),
    }
}

impl Request for GetResolvers {
    type Reply = Vec<ResolverView>;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Read);
    const LISTS: bool = true;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<ResolverView>, Stop> {
        cx.audit.success = true;
        let configuration = cx.view.configuration();
        Ok(configuration.resolvers.iter().map(|(name, resolver)| ResolverView::new(name, resolver)).collect())
    }
}

impl Request for GetResolver {
    /// `None` for an unknown name, which is not an error.
    type Reply = Option<ResolverView>;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Read);
    const LISTS: bool = true;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Option<ResolverView>, Stop> {
        let Some(name) = self.resolver.as_deref() else {
            return Err(Refusal::MissingParameter("resolver").into());
        };
        if name.is_empty() {
            return Err(Refusal::Other("the parameter 'resolver' is empty".to_owned()).into());
        }
        cx.audit.success = true;
        cx.audit.info = name.into();
        let name = ResolverName::from(name);
        let configuration = cx.view.configuration();
        Ok(configuration.resolvers.get(&name).map(|resolver| ResolverView::new(&name, resolver)))
    }
}

impl Request for DelResolver {
    /// Whether it existed.
    type Reply = bool;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Write);

    fn decide(&self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let name = required(self.resolver.as_deref(), "resolver")?;
        cx.audit.info = name.into();
        if name == LOCAL_ADMIN_RESOLVER {
            return Err(Refusal::Other(format!("the resolver {name} cannot be deleted")).into());
        }
        let name = ResolverName::from(name);
        let configuration = cx.view.configuration();
        let Some(resolver) = configuration.resolvers.get(&name) else { return Ok(false) };
        let spec = spec(resolver.kind, name.as_str());
        let uses: Vec<&str> = configuration
            .realms
            .iter()
            .filter(|(_, realm)| realm.resolvers.contains(&spec))
            .map(|(realm, _)| realm.as_str())
            .collect();
        if !uses.is_empty() {
            let text = format!("the resolver {name} is still used by the realms {}", uses.join(", "));
            return Err(Refusal::Other(text).into());
        }
        cx.view.delete(Key::Resolver(name));
        stamp(cx);
        cx.audit.success = true;
        Ok(true)
    }
}

impl Request for SetResolver {
    type Reply = ();
    const RIGHT: Option<SystemRight> = Some(SystemRight::Write);
    /// A rename rewrites the tokens it finds.
    const LISTS: bool = true;

    fn decide(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let name = ResolverName::from(required(self.name.as_deref(), "name")?);
        cx.audit.info = name.as_str().into();
        let readonly = self.readonly()?;
        let kind = self.kind(&name)?;
        let previous = self.previous(cx, &name, kind)?;
        let definition = self.definition(kind, readonly, previous.as_ref().map(|(_, old)| &**old))?;
        let spec = spec(kind, name.as_str());
        load(cx, ResolverRef { spec: spec.clone(), definition: definition.clone() })?;
        cx.view.put(Key::Resolver(name.clone()), Record::Resolver(definition));
        if let Some((old, _)) = previous
            && old != name
        {
            rename(cx, &old, &self::spec(kind, old.as_str()), &spec);
        }
        stamp(cx);
        cx.audit.success = true;
        Ok(())
    }
}

impl SetResolver {
    fn readonly(&self) -> Result<Option<bool>, Refusal> {
        let Some(text) = self.readonly.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let problem = "expected a boolean word such as 'true' or 'false'".to_owned();
        parse_word(text)
            .map(Some)
            .ok_or_else(|| Refusal::InvalidParameter { name: "readonly".to_owned(), problem })
    }

    fn kind(&self, name: &ResolverName) -> Result<ResolverKind, Refusal> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.as_str().chars().count() < 4 || !name.as_str().chars().all(legal) {
            let problem = "at least 4 letters, digits, '_' or '-' are needed".to_owned();
            return Err(Refusal::InvalidParameter { name: "name".to_owned(), problem });
        }
        let wanted = required(self.kind.as_deref(), "type")?;
        match KINDS.iter().find(|known| known.1 == wanted).map(|known| known.0) {
            Some(ResolverKind::Passwd) => Ok(ResolverKind::Passwd),
            Some(ResolverKind::Ldap | ResolverKind::Sql) => Err(Refusal::Other(format!(
                "this version supports resolvers of type passwdresolver only, not {wanted}"
            ))),
            None => Err(Refusal::Other(format!("there is no resolver type '{wanted}'"))),
        }
    }

    /// The definition to be replaced, with its name; `None` when creating.
    fn previous(
        &self,
        cx: &mut Context<'_>,
        name: &ResolverName,
        kind: ResolverKind,
    ) -> Result<Option<(ResolverName, Arc<ResolverV1>)>, Refusal> {
        let configuration = cx.view.configuration();
        let previous = self.previous_name.as_deref().filter(|text| !text.is_empty()).map(ResolverName::from);
        for affected in previous.iter().chain([name]) {
            if affected.as_str() == LOCAL_ADMIN_RESOLVER {
                return Err(Refusal::Other(format!("the resolver {affected} cannot be changed")));
            }
        }
        if previous.as_ref() != Some(name) && configuration.resolvers.contains_key(name) {
            return Err(Refusal::Other(format!("a resolver {name} exists already")));
        }
        let Some(previous) = previous else { return Ok(None) };
        let Some(old) = configuration.resolvers.get(&previous) else {
            return Err(Refusal::Other(format!("there is no resolver {previous} to change")));
        };
        if old.kind != kind {
            return Err(Refusal::Other(format!("the type of the resolver {previous} cannot be changed")));
        }
        Ok(Some((previous, old.clone())))
    }

    fn definition(
        &self,
        kind: ResolverKind,
        readonly: Option<bool>,
        old: Option<&ResolverV1>,
    ) -> Result<Arc<ResolverV1>, Refusal> {
        let given = self.parameters.get(PASSWD_PARAMETER).map(String::as_str);
        let file = Parameter::Plain(required(given, PASSWD_PARAMETER)?.into());
        let parameters = BTreeMap::from([(Box::from(PASSWD_PARAMETER), file)]);
        if let Some(old) = old
            && old.readonly
            && (old.parameters != parameters || readonly == Some(false))
        {
            return Err(Refusal::Other("a managed resolver can only be renamed".to_owned()));
        }
        let readonly = readonly.unwrap_or_else(|| old.is_some_and(|old| old.readonly));
        Ok(Arc::new(ResolverV1 { kind, parameters, readonly }))
    }
}

/// Tries a definition before it is stored or used.
pub(super) fn load(cx: &Context<'_>, resolver: ResolverRef) -> Result<(), Stop> {
    let name = name_of(&resolver.spec).to_owned();
    match cx.ask(Question::LoadResolver { resolver })? {
        Answer::Loaded => Ok(()),
        Answer::Unavailable(problem) => {
            Err(Refusal::Other(format!("unable to instantiate the resolver {name}: {problem}")).into())
        }
        Answer::User(_)
        | Answer::Users(_)
        | Answer::Verdict(_)
        | Answer::Hash(_)
        | Answer::Yubico { .. }
        | Answer::Remote(_) => Err(Stop::Defect(Defect::Answer("whether a resolver can be used"))),
    }
}

/// Rewrites the realms (order kept) and the owners of tokens, and deletes the old definition. The user ids stay: the
/// user store is the same.
///
/// Tokens are found by scanning, which is not recorded: one that is assigned to the old name on another node in the
/// instant between this decision and its commit keeps the old name.
fn rename(cx: &mut Context<'_>, old: &ResolverName, old_spec: &ResolverSpec, new_spec: &ResolverSpec) {
    let configuration = cx.view.configuration();
    for (name, realm) in &configuration.realms {
        if realm.resolvers.contains(old_spec) {
            let renamed =
                |spec: &ResolverSpec| if spec == old_spec { new_spec.clone() } else { spec.clone() };
            let resolvers = realm.resolvers.iter().map(renamed).collect();
            cx.view.put(Key::Realm(name.clone()), Record::Realm(Arc::new(RealmV1 { resolvers })));
        }
    }
    let mut owned = Vec::new();
    cx.view.unrecorded().scan(&Key::Token(Serial::from("")), &mut |key, slot| match (key, &slot.record) {
        (Key::Token(serial), Record::Token(token)) => {
            if token.owner.as_ref().is_some_and(|owner| owner.resolver == *old_spec) {
                owned.push(serial.clone());
            }
            ControlFlow::Continue(())
        }
        _ => ControlFlow::Break(()),
    });
    for serial in &owned {
        change_token(cx, serial, |token| {
            if let Some(owner) = &mut token.owner
                && owner.resolver == *old_spec
            {
                owner.resolver = new_spec.clone();
            }
        });
    }
    cx.view.delete(Key::Resolver(old.clone()));
}

#[cfg(test)]
mod tests {
    use super::super::realm::GetRealms;
    use super::super::sample::{add_admins, add_token, owner_of};
    use super::*;
    use crate::test_state::TestState;

    fn set(name: &str, previous: &str, file: &str) -> SetResolver {
        SetResolver {
            name: Some(name.to_owned()),
            kind: Some("passwdresolver".to_owned()),
            previous_name: Some(previous.to_owned()),
            readonly: Some(String::new()),
            parameters: BTreeMap::from([("fileName".to_owned(), file.to_owned())]),
        }
    }

    fn data(state: &mut TestState, name: &str) -> Option<ResolverView> {
        state.run(&GetResolver { resolver: Some(name.to_owned()) }).unwrap()
    }

    #[track_caller]
    fn refused(state: &mut TestState, request: &SetResolver) -> String {
        let before = state.run(&GetResolvers).unwrap();
        let refusal = state.run(request).unwrap_err();
        assert!(!state.last_audit().success);
        assert_eq!(state.run(&GetResolvers).unwrap(), before, "something was stored");
        refusal.to_string()
    }

    #[test]
    fn a_passwd_resolver_is_created_updated_and_shown() {
        let mut state = TestState::with_users();
        assert_eq!(state.run(&set("pwres", "", "/etc/otp-users")), Ok(()));
        assert_eq!(state.run(&set("pwres", "pwres", "/etc/other")), Ok(()));
        let view = data(&mut state, "pwres").unwrap();
        let expected = ResolverView {
            name: "pwres".into(),
            kind: "passwdresolver",
            spec: ResolverSpec::from("useridresolver.PasswdIdResolver.IdResolver.pwres"),
            entry: "linotp.passwdresolver.fileName.pwres".into(),
            data: BTreeMap::from([("fileName".into(), "/etc/other".into())]),
            admin: false,
            immutable: false,
            readonly: false,
        };
        assert_eq!(view, expected);
        assert_eq!(state.run(&GetResolvers).unwrap().len(), 3);
        assert_eq!(data(&mut state, "unknown"), None);
        let empty = GetResolver { resolver: Some(String::new()) };
        assert!(matches!(state.run(&empty), Err(Refusal::Other(_))));
        assert_eq!(state.run(&GetResolver::default()), Err(Refusal::MissingParameter("resolver")));
    }

    /// Reference users 2.4, http-api 12.7.
    #[test]
    fn definitions_that_cannot_be_used_are_not_stored() {
        let mut state = TestState::with_users();
        add_admins(&mut state);
        let base = || set("pwres", "", "/etc/otp-users");
        let of_type = |kind: &str| SetResolver { kind: Some(kind.to_owned()), ..base() };
        let table = [
            (SetResolver { name: None, ..base() }, "Missing parameter: 'name'"),
            (set("abc", "", "/f"), "at least 4"),
            (set("a b c d", "", "/f"), "at least 4"),
            (set("a.b.c.d", "", "/f"), "at least 4"),
            (SetResolver { kind: None, ..base() }, "Missing parameter: 'type'"),
            (of_type("httpresolver"), "no resolver type 'httpresolver'"),
            (of_type("ldapresolver"), "passwdresolver only"),
            (of_type("sqlresolver"), "passwdresolver only"),
            (SetResolver { readonly: Some("maybe".into()), ..base() }, "boolean word"),
            (SetResolver { parameters: BTreeMap::new(), ..base() }, "Missing parameter: 'fileName'"),
            (set("pwres", "", ""), "Missing parameter: 'fileName'"),
            (set("staff", "", "/f"), "exists already"),
            (set("guests", "staff", "/f"), "exists already"),
            (set("pwres", "missing", "/f"), "no resolver missing"),
            (set("LinOTP_local_admins", "LinOTP_local_admins", "/f"), "cannot be changed"),
            (set("mine", "LinOTP_local_admins", "/f"), "cannot be changed"),
            (set("LinOTP_local_admins", "", "/f"), "cannot be changed"),
        ];
        for (request, part) in table {
            let text = refused(&mut state, &request);
            assert!(text.contains(part), "{text} should contain {part}");
        }
        state.unavailable.insert(TestState::spec("pwres"));
        assert!(refused(&mut state, &base()).contains("unable to instantiate"));
    }

    #[test]
    fn a_managed_resolver_can_only_be_renamed() {
        let mut state = TestState::with_users();
        let managed = SetResolver { readonly: Some("True".into()), ..set("pwres", "", "/f") };
        state.run(&managed).unwrap();
        assert!(data(&mut state, "pwres").unwrap().readonly);
        assert!(refused(&mut state, &set("pwres", "pwres", "/g")).contains("only be renamed"));
        let freed = SetResolver { readonly: Some("false".into()), ..set("pwres", "pwres", "/f") };
        assert!(refused(&mut state, &freed).contains("only be renamed"));
        assert_eq!(state.run(&set("renamed", "pwres", "/f")), Ok(()));
        assert!(data(&mut state, "renamed").unwrap().readonly);
    }

    /// Acceptance case 13 of reference users 28.3.
    #[test]
    fn a_rename_rewrites_realms_in_place_and_owners() {
        let mut state = TestState::with_users();
        state.add_realm("both", &["guests", "staff"]);
        add_token(&mut state, "H1", Some(("staff", "u1")), &["corp"]);
        add_token(&mut state, "H2", Some(("guests", "u3")), &["lab"]);
        assert_eq!(state.run(&set("people", "staff", "/f")), Ok(()));
        let realms = state.run(&GetRealms::default()).unwrap();
        let resolvers = |name: &str| {
            realms
                .iter()
                .find(|realm| realm.name.as_str() == name)
                .map(|realm| realm.resolvers.clone())
                .unwrap()
        };
        assert_eq!(resolvers("both"), [TestState::spec("guests"), TestState::spec("people")]);
        assert_eq!(resolvers("corp"), [TestState::spec("people")]);
        assert_eq!(state.token("H1").owner, Some(owner_of("people", "u1")));
        assert_eq!(state.token("H2").owner, Some(owner_of("guests", "u3")));
        assert_eq!(data(&mut state, "staff"), None);
    }

    /// Acceptance case 16 of reference users 28.3.
    #[test]
    fn a_resolver_in_use_stays() {
        let mut state = TestState::with_users();
        add_admins(&mut state);
        let delete = |name: &str| DelResolver { resolver: Some(name.to_owned()) };
        state.run(&set("pwres", "", "/f")).unwrap();
        assert_eq!(state.run(&delete("pwres")), Ok(true));
        assert_eq!(state.run(&delete("pwres")), Ok(false));
        let text = state.run(&delete("staff")).unwrap_err().to_string();
        assert!(text.contains("corp"), "{text}");
        assert!(data(&mut state, "staff").is_some());
        assert!(matches!(state.run(&delete("LinOTP_local_admins")), Err(Refusal::Other(_))));
        assert_eq!(state.run(&DelResolver::default()), Err(Refusal::MissingParameter("resolver")));
    }

    /// Reference users 2.1.
    #[test]
    fn specifications_are_read_in_all_their_spellings() {
        use ResolverKind::{Ldap, Passwd, Sql};
        let table = [
            ("useridresolver.PasswdIdResolver.IdResolver.abcd", Some((Passwd, "abcd"))),
            ("useridresolveree.PasswdIdResolver.IdResolver.abcd", Some((Passwd, "abcd"))),
            ("useridresolver.passwdresolver.abcd", Some((Passwd, "abcd"))),
            ("useridresolver.LDAPIdResolver.IdResolver.corp", Some((Ldap, "corp"))),
            ("useridresolver.sqlresolver.corp", Some((Sql, "corp"))),
            ("useridresolver.PasswdIdResolver.IdResolver.", None),
            ("useridresolver.OtherIdResolver.IdResolver.abcd", None),
            ("abcd", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_spec(text), expected, "{text}");
        }
        for (kind, name, class, _) in KINDS {
            assert_eq!(type_name(kind), name);
            assert_eq!(spec(kind, "abcd").as_str(), format!("{class}.abcd"));
        }
    }
}
