//! Policies end to end: a cluster of three real nodes, the policy set on one of them, the login at another one (the families
//! of reference policies 11). `core/tests/it/policies` has the cases one by one.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use tessera_client::{Client, Method, passwd_resolver_spec};
use tokio::task::spawn_blocking;

use crate::site::{PASSWORD, Site as Cluster};

/// The seed of RFC 4226 appendix D and its first OTPs; that of reference tokens 14.1 and its first OTPs.
const SEED: &str = "3132333435363738393031323334353637383930";
const OTPS: [&str; 6] = ["755224", "287082", "359152", "969429", "338314", "254676"];
const SECOND_SEED: &str = "AD8EABE235FC57C815B26CEF3709075580B44738";
const SECOND_OTPS: [&str; 4] = ["870581", "793334", "088491", "013126"];

/// Passwords `pw-<login>`, hashed by `openssl passwd -6`.
const USERS: &str = "\
hans:$6$tessera1$b4apwNmThwkcD4kxPrHX82DbcupxX1kLHEu1GOkDo.geeOOmFfk2Fm3MhYu9p1wcd9iiHcBzc0/8Bl5fKdZB8.:1:1:Hans H,,,,hans@example.org::
eva:$6$tessera2$Wu4d0pdRGYOe.lwhwOx2kA6j8I8z9j31.I61.oqN/jfjDsbE6M4Ww/FGA/fWEiMO2b4urOY2XvZZbxD6tnLRa0:2:2:Eva E,,,,::
";

/// A cluster with the realm r1, hans and eva, and hans's token H1 with the PIN 1234.
struct Site {
    cluster: Cluster,
    clients: Vec<Client>,
    _place: tempfile::TempDir,
    /// The node the next policy is set on.
    turn: usize,
}

impl Site {
    async fn start(nodes: u16) -> Self {
        let place = tempfile::tempdir().unwrap();
        let users = place.path().join("users");
        std::fs::write(&users, USERS).unwrap();
        let folder = place.path().to_owned();
        let cluster = spawn_blocking(move || Cluster::start(&folder, "cluster", nodes)).await.unwrap();
        let mut clients = Vec::new();
        for url in &cluster.urls {
            let client = Client::builder().url(url).timeout(Duration::from_secs(30)).build().unwrap();
            client.login("admin", PASSWORD).await.unwrap();
            clients.push(client);
        }
        let site = Self { cluster, clients, _place: place, turn: 0 };
        let admin = &site.clients[0];
        admin.set_passwd_resolver("res1", &users.display().to_string()).await.unwrap();
        admin.set_realm("r1", &[&passwd_resolver_spec("res1")]).await.unwrap();
        admin.set_default_realm("r1").await.unwrap();
        admin.set_config("mayOverwriteClient", "127.0.0.1", None).await.unwrap();
        site.fresh("H1", SEED, "hans").await;
        site
    }

    /// Removes a token if it is there, and enrols it.
    async fn fresh(&self, serial: &str, seed: &str, user: &str) {
        let _ = self.post(0, "/admin/remove", &[("serial", serial)]).await;
        let place = if user.is_empty() { ("realm", "r1") } else { ("user", user) };
        let init = [("serial", serial), ("otpkey", seed), ("pin", "1234"), place];
        self.post(0, "/admin/init", &init).await.unwrap();
    }

    async fn post(&self, node: usize, path: &str, form: &[(&str, &str)]) -> Result<Value, String> {
        self.clients[node].call(Method::Post, path, form).await.map_err(|error| error.to_string())
    }

    /// Sets a policy; each time on another node.
    async fn policy(&mut self, scope: &str, action: &str) {
        self.policy_for("P", scope, action, &[]).await;
    }

    async fn policy_for(&mut self, name: &str, scope: &str, action: &str, more: &[(&str, &str)]) {
        self.turn = (self.turn + 1) % self.clients.len();
        let mut form = vec![("name", name), ("scope", scope), ("action", action), ("realm", "*")];
        form.retain(|(field, _)| more.iter().all(|(other, _)| other != field));
        form.extend(more);
        if !more.iter().any(|(field, _)| *field == "user") {
            form.push(("user", "*"));
        }
        self.post(self.turn, "/system/setPolicy", &form)
            .await
            .unwrap_or_else(|error| panic!("{action}: {error}"));
    }

    async fn forget(&self, names: &str) {
        self.post(self.turn, "/system/delPolicy", &[("name", names)]).await.unwrap();
    }

