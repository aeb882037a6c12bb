//! Which user a request is about (reference http-api 6.1, users 8 and 9).
//!
//! Splitting the parameters is pure text work ([`UserParams::parse`]); looking the user up asks the resolvers of the
//! realm in their order.

use std::sync::Arc;

use super::Context;
use super::resolver::name_of;
use crate::configuration::Configuration;
use crate::decision::{Refusal, Stop};
use crate::record::{IndexKey, Key};
use crate::user::{Owner, RealmName, ResolverSpec, Serial, UserEntry};

pub(crate) use super::directory::resolver_ref;
pub use super::directory::{Found, search_users, user_by_id, user_by_login};

/// The parameters that name a user, as sent; an empty text counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserParams {
    /// `user`: a login, possibly with its realm.
    pub user: String,
    /// `realm`.
    pub realm: Option<String>,
    /// `resConf`: a resolver name, possibly followed by its specification in brackets.
    pub res_conf: Option<String>,
}

/// The parameters split into their parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedUser<'a> {
    /// The login.
    pub login: &'a str,
    /// The realm from the parameter or from the login; `None` stands for the default realm.
    pub realm: Option<&'a str>,
    /// The resolver name from `resConf`.
    pub resolver: Option<&'a str>,
    /// Whether the realm was sent as a parameter of its own.
    pub realm_sent: bool,
}

/// A user as the request names it, found or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUser {
    /// The login after splitting.
    pub login: String,
    /// The realm as sent, split off, or the default realm; `None` if there is none.
    pub realm: Option<RealmName>,
}

/// A user found by a resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownUser {
    /// The login after splitting.
    pub login: String,
    /// The realm it was found in.
    pub realm: RealmName,
    /// Where it was found; the last resolver wins if several know the same user id.
    pub owner: Owner,
    /// The same user id in the other resolvers that know the login; tokens of these owners count as well.
    pub also: Vec<Owner>,
    /// What the resolver says about it.
    pub entry: Arc<UserEntry>,
}

/// The outcome of identifying a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identified {
    /// The request names no user.
    NoUser,
    /// No resolver of the realm knows it, or the realm does not exist.
    Unknown(RequestUser),
    /// Several resolvers know the login with different ids.
    Ambiguous(RequestUser),
    /// Found.
    Known(KnownUser),
}

impl UserParams {
    /// A user without realm or resolver parameter.
    #[must_use]
    pub fn login(user: &str) -> Self {
        Self { user: user.to_owned(), ..Self::default() }
    }

    /// The realm parameter, if it was sent and not empty.
    #[must_use]
    pub fn realm(&self) -> Option<&str> {
        self.realm.as_deref().map(str::trim).filter(|realm| !realm.is_empty())
    }

    /// The resolver name of `resConf`: the text before the first bracket.
    #[must_use]
    pub fn resolver(&self) -> Option<&str> {
        let text = self.res_conf.as_deref()?;
        let name = text.split_once('(').map_or(text, |(name, _)| name).trim();
        (!name.is_empty()).then_some(name)
    }

    /// Splits the parameters; `None` if they name no user. The login is taken as it is where a realm parameter exists
    /// or `split_at_sign` is off.
    #[must_use]
    pub fn parse(&self, split_at_sign: bool) -> Option<ParsedUser<'_>> {
        if self.user.is_empty() {
            return None;
        }
        let sent = self.realm();
        let (login, realm) = match sent {
            Some(realm) => (self.user.as_str(), Some(realm)),
            None if split_at_sign => split_login(&self.user),
            None => (self.user.as_str(), None),
        };
        let realm = realm.filter(|realm| !realm.trim().is_empty());
        Some(ParsedUser { login, realm, resolver: self.resolver(), realm_sent: sent.is_some() })
    }
}

