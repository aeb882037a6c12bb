//! Administrators and their rights: reference policies 5 and the cases of 11.18 about them.

use tessera_core::decide::Request;
use tessera_core::decide::config::{GetConfig, SetConfig};
use tessera_core::decide::lifecycle::{Assign, Remove, SetActive, SetPin, Unassign};
use tessera_core::decide::policy::{DelPolicy, GetPolicy};
use tessera_core::decide::realm::GetRealms;
use tessera_core::decide::resync::Resync;
use tessera_core::decide::selection::Selection;
use tessera_core::decide::set::{Change, Set};
use tessera_core::decide::show::Show;
use tessera_core::decide::user::UserParams;
use tessera_core::decide::userlist::UserList;
use tessera_core::decision::Refusal;
use tessera_core::record::Key;
use tessera_core::user::RealmName;

use super::cases;
use super::site::{P, Site, init_request, p};

const SYSTEM: P<'static> = p("*").named("S").scope("system").user("superadmin");

fn admin(action: &str) -> P<'_> {
    p(action).named("A").scope("admin")
}

impl Site {
    #[track_caller]
    fn allowed<R: Request>(&mut self, request: &R, allowed: bool) -> &mut Self {
        match self.state.run(request) {
            Err(Refusal::NotAllowed(text)) => assert!(!allowed, "{text}"),
            Err(other) => assert!(allowed, "{other}"),
            Ok(_) => assert!(allowed, "it was allowed"),
        }
        self
    }
}

fn set_config() -> SetConfig {
    SetConfig::Single { key: "k".into(), value: Some("v".into()), kind: None, description: None }
}

fn serial(serial: &str) -> Selection {
    Selection::serial(serial)
}

fn enable(name: &str) -> SetActive {
    SetActive { selection: serial(name), active: true }
}

fn of_user(user: &str, realm: &str) -> Selection {
    let user = UserParams { user: user.to_owned(), realm: Some(realm.to_owned()), res_conf: None };
    Selection { serial: None, user }
}

/// H1 of hans in r1 and r12, M1 of max in r2 and r12, U1 of nobody in no realm.
fn tokens(site: &mut Site) {
    site.enroll("M1", "1234", "max", "r2");
    site.enroll("U1", "1234", "", "");
}

fn shown(site: &mut Site) -> Vec<String> {
    let page = site.state.run(&Show::default()).unwrap();
    page.rows.iter().map(|row| row.serial.to_string()).collect()
}

