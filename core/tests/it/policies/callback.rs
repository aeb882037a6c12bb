//! `qrtanurl` and `qrtanurl_init`: reference policies 11.8.

use tessera_core::decide::callback::CallbackWish;
use tessera_core::decide::enroll::{Init, OcraParams, SeedSource, Shown};
use tessera_core::decide::validate::{Attribute, ChallengeReply, CheckSerial, Verdict};
use tessera_core::decision::Refusal;
use tessera_core::user::RealmName;

use super::cases;
use super::site::{Site, init_request, p};

const U1: &str = "https://s.example/validate/check_t";

/// An OCRA2 token of hans, who is in r1.
fn ocra(site: &mut Site) {
    let request = init_request("O1", "1234", "hans", "");
    site.init(&Init { token_type: Some("ocra2".to_owned()), ..request }).unwrap();
}

/// An OCRA2 token that nobody owns, in these realms.
fn unowned(site: &mut Site, realms: &[&str]) {
    let request = init_request("O1", "1234", "", "r1");
    site.init(&Init { token_type: Some("ocra2".to_owned()), ..request }).unwrap();
    site.state.change_token("O1", |token| {
        token.realms = realms.iter().map(|realm| RealmName::from(*realm)).collect();
    });
}

fn trigger(site: &mut Site, options: &[(&str, &str)]) -> Result<Verdict, Refusal> {
    let mut all = vec![("data", "10 EUR")];
    all.extend(options);
    let options = all.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    site.state.run(&CheckSerial { serial: Some("O1".to_owned()), options, ..CheckSerial::default() })
}

/// Transaction, app URL and call-back URL of a challenge.
#[track_caller]
fn challenge(site: &mut Site, options: &[(&str, &str)]) -> (String, String, String) {
    let Some(ChallengeReply::One(token)) = trigger(site, options).unwrap().challenge else {
        panic!("no challenge")
    };
    let url = token.attributes.iter().find(|(name, _)| name == "url").map(|(_, url)| url.clone());
    let Some(Attribute::Text(url)) = url else { panic!("no url") };
    (token.transaction_id.to_string(), token.message, url)
}

#[track_caller]
fn callback(site: &mut Site, options: &[(&str, &str)]) -> String {
    challenge(site, options).2
}

fn shown(detail: &[(&'static str, Shown)], name: &str) -> String {
    match detail.iter().find(|(known, _)| *known == name) {
        Some((_, Shown::Text(text) | Shown::Code(text))) => text.expose().to_owned(),
        None => panic!("{name} is missing"),
    }
}

cases! {
    qt_01(site) {
        ocra(&mut site);
        let (_, message, url) = challenge(&mut site, &[]);
        assert!(url.is_empty() && !message.contains("&u="), "{message}");
        site.policy(p(&format!("qrtanurl={U1}")).realm("r1"));
        let (_, message, url) = challenge(&mut site, &[]);
        assert_eq!(url, U1);
        assert!(message.contains("&u=https%3A%2F%2Fs.example%2Fvalidate%2Fcheck_t&si="), "{message}");
        site.policy(p(&format!("qrtanurl={U1}")).realm("r2"));
        assert_eq!(callback(&mut site, &[]), "");
    }

    qt_02(site) {
        ocra(&mut site);
        site.policy(p("qrtanurl=https://s.example/<serial>/<transactionid>?u=<user>&p=<password>"));
        let (id, _, url) = challenge(&mut site, &[("callback.user", "a b"), ("callback.password", "x")]);
        assert_eq!(url, format!("https://s.example/O1/{id}?u=a%20b&p=x"));
    }

    qt_03(site) {
        ocra(&mut site);
        site.policy(p(&format!("qrtanurl={U1}")));
        assert_eq!(callback(&mut site, &[("no_callback", "")]), "");
    }

    qt_04(site) {
        ocra(&mut site);
        site.policy(p("qrtanurl.app2=https://two/, qrtanurl=https://one/"));
        assert_eq!(callback(&mut site, &[("callback.id", "app2")]), "https://two/");
        assert_eq!(callback(&mut site, &[]), "https://one/");
        assert_eq!(callback(&mut site, &[("callback.id", "nope")]), "");
    }

    qt_05(site) {
        site.policy(p("qrtanurl_init=https://init/<serial>, qrtanurl=https://one/"));
        let ocra = OcraParams { shared_secret: true, ..OcraParams::default() };
        let seed = SeedSource { given: None, generate: true };
        let request = Init { token_type: Some("ocra2".to_owned()), seed, ocra, ..init_request("O1", "1234", "hans", "") };
        let detail = site.state.run(&request).unwrap().detail;
        assert_eq!(shown(&detail, "url"), "https://init/O1");
        assert!(shown(&detail, "app_import").ends_with("&u=https%3A%2F%2Finit%2FO1"));
        let suppressed = CallbackWish { suppressed: true, ..CallbackWish::default() };
        let ocra = OcraParams { shared_secret: true, callback: suppressed, ..OcraParams::default() };
        let detail = site.state.run(&Init { ocra, ..request.clone() }).unwrap().detail;
        assert_eq!(shown(&detail, "url"), "");
        // The base32 form of "foobar" (RFC 4648 section 10), and 0x17, the XOR of its bytes.
        let code = OcraParams { activation_code: Some("MZXW6YTBOI17".into()), ..OcraParams::default() };
        let activated = site.state.run(&Init { ocra: code, ..request }).unwrap().detail;
        assert_eq!(shown(&activated, "url"), "https://one/");
        assert!(shown(&activated, "app_import").contains("&u=https%3A%2F%2Fone%2F&si="));
    }

    qt_06(site) {
        ocra(&mut site);
        site.policy(p(&format!("qrtanurl={U1}")).named("A")).policy(p("otppin=1").named("B").realm("r1"));
        assert_eq!(callback(&mut site, &[]), U1);
    }

    qt_07(site) {
        unowned(&mut site, &["r1", "r2"]);
        site.policy(p(&format!("qrtanurl={U1}")));
        assert_eq!(callback(&mut site, &[]), U1);
        site.policy(p("qrtanurl=https://two/").named("B").realm("r2"));
        let refusal = trigger(&mut site, &[]).unwrap_err().to_string();
        assert!(refusal.contains(U1) && refusal.contains("https://two/ in r2"), "{refusal}");
        unowned(&mut site, &[]);
        assert_eq!(callback(&mut site, &[]), U1, "only * matches a token without realm");
    }
}
