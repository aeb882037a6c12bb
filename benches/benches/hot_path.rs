//! The hot path of a login, piece by piece: HOTP and TOTP over a window, opening a seed, the decision for one user, and
//! applying its transaction to a state of 100,000 tokens. `cargo bench -p tessera-benches --bench hot_path`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark stops at the first surprise")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tessera_core::algo::hotp::Hotp;
use tessera_core::configuration::Configuration;
use tessera_core::decide::enroll::{Init, SeedSource};
use tessera_core::decide::user::UserParams;
use tessera_core::decide::validate::Check;
use tessera_core::decide::{Request, decide};
use tessera_core::decision::{Decision, Step};
use tessera_core::facts::{Answer, Caller, Facts, Question};
use tessera_core::record::{HashAlgorithm, Key, RealmV1, Record, ResolverKind, ResolverV1};
use tessera_core::secret::{KeyId, Keyring, Purpose, SecretText};
use tessera_core::time::UnixMillis;
use tessera_core::txn::{Outcome, Txn, TxnId};
use tessera_core::user::{ResolverSpec, UserEntry};
use tessera_raft::batch::{Command, CommandReply};
use tessera_raft::state::State;

const NOW: UnixMillis = UnixMillis(1_795_293_000_000);
const SEED: &str = "3132333435363738393031323334353637383930";
const RESOLVER: &str = "useridresolver.PasswdIdResolver.IdResolver.file";
const TOKENS: u64 = 100_000;

/// A state with tokens, and what a decision is given beside it.
struct Bench {
    state: State,
    keyring: Keyring,
    caller: Caller,
    sequence: u64,
}

fn answer(question: &Question) -> Answer {
    let Question::UserByLogin { login, .. } = question else { panic!("unexpected question {question:?}") };
    Answer::User(Some(Arc::new(UserEntry {
        user_id: login.as_str().into(),
        login: login.clone(),
        attributes: BTreeMap::new(),
    })))
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            state: State::default(),
            keyring: Keyring::new(KeyId(1), &[7; 32]),
            caller: Caller { action: "validate/check".to_owned(), ..Caller::default() },
            sequence: 0,
        };
        let open = Command::OpenSession { node: 1, incarnation: [1; 16] };
        assert_eq!(bench.state.apply(NOW, open, &mut Vec::new()), CommandReply::Session(1));
        let resolver =
            ResolverV1 { kind: ResolverKind::Passwd, parameters: BTreeMap::new(), readonly: false };
        let realm = RealmV1 { resolvers: vec![ResolverSpec::from(RESOLVER)] };
        let writes = vec![
            (Key::Realm("bench".into()), Some(Record::Realm(Arc::new(realm)))),
            (Key::Resolver("file".into()), Some(Record::Resolver(Arc::new(resolver)))),
        ];
        bench.commit(Txn { writes, ..Txn::default() });
        for n in 0..TOKENS {
            let decision = bench.decide(&Init {
                serial: Some(format!("B{n}")),
                seed: SeedSource { given: Some(SecretText::from(SEED)), generate: false },
                user: user(n),
                ..Init::default()
            });
            bench.commit(decision.txn);
        }
        bench
    }

    fn decide<R: Request>(&self, request: &R) -> Decision<R::Reply> {
        let configuration = Arc::new(Configuration::load(&self.state));
        self.decide_with(&configuration, request)
    }

    fn decide_with<R: Request>(&self, configuration: &Arc<Configuration>, request: &R) -> Decision<R::Reply> {
        let mut answers = Vec::new();
        let entropy = [self.sequence.to_le_bytes(), [0; 8], [0; 8], [0; 8]].concat();
        let entropy = entropy.first_chunk::<32>().unwrap();
        loop {
            let facts =
                Facts { now: NOW, entropy, keyring: &self.keyring, caller: &self.caller, answers: &answers };
            match decide(&self.state, configuration.clone(), facts, request) {
                Step::Done(decision) => return decision,
                Step::Ask(question) => {
                    let reply = answer(&question);
                    answers.push((question, reply));
                }
                Step::Defect(defect) => panic!("{defect}"),
            }
        }
    }

    fn command(&mut self, txn: Txn) -> Command {
        self.sequence += 1;
        let id = TxnId { session: 1, sequence: self.sequence };
        Command::Txn { id, acked_below: self.sequence, txn }
    }

    fn commit(&mut self, txn: Txn) {
        let command = self.command(txn);
        let reply = self.state.apply(NOW, command, &mut Vec::new());
        assert!(matches!(reply, CommandReply::Txn(Outcome::Committed(_))), "{reply:?}");
    }
}

