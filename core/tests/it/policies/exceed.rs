//! Tokens used as often as allowed: reference policies 11.16.

use tessera_core::decide::enroll::{Init, SeedSource};
use tessera_core::record::{InfoValue, Key};
use tessera_core::user::{RealmName, Serial};
use tessera_core::view::StateRead as _;

use super::cases;
use super::site::{O, P, Site, answer, init_request, p, request};

const DISABLE: P<'static> = p("disable_on_authentication_exceed");
const DELETE: P<'static> = p("delete_on_authentication_exceed");

fn limit(site: &mut Site, key: &str, value: &str) {
    site.state.change_token("H1", |token| {
        token.info.insert(key.into(), InfoValue::Text(value.into()));
    });
}

fn exists(site: &Site, serial: &str) -> bool {
    site.state.record(&Key::Token(Serial::from(serial))).is_some()
}

fn pin(otp: &str) -> String {
    format!("1234{otp}")
}

/// Two successful logins, which use H1 up.
fn use_up(site: &mut Site) {
    limit(site, "count_auth_success_max", "2");
    site.check("hans", &pin(O[0]), true).check("hans", &pin(O[1]), true);
}

cases! {
    ex_01(site) {
        site.policy(DISABLE);
        use_up(&mut site);
        assert!(site.state.token("H1").active);
    }

    ex_17(site) {
        site.policy(p("disable_on_authentication_exceed, challenge_response=*"));
        limit(&mut site, "count_auth_max", "1");
        let id = site.challenge(&request("hans", "1234"));
        assert!(site.state.run(&answer("hans", O[0], &id)).unwrap().accepted);
        site.no_challenge(&request("hans", "1234"));
        assert!(!site.state.token("H1").active);
    }

    ex_18(site) {
        site.policy(DELETE);
        let request = init_request("W1", "1234", "eva", "");
        let token_type = Some("pw".to_owned());
        let seed = SeedSource { given: Some("once".into()), generate: false };
        site.init(&Init { token_type, seed, once: true, ..request }).unwrap();
        site.check("eva", "1234once", true);
        assert!(exists(&site, "W1"));
        site.check("eva", "1234once", false);
        assert!(!exists(&site, "W1"));
    }

    ex_02_and_ex_03(site) {
        site.policy(DISABLE);
        use_up(&mut site);
        site.check("hans", &pin(O[2]), false);
        assert!(!site.state.token("H1").active);
        assert_eq!((site.failures("H1"), site.reason()), (1, "Authentication sucess counter exceeded"));
        site.check("hans", &pin(O[2]), false);
        assert_eq!((site.failures("H1"), site.reason()), (1, "Token inactive"));
    }

    ex_04_and_ex_05(site) {
        site.policy(DELETE);
        use_up(&mut site);
        site.check("hans", &pin(O[2]), false);
        assert!(!exists(&site, "H1"));
        site.check("hans", "pw-hans", false);
        site.policy(p("passthru").named("Q")).check("hans", "pw-hans", true);
    }

    ex_06(site) {
        use_up(&mut site);
        site.check("hans", &pin(O[2]), false);
        assert!(site.state.token("H1").active);
        assert_eq!(site.failures("H1"), 1);
    }

    ex_07(site) {
        site.policy(DISABLE);
        limit(&mut site, "count_auth_max", "3");
        site.check("hans", "1234000000", false).check("hans", &format!("9999{}", O[0]), false);
        site.check("hans", &pin(O[0]), true);
        assert!(site.state.token("H1").active);
        site.check("hans", &pin(O[1]), false);
        assert!(!site.state.token("H1").active);
    }

    /// The clock of the fixture shows 2026-11-21 20:30.
    ex_08(site) {
        site.policy(DISABLE);
        limit(&mut site, "validity_period_end", "21/11/26 20:31");
        site.check("hans", &pin(O[0]), true);
        limit(&mut site, "validity_period_end", "21/11/26 20:29");
        site.check("hans", &pin(O[1]), false);
        assert!(!site.state.token("H1").active);
    }

    ex_09(site) {
        site.policy(DISABLE);
        limit(&mut site, "validity_period_start", "22/11/26 10:00");
        site.check("hans", &pin(O[0]), false);
        assert!(site.state.token("H1").active);
        assert_eq!(site.failures("H1"), 1);
    }

    ex_10(site) {
        site.policy(DELETE);
        use_up(&mut site);
        site.state.change_token("H1", |token| token.active = false);
        site.check("hans", &pin(O[2]), false);
        assert!(exists(&site, "H1"));
    }

    ex_11(site) {
        site.policy(DELETE);
        use_up(&mut site);
        site.state.change_usage("H1", |usage| usage.fail_count = 10);
        site.check("hans", &pin(O[2]), false);
        assert!(exists(&site, "H1"));
    }

    ex_12(site) {
        site.policy(DISABLE).policy(DELETE.named("Q"));
        use_up(&mut site);
        site.check("hans", &pin(O[2]), false);
        assert!(!exists(&site, "H1"));
    }

    ex_13(site) {
        use_up(&mut site);
        for policy in [DELETE.realm("r2"), DELETE.user("eva"), DELETE.client("10.0.0.0/8")] {
            site.policy(policy).check("hans", &pin(O[2]), false);
            assert!(exists(&site, "H1"), "{policy:?}");
        }
    }

    ex_14(site) {
        site.policy(DELETE);
        use_up(&mut site);
        site.enroll("T1", "1234", "hans", "");
        site.check("hans", &pin(O[0]), true);
        assert!(!exists(&site, "H1") && exists(&site, "T1"));
    }

    ex_15(site) {
        limit(&mut site, "count_auth_success_max", "1");
        site.state.change_token("H1", |token| {
            token.owner = None;
            token.realms = vec![RealmName::from("r2")];
        });
        assert_eq!(site.check_s("H1", &pin(O[0])), Ok(true));
        site.policy(DISABLE.realm("r1"));
        assert_eq!(site.check_s("H1", &pin(O[1])), Ok(false));
        assert!(site.state.token("H1").active);
        site.policy(DISABLE.realm("r2"));
        assert_eq!(site.check_s("H1", &pin(O[1])), Ok(false));
        assert!(!site.state.token("H1").active);
    }

    ex_16(site) {
        use_up(&mut site);
        for action in ["delete_on_authentication_exceed=false", "!delete_on_authentication_exceed"] {
            site.policy(p(action)).check("hans", &pin(O[2]), false);
            assert!(exists(&site, "H1"), "{action}");
        }
    }

    ex_20(site) {
        site.policy(DISABLE);
        use_up(&mut site);
        site.check("hans", &pin(O[2]), false);
        site.state.change_token("H1", |token| token.active = true);
        site.check("hans", &pin(O[2]), false);
        assert!(!site.state.token("H1").active);
    }

    ex_21(site) {
        site.policy(DISABLE).policy(p("tokencount=1").named("N").scope("enrollment").realm("r1"));
        use_up(&mut site);
        let another = init_request("H2", "1234", "eva", "");
        assert!(site.init(&another).is_err());
        site.check("hans", &pin(O[2]), false);
        assert_eq!(site.init(&another).as_deref(), Ok("H2"));
    }
}
