//! Scope enrollment: reference policies 6.3 and the case AD-25.

use tessera_core::decide::lifecycle::{Assign, SetActive, Unassign};
use tessera_core::decide::selection::Selection;
use tessera_core::decide::set::{Change, Set};
use tessera_core::decide::user::UserParams;
use tessera_core::decision::Refusal;
use tessera_core::record::Pin;
use tessera_core::secret::{Purpose, SecretText};

use super::cases;
use super::site::{P, Site, init_request, p};

fn e(action: &str) -> P<'_> {
    p(action).named("E").scope("enrollment")
}

fn assign(site: &mut Site, serials: &[&str], user: &str) -> Result<u32, Refusal> {
    let serials = serials.iter().map(|serial| (*serial).to_owned()).collect();
    site.state.run(&Assign { serials, user: UserParams::login(user), pin: None })
}

fn set_active(site: &mut Site, serial: &str, active: bool) -> Result<u32, Refusal> {
    let request = SetActive { selection: Selection::serial(serial), active };
    site.state.run(&request).map(|count| count.tokens)
}

fn too_many<T>(outcome: &Result<T, Refusal>) -> bool {
    matches!(outcome, Err(Refusal::TooManyTokens(_)))
}

fn too_many_of_type<T>(outcome: &Result<T, Refusal>) -> bool {
    matches!(outcome, Err(Refusal::TooManyTokensOfType(_)))
}

fn not_allowed<T>(outcome: &Result<T, Refusal>) -> bool {
    matches!(outcome, Err(Refusal::NotAllowed(_)))
}

/// Whether a character belongs to a group.
type Belongs = fn(char) -> bool;

/// The PIN of a token that is stored encrypted.
fn pin(site: &Site, serial: &str) -> String {
    let Pin::Reversible(sealed) = &site.state.token(serial).pin else {
        panic!("{serial} has no encrypted PIN")
    };
    let opened = site.state.keyring.open(Purpose::UserPin, serial, sealed).unwrap();
    String::from_utf8(opened.to_vec()).unwrap()
}

