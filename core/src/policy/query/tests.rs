//! Precedence and extraction of values (reference policies 3 and 12.4).

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::policy::catalogue::authentication::{AUTOSMS, OTPPIN, SMSTEXT};
use crate::policy::sample::{People, identity};
use crate::record::PolicyV1;

/// Name, user, realm, client, action.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

fn set_in(scope: &str, rows: &[Row<'_>]) -> PolicySet {
    PolicySet::compile(rows.iter().map(|(name, user, realm, client, action)| {
        let record = PolicyV1 {
            scope: scope.into(),
            action: (*action).into(),
            realm: (*realm).into(),
            user: (*user).into(),
            client: (*client).into(),
            ..PolicyV1::default()
        };
        (PolicyName::from(*name), Arc::new(record))
    }))
}

fn subject<'a>(who: Identity<'a>, client: &str) -> Subject<'a> {
    Subject { user: Some(who), realm: who.realm, client: client.parse().ok(), moment: None }
}

fn names(set: &PolicySet, lookup: &Lookup<'_>, subject: &Subject<'_>, people: &mut People) -> Vec<String> {
    let matches = set.select(lookup, subject, people).unwrap();
    matches.iter().map(|found| found.policy.name.to_string()).collect()
}

const STRICT: Lookup<'static> = Lookup::strict(Scope::Authentication, "autosms");

/// Reference policies 12.4, first part.
#[test]
fn vectors_of_precedence_hold() {
    let set = set_in(
        "authentication",
        &[
            ("P1", "hugo, *", "myrealm", "*", "autosms"),
            ("P2", "hugo, eva", "myrealm", "127.0.0.1", "autosms"),
            ("P3", "hugo, eva", "*", "*", "autosms"),
            ("P4", "anton, eva, *", "myrealm", "127.0.0.1", "autosms"),
            ("P5", "eva, *", "your_realm", "127.0.0.1", "autosms"),
        ],
    );
    let hugo = subject(identity("hugo", "myrealm", "res"), "192.168.178.12");
    assert_eq!(names(&set, &STRICT, &hugo, &mut People::nobody()), ["P1"]);
    let set = set_in(
        "authentication",
        &[("A", "x, *", "myrealm", "*", "autosms"), ("B", "x, *", "myrealm", "127.0.0.1", "autosms")],
    );
    let anton = subject(identity("anton", "myrealm", "res"), "127.0.0.1");
    assert_eq!(names(&set, &STRICT, &anton, &mut People::nobody()), ["B"]);
}

/// The table of reference policies 3.2.
#[test]
fn user_beats_realm_beats_client() {
    for (rows, client, expected) in [
        (vec![("A", "hans", "*", "*"), ("B", "*", "r1", "*")], "10.1.1.1", vec!["A"]),
        (vec![("A", "*", "*", "10.0.0.0/8"), ("B", "*", "r1", "*")], "10.1.1.1", vec!["B"]),
        (vec![("A", "*", "*", "10.0.0.0/8"), ("B", "*", "*", "10.1.1.1")], "10.1.1.1", vec!["A", "B"]),
        (vec![("A", "hans", "*", "*"), ("B", "h*", "*", "*"), ("C", "*", "*", "*")], "10.1.1.1", vec!["A"]),
        (vec![("A", "hans", "*", "*"), ("B", "hans", "*", "10.0.0.0/8")], "10.1.1.1", vec!["B"]),
        (vec![("A", "hans", "*", "*"), ("B", "hans", "*", "10.0.0.0/8")], "192.0.2.1", vec!["A"]),
    ] {
        let rows: Vec<Row<'_>> = rows
            .iter()
            .map(|(name, user, realm, client)| (*name, *user, *realm, *client, "autosms"))
            .collect();
        let set = set_in("authentication", &rows);
        let hans = subject(identity("hans", "r1", "res1"), client);
        assert_eq!(names(&set, &STRICT, &hans, &mut People::nobody()), expected, "{rows:?}");
        let lazy = Lookup { selection: Selection::Lazy, ..STRICT };
        assert!(names(&set, &lazy, &hans, &mut People::nobody()).len() >= expected.len());
    }
}

