//! Policy administration: reference policies 11.18.

use std::sync::Arc;

use tessera_core::decide::policy::{
    CheckPolicy, Checked, DelPolicy, ExplainPolicy, GetPolicy, GetPolicyDef, ImportPolicy, ListPolicies,
    SetPolicy, SortBy,
};
use tessera_core::decision::Refusal;
use tessera_core::policy::exchange::export;
use tessera_core::policy::query::{Column, Verdict};
use tessera_core::policy::{Policy, Scope};
use tessera_core::txn::Outcome;

use super::cases;
use super::site::{P, Site, p};

const WRITER: P<'static> = p("*").named("W").scope("system").user("superadmin");
const READER: P<'static> = p("read").named("R").scope("system").user("adminR1");

fn delete(site: &mut Site, name: &str, enforce: bool) -> Result<Vec<String>, Refusal> {
    site.state.run(&DelPolicy { name: Some(name.to_owned()), enforce })
}

fn get(site: &mut Site, request: &GetPolicy) -> Vec<Arc<Policy>> {
    site.state.run(request).unwrap()
}

fn names(policies: &[Arc<Policy>]) -> Vec<&str> {
    policies.iter().map(|policy| policy.name.as_str()).collect()
}

fn all() -> GetPolicy {
    GetPolicy { inactive: true, ..GetPolicy::default() }
}

fn import(site: &mut Site, file: &str) -> Result<usize, Refusal> {
    site.state.run(&ImportPolicy { file: Some(file.to_owned()) })
}

/// Names of the policies `checkPolicy` finds.
fn check(site: &mut Site, [user, realm, scope, action, client]: [&str; 5]) -> Vec<String> {
    let some = |text: &str| Some(text.to_owned());
    let request = CheckPolicy {
        user: some(user),
        realm: some(realm),
        scope: some(scope),
        action: some(action),
        client: some(client),
    };
    match site.state.run(&request).unwrap() {
        Checked::Policies(policies) => policies.iter().map(|policy| policy.name.to_string()).collect(),
        Checked::Unrestricted(scope) => panic!("scope {scope} is not restricted"),
    }
}

fn refused(outcome: Result<String, Refusal>, contains: &str) {
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains(contains), "{text}");
}

