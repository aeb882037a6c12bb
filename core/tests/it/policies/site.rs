//! The fixture of reference policies 11.0: realms r1 (default), r2 and r12, the users hans, eva and max, hans's token H1.

use std::sync::Arc;

use tessera_core::decide::enroll::Init;
use tessera_core::decide::policy::SetPolicy;
use tessera_core::decide::user::UserParams;
use tessera_core::decide::validate::{ChallengeReply, Check, CheckSerial, Verdict};
use tessera_core::decision::Refusal;
use tessera_core::facts::{Administrator, Question};
use tessera_core::record::{AdminV1, Key, Record, ResolverKind, ResolverV1};
use tessera_core::secret::{Purpose, SecretText};
use tessera_core::user::{AdminLogin, ResolverName};

use crate::state::TestState;
use crate::tokens::{RFC_SEED, init};

/// The OTPs of H1 (RFC 4226 appendix D, then `oathtool -c 10 -w 1`).
pub(super) const O: [&str; 12] = [
    "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489",
    "403154", "481090",
];

/// A policy of a case.
#[derive(Clone, Copy, Debug)]
pub(super) struct P<'a> {
    name: &'a str,
    scope: &'a str,
    action: &'a str,
    user: &'a str,
    realm: &'a str,
    client: &'a str,
    time: &'a str,
    active: &'a str,
}

/// `P: action`: active, scope authentication, for everybody.
pub(super) const fn p(action: &str) -> P<'_> {
    P {
        name: "P",
        scope: "authentication",
        action,
        user: "*",
        realm: "*",
        client: "*",
        time: "",
        active: "True",
    }
}

impl<'a> P<'a> {
    pub(super) const fn named(self, name: &'a str) -> Self {
        Self { name, ..self }
    }

    pub(super) const fn scope(self, scope: &'a str) -> Self {
        Self { scope, ..self }
    }

    pub(super) const fn user(self, user: &'a str) -> Self {
        Self { user, ..self }
    }

    pub(super) const fn realm(self, realm: &'a str) -> Self {
        Self { realm, ..self }
    }

    pub(super) const fn client(self, client: &'a str) -> Self {
        Self { client, ..self }
    }

    pub(super) const fn time(self, time: &'a str) -> Self {
        Self { time, ..self }
    }

    pub(super) const fn inactive(self) -> Self {
        Self { active: "False", ..self }
    }

    pub(super) fn request(self) -> SetPolicy {
        let some = |text: &str| Some(text.to_owned());
        SetPolicy {
            name: some(self.name),
            action: some(self.action),
            scope: some(self.scope),
            realm: some(self.realm),
            user: some(self.user),
            client: some(self.client),
            time: some(self.time),
            active: some(self.active),
            enforce: false,
        }
    }
}

/// A state in which cases play.
pub(super) struct Site {
    pub(super) state: TestState,
}

impl Site {
    pub(super) fn new() -> Self {
        let mut state = TestState::new();
        state.add_realm("r1", &["res1"]);
        state.add_realm("r2", &["res2"]);
        state.add_realm("r12", &["res1", "res2"]);
        state.set("DefaultRealm", "r1");
        state.set("policy_action_validation", "True");
        state.caller.client = "127.0.0.1".to_owned();
        let mut site = Self { state };
        site.add_user("res1", "hans", &[("mobile", "+49 170 111"), ("email", "hans@example.org")]);
        site.add_user("res1", "eva", &[]);
        site.add_user("res2", "max", &[]);
        site.enroll("H1", "1234", "hans", "");
        site.as_admin("superadmin");
        site
    }

    /// Requests come from this administrator from now on; it exists in the resolver `local_admins`.
    pub(super) fn as_admin(&mut self, login: &str) -> &mut Self {
        let spec = "useridresolver.SQLIdResolver.IdResolver.LinOTP_local_admins";
        let resolver = ResolverV1 { kind: ResolverKind::Sql, parameters: Default::default(), readonly: true };
        let name = ResolverName::from("LinOTP_local_admins");
        self.state.put(Key::Resolver(name), Record::Resolver(resolver.into()));
        let password = self.state.keyring.seal(Purpose::Administrator, login, b"hash", [1; 12]).unwrap();
        self.state.put(Key::Admin(AdminLogin::from(login)), Record::Admin(AdminV1 { password }.into()));
        self.state.caller.administrator = Some(Administrator {
            login: login.to_owned(),
            realm: "linotp_admins".to_owned(),
            resolver: spec.into(),
        });
        self
    }

