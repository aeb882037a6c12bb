//! OTP PIN variants: reference policies 11.1.

use tessera_core::decide::enroll::Init;
use tessera_core::decide::lifecycle::Remove;
use tessera_core::user::RealmName;

use super::cases;
use super::site::{O, Site, init_request, p};

/// Hans has a spass token with the PIN `good` and nothing else.
fn only_spass(site: &mut Site) {
    site.state.run(&Remove { serials: vec!["H1".to_owned()], ..Remove::default() }).unwrap();
    let request = init_request("P1", "good", "hans", "");
    site.init(&Init { token_type: Some("spass".to_owned()), ..request }).unwrap();
}

fn with(pin: &str, otp: &str) -> String {
    format!("{pin}{otp}")
}

cases! {
    pin_01(site) {
        for (n, policy) in [None, Some(p("otppin=0")), Some(p("otppin=token_pin"))].into_iter().enumerate() {
            if let Some(policy) = policy {
                site.policy(policy);
            }
            site.check("hans", &with("1234", O[n]), true);
        }
    }

    pin_02(site) {
        site.check("hans", "9999755224", false);
        assert_eq!(site.failures("H1"), 1);
        site.check("hans", "1234755224", true);
        assert_eq!(site.failures("H1"), 0);
    }

    pin_03(site) {
        site.check("hans", "755224", false);
    }

    pin_04(site) {
        site.enroll("H1", "", "hans", "");
        site.check("hans", "755224", true).check("hans", "1234287082", false).check("hans", "287082", true);
    }

    pin_05(site) {
        site.enroll("H2", "4321", "hans", "");
        site.check("hans", "1234000000", false);
        assert_eq!((site.failures("H1"), site.failures("H2"), site.reason()), (1, 0, "wrong otp value"));
    }

    pin_06(site) {
        site.policy(p("otppin=1")).check("hans", "pw-hans755224", true);
        site.policy(p("otppin=password")).check("hans", "pw-hans287082", true);
    }

    pin_07(site) {
        site.policy(p("otppin=1"));
        site.check("hans", "1234755224", false).check("hans", "755224", false).check("hans", "pw-hans", false);
    }

    pin_08(site) {
        site.policy(p("otppin=1")).check("hans", "pw-hans000000", false);
        assert_eq!((site.password_questions(), site.failures("H1"), site.reason()), (0, 1, "wrong user password -1"));
    }

    pin_09(site) {
        site.policy(p("otppin=1")).check("hans", "wrong755224", false);
        assert_eq!(site.failures("H1"), 1);
        site.check("hans", "pw-hans755224", true);
    }

    pin_10(site) {
        site.enroll("H2", "1234", "hans", "");
        site.state.change_token("H2", |token| token.count_window = 1);
        site.state.change_usage("H2", |usage| usage.next_counter = 5000);
        let mut long = init_request("H3", "1234", "hans", "");
        long.otplen = Some(8);
        site.init(&long).unwrap();
        site.policy(p("otppin=1")).check("hans", "pw-hans755224", true);
        assert_eq!(site.password_questions(), 1);
        site.check("hans", "wrong287082", false);
        assert_eq!(site.password_questions(), 2);
    }

    pin_11(site) {
        for action in ["otppin=2", "otppin=only_otp"] {
            site.enroll("H1", "1234", "hans", "");
            site.policy(p(action)).check("hans", "755224", true).check("hans", "1234287082", false);
            assert_eq!(site.failures("H1"), 1);
            site.check("hans", "287082", true);
        }
    }

    pin_12(site) {
        site.enroll("H1", "", "hans", "");
        site.policy(p("otppin=2")).check("hans", "x755224", false);
    }

    pin_13(site) {
        site.policy(p("otppin=3")).check("hans", "1234755224", true);
        site.check("hans", "287082", true).check("hans", "something359152", true);
        site.policy(p("otppin=ignore_pin")).check("hans", "x969429", true);
    }

    pin_14(site) {
        site.policy(p("otppin=3")).check("hans", "55224", false);
    }

    pin_15(site) {
        only_spass(&mut site);
        site.policy(p("otppin=3")).check("hans", "bad", false).check("hans", "good", true);
    }

    pin_16(site) {
        only_spass(&mut site);
        site.policy(p("otppin=2")).check("hans", "", false).check("hans", "good", true);
    }

    pin_17(site) {
        only_spass(&mut site);
        site.policy(p("otppin=1")).check("hans", "pw-hans", true).check("hans", "good", false);
    }

    pin_18(site) {
        site.policy(p("otppin=0").named("A").client("10.1.0.0/16"));
        site.policy(p("otppin=2").named("B").client("10.2.0.0/16"));
        site.from("10.1.0.5").check("hans", "1234755224", true);
        site.from("10.2.0.5").check("hans", "287082", true);
        site.from("10.3.0.5").check("hans", "359152", false).check("hans", "1234359152", true);
    }

    pin_19(site) {
        site.enroll("E1", "1234", "eva", "");
        site.policy(p("otppin=1").named("A")).policy(p("otppin=2").named("B").user("hans"));
        site.check("hans", "755224", true).check("eva", "pw-eva755224", true).check("eva", "287082", false);
    }

    pin_20(site) {
        site.policy(p("otppin=2").named("A").user("hans")).policy(p("otppin=1").named("B").realm("r1"));
        site.check("hans", "755224", true);
    }

    pin_21(site) {
        site.policy(p("otppin=2").named("B_pol")).policy(p("otppin=1").named("A_pol"));
        site.check("hans", "pw-hans755224", true);
        let warning = "policies A_pol and B_pol contradict each other in otppin, A_pol counts";
        assert_eq!(&*site.state.last_audit().info, warning);
        site.check("hans", "287082", false);
    }

    pin_22(site) {
        site.policy(p("otppin=2").user("*@r2"));
        site.check("hans", "755224", false).check("hans", "1234755224", true);
    }

    pin_23(site) {
        for (n, user) in ["res1:", "*.res1:", "#mobile", "#mobile ~= 170", "*, !eva"].into_iter().enumerate() {
            site.policy(p("otppin=2").user(user)).check("hans", O[n], true);
        }
    }

    pin_24(site) {
        site.policy(p("otppin=2").user("!eva")).check("hans", "755224", false);
    }

    pin_25(site) {
        site.enroll("U1", "1234", "", "r2");
        site.policy(p("otppin=2").realm("r2"));
        assert_eq!(site.check_s("U1", "755224"), Ok(true));
    }

    pin_26(site) {
        site.enroll("U1", "1234", "", "");
        site.policy(p("otppin=2").realm("r1"));
        assert_eq!(site.check_s("U1", "755224"), Ok(true));
    }

    pin_27(site) {
        site.enroll("U1", "1234", "", "r2");
        site.state.change_token("U1", |token| token.realms = ["r1", "r2"].map(RealmName::from).to_vec());
        assert!(site.check_s("U1", "1234755224").is_err());
    }

    pin_28(site) {
        site.enroll("U1", "1234", "", "r1");
        site.policy(p("otppin=1"));
        assert_eq!(site.check_s("U1", "1234755224"), Ok(false));
        assert_eq!(site.password_questions(), 0);
    }

    pin_29(site) {
        for action in ["otppin=4", "otppin=Password"] {
            site.state.set("policy_action_validation", "True");
            assert!(site.set(p(action)).is_err(), "{action}");
            site.state.set("policy_action_validation", "False");
            site.policy(p(action));
        }
        site.check("hans", "1234755224", true).check("hans", "287082", false);
    }

    pin_30(site) {
        site.policy(p("otppin=2").inactive()).check("hans", "755224", false);
        site.policy(p("otppin=2")).check("hans", "755224", true);
    }

    pin_31(site) {
        site.state.set("PrependPin", "False");
        site.check("hans", "7552241234", true);
    }

    /// The clock of the fixture shows 20:30.
    pin_32(site) {
        site.policy(p("otppin=2").time("* 19 * * * *;")).check("hans", "755224", false);
        site.policy(p("otppin=2").time("* 20 * * * *;")).check("hans", "755224", true);
    }

    /// In Berlin it is an hour later.
    times_are_those_of_the_zone_in_the_configuration(site) {
        site.state.set("policy_time_zone", "CET-1CEST,M3.5.0,M10.5.0/3");
        site.policy(p("otppin=2").time("* 21 * * 6 *;")).check("hans", "755224", true);
        site.policy(p("otppin=2").time("* 20 * * 6 *;")).check("hans", "287082", false);
    }
}