/// Splits at the last `@` into login and realm, else at the first backslash into realm and login.
#[must_use]
pub fn split_login(text: &str) -> (&str, Option<&str>) {
    if let Some((login, realm)) = text.rsplit_once('@') {
        return (login, Some(realm));
    }
    match text.split_once('\\') {
        Some((realm, login)) => (login, Some(realm)),
        None => (text, None),
    }
}

impl ParsedUser<'_> {
    /// The second reading of a login that was not found: what stands behind its last `@` may be a realm.
    #[must_use]
    fn reread(self) -> Option<Self> {
        if self.realm_sent || self.resolver.is_some() {
            return None;
        }
        let (login, realm) = self.login.rsplit_once('@')?;
        Some(ParsedUser { login, realm: Some(realm), ..self })
    }
}

impl Identified {
    /// The user, if there is one.
    ///
    /// # Errors
    /// When several users have the login.
    pub fn known(self) -> Result<Option<KnownUser>, Refusal> {
        match self {
            Self::Known(user) => Ok(Some(user)),
            Self::NoUser | Self::Unknown(_) => Ok(None),
            Self::Ambiguous(user) => Err(Refusal::AmbiguousUser(user.login)),
        }
    }
}

/// Finds the user of a request and puts it into the audit row.
///
/// # Errors
/// To ask a resolver; a defect if an answer is of the wrong kind. That a user does not exist is not an error.
pub fn identify(cx: &mut Context<'_>, params: &UserParams) -> Result<Identified, Stop> {
    let configuration = cx.view.configuration();
    let Some(parsed) = params.parse(configuration.settings.split_at_sign()) else {
        if let Some(realm) = params.realm() {
            cx.audit.realm = RealmName::folded(realm).as_str().into();
        }
        return Ok(Identified::NoUser);
    };
    let realm = match parsed.realm {
        Some(name) => Some(RealmName::folded(name)),
        None => configuration.settings.default_realm(),
    };
    let mut identified = find(cx, &configuration, &parsed, realm)?;
    if matches!(identified, Identified::Unknown(_))
        && let Some(second) = parsed.reread()
    {
        let realm =
            second.realm.map(RealmName::folded).filter(|name| configuration.realms.contains_key(name));
        if realm.is_some() {
            identified = find(cx, &configuration, &second, realm)?;
        }
    }
    note_user(cx, &identified);
    Ok(identified)
}

fn note_user(cx: &mut Context<'_>, identified: &Identified) {
    let (login, realm) = match identified {
        Identified::NoUser => return,
        Identified::Unknown(user) | Identified::Ambiguous(user) => (&user.login, user.realm.as_ref()),
        Identified::Known(user) => (&user.login, Some(&user.realm)),
    };
    cx.audit.user = login.as_str().into();
    cx.audit.realm = realm.map_or("", RealmName::as_str).into();
}

/// Looks a login up in all resolvers of a realm (users 9): exactly one distinct user id has to result.
fn find(
    cx: &mut Context<'_>,
    configuration: &Configuration,
    parsed: &ParsedUser<'_>,
    realm: Option<RealmName>,
) -> Result<Identified, Stop> {
    let realm = realm.or_else(|| realm_of_resolver(configuration, parsed.resolver?));
    let unknown = |realm| Identified::Unknown(RequestUser { login: parsed.login.to_owned(), realm });
    let Some(name) = realm else { return Ok(unknown(None)) };
    let Some(record) = configuration.realms.get(&name).filter(|_| !parsed.login.is_empty()) else {
        return Ok(unknown(Some(name)));
    };
    let mut found: Option<(Owner, Arc<UserEntry>)> = None;
    let mut also = Vec::new();
    for spec in &record.resolvers {
        if parsed.resolver.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(name_of(spec))) {
            continue;
        }
        let Found::Entry(entry) = user_by_login(cx, spec, parsed.login)? else { continue };
        let owner = Owner { resolver: spec.clone(), user_id: entry.user_id.clone() };
        if let Some((earlier, _)) = found.replace((owner, entry)) {
            if found.as_ref().is_some_and(|(now, _)| now.user_id != earlier.user_id) {
                let user = RequestUser { login: parsed.login.to_owned(), realm: Some(name) };
                return Ok(Identified::Ambiguous(user));
            }
            also.push(earlier);
        }
    }
    Ok(match found {
        Some((owner, entry)) => {
            Identified::Known(KnownUser { login: parsed.login.to_owned(), realm: name, owner, also, entry })
        }
        None => unknown(Some(name)),
    })
}