    /// Adds a user whose password is `pw-<login>`.
    pub(super) fn add_user(&mut self, resolver: &str, login: &str, attributes: &[(&str, &str)]) {
        self.state.add_user(resolver, login, &format!("id-{login}"));
        let user = self.state.directory.last_mut().unwrap();
        user.password = format!("pw-{login}");
        let entry = Arc::make_mut(&mut user.entry);
        for (name, value) in attributes {
            entry.attributes.insert((*name).to_owned(), (*value).to_owned());
        }
    }

    /// Enrols an event-based token with the seed of H1.
    #[track_caller]
    pub(super) fn enroll(&mut self, serial: &str, pin: &str, user: &str, realm: &str) {
        self.init(&init_request(serial, pin, user, realm)).unwrap();
    }

    pub(super) fn init(&mut self, request: &Init) -> Result<String, Refusal> {
        let action = std::mem::replace(&mut self.state.caller.action, "admin/init".to_owned());
        let enrolled = self.state.run(request);
        self.state.caller.action = action;
        enrolled.map(|enrolled| enrolled.serial.to_string())
    }

    /// Stores a policy, which has to be accepted.
    #[track_caller]
    pub(super) fn policy(&mut self, policy: P<'_>) -> &mut Self {
        self.set(policy).unwrap_or_else(|refusal| panic!("{policy:?}: {refusal}"));
        self
    }

    pub(super) fn set(&mut self, policy: P<'_>) -> Result<String, Refusal> {
        self.state.run(&policy.request())
    }

    pub(super) fn from(&mut self, client: &str) -> &mut Self {
        self.state.caller.client = client.to_owned();
        self
    }

    pub(super) fn verdict(&mut self, user: &str, pass: &str) -> Verdict {
        self.state.run(&request(user, pass)).unwrap()
    }

    /// `check(user, pass)`, and that the audit trail says the same.
    #[track_caller]
    pub(super) fn check(&mut self, user: &str, pass: &str, accepted: bool) -> &mut Self {
        let verdict = self.verdict(user, pass);
        let row = self.state.last_audit();
        assert_eq!(verdict.accepted, accepted, "{user} {pass}: {} {}", row.action_detail, row.info);
        assert_eq!(row.success, accepted, "{user} {pass}");
        self
    }

    /// A check that opens one challenge; its id.
    #[track_caller]
    pub(super) fn challenge(&mut self, request: &Check) -> String {
        let verdict = self.state.run(request).unwrap();
        assert!(!verdict.accepted);
        match verdict.challenge {
            Some(ChallengeReply::One(token)) => token.transaction_id.to_string(),
            other => panic!("{request:?}: {other:?}, {}", self.reason()),
        }
    }

    /// A check that is refused without a challenge.
    #[track_caller]
    pub(super) fn no_challenge(&mut self, request: &Check) -> &mut Self {
        let verdict = self.state.run(request).unwrap();
        assert_eq!((verdict.accepted, &verdict.challenge), (false, &None), "{request:?}");
        self
    }

    pub(super) fn check_s(&mut self, serial: &str, pass: &str) -> Result<bool, Refusal> {
        let request = CheckSerial {
            serial: Some(serial.to_owned()),
            pass: Some(SecretText::from(pass)),
            ..CheckSerial::default()
        };
        self.state.run(&request).map(|verdict| verdict.accepted)
    }

    /// The fail counter of a token.
    pub(super) fn failures(&self, serial: &str) -> u32 {
        self.state.usage(serial).fail_count
    }

    /// The reason in the audit trail.
    pub(super) fn reason(&self) -> &str {
        &self.state.last_audit().action_detail
    }

    /// How often the user store was asked for a password.
    pub(super) fn password_questions(&self) -> usize {
        let is_password = |question: &&Question| matches!(question, Question::CheckPassword { .. });
        self.state.asked.iter().filter(is_password).count()
    }
}

pub(super) fn request(user: &str, pass: &str) -> Check {
    Check { user: UserParams::login(user), pass: Some(SecretText::from(pass)), ..Check::default() }
}

/// The same with an answer to a transaction.
pub(super) fn answer(user: &str, pass: &str, transaction: &str) -> Check {
    Check { transaction_id: Some(transaction.to_owned()), ..request(user, pass) }
}

/// The same with a further parameter.
pub(super) fn with_option(check: Check, name: &str, value: &str) -> Check {
    let mut options = check.options.clone();
    options.insert(name.to_owned(), value.to_owned());
    Check { options, ..check }
}

pub(super) fn init_request(serial: &str, pin: &str, user: &str, realm: &str) -> Init {
    let user = UserParams { user: user.to_owned(), realm: Some(realm.to_owned()), res_conf: None };
    Init { user, ..init(serial, RFC_SEED, pin, "") }
}
