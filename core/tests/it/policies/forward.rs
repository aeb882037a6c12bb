//! `forward_server`: reference policies 11.6 and 11.7. What servers really reply is tested with the connectors and the web
//! interface.

use tessera_core::decide::authorize::LoginDetail;
use tessera_core::decide::policy::{GetPolicy, ImportPolicy};
use tessera_core::decide::validate::Check;
use tessera_core::facts::{Answer, ForwardedLogin, Question, RemoteReply, RemoteServer};
use tessera_core::policy::exchange::export;
use tessera_core::record::{Key, Record};
use tessera_core::user::PolicyName;
use tessera_core::view::StateRead as _;

use super::cases;
use super::site::{Site, p, request, with_option};

/// The login of a user of realm r1 as it is forwarded.
fn login(user: &str, pass: &str) -> ForwardedLogin {
    let parameters = vec![("realm".to_owned(), "r1".to_owned())];
    ForwardedLogin { user: user.to_owned(), pass: pass.into(), transaction: None, parameters }
}

fn http(url: &str, login: ForwardedLogin) -> Question {
    let servers = vec![RemoteServer::Http { url: url.to_owned(), verifies: true }];
    Question::AskServer { servers, login }
}

fn radius(host: &str, secret: &str, login: ForwardedLogin) -> Question {
    let server = RemoteServer::Radius {
        host: host.to_owned(),
        port: 1812,
        secret: secret.into(),
        nas_identifier: "LinOTP".to_owned(),
    };
    Question::AskServer { servers: vec![server], login }
}

fn http_reply(body: &str) -> Answer {
    Answer::Remote(RemoteReply::Http(body.to_owned()))
}

