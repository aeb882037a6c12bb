//! Realms (reference http-api 12.6, users 7).

use std::sync::Arc;

use super::config::{remove_setting, set_plain, stamp};
use super::lifecycle::{change_token, required};
use super::resolver::{is_local_admins, load, name_of, parse_spec, spec};
use super::rights::SystemRight;
use super::{Context, Request};
use crate::configuration::Configuration;
use crate::decision::{Refusal, Stop};
use crate::record::{IndexKey, Key, RealmV1, Record};
use crate::user::{RealmName, ResolverSpec};

/// The realm whose members are administrators; it cannot be deleted.
pub const ADMIN_REALM: &str = "linotp_admins";

const DEFAULT_REALM: &str = "DefaultRealm";

/// `system/getRealms`: one realm, or all of them when it is unknown or not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetRealms {
    /// `realm`.
    pub realm: Option<String>,
}

/// `system/getDefaultRealm`: the default realm, or all realms if there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetDefaultRealm;

/// `system/setRealm`: creates or replaces a realm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetRealm {
    /// `realm`.
    pub realm: Option<String>,
    /// `resolvers`: specifications, separated by commas.
    pub resolvers: Option<String>,
}

/// `system/delRealm`: deletes a realm; its tokens stay, without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelRealm {
    /// `realm`.
    pub realm: Option<String>,
}

/// `system/setDefaultRealm`; no realm removes the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetDefaultRealm {
    /// `realm`.
    pub realm: Option<String>,
}

/// A realm as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmView {
    /// Its name.
    pub name: RealmName,
    /// Its configuration key, with the `linotp.` prefix.
    pub entry: String,
    /// Its resolvers in look-up order.
    pub resolvers: Vec<ResolverSpec>,
    /// Whether logins without realm belong here.
    pub default: bool,
    /// Whether its members are administrators.
    pub admin: bool,
}

fn views(configuration: &Configuration) -> Vec<RealmView> {
    let default = configuration.settings.default_realm();
    let view = |(name, realm): (&RealmName, &Arc<RealmV1>)| RealmView {
        name: name.clone(),
        entry: format!("linotp.useridresolver.group.{name}"),
        resolvers: realm.resolvers.clone(),
        default: default.as_ref() == Some(name),
        admin: name.as_str() == ADMIN_REALM,
    };
    configuration.realms.iter().map(view).collect()
}

/// The realm that fits, or all realms: what the original answers for an unknown name (users 7, Traps).
fn fitting_or_all(all: Vec<RealmView>, fits: impl Fn(&RealmView) -> bool) -> Vec<RealmView> {
    match all.iter().find(|realm| fits(realm)) {
        Some(one) => vec![one.clone()],
        None => all,
    }
}

impl Request for GetRealms {
    type Reply = Vec<RealmView>;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Read);
    const LISTS: bool = true;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<RealmView>, Stop> {
        cx.audit.success = true;
        let wanted = self.realm.as_deref().map(RealmName::folded);
        let all = views(&cx.view.configuration());
        Ok(fitting_or_all(all, |realm| wanted.as_ref() == Some(&realm.name)))
    }
}

impl Request for GetDefaultRealm {
    type Reply = Vec<RealmView>;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Read);
    const LISTS: bool = true;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<RealmView>, Stop> {
        cx.audit.success = true;
        let all = views(&cx.view.configuration());
        Ok(fitting_or_all(all, |realm| realm.default))
    }
}

impl Request for SetRealm {
    type Reply = ();
    const RIGHT: Option<SystemRight> = Some(SystemRight::Write);

    fn decide(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let name = required(self.realm.as_deref(), "realm")?;
        let list = required(self.resolvers.as_deref(), "resolvers")?;
        let name = RealmName::parse(name).map_err(|error| Refusal::InvalidParameter {
            name: "realm".to_owned(),
            problem: error.to_string(),
        })?;
        cx.audit.realm = name.as_str().into();
        cx.audit.info = list.into();
        let configuration = cx.view.configuration();
        let resolvers = resolvers(&configuration, list)?;
        refuse_lock_out(cx, &name, &resolvers)?;
        for spec in resolvers.iter().filter(|spec| !is_local_admins(spec)) {
            if let Some(source) = configuration.sources.get(spec) {
                load(cx, source.clone())?;
            }
        }
        cx.view.put(Key::Realm(name.clone()), Record::Realm(Arc::new(RealmV1 { resolvers })));
        if configuration.settings.default_realm().is_none() && name.as_str() != ADMIN_REALM {
            set_plain(cx, DEFAULT_REALM, name.as_str());
        }
        stamp(cx);
        cx.audit.success = true;
        Ok(())
    }
}