    /// A check at a node that is not the one the last policy was set on.
    async fn ask(&self, form: &[(&str, &str)]) -> Value {
        let node = (self.turn + 1) % self.clients.len();
        self.post(node, "/validate/check", form).await.unwrap_or_else(|error| panic!("{form:?}: {error}"))
    }

    #[track_caller]
    fn check(&self, user: &str, pass: &str, accepted: bool) -> impl Future<Output = ()> {
        self.check_with(user, pass, &[], accepted)
    }

    #[track_caller]
    fn check_with(
        &self,
        user: &str,
        pass: &str,
        more: &[(&str, &str)],
        accepted: bool,
    ) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let form = [&[("user", user), ("pass", pass)], more].concat();
            let reply = self.ask(&form).await;
            assert_eq!(reply["result"]["value"], accepted, "{caller}: {form:?}: {reply}");
        }
    }

    /// Whether a token is active, and its fail counter, as a node sees them.
    async fn state_of(&self, serial: &str, node: usize) -> (Value, Value) {
        let shown = self.clients[node].call(Method::Get, "/admin/show", &[("serial", serial)]).await.unwrap();
        let row = &shown["result"]["value"]["data"][0];
        (row["LinOtp.Isactive"].clone(), row["LinOtp.FailCount"].clone())
    }

    async fn fail_count(&self, serial: &str) -> Value {
        self.state_of(serial, 0).await.1
    }
}

