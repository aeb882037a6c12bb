//! A small in-memory state for tests: applies transactions with the semantics the store promises, and answers questions
//! from a directory of users. Compiled into the unit tests and, by path, into the integration tests.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use tessera_core::audit::AuditRowV1;
use tessera_core::configuration::Configuration;
use tessera_core::decide::{Request, decide};
use tessera_core::decision::{Decision, Refusal, Step};
use tessera_core::facts::{Answer, Caller, Facts, Question};
use tessera_core::record::{
    IndexKey, Key, RealmV1, Record, ResolverKind, ResolverV1, SettingV1, SettingValue, TokenV1, UsageV1,
};
use tessera_core::secret::{KeyId, Keyring, SecretText};
use tessera_core::time::UnixMillis;
use tessera_core::txn::{Dependency, HistoryRow, Outcome, Revision, Txn};
use tessera_core::user::{RealmName, ResolverName, ResolverSpec, Serial, SettingKey, UserEntry, UserId};
use tessera_core::view::{ScanStep, Slot, StateRead};

/// A user of the test directory.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryUser {
    pub(crate) resolver: ResolverSpec,
    pub(crate) entry: Arc<UserEntry>,
    pub(crate) password: String,
}

/// The state, and everything a decision is given beside it.
#[derive(Debug)]
pub(crate) struct TestState {
    slots: BTreeMap<Key, Slot>,
    indexes: BTreeMap<IndexKey, (Revision, BTreeSet<Key>)>,
    revision: u64,
    created: u64,
    time: UnixMillis,
    entropy: u64,
    /// All committed audit rows.
    pub(crate) audit: Vec<AuditRowV1>,
    /// The clock of the next decision.
    pub(crate) now: UnixMillis,
    pub(crate) keyring: Keyring,
    pub(crate) caller: Caller,
    /// Answers user questions.
    pub(crate) directory: Vec<DirectoryUser>,
    /// Answers that win over the directory.
    pub(crate) answers: Vec<(Question, Answer)>,
    /// Resolvers that do not answer.
    pub(crate) unavailable: BTreeSet<ResolverSpec>,
    /// All questions asked, in order; each once per request.
    pub(crate) asked: Vec<Question>,
}

impl Default for TestState {
    fn default() -> Self {
        Self::new()
    }
}

impl StateRead for TestState {
    fn record(&self, key: &Key) -> Option<Slot> {
        self.slots.get(key).cloned()
    }

    fn index(&self, index: &IndexKey) -> (Revision, Vec<Key>) {
        match self.indexes.get(index) {
            Some((revision, members)) => (*revision, members.iter().cloned().collect()),
            None => (Revision(0), Vec::new()),
        }
    }

    fn index_revision(&self, index: &IndexKey) -> Revision {
        self.indexes.get(index).map_or(Revision(0), |(revision, _)| *revision)
    }

    fn index_len(&self, index: &IndexKey) -> usize {
        self.indexes.get(index).map_or(0, |(_, members)| members.len())
    }

    fn scan(&self, from: &Key, step: ScanStep<'_>) {
        for (key, slot) in self.slots.range(from..) {
            if let ControlFlow::Break(()) = step(key, slot) {
                return;
            }
        }
    }

    fn time(&self) -> UnixMillis {
        self.time
    }
}

#[allow(dead_code, reason = "each of the test binaries this file is compiled into uses a part of it")]
impl TestState {
    /// An empty state at 2026-11-21T20:30:00Z.
    pub(crate) fn new() -> Self {
        Self {
            slots: BTreeMap::new(),
            indexes: BTreeMap::new(),
            revision: 0,
            created: 0,
            time: UnixMillis(0),
            entropy: 0,
            audit: Vec::new(),
            now: UnixMillis::from_seconds(1_795_293_000),
            keyring: Keyring::new(KeyId(1), &[7; 32]),
            caller: Caller {
                client: "192.0.2.7".to_owned(),
                server: "node1".to_owned(),
                action: "validate/check".to_owned(),
                administrator: None,
                request_id: String::new(),
            },
            directory: Vec::new(),
            answers: Vec::new(),
            unavailable: BTreeSet::new(),
            asked: Vec::new(),
        }
    }

    /// A state with the default realm `corp` (resolver `staff`) and the realm `lab` (resolver `guests`), and the users
    /// alice (u1), bob (u2) in `staff` and carol (u3) in `guests`, whose passwords are `<login>-password`.
    pub(crate) fn with_users() -> Self {
        let mut state = Self::new();
        state.add_realm("corp", &["staff"]);
        state.add_realm("lab", &["guests"]);
        state.set("DefaultRealm", "corp");
        for (resolver, login, id) in
            [("staff", "alice", "u1"), ("staff", "bob", "u2"), ("guests", "carol", "u3")]
        {
            state.add_user(resolver, login, id);
        }
        state
    }