fn user(n: u64) -> UserParams {
    UserParams { user: format!("user{n}"), realm: Some("bench".to_owned()), res_conf: None }
}

fn login(n: u64, otp: &str) -> Check {
    Check { user: user(n), pass: Some(SecretText::from(otp)), ..Check::default() }
}

fn arithmetic(c: &mut Criterion) {
    let seed = b"12345678901234567890";
    let mut group = c.benchmark_group("window");
    group.bench_function("HOTP SHA-1, 10 counters", |b| {
        b.iter(|| {
            Hotp::new(black_box(seed), HashAlgorithm::Sha1, 6).unwrap().find(black_box("000000"), 0..10)
        });
    });
    for (name, hash) in [
        ("SHA-1", HashAlgorithm::Sha1),
        ("SHA-256", HashAlgorithm::Sha256),
        ("SHA-512", HashAlgorithm::Sha512),
    ] {
        group.bench_function(format!("TOTP {name}, 20 steps"), |b| {
            b.iter(|| {
                Hotp::new(black_box(seed), hash, 6).unwrap().find(black_box("000000"), 59_843_090..59_843_110)
            });
        });
    }
    group.finish();
    let ring = Keyring::new(KeyId(1), &[7; 32]);
    let sealed = ring.seal(Purpose::Seed, "B1", SEED.as_bytes(), [1; 12]).unwrap();
    let mut group = c.benchmark_group("secret");
    group.bench_function("seal a seed", |b| {
        b.iter(|| ring.seal(Purpose::Seed, "B1", black_box(SEED.as_bytes()), [1; 12]).unwrap());
    });
    group.bench_function("open a seed", |b| {
        b.iter(|| ring.open(Purpose::Seed, "B1", black_box(&sealed)).unwrap());
    });
    group.finish();
}

fn decisions(c: &mut Criterion) {
    let mut bench = Bench::new();
    let configuration = Arc::new(Configuration::load(&bench.state));
    let mut group = c.benchmark_group("decide one user with one token");
    // RFC 4226 appendix D, counter 0; 000000 is none of the first ten values.
    for (name, otp, accepted) in [("right OTP", "755224", true), ("wrong OTP", "000000", false)] {
        let request = login(77, otp);
        assert_eq!(bench.decide(&request).reply.unwrap().accepted, accepted);
        group.bench_function(name, |b| b.iter(|| bench.decide_with(&configuration, black_box(&request))));
    }
    group.finish();
    let mut next = 0;
    c.bench_function("apply one login to 100,000 tokens", |b| {
        b.iter_batched(
            || {
                next = (next + 1) % TOKENS;
                let wrong = bench.decide_with(&configuration, &login(next, "000000"));
                let command = bench.command(wrong.txn);
                (bench.state.clone(), command)
            },
            |(mut state, command)| {
                let mut rows = Vec::with_capacity(1);
                let reply = state.apply(NOW, command, &mut rows);
                (state, reply, rows)
            },
            BatchSize::SmallInput,
        );
    });
    // What a checkpoint costs, beside the requests and without its pauses; apply only clones the state.
    let mut group = c.benchmark_group("checkpoint of 100,000 tokens");
    group.sample_size(10);
    group.bench_function("pin", |b| b.iter(|| black_box(bench.state.clone())));
    group.bench_function("digest", |b| b.iter(|| black_box(bench.state.digest())));
    group.finish();
}

criterion_group!(benches, arithmetic, decisions);
criterion_main!(benches);
