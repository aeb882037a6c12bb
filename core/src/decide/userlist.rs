//! `admin/userlist`: searching the user stores (reference http-api 11.6, users 10).

use std::sync::Arc;

use super::rights::require_user;
use super::selection::matches_pattern;
use super::user::{Identified, UserParams, search_users};
use super::{Context, Request};
use crate::configuration::Configuration;
use crate::decide::resolver::name_of;
use crate::decision::Stop;
use crate::facts::SearchTerm;
use crate::policy::catalogue::admin;
use crate::user::{RealmName, ResolverSpec, UserEntry};

/// Lists users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserList {
    /// Chooses the resolvers: those of the realm (`*` for all realms, `abc*` for several), of the realm in the login, or
    /// of the default realm, limited by `resConf`. The login itself is no search term.
    pub user: UserParams,
    /// Search fields with their patterns; all have to match.
    pub terms: Vec<SearchTerm>,
}

/// A user of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUser {
    /// The resolver it lives in.
    pub resolver: ResolverSpec,
    /// What the resolver says about it.
    pub entry: Arc<UserEntry>,
}

impl Request for UserList {
    /// All matching users: resolvers in the order of the realms, users as the resolvers deliver them. Paging is done by
    /// the caller.
    type Reply = Vec<ListedUser>;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<ListedUser>, Stop> {
        let configuration = cx.view.configuration();
        require_user(cx, &admin::USERLIST, &self.user, &Identified::NoUser)?;
        let mut listed = Vec::new();
        for spec in self.resolvers(cx, &configuration) {
            let users = search_users(cx, &spec, &self.terms)?.unwrap_or_default();
            listed.extend(users.into_iter().map(|entry| ListedUser { resolver: spec.clone(), entry }));
        }
        cx.audit.success = true;
        Ok(listed)
    }
}

impl UserList {
    fn resolvers(&self, cx: &mut Context<'_>, configuration: &Configuration) -> Vec<ResolverSpec> {
        let parsed = self.user.parse(configuration.settings.split_at_sign());
        let named = self.user.realm().or_else(|| parsed.and_then(|parsed| parsed.realm));
        let resolver = self.user.resolver();
        let realm = match named {
            Some(name) => Some(RealmName::folded(name)),
            None => configuration.settings.default_realm(),
        };
        cx.audit.user = parsed.map_or("", |parsed| parsed.login).into();
        cx.audit.realm = realm.as_ref().map_or("", RealmName::as_str).into();
        // A resolver without any realm parameter is looked for in all of them.
        let pattern = match (&realm, named, resolver) {
            (_, None, Some(_)) => "*",
            (Some(realm), _, _) => realm.as_str(),
            (None, _, _) => return Vec::new(),
        };
        let mut chosen: Vec<ResolverSpec> = Vec::new();
        for (name, realm) in &configuration.realms {
            if !matches_pattern(pattern, name.as_str()) {
                continue;
            }
            for spec in &realm.resolvers {
                let wanted = resolver.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name_of(spec)));
                if wanted && !chosen.contains(spec) {
                    chosen.push(spec.clone());
                }
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::add_admins;
    use super::*;
    use crate::facts::Question;
    use crate::test_state::TestState;

    fn list(user: &str, realm: &str, res_conf: &str) -> UserList {
        let some = |text: &str| Some(text.to_owned());
        let user = UserParams { user: user.to_owned(), realm: some(realm), res_conf: some(res_conf) };
        UserList { user, terms: Vec::new() }
    }

    /// Reference http-api 11.6, users 10.1.
    #[test]
    fn resolvers_are_chosen_by_realm_resolver_and_user() {
        let table: [(&str, &str, &str, &[&str]); 12] = [
            ("", "", "", &["alice", "bob"]),
            ("", "corp", "", &["alice", "bob"]),
            ("", "LAB", "", &["carol"]),
            ("", "*", "", &["alice", "bob", "carol", "root"]),
            ("", "l*", "", &["carol", "root"]),
            ("", "la*", "", &["carol"]),
            ("", "nowhere", "", &[]),
            ("", "", "guests", &["carol"]),
            ("", "", "GUESTS (useridresolver.x)", &["carol"]),
            ("", "corp", "guests", &[]),
            ("x@lab", "", "", &["carol"]),
            ("x", "", "", &["alice", "bob"]),
        ];
        for (user, realm, res_conf, expected) in table {
            let mut state = TestState::with_users();
            add_admins(&mut state);
            let listed = state.run(&list(user, realm, res_conf)).unwrap();
            let logins: Vec<&str> = listed.iter().map(|user| user.entry.login.as_str()).collect();
            assert_eq!(logins, expected, "user '{user}' realm '{realm}' resConf '{res_conf}'");
            assert!(state.last_audit().success);
        }
    }

    #[test]
    fn search_terms_are_handed_to_the_resolver() {
        let mut state = TestState::with_users();
        let terms = vec![SearchTerm { field: "username".into(), pattern: "a*".into() }];
        state.run(&UserList { terms: terms.clone(), ..UserList::default() }).unwrap();
        let Some(Question::SearchUsers { terms: asked, .. }) = state.asked.first() else {
            panic!("not asked")
        };
        assert_eq!(*asked, terms);
    }

    #[test]
    fn local_administrators_are_searched_like_others() {
        for (field, pattern, found) in [
            ("username", "R*", 1),
            ("username", "x*", 0),
            ("searchTerm", "*oo*", 1),
            ("email", "*@example.com", 0),
            ("unknown", "x", 1),
        ] {
            let mut state = TestState::with_users();
            add_admins(&mut state);
            let terms = vec![SearchTerm { field: field.into(), pattern: pattern.into() }];
            let request = UserList { terms, ..list("", "linotp_admins", "") };
            assert_eq!(state.run(&request).unwrap().len(), found, "{field}={pattern}");
        }
    }

    /// Acceptance case 39 of reference users 28.3.
    #[test]
    fn a_dead_resolver_ends_only_its_own_part() {
        let mut state = TestState::with_users();
        state.unavailable.insert(TestState::spec("guests"));
        let listed = state.run(&list("", "*", "")).unwrap();
        assert_eq!(listed.len(), 2);
        assert!(state.last_audit().action_detail.contains("Failed to connect to:"));
    }
}