    /// The specification under which [`Self::add_realm`] knows a resolver.
    pub(crate) fn spec(resolver: &str) -> ResolverSpec {
        ResolverSpec::from(format!("useridresolver.PasswdIdResolver.IdResolver.{resolver}"))
    }

    /// Stores a realm, and its resolvers if they do not exist.
    pub(crate) fn add_realm(&mut self, realm: &str, resolvers: &[&str]) {
        for name in resolvers {
            let definition =
                ResolverV1 { kind: ResolverKind::Passwd, parameters: BTreeMap::new(), readonly: false };
            self.put(Key::Resolver(ResolverName::from(*name)), Record::Resolver(Arc::new(definition)));
        }
        let realm_record = RealmV1 { resolvers: resolvers.iter().map(|name| Self::spec(name)).collect() };
        self.put(Key::Realm(RealmName::from(realm)), Record::Realm(Arc::new(realm_record)));
    }

    /// Adds a user whose password is `<login>-password`.
    pub(crate) fn add_user(&mut self, resolver: &str, login: &str, id: &str) {
        let mut attributes = BTreeMap::new();
        attributes.insert("username".to_owned(), login.to_owned());
        attributes.insert("userid".to_owned(), id.to_owned());
        let entry = Arc::new(UserEntry { user_id: UserId::from(id), login: login.to_owned(), attributes });
        self.directory.push(DirectoryUser {
            resolver: Self::spec(resolver),
            entry,
            password: format!("{login}-password"),
        });
    }