fn pin(otp: &str) -> String {
    format!("1234{otp}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_set_on_one_node_counts_for_the_login_at_another() {
    let mut site = Site::start(3).await;
    otppin(&mut site).await;
    challenge_response(&mut site).await;
    passthru_and_pass_on_no_token(&mut site).await;
    authorization(&mut site).await;
    exceed(&mut site).await;
    enrollment(&mut site).await;
    rights(&mut site).await;
    site.cluster.stop();
}

/// 11.1.
async fn otppin(site: &mut Site) {
    site.check("hans", OTPS[0], false).await;
    site.policy("authentication", "otppin=2").await;
    site.check("hans", OTPS[0], true).await;
    site.check("hans", OTPS[0], false).await;
    site.policy("authentication", "otppin=1").await;
    site.check("hans", &format!("pw-hans{}", OTPS[1]), true).await;
    site.check("hans", &pin(OTPS[2]), false).await;
    site.policy("authentication", "otppin=3").await;
    site.check("hans", &format!("x{}", OTPS[2]), true).await;
    site.policy_for("P", "authentication", "otppin=2", &[("client", "10.1.0.0/16")]).await;
    site.check_with("hans", OTPS[3], &[("client", "10.2.0.5")], false).await;
    site.check_with("hans", OTPS[3], &[("client", "10.1.0.5")], true).await;
    site.forget("P").await;
    site.check("hans", OTPS[4], false).await;
    site.check("hans", &pin(OTPS[4]), true).await;
}

/// 11.2.
async fn challenge_response(site: &mut Site) {
    site.fresh("H1", SEED, "hans").await;
    site.policy("authentication", "challenge_response=HMAC TOTP PW").await;
    let reply = site.ask(&[("user", "hans"), ("pass", "1234")]).await;
    assert_eq!(
        (&reply["result"]["value"], &reply["detail"]["linotp_tokenserial"]),
        (&json!(false), &json!("H1"))
    );
    assert_eq!(reply["detail"]["linotp_tokentype"], "HMAC");
    let id = reply["detail"]["transactionid"].as_str().unwrap().to_owned();
    assert_eq!(site.fail_count("H1").await, 0);
    // The answer arrives at another node than the question; the next one at a third.
    site.turn += 1;
    site.check_with("hans", "000000", &[("transactionid", &id)], false).await;
    site.check_with("hans", OTPS[0], &[("state", &id)], true).await;
    site.turn += 1;
    site.check_with("hans", OTPS[1], &[("transactionid", &id)], false).await;
    site.check("hans", &pin(OTPS[1]), true).await;
    site.policy("authentication", "challenge_response=totp").await;
    let reply = site.ask(&[("user", "hans"), ("pass", "1234")]).await;
    assert!(reply["detail"]["transactionid"].is_null(), "{reply}");
    site.forget("P").await;
}

/// 11.3 and 11.4.
async fn passthru_and_pass_on_no_token(site: &mut Site) {
    site.check("eva", "pw-eva", false).await;
    site.policy("authentication", "passthru").await;
    site.check("eva", "pw-eva", true).await;
    site.check("eva", "wrong", false).await;
    site.check("hans", "pw-hans", false).await;
    site.policy("authentication", "!passthru, passOnNoToken").await;
    site.check("eva", "anything", true).await;
    site.check("hans", "anything", false).await;
    site.check_with("hans", "anything", &[("serial", "bogus")], false).await;
    site.forget("P").await;
}

/// 11.5 and section 6.2.
async fn authorization(site: &mut Site) {
    site.fresh("H1", SEED, "hans").await;
    let only = [("user", "hans"), ("client", "192.168.17.15")];
    site.policy_for("P", "authorization", "authorize", &only).await;
    site.check_with("hans", &pin(OTPS[0]), &[("client", "192.168.17.16")], false).await;
    site.check_with("hans", &pin(OTPS[0]), &[("client", "192.168.17.15")], true).await;
    site.policy("authorization", "tokentype=totp, detail_on_fail").await;
    let reply = site.ask(&[("user", "hans"), ("pass", &pin(OTPS[1]))]).await;
    assert_eq!(reply["result"]["value"], false);
    assert!(reply["detail"]["error"].as_str().unwrap().contains("not authorized"), "{reply}");
    site.policy("authorization", "tokentype=hmac, serial=^H, detail_on_success").await;
    let reply = site.ask(&[("user", "hans"), ("pass", &pin(OTPS[2]))]).await;
    let detail = &reply["detail"];
    assert_eq!((&detail["serial"], &detail["realm"]), (&json!("H1"), &json!("r1")), "{reply}");
    site.forget("P").await;
}

/// 11.16.
async fn exceed(site: &mut Site) {
    site.fresh("H1", SEED, "hans").await;
    site.policy("authentication", "disable_on_authentication_exceed").await;
    site.post(0, "/admin/set", &[("serial", "H1"), ("countAuthSuccessMax", "1")]).await.unwrap();
    site.check("hans", &pin(OTPS[0]), true).await;
    site.check("hans", &pin(OTPS[1]), false).await;
    for node in 0..site.clients.len() {
        assert_eq!(site.state_of("H1", node).await, (json!(false), json!(1)));
    }
    site.policy("authentication", "delete_on_authentication_exceed").await;
    site.post(0, "/admin/enable", &[("serial", "H1")]).await.unwrap();
    site.check("hans", &pin(OTPS[1]), false).await;
    let shown = site.clients[1].call(Method::Get, "/admin/show", &[("serial", "H1")]).await.unwrap();
    assert_eq!(shown["result"]["value"]["data"], json!([]));
    site.forget("P").await;
}

/// The leader changes after the attempt that was one too many: disabled once, and the same counters everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn ex_19_a_change_of_the_leader_does_not_repeat_the_disabling() {
    let mut site = Site::start(3).await;
    site.policy("authentication", "disable_on_authentication_exceed").await;
    site.post(0, "/admin/set", &[("serial", "H1"), ("countAuthSuccessMax", "1")]).await.unwrap();
    site.check("hans", &pin(OTPS[0]), true).await;
    site.check("hans", &pin(OTPS[1]), false).await;
    let status = site.clients[0].cluster_status().await.unwrap();
    let follower = status.nodes.iter().find(|node| node.role != "leader").unwrap().id.parse().unwrap();
    site.clients[0].cluster_transfer(follower).await.unwrap();
    for node in 0..site.clients.len() {
        assert_eq!(site.state_of("H1", node).await, (json!(false), json!(1)));
        site.turn = node;
        site.check("hans", &pin(OTPS[1]), false).await;
    }
    assert_eq!(site.state_of("H1", 0).await, (json!(false), json!(1)));
    site.cluster.stop();
}