cases! {
    ad_02(site) {
        let reader = READER.user("admin");
        refused(site.set(reader), "lock");
        assert_eq!(site.state.run(&SetPolicy { enforce: true, ..reader.request() }), Ok("R".to_owned()));
    }

    ad_05(site) {
        site.policy(WRITER).policy(READER);
        assert!(delete(&mut site, "W", false).is_err());
        assert_eq!(delete(&mut site, "W", true), Ok(vec!["W".to_owned()]));
        site.as_admin("adminR1");
        assert_eq!(names(&get(&mut site, &all())), ["R"]);
    }

    ad_06(site) {
        site.policy(WRITER);
        assert_eq!(delete(&mut site, "W", false), Ok(vec!["W".to_owned()]));
        assert!(get(&mut site, &all()).is_empty());
    }

    ad_07(site) {
        site.policy(WRITER).policy(READER);
        refused(site.set(WRITER.inactive()), "lock");
        refused(site.set(p("*").named("W").scope("admin")), "lock");
    }

    ad_08(site) {
        refused(site.set(WRITER.user("")), "no user");
        let absent = SetPolicy { user: None, ..WRITER.request() };
        refused(site.state.run(&absent), "no user");
    }

    ad_14(site) {
        for name in ["a.b", "a b", "", "ä"] {
            assert!(site.set(p("autosms").named(name)).is_err(), "{name}");
        }
        site.policy(p("autosms").named("A_9"));
    }

    ad_15(site) {
        for (scope, action) in [("authentication", ""), ("system", " "), ("admin", "")] {
            assert!(site.set(p(action).scope(scope)).is_err(), "{scope}");
        }
    }

    /// The lookups of an inactive policy are in the unit tests of the set.
    ad_16(site) {
        site.policy(p("otppin=2"));
        let request = SetPolicy { active: Some("1".to_owned()), ..p("otppin=2").request() };
        site.state.run(&request).unwrap();
        site.check("hans", "755224", false);
        assert!(get(&mut site, &GetPolicy::default()).is_empty());
        assert_eq!(names(&get(&mut site, &all())), ["P"]);
    }

    ad_17(site) {
        let file = "[a]\naction = otppin=1\nscope = authentication\nclient = None\nrealm = r1\n\
                    [b]\naction = max_count_dpw=3\nscope = gettoken\nuser = \"local:, koelbel\"\n\
                    [c]\naction = enrollHMAC\nscope = selfservice\n[d]\naction = '*'\nscope = admin\n\
                    [e]\naction = *\nscope = system\nuser = superadmin\n[f]\naction = view\nscope = audit\n";
        assert_eq!(import(&mut site, file), Ok(6));
        let policies = get(&mut site, &all());
        assert_eq!(names(&policies), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!((&*policies[0].fields.client, &*policies[1].fields.user), ("*", "local:, koelbel"));
    }

    ad_18(site) {
        let file = "[a]\naction = autosms\nscope = authentication\n\
                    [b]\naction = autosms\nscope = authentication\nrealm = \"\"\n";
        import(&mut site, file).unwrap();
        for policy in get(&mut site, &all()) {
            assert_eq!(&*policy.fields.realm, "*");
        }
    }

    ad_19(site) {
        let file = "[a]\naction = autosms\nscope = authentication\n[b]\nscope = authentication\n";
        assert!(import(&mut site, file).is_err());
        let file = "[a]\naction = autosms\nscope = authentication\n[b]\naction = nosuch\nscope = authentication\n";
        assert!(import(&mut site, file).is_err());
        assert!(get(&mut site, &all()).is_empty());
        assert_eq!(site.state.run(&ImportPolicy::default()), Err(Refusal::MissingParameter("file")));
        assert!(import(&mut site, "").is_err());
    }

    ad_20(site) {
        site.policy(p("otppin=1, smstext='say \"x\", y'").named("A").user("hans, *@r2").client("10.0.0.0/8, -10.1.1.1"));
        site.policy(p("forward_server=radius://h/?secret=x").named("B").time("* 8-17 * * * *").inactive());
        site.policy(WRITER);
        let before = get(&mut site, &all());
        let file = export(before.iter().map(AsRef::as_ref));
        delete(&mut site, "A, B, W, NOPE", true).unwrap();
        assert!(get(&mut site, &all()).is_empty());
        assert_eq!(import(&mut site, &file), Ok(3));
        for (before, after) in before.iter().zip(get(&mut site, &all())) {
            assert_eq!((&before.name, &before.fields), (&after.name, &after.fields));
        }
    }

    ad_21(site) {
        site.policy(p("*").named("cp1").scope("admin").user("cp1_admin").realm("realm1"));
        assert_eq!(check(&mut site, ["cp1_admin", "realm1", "admin", "initHMAC", ""]), ["cp1"]);
        assert!(check(&mut site, ["cp1_admin", "realm2", "admin", "initHMAC", ""]).is_empty());
        assert!(check(&mut site, ["other", "realm1", "admin", "initHMAC", ""]).is_empty());
    }

    ad_22(site) {
        site.policy(p("maxtoken=3").named("A").scope("enrollment").user("user1").realm("r1"));
        site.policy(p("maxtoken=1").named("B").scope("enrollment").user("").realm("r1"));
        assert_eq!(check(&mut site, ["user1", "r1", "enrollment", "maxtoken", ""]), ["A"]);
        assert_eq!(check(&mut site, ["user2", "r1", "enrollment", "maxtoken", ""]), ["B"]);
    }

    ad_23(site) {
        site.policy(p("enrollHMAC, setOTPPIN").named("A").scope("selfservice").user("user1"));
        let b = p("enrollHMAC, setOTPPIN, enrollTOTP").named("B").scope("selfservice").user("user1");
        site.policy(b.client("172.16.200.10"));
        site.policy(p("enrollHMAC").named("C").scope("selfservice").user(""));
        assert!(check(&mut site, ["user1", "", "selfservice", "enrollTOTP", "192.168.20.1"]).is_empty());
        assert_eq!(check(&mut site, ["user1", "", "selfservice", "enrollTOTP", "172.16.200.10"]), ["B"]);
        assert_eq!(check(&mut site, ["user1", "", "selfservice", "enrollHMAC", "192.168.20.1"]), ["A"]);
    }

    ad_24(site) {
        site.policy(p("autosms").inactive());
        assert!(get(&mut site, &GetPolicy::default()).is_empty());
        assert_eq!(names(&get(&mut site, &all())), ["P"]);
    }

    /// Reference policies 7, getPolicy.
    policies_are_found_by_every_filter(site) {
        site.policy(p("otppin=1, autosms").named("A").realm("r1").user("hans, eva"));
        site.policy(p("otppin=2").named("B").realm("*"));
        site.policy(p("*").named("C").scope("audit").user("root"));
        let none = GetPolicy::default();
        let some = |text: &str| Some(text.to_owned());
        for (request, expected) in [
            (GetPolicy { name: some("A,C,NOPE"), ..none.clone() }, vec!["A", "C"]),
            (GetPolicy { scope: some("authentication"), ..none.clone() }, vec!["A", "B"]),
            (GetPolicy { scope: some("Authentication"), ..none.clone() }, vec![]),
            (GetPolicy { action: some("otppin"), ..none.clone() }, vec!["A", "B", "C"]),
            (GetPolicy { action: some("otppin=1"), ..none.clone() }, vec!["A", "B", "C"]),
            (GetPolicy { action: some("autosms"), ..none.clone() }, vec!["A", "C"]),
            (GetPolicy { realm: some("R1"), ..none.clone() }, vec!["A"]),
            (GetPolicy { realm: some("r2"), ..none.clone() }, vec!["B", "C"]),
            (GetPolicy { user: some(" hans "), ..none.clone() }, vec!["A", "B"]),
            (GetPolicy { user: some("eva"), ..none.clone() }, vec!["B"]),
            (GetPolicy { user: some("root"), ..none }, vec!["B", "C"]),
        ] {
            assert_eq!(names(&get(&mut site, &request)), expected, "{request:?}");
        }
        for (sort_by, descending, expected) in [
            (SortBy::Name, false, ["A", "B", "C"]),
            (SortBy::Scope, false, ["C", "A", "B"]),
            (SortBy::Realm, true, ["A", "C", "B"]),
        ] {
            let table = ListPolicies { sort_by, descending, ..ListPolicies::default() };
            assert_eq!(names(&site.state.run(&table).unwrap()), expected, "{sort_by:?}");
        }
    }

    /// Reference policies 1.3: the checks in their order.
    missing_parameters_are_named_in_order(site) {
        let full = p("autosms").request();
        for (request, missing) in [
            (SetPolicy { name: None, action: None, ..full.clone() }, "name"),
            (SetPolicy { action: None, scope: None, ..full.clone() }, "action"),
            (SetPolicy { scope: None, realm: None, ..full.clone() }, "scope"),
            (SetPolicy { realm: None, ..full }, "realm"),
        ] {
            assert_eq!(site.state.run(&request), Err(Refusal::MissingParameter(missing)));
        }
        refused(site.set(p("autosms").realm("")), "realm");
        refused(site.set(p("autosms").scope("")), "scope");
        assert_eq!(delete(&mut site, "a b", false), Err(Refusal::PolicyName("a b".to_owned())));
        assert_eq!(delete(&mut site, "NOPE", false), Ok(vec![]));
        assert!(delete(&mut site, "", false).is_err());
    }

    /// D15: what cannot be parsed is not stored, whether actions are checked or not.
    unparsable_columns_are_refused(site) {
        for validation in ["True", "False"] {
            site.state.set("policy_action_validation", validation);
            for policy in [
                p("smstext=It's <otp>"),
                p("otppin=1, otppin=2"),
                p("autosms").client("10.1"),
                p("autosms").client("vpn.example.org"),
                p("autosms").time("* * * * *"),
                p("autosms").user("han[s"),
            ] {
                assert!(site.set(policy).is_err(), "{policy:?}");
            }
        }
        assert!(get(&mut site, &all()).is_empty());
    }

    cr_10_and_of_12_and_st_04(site) {
        for action in ["challenge_response=HMAC,TOTP", "support_offline=hmac", "smstext=Hello, your otp is <otp>"] {
            site.state.set("policy_action_validation", "True");
            assert!(site.set(p(action)).is_err(), "{action}");
            site.state.set("policy_action_validation", "False");
            site.policy(p(action));
        }
    }

    /// Reference policies 9.4: two halves of a lockout, decided on the same state, do not both get through.
    two_halves_of_a_lockout_do_not_meet(site) {
        site.policy(WRITER).policy(WRITER.named("W2")).policy(READER);
        let one = site.state.decide(&DelPolicy { name: Some("W".to_owned()), enforce: false });
        let other = site.state.decide(&DelPolicy { name: Some("W2".to_owned()), enforce: false });
        assert!(one.reply.is_ok() && other.reply.is_ok());
        assert!(matches!(site.state.apply(one.txn), Outcome::Committed(_)));
        assert!(matches!(site.state.apply(other.txn), Outcome::Conflict(..)));
        assert!(delete(&mut site, "W2", false).is_err());
    }

    definitions_are_listed_by_scope(site) {
        let definitions = site.state.run(&GetPolicyDef::default()).unwrap();
        assert_eq!(definitions.len(), 13, "all but ocra and ocra2");
        let one = site.state.run(&GetPolicyDef { scope: Some("system".to_owned()) }).unwrap();
        assert_eq!(one[0].0, Scope::System);
        assert_eq!(one[0].1.iter().map(|found| found.name).collect::<Vec<_>>(), ["read", "write"]);
        assert!(site.state.run(&GetPolicyDef { scope: Some("nosuch".to_owned()) }).is_err());
    }

    an_open_scope_is_told_apart_from_a_denial(site) {
        let some = |text: &str| Some(text.to_owned());
        let request = CheckPolicy {
            user: some("admin"), realm: some(""), scope: some("system"), action: some("write"), client: some(""),
        };
        assert!(matches!(site.state.run(&request), Ok(Checked::Unrestricted(Scope::System))));
        site.policy(WRITER);
        assert!(check(&mut site, ["admin", "", "system", "write", ""]).is_empty());
        assert_eq!(check(&mut site, ["superadmin", "", "system", "write", ""]), ["W"]);
        assert!(matches!(site.state.run(&CheckPolicy { client: None, ..request }), Err(Refusal::MissingParameter("client"))));
    }

    every_policy_is_explained(site) {
        site.policy(p("otppin=1").named("A").realm("r1"));
        site.policy(p("otppin=1").named("B"));
        site.policy(p("otppin=1").named("C").client("10.0.0.0/8"));
        site.policy(p("otppin=1").named("D").user("eva"));
        site.policy(p("otppin=1").named("E").time("* 3 * * * *"));
        site.policy(p("otppin=1").named("F").inactive());
        site.policy(p("autosms").named("G"));
        let some = |text: &str| Some(text.to_owned());
        let request = ExplainPolicy {
            scope: some("authentication"), action: some("otppin"), user: some("hans"), realm: some("R1"),
            client: some("192.0.2.1"),
        };
        let explained = site.state.run(&request).unwrap();
        let verdicts: Vec<_> =
            explained.iter().map(|found| (found.policy.name.as_str(), found.verdict.clone())).collect();
        assert_eq!(
            verdicts,
            [
                ("A", Verdict::Counts),
                ("B", Verdict::Hidden(Column::Realm)),
                ("C", Verdict::Differs(Column::Client)),
                ("D", Verdict::Differs(Column::User)),
                ("E", Verdict::Differs(Column::Time)),
                ("F", Verdict::Inactive),
            ]
        );
    }

    /// Reference policies 6.6, migration rule.
    former_selfservice_actions_are_renamed_on_import(site) {
        import(&mut site, "[a]\naction = webprovisionGOOGLE, reset\nscope = selfservice\n").unwrap();
        assert_eq!(&*get(&mut site, &all())[0].fields.action, "enrollHMAC, reset");
    }
}