cases! {
    ad_01(site) {
        site.as_admin("anybody").allowed(&set_config(), true).allowed(&GetConfig::default(), true);
        site.allowed(&enable("H1"), true).allowed(&Show::default(), true);
    }

    ad_03(site) {
        site.as_admin("superadmin").policy(SYSTEM);
        site.as_admin("other").allowed(&GetPolicy::default(), false).allowed(&SYSTEM.request(), false);
        site.allowed(&set_config(), false).allowed(&GetConfig::default(), false).allowed(&GetRealms::default(), false);
        site.as_admin("superadmin").allowed(&set_config(), true).allowed(&GetConfig::default(), true);
        site.state.caller.administrator = None;
        site.allowed(&set_config(), false);
    }

    ad_04(site) {
        site.as_admin("superadmin").policy(SYSTEM);
        site.policy(p("read").named("R").scope("system").user("adminR1"));
        site.as_admin("adminR1").allowed(&GetPolicy::default(), true).allowed(&SYSTEM.request(), false);
        site.allowed(&DelPolicy { name: Some("R".into()), enforce: true }, false);
    }

    ad_09(site) {
        site.policy(p("view").named("V").scope("audit").user("admin"));
        site.as_admin("nimda").allowed(&set_config(), true);
    }

    ad_10(site) {
        site.policy(p("read, write").named("B").scope("system").user("admin"));
        site.as_admin("admin").policy(p("read").named("A").scope("system"));
        site.allowed(&set_config(), true);
        site.as_admin("nimda").allowed(&set_config(), false).allowed(&GetConfig::default(), true);
    }

    ad_11(site) {
        site.policy(admin("show"));
        site.policy(admin("enable, disable").named("B").time("! * 0-24 * * * *"));
        let disable = SetActive { selection: serial("H1"), active: false };
        site.as_admin("admin").allowed(&Show::default(), true).allowed(&disable, false);
        site.policy(admin("enable, disable").named("B").time("* 0-24 * * * *;")).allowed(&disable, true);
    }

    ad_12(site) {
        tokens(&mut site);
        site.state.change_token("H1", |token| token.realms = vec![RealmName::from("r1")]);
        site.state.change_token("M1", |token| token.realms = vec![RealmName::from("r2")]);
        site.policy(admin("show").realm("r1").user("adminR1"));
        site.policy(admin("initHMAC").named("B").realm("r2").user("adminR1"));
        site.as_admin("adminR1");
        assert_eq!(shown(&mut site), ["H1", "M1"]);
        site.as_admin("other").allowed(&Show::default(), false);
    }

    ad_13(site) {
        tokens(&mut site);
        site.policy(admin("*").realm("unspecified_realm"));
        site.as_admin("admin");
        assert!(shown(&mut site).is_empty());
        site.policy(admin("*").realm("unspecified_realm, *"));
        assert_eq!(shown(&mut site), ["H1", "M1", "U1"]);
    }

    /// Reference policies 5.2: every form of a user condition works on administrators.
    rights_are_given_to_administrators_by_any_condition(site) {
        for user in ["admin", "admin@linotp_admins", "LinOTP_local_admins:", "*", "*, !bob", "adm*"] {
            site.state.caller.administrator = None;
            site.state.delete(Key::Policy("S".into()));
            site.policy(SYSTEM.user(user));
            site.as_admin("admin").allowed(&set_config(), true);
        }
        for user in ["bob", "admin@r1", "other_admins:", "!admin", "*, !admin", "Admin"] {
            site.state.caller.administrator = None;
            site.state.delete(Key::Policy("S".into()));
            site.policy(SYSTEM.user(user));
            site.as_admin("admin").allowed(&set_config(), false);
        }
    }

    /// Reference policies 5.3: a token by its realms, a user by the user's.
    rights_hold_in_the_realms_of_the_policy(site) {
        tokens(&mut site);
        site.policy(admin("*").realm("r2").user("admin"));
        site.as_admin("admin");
        for (request, allowed) in [
            (enable("M1"), true),
            (enable("H1"), false),
            (enable("U1"), false),
            (enable("NOPE"), false),
            (enable("*"), false),
            (enable("M*"), true),
            (SetActive { selection: of_user("max", "r2"), active: true }, true),
            (SetActive { selection: of_user("max", "r12"), active: true }, false),
            (SetActive { selection: of_user("hans", ""), active: true }, false),
            (SetActive { selection: of_user("", "r2"), active: true }, true),
            (SetActive { selection: of_user("", ""), active: true }, false),
        ] {
            site.allowed(&request, allowed);
        }
        site.policy_by_nobody(admin("*").realm("*").user("admin"));
        site.allowed(&enable("H1"), true).allowed(&enable("U1"), true);
    }

    /// Reference policies 5.3 step 2: what an exact policy grants hides what `*` would.
    an_exact_policy_hides_a_general_one(site) {
        tokens(&mut site);
        site.policy(admin("enable").realm("*").user("*"));
        site.policy(admin("enable").named("B").realm("r2").user("admin"));
        site.as_admin("admin").allowed(&enable("M1"), true).allowed(&enable("H1"), false);
        site.as_admin("other").allowed(&enable("H1"), true);
    }

    /// Reference policies 6.5: each call needs its own action; D2: one that is false grants nothing.
    every_call_is_guarded_by_its_action(site) {
        tokens(&mut site);
        let selection = serial("H1");
        let otp = || tessera_core::secret::SecretText::from("755224");
        let set = |change: Change| Set { selection: serial("H1"), changes: vec![change] };
        let assign = Assign { serials: vec!["U1".into()], user: UserParams::login("eva"), pin: None };
        let remove = Remove { serials: vec!["M1".into()], user: UserParams::default() };
        let unassign = Unassign { serial: Some("H1".into()), pin: None };
        let resync =
            Resync { selection: selection.clone(), otp1: otp(), otp2: otp(), challenges: None };
        let reset = tessera_core::decide::lifecycle::Reset { selection };
        let disable = SetActive { selection: serial("H1"), active: false };
        site.as_admin("admin");
        let mut guarded = |action: &str, run: &mut dyn FnMut(&mut Site, bool)| {
            site.policy_by_nobody(admin("show"));
            run(&mut site, false);
            site.policy_by_nobody(admin(&format!("!{action}, show")));
            run(&mut site, false);
            site.policy_by_nobody(admin(action));
            run(&mut site, true);
        };
        guarded("enable", &mut |site, ok| { site.allowed(&enable("H1"), ok); });
        guarded("disable", &mut |site, ok| { site.allowed(&disable, ok); });
        guarded("reset", &mut |site, ok| { site.allowed(&reset, ok); });
        guarded("resync", &mut |site, ok| { site.allowed(&resync, ok); });
        guarded("assign", &mut |site, ok| { site.allowed(&assign, ok); });
        guarded("setOTPPIN", &mut |site, ok| { site.allowed(&set(Change::Pin(otp())), ok); });
        for change in [Change::MaxFailCount(1), Change::SyncWindow(1), Change::CounterWindow(1), Change::OtpLen(6)] {
            guarded("set", &mut |site, ok| { site.allowed(&set(change.clone()), ok); });
        }
        guarded("unassign", &mut |site, ok| { site.allowed(&unassign, ok); });
        guarded("remove", &mut |site, ok| { site.allowed(&remove, ok); });
        guarded("userlist", &mut |site, ok| { site.allowed(&UserList::default(), ok); });
        guarded("initHMAC", &mut |site, ok| { site.allowed(&init_request("N1", "", "eva", ""), ok); });
        site.policy_by_nobody(admin("show")).allowed(&set(Change::Description("x".into())), true);
    }

    /// Each type with a device PIN has a right of its own.
    device_pins_need_the_right_of_their_type(site) {
        for (serial, token_type) in [("M2", "motp"), ("O2", "ocra2")] {
            let mut request = init_request(serial, "1234", "hans", "");
            request.token_type = Some(token_type.to_owned());
            request.device_pin = Some("12".into());
            request.seed.given = Some(if token_type == "motp" { "0123456789abcdef" } else { crate::tokens::SEED }.into());
            site.init(&request).unwrap();
        }
        site.as_admin("admin");
        let set = |serial: &str| SetPin { serial: Some(serial.to_owned()), user_pin: Some("34".into()) };
        for (action, motp, ocra) in
            [("setMOTPPIN", true, false), ("setOCRAPIN", false, true), ("set, setOTPPIN", false, false)]
        {
            site.policy_by_nobody(admin(action)).allowed(&set("M2"), motp).allowed(&set("O2"), ocra);
        }
        site.policy_by_nobody(admin("setMOTPPIN").realm("r2")).allowed(&set("M2"), false);
    }

    assigning_needs_both_the_token_and_the_user(site) {
        site.enroll("R1", "1234", "", "r1");
        site.enroll("R2", "1234", "", "r2");
        site.policy(admin("assign").realm("r2").user("admin"));
        site.as_admin("admin");
        for (token, user, realm, allowed) in
            [("R1", "max", "r2", false), ("R2", "hans", "r1", false), ("R2", "max", "r2", true)]
        {
            let user = UserParams { user: user.to_owned(), realm: Some(realm.to_owned()), res_conf: None };
            site.allowed(&Assign { serials: vec![token.to_owned()], user, pin: None }, allowed);
        }
    }

    /// Reference policies 6.5, `init<TYPE>`.
    enrolling_puts_a_token_of_nobody_into_the_granted_realms(site) {
        site.policy(admin("initETNG").realm("r2, nowhere").user("admin"));
        site.as_admin("admin");
        site.allowed(&init_request("N1", "", "eva", ""), false);
        site.allowed(&init_request("H1", "", "", ""), false);
        site.allowed(&init_request("N1", "", "", ""), true);
        assert_eq!(site.state.token("N1").realms, [RealmName::from("r2")]);
        let mut totp = init_request("N2", "", "max", "r2");
        totp.token_type = Some("totp".into());
        site.allowed(&totp, false).allowed(&init_request("N2", "", "max", "r2"), true);
        site.policy_by_nobody(admin("initHMAC").user("other")).allowed(&init_request("N3", "", "", ""), false);
    }
}

impl Site {
    /// Stores a policy past all rights.
    #[track_caller]
    fn policy_by_nobody(&mut self, policy: P<'_>) -> &mut Self {
        let administrator = self.state.caller.administrator.take();
        self.policy(policy);
        self.state.caller.administrator = administrator;
        self
    }
}