/// The specifications of a list in their standard spelling, each once; all have to exist.
fn resolvers(configuration: &Configuration, list: &str) -> Result<Vec<ResolverSpec>, Refusal> {
    let mut resolvers = Vec::new();
    for item in list.split(',') {
        let item: String = item.chars().filter(|c| !matches!(c, '"' | '\'') && !c.is_whitespace()).collect();
        let Some((kind, name)) = parse_spec(&item) else {
            return Err(Refusal::Other(format!(
                "'{item}' is not a resolver specification such as useridresolver.PasswdIdResolver.IdResolver.name"
            )));
        };
        let spec = spec(kind, name);
        if !configuration.sources.contains_key(&spec) {
            return Err(Refusal::Other(format!("there is no resolver {spec}")));
        }
        if !resolvers.contains(&spec) {
            resolvers.push(spec);
        }
    }
    Ok(resolvers)
}

/// An administrator may not take the resolver he was authenticated by out of his own realm (http-api 4.1).
fn refuse_lock_out(cx: &Context<'_>, name: &RealmName, resolvers: &[ResolverSpec]) -> Result<(), Refusal> {
    let Some(admin) = &cx.facts.caller.administrator else { return Ok(()) };
    if admin.realm != name.as_str() || resolvers.contains(&admin.resolver) {
        return Ok(());
    }
    let own = name_of(&admin.resolver);
    Err(Refusal::Other(format!(
        "the resolver {own} cannot be removed from {name}: you would lock yourself out"
    )))
}

impl Request for DelRealm {
    /// Whether it existed.
    type Reply = bool;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Write);

    fn decide(&self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let name = RealmName::folded(required(self.realm.as_deref(), "realm")?);
        cx.audit.realm = name.as_str().into();
        if name.as_str() == ADMIN_REALM {
            return Err(Refusal::Other(format!("the admin realm {name} cannot be deleted")).into());
        }
        let configuration = cx.view.configuration();
        if !configuration.realms.contains_key(&name) {
            return Ok(false);
        }
        for key in cx.view.index(&IndexKey::TokensInRealm(name.clone())) {
            let Key::Token(serial) = key else { continue };
            change_token(cx, &serial, |token| token.realms.retain(|realm| *realm != name));
        }
        if configuration.settings.default_realm().as_ref() == Some(&name) {
            remove_setting(cx, DEFAULT_REALM);
        }
        cx.view.delete(Key::Realm(name));
        stamp(cx);
        cx.audit.success = true;
        Ok(true)
    }
}

impl Request for SetDefaultRealm {
    /// Whether there is a default realm now.
    type Reply = bool;
    const RIGHT: Option<SystemRight> = Some(SystemRight::Write);