/// Reference policies 12.4, second part.
#[test]
fn vectors_of_the_selfservice_set_hold() {
    let fields = [
        ("self1", "*"),
        ("self2", "user1"),
        ("self3", "user1"),
        ("self4", "*, user1"),
        ("self5", "*, user1.resolver:"),
        ("self6", "*@realm, *.resolver:, user2, !user1"),
        ("self7", "!*@realm, *.resolver:, user2.resolver:, user1"),
        ("self8", "*, !user1@realm, user2@realm"),
    ];
    let rows: Vec<Row<'_>> = fields.iter().map(|(name, user)| (*name, *user, "*", "*", "reset")).collect();
    let set = set_in("selfservice", &rows);
    let mut people = People::nobody();
    for login in ["user1", "user2", "user3"] {
        people.add("resolver", login, &[]);
    }
    let lookup = Lookup { scope: Scope::Selfservice, action: Some("reset"), ..STRICT };
    for (login, realm, resolver, expected) in [
        ("user1", "realm", "resolver", vec!["self2", "self3", "self4", "self5"]),
        ("user2", "realm", "resolver", vec!["self6", "self8"]),
        ("user3", "realm", "resolver", vec!["self6"]),
        ("user3", "realmx", "resolver", vec!["self6", "self7"]),
    ] {
        let who = subject(identity(login, realm, resolver), "10.1.1.1");
        assert_eq!(names(&set, &lookup, &who, &mut people), expected, "{login}@{realm}");
    }
    let elsewhere = subject(identity("user3", "realmx", "resolverZ"), "10.1.1.1");
    let selected = names(&set, &lookup, &elsewhere, &mut People::nobody());
    assert_eq!(selected, ["self1", "self4", "self5", "self8"]);
}

fn value<T: ActionValue>(set: &PolicySet, action: &Action<T>, subject: &Subject<'_>) -> Option<T> {
    set.value(action, subject, &mut People::nobody()).unwrap().map(|found| found.value)
}

/// Reference policies 3.1 to 3.3, D1, D2.
#[test]
fn values_come_from_the_first_policy_that_has_the_key() {
    use crate::decide::pin::OtpPinMode;
    let set = set_in(
        "authentication",
        &[
            ("A", "*", "*", "*", "*"),
            ("B", "*", "*", "*", "otppin=2"),
            ("C", "*", "*", "*", "otppin=1, !autosms"),
            ("D", "eva", "*", "*", "otppin=3, autosms"),
        ],
    );
    let hans = subject(identity("hans", "r1", "res1"), "10.1.1.1");
    let found = set.value(&OTPPIN, &hans, &mut People::nobody()).unwrap().unwrap();
    assert_eq!((found.value, found.policy.as_str()), (OtpPinMode::OnlyOtp, "B"));
    assert_eq!(found.contradicted_by, Some(PolicyName::from("C")));
    assert_eq!(value(&set, &SMSTEXT, &hans), None, "a star has no value");
    assert_eq!(value(&set, &AUTOSMS, &hans), Some(false));
    let star = set.is_set(Scope::Authentication, "autosms", &hans, &mut People::nobody()).unwrap();
    assert!(star, "a star sets what only has to be present");
    let eva = subject(identity("eva", "r1", "res1"), "10.1.1.1");
    assert_eq!(value(&set, &OTPPIN, &eva), Some(OtpPinMode::IgnorePin));
    let set =
        set_in("authentication", &[("A", "*", "*", "*", "autosms=0"), ("B", "*", "r2", "*", "autosms")]);
    assert!(!set.is_set(Scope::Authentication, "autosms", &hans, &mut People::nobody()).unwrap());
    assert!(set.mentions(Scope::Authentication, "autosms"));
    assert!(!set.mentions(Scope::Authentication, "passthru"));
    let whole = subject(Identity { realm: None, ..identity("hans", "", "res1") }, "");
    assert!(set.is_set(Scope::Authentication, "autosms", &whole, &mut People::nobody()).unwrap());
}