cases! {
    ad_25(site) {
        for serial in ["H2", "H3", "H4"] {
            site.enroll(serial, "1234", "eva", "");
        }
        site.enroll("X1", "1234", "", "r2");
        site.policy(e("tokencount=4").realm("r1"));
        assert!(not_allowed(&site.init(&init_request("H5", "", "eva", ""))));
        assert!(not_allowed(&assign(&mut site, &["X1"], "eva")));
        assert_eq!(set_active(&mut site, "H4", true), Ok(1), "it is counted already");
        site.state.run(&Unassign { serial: Some("H4".to_owned()), pin: None }).unwrap();
        assert!(not_allowed(&site.init(&init_request("H5", "", "eva", ""))), "unassigning frees nothing");
        set_active(&mut site, "H4", false).unwrap();
        assert_eq!(site.init(&init_request("H5", "", "eva", "")).as_deref(), Ok("H5"));
        assert!(not_allowed(&set_active(&mut site, "H4", true)));
        assert_eq!(site.init(&init_request("H5", "", "eva", "")).as_deref(), Ok("H5"), "enrolled again");
        assert_eq!(site.init(&init_request("M1", "", "max", "r2")).as_deref(), Ok("M1"), "another realm");
    }

    /// Two tokens in one request are two tokens.
    tokencount_counts_all_tokens_of_a_request(site) {
        for serial in ["X1", "X2"] {
            site.enroll(serial, "1234", "", "r1");
            set_active(&mut site, serial, false).unwrap();
        }
        site.policy(e("tokencount=2").realm("r1"));
        assert!(not_allowed(&set_active(&mut site, "X*", true)));
        assert_eq!(set_active(&mut site, "X1", true), Ok(1));
    }

    maxtoken_limits_the_tokens_of_a_user(site) {
        site.enroll("X1", "1234", "", "r1");
        site.enroll("X2", "1234", "", "r1");
        site.policy(e("maxtoken=2"));
        assert!(too_many(&assign(&mut site, &["X1", "X2"], "hans")), "together they are too many");
        assert_eq!(assign(&mut site, &["X1"], "hans"), Ok(1));
        assert!(too_many(&assign(&mut site, &["X2"], "hans")));
        assert!(too_many(&site.init(&init_request("H3", "", "hans", ""))));
        set_active(&mut site, "X1", false).unwrap();
        assert!(too_many(&site.init(&init_request("H3", "", "hans", ""))), "in any state");
        assert_eq!(site.init(&init_request("H1", "", "hans", "")).as_deref(), Ok("H1"), "enrolled again");
        assert_eq!(site.init(&init_request("E1", "", "eva", "")).as_deref(), Ok("E1"));
        site.policy(e("maxtoken=-1"));
        assert_eq!(site.init(&init_request("H3", "", "hans", "")).as_deref(), Ok("H3"));
    }

    maxtoken_of_a_type_limits_only_that_type(site) {
        site.policy(e("maxtokenHMAC=1"));
        assert!(too_many_of_type(&site.init(&init_request("H2", "", "hans", ""))));
        let mut totp = init_request("T1", "", "hans", "");
        totp.token_type = Some("totp".to_owned());
        assert_eq!(site.init(&totp).as_deref(), Ok("T1"));
        site.policy(e("maxtokenHMAC=1").user("eva"));
        assert_eq!(site.init(&init_request("H2", "", "hans", "")).as_deref(), Ok("H2"));
    }

    /// Two nodes give the last free place away at once: the second decision does not commit.
    limits_hold_for_concurrent_requests(site) {
        site.policy(e("maxtoken=2"));
        let one = site.state.decide(&init_request("A1", "", "hans", ""));
        let other = site.state.decide(&init_request("A2", "", "hans", ""));
        assert!(one.reply.is_ok() && other.reply.is_ok());
        assert!(matches!(site.state.apply(one.txn), tessera_core::txn::Outcome::Committed(_)));
        assert!(matches!(site.state.apply(other.txn), tessera_core::txn::Outcome::Conflict(..)));
    }

    random_pins_replace_the_one_given(site) {
        site.policy(e("otp_pin_random=12, otp_pin_random_content=n, otp_pin_encrypt=1"));
        site.enroll("R1", "mine", "eva", "");
        let first = pin(&site, "R1");
        assert!(first.len() == 12 && first.bytes().all(|byte| byte.is_ascii_digit()), "{first}");
        assign(&mut site, &["R1"], "hans").unwrap();
        let second = pin(&site, "R1");
        assert_ne!(first, second);
        let change = Change::Pin(SecretText::from("mine"));
        site.state.run(&Set { selection: Selection::serial("R1"), changes: vec![change] }).unwrap();
        let third = pin(&site, "R1");
        assert!(third != "mine" && third != second && third.len() == 12);
        site.check("hans", &format!("{third}755224"), true);
    }

    random_pins_contain_the_groups_named(site) {
        let groups: [(&str, Belongs); 5] = [
            ("c", |c| c.is_ascii_lowercase()),
            ("C", |c| c.is_ascii_uppercase()),
            ("cn", |c| c.is_ascii_lowercase() || c.is_ascii_digit()),
            ("s", |c| "!#$%&()*+,-./:;<=>?@[]^_".contains(c)),
            ("", |c| c.is_ascii_alphanumeric()),
        ];
        for (content, belongs) in groups {
            let action = format!("otp_pin_random=99, otp_pin_random_content={content}, otp_pin_encrypt=1");
            site.policy(e(&action));
            site.enroll("R1", "", "eva", "");
            let pin = pin(&site, "R1");
            assert!(pin.chars().count() == 99 && pin.chars().all(belongs), "{content}: {pin}");
        }
    }

    pins_are_hashed_unless_a_policy_of_the_realm_says_otherwise(site) {
        site.policy(e("otp_pin_encrypt=1").realm("r2"));
        site.enroll("E1", "1234", "eva", "");
        assert!(matches!(site.state.token("E1").pin, Pin::Hashed(_)));
        site.enroll("M1", "4321", "max", "r2");
        assert_eq!(pin(&site, "M1"), "4321");
    }

    apps_show_label_and_issuer(site) {
        site.policy(e("tokenlabel=\"<u>@<r>, <s>\", tokenissuer=Example <d>"));
        let mut request = init_request("L1", "", "eva", "");
        request.description = Some("phone".to_owned());
        let url = site.state.run(&request).unwrap().otpauth_url.unwrap();
        let url = url.expose();
        assert!(url.starts_with("otpauth://hotp/Example%20phone:eva%40r1%2C%20L1?"), "{url}");
        assert!(url.contains("issuer=Example%20phone"), "{url}");
        site.policy(e("tokenlabel=<u>").user("hans"));
        let url = site.state.run(&init_request("L2", "", "eva", "")).unwrap().otpauth_url.unwrap();
        assert!(url.expose().starts_with("otpauth://hotp/LinOTP:eva?"), "{}", url.expose());
    }
}