/// Prepares the answer to a question, instead of the one prepared before.
fn answer(site: &mut Site, question: &Question, answer: Answer) {
    site.state.answers.retain(|(prepared, _)| prepared != question);
    site.state.answers.push((question.clone(), answer));
}

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

    /// Exactly one question, and the local token is not touched.
    fw_01(site) {
        site.policy(p("forward_server=https://remote.example/validate/check").realm("r1"));
        let question = http("https://remote.example/validate/check", login("hans", "1234755224"));
        answer(&mut site, &question, http_reply(r#"{"result":{"status":true,"value":true}}"#));
        site.check("hans", "1234755224", true);
        assert_eq!(site.state.asked.iter().filter(|asked| **asked == question).count(), 1);
        assert_eq!((site.failures("H1"), site.state.usage("H1").next_counter), (0, 0));
        answer(&mut site, &question, http_reply(r#"{"result":{"status":true,"value":false}}"#));
        site.check("hans", "1234755224", false);
        assert_eq!((site.failures("H1"), site.state.usage("H1").next_counter), (0, 0));
        assert_eq!(site.reason(), "refused by another server");
    }

    fw_02(site) {
        site.policy(p("forward_server=https://remote.example/validate/check").realm("r2"));
        site.check("hans", "1234755224", true);
    }

    fw_03(site) {
        site.policy(p("forward_server=radius://127.0.0.1:1812/?secret=geheim1"));
        let question = radius("127.0.0.1", "geheim1", login("hans", "x"));
        for (reply, accepted) in [(RemoteReply::Accepted, true), (RemoteReply::Rejected, false)] {
            answer(&mut site, &question, Answer::Remote(reply));
            site.check("hans", "x", accepted);
        }
        site.state.answers.clear();
        site.check("hans", "x", false);
        assert_eq!(site.reason(), "no answer from the server the login was forwarded to");
        assert_eq!(site.failures("H1"), 0);
    }

    fw_05_only_clients_of_the_policy_are_forwarded(site) {
        let secret = "kjD28fSER9cW#SS1VlsCCE$#SAGH#$RRVE";
        let action = format!("forward_server=radius://radius_server:1812/?secret={secret}");
        site.policy(p(&action).client("10.1.1.0/24"));
        answer(&mut site, &radius("radius_server", secret, login("hans", "x")), Answer::Remote(RemoteReply::Accepted));
        site.from("10.1.1.7").check("hans", "x", true);
        site.from("10.1.2.7").check("hans", "x", false).check("hans", "1234755224", true);
    }

    fw_08_a_policy_that_was_saved_again_still_works(site) {
        site.policy(p("forward_server=radius://h/?secret=abc"));
        let shown = shown(&mut site, "P");
        site.policy(p(&shown));
        answer(&mut site, &radius("h", "abc", login("hans", "x")), Answer::Remote(RemoteReply::Accepted));
        site.check("hans", "x", true);
    }

    fw_09(site) {
        site.policy(p("forward_server=https://one/").named("B"));
        site.policy(p("forward_server=https://two/").named("A").user("hans"));
        let yes = || http_reply(r#"{"result":{"status":true,"value":true}}"#);
        answer(&mut site, &http("https://two/", login("hans", "x")), yes());
        answer(&mut site, &http("https://one/", login("eva", "x")), yes());
        site.check("hans", "x", true).check("eva", "x", true);
    }

    fw_10_and_fw_11(site) {
        site.policy(p("forward_server=radius://h/?secret=abc"));
        let challenged = RemoteReply::Challenged { state: "abc".to_owned(), message: "Enter code".to_owned() };
        answer(&mut site, &radius("h", "abc", login("hans", "x")), Answer::Remote(challenged));
        let verdict = site.verdict("hans", "x");
        let Some(LoginDetail::Remote(told)) = verdict.detail else { panic!("{verdict:?}") };
        assert!(!verdict.accepted);
        assert_eq!(told, r#"{"message":"Enter code","transactionid":"abc"}"#);
        let mut second = login("hans", "code");
        second.transaction = Some("abc".to_owned());
        second.parameters.extend(["transactionid", "state"].map(|name| (name.to_owned(), "abc".to_owned())));
        answer(&mut site, &radius("h", "abc", second), Answer::Remote(RemoteReply::Accepted));
        assert!(site.state.run(&super::site::answer("hans", "code", "abc")).unwrap().accepted);
    }

    fw_12_and_fw_13_details_are_passed_on(site) {
        site.policy(p("forward_server=https://one/"));
        site.policy(p("detail_on_fail, detail_on_success").named("D").scope("authorization"));
        let question = http("https://one/", login("hans", "x"));
        for (value, accepted) in [("false", false), ("true", true)] {
            let body = format!(r#"{{"detail":{{"transactionid":"7"}},"result":{{"status":true,"value":{value}}}}}"#);
            answer(&mut site, &question, http_reply(&body));
            let verdict = site.verdict("hans", "x");
            let told = Some(LoginDetail::Remote(r#"{"transactionid":"7"}"#.to_owned()));
            assert_eq!((verdict.accepted, verdict.detail), (accepted, told));
        }
        let mut second = login("hans", "y");
        second.transaction = Some("7".to_owned());
        for (name, text) in [("transactionid", "7"), ("state", "7"), ("data", "x")] {
            second.parameters.push((name.to_owned(), text.to_owned()));
        }
        answer(&mut site, &http("https://one/", second), http_reply(r#"{"result":{"status":true,"value":true}}"#));
        let request = with_option(super::site::answer("hans", "y", "7"), "data", "x");
        assert!(site.state.run(&with_option(request, "init", "1")).unwrap().accepted);
    }

    fw_14_replies_that_are_none_refuse(site) {
        site.policy(p("forward_server=https://one/"));
        let question = http("https://one/", login("hans", "x"));
        for body in ["", "true", "{}", r#"{"result":true}"#, r#"{"result":{"status":false,"value":true}}"#,
            r#"{"result":{"status":true,"value":"true"}}"#, r#"{"result":{"status":true,"value":1}}"#, "<html>"] {
            answer(&mut site, &question, http_reply(body));
            let verdict = site.verdict("hans", "x");
            assert_eq!((verdict.accepted, verdict.detail), (false, None), "{body}");
        }
        answer(&mut site, &question, Answer::Unavailable("no server can be reached".to_owned()));
        site.check("hans", "x", false);
        assert_eq!(&*site.state.last_audit().info, "no server can be reached");
    }

    fw_15_certificates_are_verified_unless_the_policy_says_otherwise(site) {
        for (url, verifies) in [("https://one/", true), ("https://one/?verify_ssl_certificate=false", false)] {
            site.policy(p(&format!("forward_server={url}")));
            let server = RemoteServer::Http { url: "https://one/".to_owned(), verifies };
            let question = Question::AskServer { servers: vec![server], login: login("hans", "x") };
            site.check("hans", "x", false);
            assert_eq!(site.state.asked.last(), Some(&question), "the query itself is not sent");
        }
    }

    fw_18(site) {
        site.policy(p("forward_server=https://one/, otppin=1"));
        answer(&mut site, &http("https://one/", login("hans", "a b+c")),
            http_reply(r#"{"result":{"status":true,"value":true}}"#));
        site.check("hans", "a b+c", true);
        assert_eq!(site.password_questions(), 0);
    }

    /// D32.
    forwarding_needs_a_password(site) {
        site.policy(p("forward_server=https://one/"));
        let check = Check { pass: None, ..request("hans", "") };
        assert!(!site.state.run(&check).unwrap().accepted);
        assert!(!site.state.asked.iter().any(|asked| matches!(asked, Question::AskServer { .. })));
    }

    servers_whose_secret_cannot_be_opened_are_left_out(site) {
        site.state.set("policy_action_validation", "False");
        let foreign = format!("1%3A{}%3A{}", "00".repeat(12), "00".repeat(20));
        let action = format!("forward_server=radius://one/?encsecret={foreign} radius://two https://three/");
        site.policy(p(&action)).check("hans", "x", false);
        assert_eq!(site.state.asked.last(), Some(&http("https://three/", login("hans", "x"))));
        let info = &site.state.last_audit().info;
        assert!(info.contains("server one cannot") && info.contains("server two has no secret"), "{info}");
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

    fn_03(site) {
        site.policy(p("forward_server=radius://h/?secret=x, forward_on_no_token"));
        answer(&mut site, &radius("h", "x", login("eva", "x")), Answer::Remote(RemoteReply::Accepted));
        site.check("eva", "x", true).check("eva", "y", false);
    }

    fn_05(site) {
        site.policy(p("forward_server=radius://h/?secret=x, forward_on_no_token=0"));
        answer(&mut site, &radius("h", "x", login("hans", "x")), Answer::Remote(RemoteReply::Accepted));
        site.check("hans", "x", true).check("hans", "1234755224", false);
    }

    fn_07(site) {
        site.enroll("E1", "1234", "eva", "");
        site.policy(p("forward_server=radius://h/?secret=x")).policy(p("forward_on_no_token").named("B").user("hans"));
        answer(&mut site, &radius("h", "x", login("eva", "x")), Answer::Remote(RemoteReply::Accepted));
        site.check("hans", "1234755224", true).check("eva", "x", true).check("eva", "1234755224", false);
    }

    fn_04(site) {
        site.policy(p("forward_on_no_token=1")).policy(p("forward_server=radius://h/?secret=x").named("B"));
        answer(&mut site, &radius("h", "x", login("eva", "x")), Answer::Remote(RemoteReply::Accepted));
        site.check("hans", "1234755224", true).check("eva", "x", true);
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
