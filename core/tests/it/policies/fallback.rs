//! `passthru` and `passOnNoToken`: reference policies 11.3 and 11.4.

use tessera_core::decide::authorize::LoginDetail;
use tessera_core::decide::user::UserParams;
use tessera_core::decide::validate::Check;
use tessera_core::user::RealmName;

use super::cases;
use super::site::{Site, p, request};
use crate::state::TestState;

const DISABLED: &str = "disabled";
const EXPIRED: &str = "expired";
const ELSEWHERE: &str = "in another realm";
const LOCKED: &str = "locked";

/// Puts H1 into a state in which it cannot be used.
fn spoil(site: &mut Site, state: &str) {
    use tessera_core::record::InfoValue;
    site.enroll("H1", "1234", "hans", "");
    site.state.change_usage("H1", |usage| usage.fail_count = if state == LOCKED { 10 } else { 0 });
    site.state.change_token("H1", |token| {
        token.active = state != DISABLED;
        token.info.clear();
        match state {
            EXPIRED => {
                let end = InfoValue::Text("20/11/26 10:00".into());
                token.info.insert("validity_period_end".into(), end);
            }
            ELSEWHERE => token.realms = vec![RealmName::from("r2")],
            _ => {}
        }
    });
}

cases! {
    pt_01(site) {
        site.policy(p("passthru").realm("r1")).check("eva", "pw-eva", true).check("eva", "wrong", false);
        site.check("eva", "", false);
    }

    pt_02(site) {
        site.add_user("res1", "otto", &[]);
        site.policy(p("passthru").user("eva")).check("otto", "pw-otto", false).check("eva", "pw-eva", true);
    }

    pt_03(site) {
        site.policy(p("passthru")).check("hans", "pw-hans", false);
        assert_eq!((site.failures("H1"), site.reason()), (1, "wrong otp pin -1"));
    }

    pt_04(site) {
        site.policy(p("passthru"));
        for state in [DISABLED, EXPIRED, ELSEWHERE] {
            spoil(&mut site, state);
            site.check("hans", "pw-hans", false);
        }
        assert_eq!(site.password_questions(), 0);
    }

    pt_05(site) {
        site.policy(p("passthru, otppin=1")).check("eva", "pw-eva", true);
        site.enroll("H1", "1234", "eva", "");
        site.check("eva", "pw-eva", false).check("eva", "pw-eva755224", true);
    }

    pt_06(site) {
        site.policy(p("passthru").named("A")).policy(p("passOnNoToken").named("B"));
        site.check("eva", "wrong", false).check("eva", "pw-eva", true);
    }

    pt_07(site) {
        site.policy(p("passOnNoToken").named("A")).policy(p("passthru").named("B").client("192.168.13.14"));
        site.check("eva", "anything", true);
        site.from("192.168.13.14").check("eva", "wrong", false).check("eva", "pw-eva", true);
    }

    pt_08(site) {
        site.state.set("PassOnUserNoToken", "True");
        site.policy(p("passthru")).check("eva", "wrong", true);
    }

    pt_09(site) {
        site.policy(p("passthru")).check("nobody", "x", false);
        site.state.set("PassOnUserNotFound", "True");
        site.check("nobody", "x", true);
    }

    pt_10(site) {
        for action in ["passthru=false", "!passthru", "passthru=0"] {
            site.policy(p(action)).check("eva", "pw-eva", false);
        }
    }

    pt_11(site) {
        site.policy(p("passthru"));
        for narrow in [
            Check { token_type: Some("totp".to_owned()), ..request("hans", "pw-hans") },
            Check { serial: Some("NOPE".to_owned()), ..request("hans", "pw-hans") },
        ] {
            assert!(!site.state.run(&narrow).unwrap().accepted);
        }
    }

    pt_13(site) {
        site.policy(p("passthru")).policy(p("detail_on_success").named("D").scope("authorization"));
        let verdict = site.verdict("eva", "pw-eva");
        let Some(LoginDetail::Success(detail)) = verdict.detail else { panic!("{verdict:?}") };
        assert!(verdict.accepted);
        assert_eq!((detail.realm.as_deref(), detail.is_admin), (Some("r1"), Some(false)));
        assert_eq!(detail.user.unwrap()["username"].as_deref(), Some("eva"));
        assert_eq!((detail.token_type, detail.serial), (None, None));
    }

    pt_14(site) {
        site.policy(p("passthru").realm("r2"));
        site.policy(p("setrealm=r2").named("S").scope("authorization").user("res2:").realm("r12"));
        let user = UserParams { user: "max".to_owned(), realm: Some("r12".to_owned()), res_conf: None };
        let check = Check { user, ..request("", "pw-max") };
        assert!(site.state.run(&check).unwrap().accepted);
        let user = UserParams { user: "eva".to_owned(), realm: Some("r12".to_owned()), res_conf: None };
        assert!(!site.state.run(&Check { user, ..request("", "pw-eva") }).unwrap().accepted);
    }

    pt_15(site) {
        site.policy(p("passthru"));
        site.state.unavailable.insert(TestState::spec("res1"));
        site.check("eva", "pw-eva", false);
    }

    pt_16(site) {
        site.policy(p("passthru")).policy(p("authorize").named("A").scope("authorization").client("10.0.0.0/8"));
        site.check("eva", "pw-eva", false);
        site.from("10.1.1.1").check("eva", "pw-eva", true);
    }

    pt_17(site) {
        site.policy(p("passthru"));
        site.policy(p("serial=^X, tokentype=hmac").named("A").scope("authorization"));
        site.check("eva", "pw-eva", true);
    }

    pt_18(site) {
        site.policy(p("passthru"));
        assert_eq!(site.check_s("NOPE", "pw-eva"), Ok(false));
    }

    pn_01(site) {
        site.add_user("res1", "otto", &[]);
        site.policy(p("passOnNoToken").user("eva"));
        site.check("eva", "x", true).check("eva", "", true).check("otto", "x", false);
    }

    pn_02(site) {
        site.policy(p("passOnNoToken").inactive()).check("eva", "x", false);
        site.policy(p("passOnNoToken")).check("eva", "x", true);
    }

    pn_03(site) {
        site.policy(p("passOnNoToken"));
        for state in ["active", DISABLED, LOCKED] {
            spoil(&mut site, state);
            site.check("hans", "x", false);
        }
    }

    pn_04(site) {
        for action in ["passOnNoToken=0", "passOnNoToken=false", "!passOnNoToken"] {
            site.policy(p(action)).check("eva", "x", false);
        }
    }

    pn_05(site) {
        site.policy(p("passOnNoToken")).check("nobody", "x", false);
    }

    pn_06(site) {
        site.policy(p("passOnNoToken"));
        for narrow in [
            Check { token_type: Some("bogus".to_owned()), ..request("hans", "x") },
            Check { serial: Some("bogus".to_owned()), ..request("hans", "x") },
        ] {
            assert!(!site.state.run(&narrow).unwrap().accepted);
        }
    }

    pn_07(site) {
        site.policy(p("passOnNoToken, forward_on_no_token, forward_server=radius://127.0.0.1/?secret=x"));
        site.check("eva", "x", true);
    }

    pn_08(site) {
        site.policy(p("passOnNoToken, delete_on_authentication_exceed"));
        spoil(&mut site, EXPIRED);
        site.check("hans", "1234755224", false).check("hans", "anything", true);
    }
}
