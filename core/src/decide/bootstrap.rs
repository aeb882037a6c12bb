//! The first start of a cluster.

use std::sync::Arc;

use super::config::{set_plain, stamp};
use super::realm::ADMIN_REALM;
use super::resolver::{LOCAL_ADMIN_RESOLVER, spec};
use super::session::{SIGNING_KEY, cluster_secret};
use super::{Context, Request};
use crate::decision::{Defect, Refusal, Stop};
use crate::facts::{Answer, Question};
use crate::record::{AdminV1, ClusterSecretV1, Key, RealmV1, Record, ResolverKind, ResolverV1};
use crate::secret::{Keyring, Purpose, SealError, SecretText};
use crate::user::{AdminLogin, RealmName, ResolverName};
use crate::view::StateRead;

/// Name of the cluster secret that tells a node whether it holds the right cluster key.
pub const KEY_CHECK: &str = "key-check";

const KEY_CHECK_TEXT: &[u8] = b"tessera";

/// The settings of a new installation (reference http-api 23, column "New"; users 1).
const SETTINGS: [(&str, &str); 32] = [
    ("AutoResyncTimeout", "240"),
    ("DefaultBlockingTimeout", "0"),
    ("DefaultChallengeValidityTime", "120"),
    ("DefaultCountWindow", "10"),
    ("DefaultMaxFailCount", "10"),
    ("DefaultOtpLen", "6"),
    ("DefaultResetFailCount", "True"),
    ("DefaultSyncWindow", "1000"),
    ("EmailBlockingTimeout", "120"),
    ("EmailChallengeValidityTime", "600"),
    ("EmailProvider", "linotp.provider.emailprovider.SMTPEmailProvider"),
    ("FIDO2ChallengeValidityTime", "120"),
    ("FailCounterIncOnFalsePin", "True"),
    ("PrependPin", "True"),
    ("PushChallengeValidityTime", "150"),
    ("PushMaxChallenges", "4"),
    ("QRChallengeValidityTime", "150"),
    ("QRMaxChallenges", "4"),
    ("QRTokenOtpLen", "8"),
    ("SMSBlockingTimeout", "30"),
    ("SMSProvider", "smsprovider.HttpSMSProvider.HttpSMSProvider"),
    ("SMSProviderTimeout", "300"),
    ("certificates.use_system_certificates", "False"),
    ("policy_action_validation", "True"),
    ("resolver_lookup_cache.enabled", "False"),
    ("resolver_lookup_cache.expiration", "64800"),
    ("sql_data_model_version", "4.0.0.0"),
    ("totp.timeShift", "0"),
    ("totp.timeStep", "30"),
    ("totp.timeWindow", "300"),
    ("user_lookup_cache.enabled", "False"),
    ("user_lookup_cache.expiration", "64800"),
];

/// Fills an empty cluster: settings, the admin realm with its resolver, the first administrator, the secrets all nodes
/// share. A cluster that was filled before is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bootstrap {
    /// Login and password of the first administrator.
    pub admin: Option<(String, SecretText)>,
}

impl Request for Bootstrap {
    /// Whether anything was done.
    type Reply = bool;
    const AUDITED: bool = false;

    fn decide(&self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        if cx.view.get(&Key::ClusterSecret(SIGNING_KEY.into())).is_some() {
            return Ok(false);
        }
        if let Some((login, password)) = &self.admin {
            put_admin(cx, login, password)?;
        }
        for (key, value) in SETTINGS {
            set_plain(cx, key, value);
        }
        let resolver = ResolverV1 { kind: ResolverKind::Sql, parameters: Default::default(), readonly: true };
        cx.view.put(
            Key::Resolver(ResolverName::from(LOCAL_ADMIN_RESOLVER)),
            Record::Resolver(Arc::new(resolver)),
        );
        let realm = RealmV1 { resolvers: vec![spec(ResolverKind::Sql, LOCAL_ADMIN_RESOLVER)] };
        cx.view.put(Key::Realm(RealmName::from(ADMIN_REALM)), Record::Realm(Arc::new(realm)));
        let signing_key: [u8; 32] = cx.random.bytes();
        put_cluster_secret(cx, SIGNING_KEY, &signing_key)?;
        put_cluster_secret(cx, KEY_CHECK, KEY_CHECK_TEXT)?;
        stamp(cx);
        Ok(true)
    }
}

