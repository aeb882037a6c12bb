//! Administrators' sessions: login, logout, and what a node needs to check a session token (reference http-api 4.2 to
//! 4.4, users 19). The token itself is made and read by the `api` crate.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::resolver::is_local_admins;
use super::user::{Found, resolver_ref, user_by_login};
use super::{Context, Request};
use crate::decision::{Defect, Stop};
use crate::facts::{Administrator, Question};
use crate::record::{Key, Record, RevocationV1};
use crate::secret::{Keyring, Purpose, SealError, SecretText};
use crate::time::UnixMillis;
use crate::user::{AdminLogin as Login, RealmName, ResolverSpec, UserEntry};
use crate::view::StateRead;

/// Name of the cluster secret that signs session tokens.
pub const SIGNING_KEY: &str = "jwt";

/// The hash checked when a local administrator does not exist, so that the reply takes the same time. Same parameters as
/// real ones (argon2id, 19 MiB, 2 passes); no known password leads to it.
const NOBODYS_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5cyBzYWx0IDE2$bm9ib2R5IGtub3dzIHRoZSBwYXNzd29yZCBvZiB0aGk";

/// `admin/login`. The login is looked up in each resolver of the admin realm in order; the first one where the password
/// is right wins. The login is not split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminLogin {
    /// `username`.
    pub login: String,
    /// `password`.
    pub password: SecretText,
}

/// `admin/logout`: refuses a session token until it ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoke {
    /// The token's `jti`.
    pub jti: String,
    /// The token's `exp`.
    pub expires_at: UnixMillis,
}

impl Request for AdminLogin {
    /// `None` if the login is refused, whatever the reason.
    type Reply = Option<Administrator>;

    fn lane(&self) -> Option<String> {
        Some(format!("admin {}", self.login))
    }

    fn decide(&self, cx: &mut Context<'_>) -> Result<Option<Administrator>, Stop> {
        let realm = RealmName::from(super::realm::ADMIN_REALM);
        cx.audit.user = self.login.as_str().into();
        cx.audit.realm = realm.as_str().into();
        let configuration = cx.view.configuration();
        let resolvers = configuration.realms.get(&realm).map(|realm| realm.resolvers.as_slice());
        if self.login.is_empty() || self.password.expose().is_empty() {
            return Ok(None);
        }
        for spec in resolvers.unwrap_or_default() {
            if self.password_matches(cx, spec)? {
                cx.audit.success = true;
                cx.audit.administrator = format!("{}@{realm} ({})", self.login, spec.resolver()).into();
                let (login, realm) = (self.login.clone(), realm.to_string());
                return Ok(Some(Administrator { login, realm, resolver: spec.clone() }));
            }
        }
        Ok(None)
    }
}

impl AdminLogin {
    fn password_matches(&self, cx: &mut Context<'_>, spec: &ResolverSpec) -> Result<bool, Stop> {
        if is_local_admins(spec) {
            return self.local_password_matches(cx);
        }
        let Found::Entry(entry) = user_by_login(cx, spec, &self.login)? else { return Ok(false) };
        self.resolver_password_matches(cx, spec, &entry)
    }

    fn resolver_password_matches(
        &self,
        cx: &mut Context<'_>,
        spec: &ResolverSpec,
        entry: &UserEntry,
    ) -> Result<bool, Stop> {
        let Some(resolver) = resolver_ref(cx, spec) else { return Ok(false) };
        let (user_id, password) = (entry.user_id.clone(), self.password.clone());
        cx.ask_verdict(Question::CheckPassword { resolver, user_id, password })
    }

    fn local_password_matches(&self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let key = Key::Admin(Login::from(self.login.as_str()));
        let Some(Record::Admin(admin)) = cx.view.get(&key) else {
            let hash = SecretText::from(NOBODYS_HASH);
            cx.ask_verdict(Question::VerifyPasswordHash { hash, password: self.password.clone() })?;
            return Ok(false);
        };
        let hash = cx.facts.keyring.open(Purpose::Administrator, &self.login, &admin.password)?;
        let hash = match std::str::from_utf8(&hash) {
            Ok(text) => SecretText::from(text),
            Err(_) => return Err(Stop::Defect(Defect::Seal(SealError::Damaged(admin.password.key)))),
        };
        cx.ask_verdict(Question::VerifyPasswordHash { hash, password: self.password.clone() })
    }
}

impl Request for Revoke {
    type Reply = ();

    fn decide(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let revocation = RevocationV1 { expires_at: self.expires_at };
        cx.view.put(Key::Revocation(self.jti.as_str().into()), Record::Revocation(revocation));
        cx.audit.success = true;
        Ok(())
    }
}

/// Whether the session token with this `jti` was logged out.
#[must_use]
pub fn is_revoked(state: &dyn StateRead, jti: &str) -> bool {
    state.record(&Key::Revocation(jti.into())).is_some()
}

/// The key that signs session tokens; `None` before the cluster's first start is complete.
///
/// # Errors
/// When the node's keyring does not open it.
pub fn signing_key(
    state: &dyn StateRead,
    keyring: &Keyring,
) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
    cluster_secret(state, keyring, SIGNING_KEY)
}

