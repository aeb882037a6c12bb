//! Scope authorization: reference policies 11.5 and 6.2.

use tessera_core::decide::authorize::LoginDetail;
use tessera_core::decide::validate::CheckSerial;
use tessera_core::secret::SecretText;

use super::cases;
use super::site::{O, P, p};

const fn a(action: &str) -> P<'_> {
    p(action).named("A").scope("authorization")
}

fn pin(otp: &str) -> String {
    format!("1234{otp}")
}

cases! {
    az_01(site) {
        site.enroll("E1", "1234", "eva", "");
        site.policy(a("authorize").user("hans").client("192.168.17.15"));
        site.from("192.168.17.15").check("hans", &pin(O[0]), true);
        site.from("192.168.17.16").check("hans", &pin(O[1]), false);
        site.from("192.168.17.15").check("eva", &pin(O[0]), false);
        assert_eq!((site.failures("H1"), site.failures("E1")), (0, 0));
    }

    az_02(site) {
        site.enroll("E1", "1234", "eva", "");
        site.policy(a("authorize").user("hans").client("192.168.17.15"));
        site.policy(a("authorize").named("B").user("eva"));
        site.from("192.168.17.16").check("eva", &pin(O[0]), true);
    }

    az_03(site) {
        site.enroll("E1", "1234", "eva", "");
        site.policy(a("authorize").user("hans").client("192.168.17.15, 192.168.17.16"));
        let others = "192.168.0.0/16, -192.168.17.15, !192.168.17.16";
        site.policy(a("authorize").named("B").client(others));
        site.from("192.168.17.15").check("hans", &pin(O[0]), true).check("eva", &pin(O[0]), false);
        site.from("192.168.20.1").check("hans", &pin(O[1]), true);
        site.from("192.168.17.16").check("eva", &pin(O[0]), false);
        site.from("192.168.20.1").check("eva", &pin(O[0]), true);
    }

    az_04(site) {
        site.policy(a("authorize").user("nobody").inactive()).check("hans", &pin(O[0]), true);
    }

    /// D2: a policy that says no is none.
    authorize_that_is_false_restricts_nobody(site) {
        for (n, action) in ["authorize=0", "!authorize", "authorize=false"].into_iter().enumerate() {
            site.policy(a(action).user("nobody")).check("hans", &pin(O[n]), true);
        }
    }

    tokentype_is_checked_after_the_otp(site) {
        site.policy(a("tokentype=totp PW")).check("hans", &pin(O[0]), false);
        assert_eq!(site.state.usage("H1").next_counter, 1, "the OTP is used up");
        for (n, types) in ["tokentype=totp hMaC", "tokentype=*", "tokentype="].into_iter().enumerate() {
            site.policy(a(types)).check("hans", &pin(O[n + 1]), true);
        }
    }

    serial_is_an_expression(site) {
        site.policy(a("serial=^X")).check("hans", &pin(O[0]), false);
        for (n, expression) in ["serial=^H", "serial=1$", "serial=", "serial=H[0-9]"].into_iter().enumerate() {
            site.policy(a(expression)).check("hans", &pin(O[n + 1]), true);
        }
        site.policy(a("serial=[")).check_fails("hans", &pin(O[6]));
    }

    setrealm_is_one_step_and_ignores_itself(site) {
        site.enroll("M1", "1234", "max", "r2");
        site.policy(a("setrealm=R2").realm("r1")).policy(a("setrealm=r1").named("B").realm("r2"));
        site.check("max", &pin(O[0]), true);
        assert_eq!(&*site.state.last_audit().realm, "r2");
        site.check("hans", &pin(O[0]), false);
        site.policy(a("setrealm=").realm("r1")).check("hans", &pin(O[0]), true);
    }

    details_are_told_where_policies_say_so(site) {
        site.policy(a("detail_on_success, detail_on_fail").realm("r1"));
        let verdict = site.verdict("hans", &pin(O[0]));
        let Some(LoginDetail::Success(detail)) = verdict.detail else { panic!("{verdict:?}") };
        assert_eq!((detail.serial.as_deref(), detail.token_type.as_deref()), (Some("H1"), Some("HMAC")));
        let user = detail.user.unwrap();
        assert_eq!(user["mobile"].as_deref(), Some("+49 170 111"));
        let failed = |text: &str| Some(LoginDetail::Failure(text.to_owned()));
        assert_eq!(site.verdict("hans", "1234000000").detail, failed("wrong otp value"));
        assert_eq!(site.verdict("hans", "9999000000").detail, failed("wrong otp pin -1"));
        site.enroll("M1", "1234", "max", "r2");
        assert_eq!(site.verdict("max@r2", "x").detail, None);
        site.policy(a("!detail_on_success, detail_on_fail=0"));
        assert_eq!(site.verdict("hans", &pin(O[1])).detail, None);
        assert_eq!(site.verdict("hans", "x").detail, None);
    }

    details_of_a_check_by_serial_are_about_the_owner(site) {
        site.policy(a("detail_on_success").user("hans"));
        let pass = Some(SecretText::from("1234755224"));
        let check = CheckSerial { serial: Some("H1".to_owned()), pass, ..CheckSerial::default() };
        let verdict = site.state.run(&check).unwrap();
        let Some(LoginDetail::Success(detail)) = verdict.detail else { panic!("{verdict:?}") };
        assert_eq!(detail.user.unwrap()["username"].as_deref(), Some("hans"));
    }
}

impl super::site::Site {
    /// A check that neither accepts nor says no.
    #[track_caller]
    fn check_fails(&mut self, user: &str, pass: &str) {
        let outcome = self.state.run(&super::site::request(user, pass));
        assert!(outcome.is_err(), "{outcome:?}");
    }
}
