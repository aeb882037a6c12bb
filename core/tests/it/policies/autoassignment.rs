//! Tokens that a login gives to its user, and roll-out tokens that one takes away: reference policies 6.3, tokens 12.3, 12.4
//! and 12.7.

use tessera_core::decide::enroll::Init;
use tessera_core::decide::validate::Check;
use tessera_core::record::{Key, Pin};
use tessera_core::txn::Outcome;
use tessera_core::user::Serial;
use tessera_core::view::StateRead as _;

use super::cases;
use super::site::{O, P, Site, init_request, p, request};
use crate::tokens::{OTPS, SEED};

const fn e(action: &str) -> P<'_> {
    p(action).named("E").scope("enrollment")
}

/// An unassigned token of a realm whose seed is the second one of the reference.
fn stock(site: &mut Site, serial: &str, realm: &str) {
    let mut request = init_request(serial, "", "", realm);
    request.seed.given = Some(SEED.into());
    site.init(&request).unwrap();
}

/// The login of a token's owner.
fn owner(site: &Site, serial: &str) -> Option<String> {
    site.state.token(serial).owner.as_ref().map(|owner| owner.user_id.to_string())
}

fn exists(site: &Site, serial: &str) -> bool {
    site.state.record(&Key::Token(Serial::from(serial))).is_some()
}

cases! {
    password_and_otp_assign_the_token(site) {
        stock(&mut site, "S1", "r1");
        site.check("eva", &format!("pw-eva{}", OTPS[3]), false);
        site.policy(e("autoassignment"));
        for (pass, why) in [
            (format!("wrong{}", OTPS[3]), "the password is wrong"),
            ("pw-eva000000".to_owned(), "the OTP is wrong"),
            (OTPS[3].to_owned(), "the password is missing"),
        ] {
            site.check("eva", &pass, false);
            assert_eq!(owner(&site, "S1"), None, "{why}");
        }
        assert_eq!(site.state.usage("S1").next_counter, 0);
        site.check("eva", &format!("pw-eva{}", OTPS[3]), true);
        assert_eq!(owner(&site, "S1").as_deref(), Some("id-eva"));
        assert_eq!((&*site.state.last_audit().serial, site.state.usage("S1").next_counter), ("S1", 4));
        site.check("eva", &format!("pw-eva{}", OTPS[3]), false);
        site.check("eva", &format!("pw-eva{}", OTPS[4]), true);
    }

    a_wrong_otp_asks_for_no_password(site) {
        stock(&mut site, "S1", "r1");
        site.policy(e("autoassignment")).check("eva", "pw-eva000000", false);
        assert_eq!(site.password_questions(), 0);
    }

    the_password_becomes_the_pin_unless_a_policy_forbids_it(site) {
        stock(&mut site, "S1", "r1");
        site.policy(e("autoassignment, ignore_autoassignment_pin"));
        site.check("eva", &format!("pw-eva{}", OTPS[0]), true);
        site.check("eva", &format!("pw-eva{}", OTPS[1]), false).check("eva", OTPS[1], true);
    }

    only_users_without_token_get_one(site) {
        stock(&mut site, "S1", "r1");
        site.policy(e("autoassignment, autoassignment_without_password"));
        site.check("hans", &format!("pw-hans{}", OTPS[0]), false).check("hans", OTPS[0], false);
        assert_eq!(owner(&site, "S1"), None);
        site.state.change_token("H1", |token| token.active = false);
        site.check("hans", OTPS[0], false);
        assert_eq!(owner(&site, "S1"), None, "a disabled token is a token");
    }

    the_otp_alone_assigns_the_token(site) {
        stock(&mut site, "S1", "r1");
        site.policy(e("autoassignment_without_password"));
        let of_type = |name: &str, otp: &str| Check { token_type: Some(name.to_owned()), ..request("eva", otp) };
        assert!(!site.state.run(&of_type("totp", OTPS[0])).unwrap().accepted);
        let by_serial = Check { serial: Some("S1".to_owned()), ..request("eva", OTPS[0]) };
        assert!(site.state.run(&by_serial).unwrap().accepted, "its OTP is right");
        assert_eq!(owner(&site, "S1"), None, "a token that is named is not given away");
        assert!(site.state.run(&of_type("hmac", OTPS[1])).unwrap().accepted);
        assert_eq!((owner(&site, "S1").as_deref(), &site.state.token("S1").pin), (Some("id-eva"), &Pin::Unset));
        assert_eq!(site.password_questions(), 0);
        site.check("eva", OTPS[1], false).check("eva", OTPS[2], true);
    }

    tokens_come_from_the_users_realm_or_the_one_of_the_policy(site) {
        stock(&mut site, "S2", "r2");
        site.policy(e("autoassignment_without_password")).check("eva", OTPS[0], false);
        site.policy(e("autoassignment_without_password, autoassignment_from_realm=R2")).check("eva", OTPS[0], true);
        let realms: Vec<String> = site.state.token("S2").realms.iter().map(ToString::to_string).collect();
        assert_eq!(realms, ["r1", "r12"]);
    }

    an_otp_of_several_tokens_assigns_none(site) {
        stock(&mut site, "S1", "r1");
        stock(&mut site, "S2", "r1");
        site.policy(e("autoassignment_without_password")).check("eva", OTPS[0], false);
        assert!(site.state.last_audit().info.contains("several tokens"));
        assert_eq!((owner(&site, "S1"), owner(&site, "S2")), (None, None));
        assert_eq!(site.state.usage("S1").next_counter, 0, "nothing is used up");
        site.state.change_token("S2", |token| token.active = false);
        site.check("eva", OTPS[0], true);
    }

    limits_hold_for_assigned_tokens(site) {
        stock(&mut site, "S1", "r1");
        site.policy(e("autoassignment_without_password, maxtoken=0")).check("eva", OTPS[0], false);
        assert!(site.state.last_audit().info.contains("not assigned"), "{}", site.state.last_audit().info);
        assert_eq!(owner(&site, "S1"), None);
    }

    /// Two users on two nodes send the same OTP: the second decision does not commit.
    a_token_is_given_away_once(site) {
        stock(&mut site, "S1", "r1");
        site.add_user("res1", "otto", &[]);
        site.policy(e("autoassignment_without_password"));
        let one = site.state.decide(&request("eva", OTPS[0]));
        let other = site.state.decide(&request("otto", OTPS[0]));
        assert!(one.reply.unwrap().accepted && other.reply.unwrap().accepted);
        assert!(matches!(site.state.apply(one.txn), Outcome::Committed(_)));
        assert!(matches!(site.state.apply(other.txn), Outcome::Conflict(..)));
        site.check("otto", OTPS[0], false);
    }

    rollout_tokens_go_after_a_login_with_another_one(site) {
        let rollout = |serial: &str| Init { rollout: true, ..init_request(serial, "good", "hans", "") };
        site.init(&Init { token_type: Some("spass".to_owned()), ..rollout("R1") }).unwrap();
        site.check("hans", &format!("1234{}", O[0]), true);
        assert!(exists(&site, "R1"), "no policy says so");
        site.policy(e("purge_rollout_token").user("eva")).check("hans", &format!("1234{}", O[1]), true);
        assert!(exists(&site, "R1"));
        site.policy(e("purge_rollout_token")).check("hans", "1234000000", false);
        assert!(exists(&site, "R1"));
        site.check("hans", &format!("1234{}", O[2]), true);
        assert!(!exists(&site, "R1") && exists(&site, "H1"));
        assert!(site.state.last_audit().info.contains("purged rollout tokens:R1"));
        site.check("hans", &format!("1234{}", O[3]), true);
    }
}