/// Section 6.3.
async fn enrollment(site: &mut Site) {
    site.fresh("H1", SEED, "hans").await;
    site.policy("enrollment", "maxtoken=1, tokenlabel=<u>@<r>, tokenissuer=Example").await;
    let init = [("serial", "H2"), ("otpkey", SEED), ("user", "hans")];
    let refused = site.post(2, "/admin/init", &init).await.unwrap_err();
    assert!(refused.contains("411"), "{refused}");
    let shown =
        site.post(2, "/admin/init", &[("serial", "E1"), ("otpkey", SEED), ("user", "eva")]).await.unwrap();
    assert!(shown.to_string().contains("otpauth://hotp/Example:eva%40r1?"), "{shown}");
    site.post(2, "/admin/remove", &[("serial", "E1")]).await.unwrap();
    site.policy("enrollment", "tokencount=1").await;
    let refused = site
        .post(0, "/admin/init", &[("serial", "E1"), ("otpkey", SEED), ("user", "eva")])
        .await
        .unwrap_err();
    assert!(refused.contains("410"), "{refused}");

    site.policy("enrollment", "autoassignment").await;
    site.fresh("S1", SECOND_SEED, "").await;
    site.check("eva", &format!("wrong{}", SECOND_OTPS[0]), false).await;
    site.check("eva", &format!("pw-eva{}", SECOND_OTPS[0]), true).await;
    site.turn += 1;
    site.check("eva", &format!("pw-eva{}", SECOND_OTPS[0]), false).await;
    site.check("eva", &format!("pw-eva{}", SECOND_OTPS[1]), true).await;

    site.policy("enrollment", "lostTokenPWLen=15, lostTokenPWContents=n, lostTokenValid=2h").await;
    let lost = site.post(0, "/admin/losttoken", &[("serial", "S1")]).await.unwrap();
    let password = lost["result"]["value"]["password"].as_str().unwrap().to_owned();
    assert!(password.len() == 15 && password.bytes().all(|byte| byte.is_ascii_digit()), "{lost}");
    site.check("eva", &format!("pw-eva{password}"), true).await;
    site.forget("P").await;
}

/// 11.18 and section 5: what one node wrote holds at the others at once.
async fn rights(site: &mut Site) {
    site.policy_for("A", "admin", "show, enable", &[("user", "admin"), ("realm", "r1")]).await;
    for node in 0..site.clients.len() {
        let refused = site.post(node, "/admin/disable", &[("serial", "H1")]).await.unwrap_err();
        assert!(refused.contains("410"), "{refused}");
        site.post(node, "/admin/enable", &[("serial", "H1")]).await.unwrap();
    }
    let system = [("name", "S"), ("scope", "system"), ("action", "*"), ("realm", "*"), ("user", "somebody")];
    site.post(1, "/system/setPolicy", &system).await.unwrap();
    for node in 0..site.clients.len() {
        let refused = site.post(node, "/system/delPolicy", &[("name", "S")]).await.unwrap_err();
        assert!(refused.contains("410"), "{refused}");
    }
}

/// 11.6 and 11.7: the logins of a cluster are decided by a second one.
#[tokio::test(flavor = "multi_thread")]
async fn logins_are_forwarded_to_a_second_cluster() {
    let (mut site, second) = tokio::join!(Site::start(3), Site::start(1));
    second.fresh("H1", SECOND_SEED, "hans").await;
    let url = second.cluster.urls[0].clone();
    site.policy("authentication", &format!("forward_server={url}/validate/check")).await;
    site.check("hans", &pin(OTPS[0]), false).await;
    site.check("hans", &pin(SECOND_OTPS[0]), true).await;
    site.check("hans", &pin(SECOND_OTPS[0]), false).await;
    assert_eq!(site.fail_count("H1").await, 0, "the local token is not touched");

    let mut second = second;
    second.policy("authentication", "challenge_response=*").await;
    let reply = site.ask(&[("user", "hans"), ("pass", "1234")]).await;
    assert_eq!(
        (&reply["result"]["value"], &reply["detail"]["linotp_tokenserial"]),
        (&json!(false), &json!("H1"))
    );
    let id = reply["detail"]["transactionid"].as_str().unwrap().to_owned();
    site.turn += 1;
    site.check_with("hans", SECOND_OTPS[1], &[("transactionid", &id)], true).await;

    let action = format!("forward_server={url}/validate/check, forward_on_no_token");
    site.policy("authentication", &action).await;
    site.check("hans", &pin(OTPS[0]), true).await;
    second.fresh("E1", SECOND_SEED, "eva").await;
    site.check("eva", &pin(SECOND_OTPS[0]), true).await;

    // A server that is gone lets nobody in; the next one is asked if there is one.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("http://{gone}/validate/check");
    site.policy("authentication", &format!("forward_server={gone}")).await;
    site.check("hans", &pin(OTPS[1]), false).await;
    site.policy("authentication", &format!("forward_server={gone} {url}/validate/check")).await;
    site.check("hans", &pin(SECOND_OTPS[2]), true).await;
    site.cluster.stop();
    second.cluster.stop();
}