    fn decide(&self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let name = RealmName::folded(self.realm.as_deref().unwrap_or_default());
        cx.audit.realm = name.as_str().into();
        if name.as_str().is_empty() {
            remove_setting(cx, DEFAULT_REALM);
            stamp(cx);
            return Ok(false);
        }
        if !cx.view.configuration().realms.contains_key(&name) {
            return Ok(false);
        }
        set_plain(cx, DEFAULT_REALM, name.as_str());
        stamp(cx);
        cx.audit.success = true;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{add_admins, add_token, root};
    use super::*;
    use crate::test_state::TestState;

    const STAFF: &str = "useridresolver.PasswdIdResolver.IdResolver.staff";
    const GUESTS: &str = "useridresolver.PasswdIdResolver.IdResolver.guests";

    fn set(realm: &str, resolvers: &str) -> SetRealm {
        SetRealm { realm: Some(realm.to_owned()), resolvers: Some(resolvers.to_owned()) }
    }

    fn names(realms: &[RealmView]) -> Vec<&str> {
        realms.iter().map(|realm| realm.name.as_str()).collect()
    }

    fn get(state: &mut TestState, realm: &str) -> Vec<RealmView> {
        state.run(&GetRealms { realm: Some(realm.to_owned()) }).unwrap()
    }

    /// Reference http-api 12.6; unknown names list everything (users 7, Traps; acceptance case 38).
    #[test]
    fn realms_are_listed() {
        let mut state = TestState::with_users();
        add_admins(&mut state);
        let one = RealmView {
            name: RealmName::from("corp"),
            entry: "linotp.useridresolver.group.corp".into(),
            resolvers: vec![TestState::spec("staff")],
            default: true,
            admin: false,
        };
        assert_eq!(get(&mut state, "CORP"), std::slice::from_ref(&one));
        for unknown in ["typo", ""] {
            let all = get(&mut state, unknown);
            assert_eq!(names(&all), ["corp", "lab", "linotp_admins"]);
            assert_eq!(all.iter().map(|realm| realm.admin).collect::<Vec<_>>(), [false, false, true]);
        }
        assert_eq!(state.run(&GetDefaultRealm).unwrap(), [one]);
        assert_eq!(state.run(&SetDefaultRealm::default()), Ok(false));
        assert_eq!(names(&state.run(&GetDefaultRealm).unwrap()), ["corp", "lab", "linotp_admins"]);
    }

    #[test]
    fn a_realm_is_created_and_replaced() {
        let mut state = TestState::with_users();
        assert_eq!(state.run(&set(" My Realm ", &format!("\"{GUESTS}\" , {STAFF},{STAFF}"))), Ok(()));
        let realm = get(&mut state, "my-realm");
        assert_eq!(realm[0].resolvers, [TestState::spec("guests"), TestState::spec("staff")]);
        assert_eq!(
            state.run(&set("my-realm", &STAFF.replace("useridresolver.", "useridresolveree."))),
            Ok(())
        );
        assert_eq!(&*state.last_audit().realm, "my-realm");
        assert_eq!(get(&mut state, "my-realm")[0].resolvers, [TestState::spec("staff")]);
    }

    #[test]
    fn realms_that_cannot_work_are_refused() {
        let mut state = TestState::with_users();
        state.unavailable.insert(TestState::spec("guests"));
        let table = [
            (set("", STAFF), "Missing parameter: 'realm'"),
            (set("new", ""), "Missing parameter: 'resolvers'"),
            (set("ümlaut", STAFF), "realm name"),
            (set("a/b", STAFF), "realm name"),
            (set("new", "staff"), "not a resolver specification"),
            (set("new", &format!("{STAFF},")), "not a resolver specification"),
            (set("new", &STAFF.replace("staff", "nobody")), "no resolver"),
            (set("new", &STAFF.replace("Passwd", "LDAP")), "no resolver"),
            (set("new", GUESTS), "unable to instantiate"),
        ];
        for (request, part) in table {
            let text = state.run(&request).unwrap_err().to_string();
            assert!(text.contains(part), "{text} should contain {part}");
            assert_eq!(names(&get(&mut state, "")), ["corp", "lab"]);
        }
    }

    /// Reference users 7, Decision.
    #[test]
    fn the_first_ordinary_realm_becomes_the_default() {
        let mut state = TestState::with_users();
        add_admins(&mut state);
        state.set("DefaultRealm", "");
        let admins = format!("{},{STAFF}", root().resolver);
        state.run(&set("linotp_admins", &admins)).unwrap();
        assert_eq!(state.run(&GetDefaultRealm).unwrap().len(), 3);
        state.run(&set("first", STAFF)).unwrap();
        state.run(&set("second", STAFF)).unwrap();
        assert_eq!(names(&state.run(&GetDefaultRealm).unwrap()), ["first"]);
    }

    #[test]
    fn administrators_cannot_lock_themselves_out() {
        let mut state = TestState::with_users();
        add_admins(&mut state);
        state.caller.administrator = Some(root());
        let text = state.run(&set("linotp_admins", STAFF)).unwrap_err().to_string();
        assert!(text.contains("lock yourself out"), "{text}");
        assert_eq!(state.run(&set("linotp_admins", &format!("{STAFF},{}", root().resolver))), Ok(()));
        assert_eq!(state.run(&set("corp", GUESTS)), Ok(()));
    }

    #[test]
    fn a_deleted_realm_leaves_tokens_and_default() {
        let mut state = TestState::with_users();
        add_admins(&mut state);
        add_token(&mut state, "H1", Some(("staff", "u1")), &["corp", "lab"]);
        let delete = |realm: &str| DelRealm { realm: Some(realm.to_owned()) };
        assert_eq!(state.run(&delete("CORP")), Ok(true));
        assert_eq!(state.run(&delete("corp")), Ok(false));
        assert_eq!(state.token("H1").realms, [RealmName::from("lab")]);
        assert_eq!(names(&state.run(&GetDefaultRealm).unwrap()), ["lab", "linotp_admins"]);
        assert!(matches!(state.run(&delete("LinOTP_admins")), Err(Refusal::Other(_))));
        assert_eq!(state.run(&DelRealm::default()), Err(Refusal::MissingParameter("realm")));
    }

    #[test]
    fn only_existing_realms_become_the_default() {
        let mut state = TestState::with_users();
        let set = |realm: &str| SetDefaultRealm { realm: Some(realm.to_owned()) };
        assert_eq!(state.run(&set("LAB")), Ok(true));
        assert_eq!(state.run(&set("typo")), Ok(false));
        assert_eq!(names(&state.run(&GetDefaultRealm).unwrap()), ["lab"]);
        assert_eq!(state.run(&set("")), Ok(false));
        assert_eq!(state.run(&GetDefaultRealm).unwrap().len(), 2);
    }
}