/// A secret of the cluster by name.
///
/// # Errors
/// When the node's keyring does not open it.
pub fn cluster_secret(
    state: &dyn StateRead,
    keyring: &Keyring,
    name: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
    let Some(slot) = state.record(&Key::ClusterSecret(Arc::from(name))) else { return Ok(None) };
    let Record::ClusterSecret(secret) = slot.record else { return Ok(None) };
    keyring.open(Purpose::Cluster, name, &secret.secret).map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap::Bootstrap;
    use super::super::sample::{add_admins, root};
    use super::*;
    use crate::facts::Answer;
    use crate::record::RealmV1;
    use crate::test_state::TestState;
    use crate::user::RealmName;

    fn login(login: &str, password: &str) -> AdminLogin {
        AdminLogin { login: login.to_owned(), password: SecretText::from(password) }
    }

    /// Local administrators first, then the directory of `staff`.
    fn state() -> TestState {
        let mut state = TestState::with_users();
        add_admins(&mut state);
        let resolvers = vec![root().resolver, TestState::spec("staff")];
        let realm = RealmName::from(super::super::realm::ADMIN_REALM);
        state.put(Key::Realm(realm), Record::Realm(Arc::new(RealmV1 { resolvers })));
        state
    }

    /// Reference http-api 4.2, users 9 and 19.
    #[test]
    fn every_resolver_of_the_admin_realm_is_tried_in_order() {
        let staff = TestState::spec("staff");
        let table = [
            ("root", "toor", Some(root().resolver)),
            ("root", "wrong", None),
            ("root", "", None),
            ("", "toor", None),
            ("Root", "toor", None),
            ("alice", "alice-password", Some(staff)),
            ("alice", "toor", None),
            ("alice@corp", "alice-password", None),
            ("carol", "carol-password", None),
            ("nobody", "x", None),
        ];
        for (name, password, resolver) in table {
            let mut state = state();
            let admin = state.run(&login(name, password)).unwrap();
            assert_eq!(admin.as_ref().map(|admin| &admin.resolver), resolver.as_ref(), "{name} {password}");
            assert!(admin.is_none_or(|admin| admin.login == name && admin.realm == "linotp_admins"));
            let row = state.last_audit();
            assert_eq!((&*row.user, &*row.realm), (name, "linotp_admins"));
            assert_eq!(row.success, resolver.is_some());
            assert_eq!(row.administrator.is_empty(), resolver.is_none());
        }
    }

    /// Acceptance case 29 of reference users 28.3.
    #[test]
    fn a_wrong_password_in_the_first_resolver_does_not_stop_the_walk() {
        let mut state = state();
        state.add_user("staff", "root", "u7");
        let admin = state.run(&login("root", "root-password")).unwrap().unwrap();
        assert_eq!(admin.resolver, TestState::spec("staff"));
        assert_eq!(&*state.last_audit().administrator, "root@linotp_admins (staff)");
    }

    #[test]
    fn an_unavailable_resolver_is_noted() {
        let mut state = state();
        state.unavailable.insert(TestState::spec("staff"));
        assert_eq!(state.run(&login("alice", "alice-password")), Ok(None));
        assert!(state.last_audit().action_detail.contains("Failed to connect to:"));
    }

    /// The reply must not tell by its time which administrators exist.
    #[test]
    fn unknown_local_administrators_cost_a_password_check_too() {
        let mut state = state();
        state.run(&login("nobody", "x")).unwrap();
        let hash = SecretText::from(NOBODYS_HASH);
        let question = Question::VerifyPasswordHash { hash, password: SecretText::from("x") };
        assert_eq!(state.asked.first(), Some(&question));
        // Even a hash that matches lets nobody in.
        state.answers.push((question, Answer::Verdict(true)));
        assert_eq!(state.run(&login("nobody", "x")), Ok(None));
    }

    #[test]
    fn a_revoked_session_is_refused_until_it_ends() {
        let mut state = state();
        assert!(!is_revoked(&state, "a"));
        let expires_at = state.now.plus_seconds(1800);
        state.run(&Revoke { jti: "a".into(), expires_at }).unwrap();
        assert!(is_revoked(&state, "a") && !is_revoked(&state, "b"));
        let removal = super::super::janitor::RemoveExpired { keys: vec![Key::Revocation("a".into())] };
        assert_eq!(state.run(&removal), Ok(0));
        state.now = expires_at;
        assert_eq!(state.run(&removal), Ok(1));
        assert!(!is_revoked(&state, "a"));
    }

    #[test]
    fn the_signing_key_opens_with_the_cluster_key_only() {
        let mut state = TestState::new();
        assert_eq!(signing_key(&state, &state.keyring), Ok(None));
        state.run(&Bootstrap::default()).unwrap();
        assert_eq!(signing_key(&state, &state.keyring).unwrap().unwrap().len(), 32);
        let other = Keyring::new(state.keyring.active(), &[8; 32]);
        assert_eq!(signing_key(&state, &other), Err(SealError::Damaged(other.active())));
    }
}