fn put_admin(cx: &mut Context<'_>, login: &str, password: &SecretText) -> Result<(), Stop> {
    if login.trim().is_empty() || password.expose().is_empty() {
        let problem = "the first administrator needs a login and a password".to_owned();
        return Err(Refusal::InvalidParameter { name: "admin".to_owned(), problem }.into());
    }
    let hash = match cx.ask(Question::HashPassword { password: password.clone() })? {
        Answer::Hash(hash) => hash.clone(),
        Answer::Unavailable(problem) => return Err(Refusal::Other(problem.clone()).into()),
        Answer::User(_)
        | Answer::Users(_)
        | Answer::Verdict(_)
        | Answer::Loaded
        | Answer::Yubico { .. }
        | Answer::Remote(_) => {
            return Err(Stop::Defect(Defect::Answer("a password hash")));
        }
    };
    let nonce = cx.random.bytes();
    let password = cx.facts.keyring.seal(Purpose::Administrator, login, hash.expose().as_bytes(), nonce)?;
    cx.view.put(Key::Admin(AdminLogin::from(login)), Record::Admin(Arc::new(AdminV1 { password })));
    Ok(())
}

pub(super) fn put_cluster_secret(cx: &mut Context<'_>, name: &str, secret: &[u8]) -> Result<(), Stop> {
    let nonce = cx.random.bytes();
    let secret = cx.facts.keyring.seal(Purpose::Cluster, name, secret, nonce)?;
    cx.view.put(Key::ClusterSecret(name.into()), Record::ClusterSecret(Arc::new(ClusterSecretV1 { secret })));
    Ok(())
}

/// Whether this node holds the cluster's key; a node that does not must not serve. Before the first start is complete
/// there is nothing to compare with.
///
/// # Errors
/// When the key check does not open.
pub fn check_key(state: &dyn StateRead, keyring: &Keyring) -> Result<(), SealError> {
    cluster_secret(state, keyring, KEY_CHECK).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::config::{ConfigView, GetConfig};
    use super::super::sample::root;
    use super::super::session::{AdminLogin as Login, signing_key};
    use super::*;
    use crate::test_state::TestState;

    fn bootstrap() -> Bootstrap {
        Bootstrap { admin: Some(("root".to_owned(), SecretText::from("toor"))) }
    }

    fn settings(state: &mut TestState) -> std::collections::BTreeMap<String, String> {
        match state.run(&GetConfig::default()).unwrap() {
            ConfigView::All(all) => all,
            ConfigView::One(..) => panic!("one entry instead of all"),
        }
    }

    #[test]
    fn the_first_administrator_can_log_in() {
        let mut state = TestState::new();
        assert_eq!(state.run(&bootstrap()), Ok(true));
        let password = SecretText::from("toor");
        assert_eq!(state.run(&Login { login: "root".to_owned(), password }), Ok(Some(root())));
    }

    /// Values of reference http-api 23, column "New", and users 1.
    #[test]
    fn a_new_cluster_has_the_settings_of_a_new_installation() {
        let mut state = TestState::new();
        state.run(&bootstrap()).unwrap();
        let all = settings(&mut state);
        for (key, value) in [
            ("DefaultMaxFailCount", "10"),
            ("DefaultSyncWindow", "1000"),
            ("DefaultResetFailCount", "True"),
            ("AutoResyncTimeout", "240"),
            ("totp.timeWindow", "300"),
            ("EmailChallengeValidityTime", "600"),
            ("user_lookup_cache.expiration", "64800"),
            ("sql_data_model_version", "4.0.0.0"),
            ("Config", "2026-11-21 20:30:00.000000"),
            (
                "useridresolver.group.linotp_admins",
                "useridresolver.SQLIdResolver.IdResolver.LinOTP_local_admins",
            ),
        ] {
            assert_eq!(all.get(key).map(String::as_str), Some(value), "{key}");
        }
        assert!(!all.contains_key("DefaultRealm"));
    }

    #[test]
    fn a_second_start_changes_nothing() {
        let mut state = TestState::new();
        state.run(&bootstrap()).unwrap();
        let key = signing_key(&state, &state.keyring).unwrap();
        state.set("DefaultOtpLen", "8");
        let again = Bootstrap { admin: Some(("other".to_owned(), SecretText::from("x"))) };
        assert!(state.decide(&again).txn.writes.is_empty());
        assert_eq!(state.run(&again), Ok(false));
        assert_eq!(signing_key(&state, &state.keyring).unwrap(), key);
        assert_eq!(settings(&mut state)["DefaultOtpLen"], "8");
    }

    #[test]
    fn an_administrator_needs_login_and_password() {
        for (login, password) in [("", "x"), (" ", "x"), ("root", "")] {
            let mut state = TestState::new();
            let request = Bootstrap { admin: Some((login.to_owned(), SecretText::from(password))) };
            assert!(matches!(state.run(&request), Err(Refusal::InvalidParameter { .. })));
            assert_eq!(state.run(&Bootstrap::default()), Ok(true));
        }
    }

    #[test]
    fn a_node_with_another_key_notices() {
        let mut state = TestState::new();
        assert_eq!(check_key(&state, &state.keyring), Ok(()));
        state.run(&Bootstrap::default()).unwrap();
        assert_eq!(check_key(&state, &state.keyring), Ok(()));
        let other = Keyring::new(state.keyring.active(), &[9; 32]);
        assert_eq!(check_key(&state, &other), Err(SealError::Damaged(other.active())));
    }
}