/// D15: what cannot be parsed makes every request fail that reaches it, and no other.
#[test]
fn a_broken_policy_is_never_passed_over() {
    let hans = subject(identity("hans", "r1", "res1"), "10.1.1.1");
    let lookup = |row: Row<'_>| {
        set_in("authentication", &[row]).select(&STRICT, &hans, &mut People::nobody()).is_err()
    };
    assert!(lookup(("A", "*", "*", "*", "smstext=It's")));
    assert!(lookup(("A", "*", "r2", "*", "smstext=It's")));
    assert!(lookup(("A", "*", "r1", "10.1", "autosms")));
    assert!(!lookup(("A", "*", "r2", "10.1", "autosms")));
    assert!(!lookup(("A", "*", "r1", "10.1", "passthru")));
    assert!(lookup(("A", "han[s", "r1", "*", "autosms")));
    let set = set_in("enrollment", &[("A", "*", "*", "*", "maxtoken=many")]);
    let maxtoken = &crate::policy::catalogue::enrollment::MAXTOKEN;
    let Err(Stop::Refuse(refusal)) = set.value(maxtoken, &hans, &mut People::nobody()) else {
        panic!("a value of the wrong type was read");
    };
    assert_eq!(refusal.to_string(), "policy A: the value of maxtoken is many, but int is expected");
}

proptest! {
    /// The order in which policies are written does not matter, inactive ones do not either, and nothing panics.
    #[test]
    fn what_applies_does_not_depend_on_order_or_inactive_policies(
        rows in prop::collection::vec(("[ABCDE]", "[-!]?(\\*|hans|h\\*|eva|r1:|@r1|#mobile)(, ?(\\*|hans|!eva))?",
            "(\\*|r1|r2|-r1)(,(\\*|r1|-r2))?", "(\\*|10\\.1\\.1\\.1|10\\.0\\.0\\.0/8|-10\\.1\\.1\\.1)",
            "(autosms|!autosms|\\*|passthru)(, autosms=1)?"), 0..8),
        sleeping in "[ABCDE][1-9]",
    ) {
        let mut records: Vec<(PolicyName, Arc<PolicyV1>)> = Vec::new();
        for (name, user, realm, client, action) in &rows {
            if records.iter().any(|(earlier, _)| earlier.as_str() == name) {
                continue;
            }
            let record = PolicyV1 {
                scope: "authentication".into(), action: action.as_str().into(), realm: realm.as_str().into(),
                user: user.as_str().into(), client: client.as_str().into(), ..PolicyV1::default()
            };
            records.push((PolicyName::from(name.as_str()), Arc::new(record)));
        }
        let hans = subject(identity("hans", "r1", "res1"), "10.1.1.1");
        let outcome = |set: &PolicySet| {
            set.select(&STRICT, &hans, &mut People::of_the_reference())
                .map(|found| found.iter().map(|found| found.policy.name.clone()).collect::<Vec<_>>())
                .map_err(|stop| format!("{stop:?}"))
        };
        let forward = PolicySet::compile(records.clone());
        records.reverse();
        prop_assert_eq!(outcome(&forward), outcome(&PolicySet::compile(records.clone())));
        let inactive = PolicyV1 {
            active: "False".into(), scope: "authentication".into(), action: "autosms='".into(), ..PolicyV1::default()
        };
        records.push((PolicyName::from(sleeping.as_str()), Arc::new(inactive)));
        prop_assert_eq!(outcome(&forward), outcome(&PolicySet::compile(records)));
    }

    #[test]
    fn no_text_makes_a_policy_panic(texts in prop::array::uniform6("\\PC{0,24}"), scope in prop::sample::select(&Scope::ALL[..])) {
        let [action, user, realm, client, time, file] = texts;
        let record = PolicyV1 {
            active: "".into(), scope: scope.name().into(), action: action.into(), realm: realm.into(),
            user: user.into(), client: client.into(), time: time.into(),
        };
        let set = PolicySet::compile([(PolicyName::from("p"), Arc::new(record))]);
        let hans = subject(identity("hans", "r1", "res1"), "10.1.1.1");
        for action in [None, Some("autosms"), Some("read")] {
            let lookup = Lookup { scope, action, ..STRICT };
            let _ = set.select(&lookup, &hans, &mut People::of_the_reference());
        }
        let _ = crate::policy::exchange::import(&file);
    }
}
