//! What policies cost one `/validate/check`: all its look-ups, with 1,000 policies in the store.
//! `cargo bench -p tessera-benches --bench policies`. The limit is 20 microseconds.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark stops at the first surprise")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use tessera_core::decision::Stop;
use tessera_core::policy::catalogue::authentication::{
    FORWARD_ON_NO_TOKEN, FORWARD_SERVER, OTPPIN, PASS_ON_NO_TOKEN, PASSTHRU,
};
use tessera_core::policy::catalogue::authorization::{
    AUTHORIZE, DETAIL_ON_FAIL, DETAIL_ON_SUCCESS, SERIAL, SETREALM, TOKENTYPE,
};
use tessera_core::policy::condition::time::Moment;
use tessera_core::policy::{Directory, Identity, PolicySet, Subject};
use tessera_core::record::PolicyV1;
use tessera_core::time::UnixMillis;
use tessera_core::user::{PolicyName, UserEntry};

const POLICIES: usize = 1000;

/// No condition of these policies asks a user store.
struct Nobody;

impl Directory for Nobody {
    fn find(&mut self, _: &str, _: &str) -> Result<Option<Arc<UserEntry>>, Stop> {
        Ok(None)
    }
}

/// Scope, action, user, realm, client of the policy with a number.
type Rule = fn(usize) -> (&'static str, String, String, String, String);

fn set(rule: Rule) -> PolicySet {
    PolicySet::compile((0..POLICIES).map(|n| {
        let (scope, action, user, realm, client) = rule(n);
        let record = PolicyV1 {
            active: "True".into(),
            scope: scope.into(),
            action: action.into(),
            realm: realm.into(),
            user: user.into(),
            client: client.into(),
            time: "".into(),
        };
        (PolicyName::from(format!("policy_{n}")), Arc::new(record))
    }))
}

/// A bank with a hundred branches: each has ten policies of its own realm.
fn branches(n: usize) -> (&'static str, String, String, String, String) {
    let (scope, action) = [
        ("authentication", "otppin=1"),
        ("authentication", "passthru"),
        ("authentication", "challenge_response=hmac"),
        ("authorization", "authorize"),
        ("authorization", "tokentype=hmac totp"),
        ("authorization", "detail_on_fail"),
        ("enrollment", "maxtoken=3, tokencount=100"),
        ("selfservice", "enrollHMAC, reset, setOTPPIN"),
        ("admin", "enable, disable, reset"),
        ("authentication", "smstext=\"Code <otp>\", sms_provider=A B"),
    ][n % 10];
    let realm = format!("branch{}", n / 10);
    (scope, action.to_owned(), "*".to_owned(), realm, "10.0.0.0/8, -10.1.1.1".to_owned())
}

/// The worst that is likely: every policy is about the same action in the same realm, for one user each.
fn users(n: usize) -> (&'static str, String, String, String, String) {
    ("authentication", "otppin=1".to_owned(), format!("user{n}"), "branch42".to_owned(), "*".to_owned())
}

/// As before, with an expression for each policy.
fn expressions(n: usize) -> (&'static str, String, String, String, String) {
    let user = format!("[a-z]+\\.name{n}");
    ("authentication", "otppin=1".to_owned(), user, "branch42".to_owned(), "*".to_owned())
}

/// The look-ups of one login.
fn validate(set: &PolicySet, subject: &Subject<'_>) -> usize {
    let mut found = 0;
    for text in [&SETREALM, &FORWARD_SERVER, &TOKENTYPE, &SERIAL] {
        found += usize::from(set.value(text, subject, &mut Nobody).unwrap().is_some());
    }
    for switch in [&FORWARD_ON_NO_TOKEN, &PASS_ON_NO_TOKEN] {
        found += usize::from(set.value(switch, subject, &mut Nobody).unwrap().is_some());
    }
    found += usize::from(set.value(&OTPPIN, subject, &mut Nobody).unwrap().is_some());
    for present in [&AUTHORIZE, &PASSTHRU, &DETAIL_ON_SUCCESS, &DETAIL_ON_FAIL] {
        found += usize::from(set.is_set(present.scope, present.name, subject, &mut Nobody).unwrap());
    }
    found
}

fn policies(c: &mut Criterion) {
    let who = Identity { login: "user500", realm: Some("branch42"), resolver: Some("staff"), entry: None };
    let subject = Subject {
        user: Some(who),
        realm: Some("branch42"),
        client: Some(IpAddr::V4(Ipv4Addr::new(10, 2, 3, 4))),
        moment: Some(Moment::of(UnixMillis(1_795_293_000_000))),
    };
    let mut group = c.benchmark_group("look-ups of one login, 1,000 policies");
    let rules: [(&str, Rule); 3] = [
        ("ten for each realm", branches),
        ("one for each user", users),
        ("one expression each", expressions),
    ];
    for (name, rule) in rules {
        let set = set(rule);
        group.bench_function(name, |b| b.iter(|| validate(black_box(&set), black_box(&subject))));
    }
    group.finish();
    c.bench_function("compile 1,000 policies", |b| b.iter(|| set(black_box(branches))));
}

criterion_group!(benches, policies);
criterion_main!(benches);