/// Without any realm `resConf` alone still names a place: the first realm that contains the resolver.
fn realm_of_resolver(configuration: &Configuration, resolver: &str) -> Option<RealmName> {
    let contains = |spec: &ResolverSpec| name_of(spec).eq_ignore_ascii_case(resolver);
    configuration
        .realms
        .iter()
        .find(|(_, realm)| realm.resolvers.iter().any(contains))
        .map(|(name, _)| name.clone())
}

/// All realms a user belongs to: those whose resolvers include the one it lives in, ordered by name.
#[must_use]
pub fn realms_of(cx: &mut Context<'_>, owner: &Owner) -> Vec<RealmName> {
    let configuration = cx.view.configuration();
    let mut realms = Vec::new();
    for (name, realm) in &configuration.realms {
        if realm.resolvers.contains(&owner.resolver) {
            realms.push(name.clone());
        }
    }
    realms
}

/// The tokens of a user: owned by it, and in its realm or in none (reference tokens 6.2), ordered by serial.
///
/// # Errors
/// None at present; the signature leaves room for questions.
pub fn tokens_of(cx: &mut Context<'_>, user: &KnownUser) -> Result<Vec<Serial>, Stop> {
    let mut serials = Vec::new();
    for owner in std::iter::once(&user.owner).chain(&user.also) {
        for key in cx.view.index(&IndexKey::TokensOfOwner(owner.clone())) {
            let Key::Token(serial) = key else { continue };
            let Some(token) = cx.view.token(&serial) else { continue };
            if token.realms.is_empty() || token.realms.contains(&user.realm) {
                serials.push(serial);
            }
        }
    }
    if !user.also.is_empty() {
        serials.sort_unstable();
        serials.dedup();
    }
    Ok(serials)
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::super::sample::{add_admins, add_token, owner_of};
    use super::*;
    use crate::test_state::TestState;

    /// Identifies a user and lists its tokens and realms.
    struct Probe(UserParams);

    impl Request for Probe {
        type Reply = (Identified, Vec<Serial>, Vec<RealmName>);

        fn decide(&self, cx: &mut Context<'_>) -> Result<Self::Reply, Stop> {
            let identified = identify(cx, &self.0)?;
            let Identified::Known(user) = &identified else {
                return Ok((identified, Vec::new(), Vec::new()));
            };
            let tokens = tokens_of(cx, user)?;
            let realms = realms_of(cx, &user.owner);
            Ok((identified, tokens, realms))
        }
    }

    fn params(user: &str, realm: &str, res_conf: &str) -> UserParams {
        let some = |text: &str| Some(text.to_owned());
        UserParams { user: user.to_owned(), realm: some(realm), res_conf: some(res_conf) }
    }

    fn directory() -> TestState {
        let mut state = TestState::with_users();
        state.add_user("staff", "alice@corp.example", "upn");
        state.add_user("guests", "a@b", "ab");
        state.add_user("guests", "CORP\\carol", "odd");
        state
    }

    /// `user@realm#id` if known, `?user@realm` if unknown, `!user@realm` if ambiguous, `-` if none is named.
    fn outcome(identified: &Identified) -> String {
        let realm = |user: &RequestUser| user.realm.as_ref().map_or(String::new(), ToString::to_string);
        match identified {
            Identified::NoUser => "-".to_owned(),
            Identified::Unknown(user) => format!("?{}@{}", user.login, realm(user)),
            Identified::Ambiguous(user) => format!("!{}@{}", user.login, realm(user)),
            Identified::Known(user) => format!("{}@{}#{}", user.login, user.realm, user.owner.user_id),
        }
    }

    #[track_caller]
    fn check(state: &mut TestState, params: UserParams, expected: &str) {
        let shown = format!("{params:?}");
        let (identified, ..) = state.run(&Probe(params)).unwrap();
        assert_eq!(outcome(&identified), expected, "{shown}");
    }

    /// Reference users 8 with its consequences, http-api 6.1, acceptance cases 8 to 11 of users 28.3.
    #[test]
    fn users_are_split_and_completed_as_the_reference_says() {
        let table = [
            // 1. None of the parameters.
            ("true", "", "", "", "-"),
            ("true", "", "corp", "", "-"),
            // 2. A realm parameter: no splitting, any case.
            ("true", "alice", "corp", "", "alice@corp#u1"),
            ("true", "alice", " CORP ", "", "alice@corp#u1"),
            ("true", "a@b", "lab", "", "a@b@lab#ab"),
            ("true", "CORP\\carol", "lab", "", "CORP\\carol@lab#odd"),
            ("true", "alice@corp", "corp", "", "?alice@corp@corp"),
            ("true", "alice", "nowhere", "", "?alice@nowhere"),
            ("true", "alice", "*", "", "?alice@*"),
            // 3. Splitting at the last @, else at the first backslash.
            ("true", "carol@lab", "", "", "carol@lab#u3"),
            ("true", "carol@LAB", "", "", "carol@lab#u3"),
            ("TRUE", "a@b@lab", "", "", "a@b@lab#ab"),
            ("true", "LAB\\carol", "", "", "carol@lab#u3"),
            ("true", "LAB\\CORP\\carol", "", "", "CORP\\carol@lab#odd"),
            ("true", "alice@corp.example", "", "", "?alice@corp.example"),
            ("true", "carol", "", "", "?carol@corp"),
            ("true", "Alice", "", "", "?Alice@corp"),
            // 4. The default realm.
            ("true", "alice", "", "", "alice@corp#u1"),
            ("true", "alice@", "", "", "alice@corp#u1"),
            ("true", "@lab", "", "", "?@lab"),
            // 5. A second reading where an @ is left.
            ("true", "carol@lab@nowhere", "", "", "carol@lab#u3"),
            ("true", "alice@nowhere@lab", "", "", "?alice@nowhere@lab"),
            ("false", "alice@corp.example", "", "", "alice@corp.example@corp#upn"),
            ("false", "carol@lab", "", "", "carol@lab#u3"),
            ("false", "carol@nowhere", "", "", "?carol@nowhere@corp"),
            ("false", "LAB\\carol", "", "", "?LAB\\carol@corp"),
            ("false", "carol@lab", "corp", "", "?carol@lab@corp"),
            ("1", "carol@lab", "", "staff", "?carol@lab@corp"),
            // 6. resConf limits the look-up; brackets are dropped, any case.
            ("true", "alice", "", "staff", "alice@corp#u1"),
            ("true", "alice", "", "STAFF (useridresolver.Passwd)", "alice@corp#u1"),
            ("true", "alice", "", "guests", "?alice@corp"),
            ("true", "carol", "lab", "guests", "carol@lab#u3"),
        ];
        for (split, user, realm, res_conf, expected) in table {
            let mut state = directory();
            state.set("splitAtSign", split);
            check(&mut state, params(user, realm, res_conf), expected);
        }
    }

    #[test]
    fn without_default_realm_only_qualified_users_are_found() {
        let mut state = directory();
        state.set("DefaultRealm", "");
        check(&mut state, params("alice", "", ""), "?alice@");
        check(&mut state, params("alice@corp", "", ""), "alice@corp#u1");
        check(&mut state, params("alice", "", "staff"), "alice@corp#u1");
        check(&mut state, params("alice", "", "nobody"), "?alice@");
    }

    #[test]
    fn different_ids_in_two_resolvers_are_ambiguous() {
        let mut state = TestState::with_users();
        state.add_realm("both", &["staff", "guests"]);
        state.add_user("guests", "alice", "u9");
        check(&mut state, params("alice", "both", ""), "!alice@both");
        check(&mut state, params("alice", "both", "guests"), "alice@both#u9");
        assert_eq!(
            Identified::Ambiguous(RequestUser { login: "alice".into(), realm: None }).known(),
            Err(Refusal::AmbiguousUser("alice".into()))
        );
    }

    #[test]
    fn same_id_in_two_resolvers_is_one_user_and_the_last_resolver_wins() {
        let mut state = TestState::with_users();
        state.add_realm("both", &["staff", "guests"]);
        state.add_user("guests", "alice", "u1");
        add_token(&mut state, "B", Some(("staff", "u1")), &["both"]);
        add_token(&mut state, "A", Some(("guests", "u1")), &["both"]);
        let (identified, tokens, _) = state.run(&Probe(params("alice", "both", ""))).unwrap();
        let Identified::Known(user) = identified else { panic!("{identified:?}") };
        assert_eq!(user.owner, owner_of("guests", "u1"));
        assert_eq!(user.also, [owner_of("staff", "u1")]);
        assert_eq!(tokens, [Serial::from("A"), Serial::from("B")]);
    }

    /// Reference users 9.
    #[test]
    fn an_unavailable_resolver_is_passed_over_and_noted() {
        let mut state = TestState::with_users();
        state.add_realm("both", &["guests", "staff"]);
        state.unavailable.insert(TestState::spec("guests"));
        check(&mut state, params("alice", "both", ""), "alice@both#u1");
        let detail = "Failed to connect to:useridresolver.PasswdIdResolver.IdResolver.guests, ";
        assert_eq!(&*state.last_audit().action_detail, detail);
        check(&mut state, params("carol", "both", ""), "?carol@both");
        assert_eq!(&*state.last_audit().action_detail, detail);
    }

    /// Reference tokens 6.2.
    #[test]
    fn tokens_of_a_user_are_those_in_its_realm_or_in_none() {
        let mut state = TestState::with_users();
        state.add_realm("second", &["staff"]);
        add_token(&mut state, "T3", Some(("staff", "u1")), &[]);
        add_token(&mut state, "T1", Some(("staff", "u1")), &["corp", "lab"]);
        add_token(&mut state, "T2", Some(("staff", "u1")), &["lab"]);
        add_token(&mut state, "T4", Some(("staff", "u2")), &["corp"]);
        add_token(&mut state, "T5", Some(("guests", "u1")), &["corp"]);
        let (_, tokens, realms) = state.run(&Probe(params("alice", "", ""))).unwrap();
        assert_eq!(tokens, [Serial::from("T1"), Serial::from("T3")]);
        assert_eq!(realms, [RealmName::from("corp"), RealmName::from("second")]);
        let (_, tokens, _) = state.run(&Probe(params("alice", "second", ""))).unwrap();
        assert_eq!(tokens, [Serial::from("T3")]);
    }

    #[test]
    fn the_audit_row_names_the_user_of_the_request() {
        let mut state = TestState::with_users();
        for (user, realm, expected) in [
            ("carol@LAB", "", ("carol", "lab")),
            ("nobody", "", ("nobody", "corp")),
            ("", "Lab", ("", "lab")),
        ] {
            state.run(&Probe(params(user, realm, ""))).unwrap();
            assert_eq!((&*state.last_audit().user, &*state.last_audit().realm), expected);
        }
    }

    #[test]
    fn local_administrators_are_found_without_asking() {
        let mut state = TestState::with_users();
        add_admins(&mut state);
        check(&mut state, params("root", "linotp_admins", ""), "root@linotp_admins#root");
        check(&mut state, params("nobody", "linotp_admins", ""), "?nobody@linotp_admins");
        assert!(state.asked.is_empty());
    }
}
