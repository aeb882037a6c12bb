//! `forward_server`: the cases of reference policies 11.6 and 11.7 that need no server.

use tessera_core::decide::policy::{GetPolicy, ImportPolicy};
use tessera_core::policy::exchange::export;
use tessera_core::record::{Key, Record};
use tessera_core::user::PolicyName;
use tessera_core::view::StateRead as _;

use super::cases;
use super::site::{Site, p};

/// The action of a policy as administrators see it.
fn shown(site: &mut Site, name: &str) -> String {
    let request = GetPolicy { name: Some(name.to_owned()), ..GetPolicy::default() };
    site.state.run(&request).unwrap()[0].fields.action.to_string()
}

/// Everything that is stored, shown, exported or audited.
fn everything(site: &mut Site) -> String {
    let policies = site.state.run(&GetPolicy::default()).unwrap();
    let file = export(policies.iter().map(AsRef::as_ref));
    let Some(Record::Policy(record)) =
        site.state.record(&Key::Policy(PolicyName::from("P"))).map(|slot| slot.record)
    else {
        panic!("no policy P")
    };
    format!("{file} {record:?} {:?}", site.state.audit)
}

cases! {
    fw_04(site) {
        site.policy(p("forward_server=radius://127.0.0.1:1812/?secret=geheim1"));
        let all = everything(&mut site);
        assert!(all.contains("encsecret="), "{all}");
        assert!(!all.contains("geheim1"), "{all}");
    }

    fw_05_the_whole_secret_is_sealed(site) {
        site.policy(p("forward_server=radius://radius_server:1812/?secret=kjD28fSER9cW#SS1VlsCCE$#SAGH#$RRVE"));
        let all = everything(&mut site);
        assert!(!all.contains("kjD28f") && !all.contains("SAGH") && !all.contains("RRVE"), "{all}");
    }

    fw_06(site) {
        site.policy(p("forward_server = radius://h/?secret=abc"));
        let action = shown(&mut site, "P");
        assert!(action.starts_with("forward_server=radius://h/?encsecret=1%3A"), "{action}");
    }

    fw_07(site) {
        site.policy(p("smstext=\"a,b <otp>\", forward_server=radius://h/?secret=x"));
        assert!(shown(&mut site, "P").starts_with("smstext=\"a,b <otp>\", forward_server=radius://h/?encsecret="));
    }

    fw_08_a_shown_policy_can_be_saved_again(site) {
        site.policy(p("forward_server=radius://h/?secret=abc"));
        let before = shown(&mut site, "P");
        site.policy(p(&before));
        assert_eq!(shown(&mut site, "P"), before);
        let file = export(site.state.run(&GetPolicy::default()).unwrap().iter().map(AsRef::as_ref));
        site.state.run(&ImportPolicy { file: Some(file) }).unwrap();
        assert_eq!(shown(&mut site, "P"), before);
    }

    /// A secret with a comma is cut at it; its end must not come back in the error.
    a_secret_never_reaches_an_error(site) {
        let refusal = site.set(p("forward_server=radius://h/?secret=abc,geheim2")).unwrap_err().to_string();
        assert!(refusal.contains("%2C") && !refusal.contains("geheim2"), "{refusal}");
        assert!(!format!("{:?}", site.state.audit).contains("geheim2"));
        let refusal = site.set(p("forward_server=radius://h/?secret=\"geheim3")).unwrap_err().to_string();
        assert!(!refusal.contains("geheim3"), "{refusal}");
    }

    /// Until requests can be forwarded, nobody is let in whom the other server would have to judge.
    fw_01_local_tokens_do_not_decide(site) {
        site.policy(p("forward_server=https://remote.example/validate/check").realm("r1"));
        site.check("hans", "1234755224", false);
        assert_eq!((site.failures("H1"), site.state.usage("H1").next_counter), (0, 0));
    }

    fw_02(site) {
        site.policy(p("forward_server=https://remote.example/validate/check").realm("r2"));
        site.check("hans", "1234755224", true);
    }

    fw_16(site) {
        site.policy(p("forward_server=radius://h/?secret=x")).check("nobody", "x", false);
        assert_eq!(site.reason(), "User not found");
    }

    fw_17_passthru_is_not_consulted(site) {
        site.policy(p("forward_server=radius://h/?secret=x, passthru")).check("eva", "pw-eva", false);
        assert_eq!(site.password_questions(), 0);
    }

    fw_20(site) {
        site.policy(p("forward_server=ftp://x")).check("hans", "1234755224", false);
    }

    fn_01(site) {
        site.policy(p("forward_server=radius://127.0.0.1:1812/?secret=geheim1, forward_on_no_token"));
        site.check("hans", "1234755224", true);
    }

    fn_02(site) {
        site.policy(p("forward_server=radius://127.0.0.1:1812/?secret=geheim1, forward_on_no_token"));
        site.state.change_token("H1", |token| token.active = false);
        site.check("hans", "1234755224", false);
        assert_eq!(site.reason(), "Token inactive");
    }

    fn_03_and_fn_05_and_fn_07_requests_that_would_be_forwarded(site) {
        const FORWARDED: &str = "forward_server is not supported yet";
        site.policy(p("forward_server=radius://h/?secret=x, forward_on_no_token"));
        site.check("eva", "x", false);
        assert_eq!(site.reason(), FORWARDED);
        site.policy(p("forward_server=radius://h/?secret=x, forward_on_no_token=0"));
        site.check("hans", "1234755224", false);
        assert_eq!((site.reason(), site.failures("H1")), (FORWARDED, 0));
        site.enroll("E1", "1234", "eva", "");
        site.policy(p("forward_server=radius://h/?secret=x")).policy(p("forward_on_no_token").named("B").user("hans"));
        site.check("hans", "1234755224", true).check("eva", "1234755224", false);
        assert_eq!(site.reason(), FORWARDED);
    }

    fn_04(site) {
        site.policy(p("forward_on_no_token=1")).policy(p("forward_server=radius://h/?secret=x").named("B"));
        site.check("hans", "1234755224", true);
    }

    fw_19_authorize_comes_first(site) {
        site.policy(p("forward_server=radius://h/?secret=x"));
        site.policy(p("authorize").named("A").scope("authorization").client("10.0.0.0/8"));
        site.check("hans", "1234755224", false);
        assert!(site.reason().contains("not authorized"), "{}", site.reason());
    }

    fn_06(site) {
        site.policy(p("forward_on_no_token")).check("eva", "x", false);
        assert_eq!(site.reason(), "User has no tokens assigned");
    }

    fn_08(site) {
        site.policy(p("forward_on_no_token, passthru, forward_server=radius://h/?secret=x"));
        site.check("eva", "wrong", false);
        assert_eq!(site.reason(), "wrong user password -1");
        site.check("eva", "pw-eva", true);
    }
}