    /// Stores an entry of the system configuration.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let setting =
            SettingV1 { value: SettingValue::Plain(value.into()), kind: "".into(), description: "".into() };
        self.put(Key::Setting(SettingKey::from(key)), Record::Setting(Arc::new(setting)));
    }

    /// Stores a record outside of any request.
    pub(crate) fn put(&mut self, key: Key, record: Record) {
        self.write(vec![(key, Some(record))]);
    }

    /// Removes a record outside of any request.
    pub(crate) fn delete(&mut self, key: Key) {
        self.write(vec![(key, None)]);
    }

    fn write(&mut self, writes: Vec<(Key, Option<Record>)>) {
        let txn = Txn { now: self.now, writes, ..Txn::default() };
        assert!(
            matches!(self.apply(txn), Outcome::Committed(_)),
            "a transaction without expectations conflicts"
        );
    }

    /// A token's definition.
    #[track_caller]
    pub(crate) fn token(&self, serial: &str) -> Arc<TokenV1> {
        match self.record(&Key::Token(Serial::from(serial))) {
            Some(Slot { record: Record::Token(token), .. }) => token,
            other => panic!("no token {serial}: {other:?}"),
        }
    }

    /// A token's usage; the default one if it was never used.
    pub(crate) fn usage(&self, serial: &str) -> Arc<UsageV1> {
        match self.record(&Key::Usage(Serial::from(serial))) {
            Some(Slot { record: Record::Usage(usage), .. }) => usage,
            _ => Arc::default(),
        }
    }

    /// Changes a token's definition outside of any request.
    #[track_caller]
    pub(crate) fn change_token(&mut self, serial: &str, change: impl FnOnce(&mut TokenV1)) {
        let mut token = self.token(serial);
        change(Arc::make_mut(&mut token));
        self.put(Key::Token(Serial::from(serial)), Record::Token(token));
    }

    /// Changes a token's usage outside of any request.
    pub(crate) fn change_usage(&mut self, serial: &str, change: impl FnOnce(&mut UsageV1)) {
        let mut usage = self.usage(serial);
        change(Arc::make_mut(&mut usage));
        self.put(Key::Usage(Serial::from(serial)), Record::Usage(usage));
    }

    /// The audit row of the last request.
    #[track_caller]
    pub(crate) fn last_audit(&self) -> &AuditRowV1 {
        self.audit.last().expect("nothing was audited")
    }

    /// Decides a request and commits it.
    #[track_caller]
    pub(crate) fn run<R: Request>(&mut self, request: &R) -> Result<R::Reply, Refusal> {
        let Decision { reply, txn, .. } = self.decide(request);
        let outcome = self.apply(txn);
        assert!(
            matches!(outcome, Outcome::Committed(_)),
            "a decision on the newest state conflicts: {outcome:?}"
        );
        reply
    }

    /// Decides a request without committing it, answering its questions.
    #[track_caller]
    pub(crate) fn decide<R: Request>(&mut self, request: &R) -> Decision<R::Reply> {
        let mut answers: Vec<(Question, Answer)> = Vec::new();
        self.entropy += 1;
        let mut entropy = [0; 32];
        entropy[..8].copy_from_slice(&self.entropy.to_be_bytes());
        let configuration = Arc::new(Configuration::load(self));
        loop {
            let facts = Facts {
                now: self.now,
                entropy: &entropy,
                keyring: &self.keyring,
                caller: &self.caller,
                answers: &answers,
            };
            match decide(self, configuration.clone(), facts, request) {
                Step::Done(decision) => return decision,
                Step::Defect(defect) => panic!("defect: {defect}"),
                Step::Ask(question) => {
                    assert!(answers.iter().all(|(asked, _)| *asked != question), "asked twice: {question:?}");
                    self.asked.push(question.clone());
                    let answer = self.answer(&question);
                    answers.push((question, answer));
                }
            }
        }
    }

    fn answer(&self, question: &Question) -> Answer {
        if let Some((_, answer)) = self.answers.iter().find(|(prepared, _)| prepared == question) {
            return answer.clone();
        }
        let down = |spec: &ResolverSpec| self.unavailable.contains(spec);
        let user_where = |spec: &ResolverSpec, matches: &dyn Fn(&DirectoryUser) -> bool| {
            self.directory.iter().find(|user| user.resolver == *spec && matches(user))
        };
        match question {
            Question::UserByLogin { resolver, .. }
            | Question::UserById { resolver, .. }
            | Question::CheckPassword { resolver, .. }
            | Question::SearchUsers { resolver, .. }
            | Question::LoadResolver { resolver }
                if down(&resolver.spec) =>
            {
                Answer::Unavailable(format!("resolver {} does not answer", resolver.spec))
            }
            Question::UserByLogin { resolver, login } => Answer::User(
                user_where(&resolver.spec, &|user| user.entry.login == *login).map(|u| u.entry.clone()),
            ),
            Question::UserById { resolver, user_id } => Answer::User(
                user_where(&resolver.spec, &|user| user.entry.user_id == *user_id).map(|u| u.entry.clone()),
            ),
            Question::CheckPassword { resolver, user_id, password } => Answer::Verdict(
                user_where(&resolver.spec, &|user| user.entry.user_id == *user_id)
                    .is_some_and(|user| user.password == password.expose()),
            ),
            Question::SearchUsers { resolver, .. } => Answer::Users(
                self.directory
                    .iter()
                    .filter(|user| user.resolver == resolver.spec)
                    .map(|user| user.entry.clone())
                    .collect(),
            ),
            Question::LoadResolver { .. } => Answer::Loaded,
            Question::VerifyPasswordHash { hash, password } => {
                Answer::Verdict(hash.expose() == format!("hash of {}", password.expose()))
            }
            Question::HashPassword { password } => {
                Answer::Hash(SecretText::new(format!("hash of {}", password.expose())))
            }
            Question::ValidateYubico { .. } | Question::AskServer { .. } => {
                Answer::Unavailable("no server answers".to_owned())
            }
        }
    }

    /// Applies a transaction if everything it expects still holds.
    pub(crate) fn apply(&mut self, txn: Txn) -> Outcome {
        for expected in &txn.expects {
            let current = match &expected.dependency {
                Dependency::Record(key) => self.slots.get(key).map_or(Revision(0), |slot| slot.revision),
                Dependency::Index(index) => self.index_revision(index),
            };
            if current != expected.revision {
                return Outcome::Conflict(expected.dependency.clone(), current);
            }
        }
        self.time = self.time.max(txn.now);
        if !txn.writes.is_empty() {
            self.revision += 1;
        }
        for (key, record) in txn.writes {
            self.store(key, record);
        }
        self.audit.extend(txn.history.into_iter().map(|HistoryRow::Audit(row)| row));
        Outcome::Committed(Revision(self.revision))
    }

    fn store(&mut self, key: Key, record: Option<Record>) {
        let revision = Revision(self.revision);
        let before = self.slots.get(&key).cloned();
        let indexes_of = |record: &Record| record.indexes(&key).into_iter().collect::<BTreeSet<_>>();
        let left = before.as_ref().map(|slot| indexes_of(&slot.record)).unwrap_or_default();
        let entered = record.as_ref().map(indexes_of).unwrap_or_default();
        for index in left.difference(&entered) {
            let (at, members) = self.indexes.get_mut(index).expect("a member's index exists");
            members.remove(&key);
            *at = revision;
            if members.is_empty() {
                self.indexes.remove(index);
            }
        }
        for index in entered.iter().filter(|index| !left.contains(*index) || index.follows_content()) {
            let (at, members) = self.indexes.entry(index.clone()).or_default();
            members.insert(key.clone());
            *at = revision;
        }
        match record {
            Some(record) => {
                let created = before.map_or_else(
                    || {
                        self.created += 1;
                        self.created
                    },
                    |slot| slot.created,
                );
                self.slots.insert(key, Slot { revision, created, record });
            }
            None => {
                self.slots.remove(&key);
            }
        }
    }
}
