//! Every token type that computes, on a cluster of three real nodes: enrolled on one, used on the others, refused,
//! replayed, locked, reset, and used again after the leader was killed.
//!
//! `yubico` is not here: somebody else's server decides about it.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tessera_client::{CheckRequest, Client, InitRequest, Secret, TokenSelector, Verdict};
use tessera_core::algo::{dpw, hotp::Hotp, motp::Motp};
use tessera_core::calendar::DateTime;
use tessera_core::record::HashAlgorithm;
use tessera_core::time::UnixMillis;

use crate::dev::{Dev, PASSWORD, PATIENCE, free_ports, json, signal};

/// The key of RFC 4226 appendix D, RFC 6238 appendix B and RFC 6287 appendix C.
const SEED: &str = "3132333435363738393031323334353637383930";
/// RFC 4226 appendix D.
const HOTP: [&str; 10] =
    ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
/// RFC 6287 appendix C.1, suite OCRA-1:HOTP-SHA1-6:QN08.
const OCRA: [(&str, &str); 10] = [
    ("00000000", "237653"),
    ("11111111", "243178"),
    ("22222222", "653583"),
    ("33333333", "740991"),
    ("44444444", "608993"),
    ("55555555", "388898"),
    ("66666666", "816933"),
    ("77777777", "224598"),
    ("88888888", "750600"),
    ("99999999", "294470"),
];
/// Reference tokens 14.6.
const YUBIKEY: [&str; 8] = [
    "fcniufvgvjturjgvinhebbbertjnihit",
    "tbkfkdhnfjbjnkcbtbcckklhvgkljifu",
    "ktvkekfgufndgbfvctgfrrkinergbtdj",
    "jbefledlhkvjjcibvrdfcfetnjdjitrn",
    "druecevifbfufgdegglttghghhvhjcbh",
    "nvfnejvhkcililuvhntcrrulrfcrukll",
    "kttkktdergcenthdredlvbkiulrkftuk",
    "hutbgchjucnjnhlcnfijckbniegbglrt",
];
const PIN: &str = "pin";
/// `DefaultMaxFailCount`.
const FAILURES_MAX: usize = 10;

/// What a value answers: nothing, or a question that has to be asked first.
#[derive(Clone, Debug)]
struct Shown {
    question: Option<&'static str>,
    value: String,
}

impl From<&str> for Shown {
    fn from(value: &str) -> Self {
        Self { question: None, value: value.to_owned() }
    }
}

/// A device with its token.
struct Device {
    serial: &'static str,
    init: InitRequest,
    /// The next value, good for one login.
    next: Box<dyn FnMut() -> Shown>,
    wrong: &'static str,
    /// The type has no protection against replays: passwords.
    repeats: bool,
    /// The value of the last login, and the transaction it answered.
    used: Option<(Shown, Option<String>)>,
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The values of a list one after the other.
fn listed(values: impl IntoIterator<Item = Shown>) -> Box<dyn FnMut() -> Shown> {
    let mut values = values.into_iter().collect::<Vec<_>>().into_iter();
    Box::new(move || values.next().unwrap())
}

/// The values of the steps of a clock: the present one, but none twice.
fn ticking(step: u64, code: impl Fn(u64) -> String + 'static) -> Box<dyn FnMut() -> Shown> {
    let mut next = 0;
    Box::new(move || {
        let now = (seconds() / step).max(next);
        next = now + 1;
        Shown::from(code(now).as_str())
    })
}

fn init(token_type: &str, serial: &str, seed: Option<&str>, extra: &[(&str, &str)]) -> InitRequest {
    InitRequest {
        token_type: token_type.to_owned(),
        serial: Some(serial.to_owned()),
        otpkey: seed.map(Secret::new),
        pin: Some(Secret::new(PIN)),
        extra: extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..InitRequest::default()
    }
}

fn device(
    serial: &'static str,
    init: InitRequest,
    next: Box<dyn FnMut() -> Shown>,
    wrong: &'static str,
) -> Device {
    Device { serial, init, next, wrong, repeats: false, used: None }
}

fn devices() -> Vec<Device> {
    let totp = Hotp::new(b"12345678901234567890", HashAlgorithm::Sha1, 6).unwrap();
    let motp = Motp::new(b"0123456789abcdef", b"6666", 6).unwrap();
    let day = || {
        let today = DateTime::of(UnixMillis::from_seconds(seconds()));
        Shown::from(dpw::code(b"12341234123412341234123412341234", today, 6).unwrap().as_str())
    };
    let hotp = || listed(HOTP.map(Shown::from));
    let yubikey = YUBIKEY.map(|otp| Shown::from(format!("ecebeeejedecebeg{otp}").as_str()));
    let ocra = OCRA.map(|(question, value)| Shown { question: Some(question), ..Shown::from(value) });
    let repeating = |device: Device| Device { repeats: true, ..device };
    vec![
        device("E-HMAC", init("hmac", "E-HMAC", Some(SEED), &[]), hotp(), "000000"),
        device(
            "E-TOTP",
            init("totp", "E-TOTP", Some(SEED), &[]),
            ticking(30, move |step| totp.code(step).as_str().to_owned()),
            "000000",
        ),
        device(
            "E-MOTP",
            init("motp", "E-MOTP", Some("0123456789abcdef"), &[("otppin", "6666")]),
            ticking(10, move |slot| motp.code(slot)),
            "zzzzzz",
        ),
        repeating(device(
            "E-PW",
            init("pw", "E-PW", Some("geheim"), &[]),
            Box::new(|| Shown::from("geheim")),
            "falsch",
        )),
        repeating(device("E-SPASS", init("spass", "E-SPASS", None, &[]), Box::new(|| Shown::from("")), "x")),
        repeating(device(
            "E-DPW",
            init("dpw", "E-DPW", Some("12341234123412341234123412341234"), &[]),
            Box::new(day),
            "zzzzzz",
        )),
        device(
            "E-YUBI",
            init("yubikey", "E-YUBI", Some("9163508031b20d2fbb1868954e041729"), &[("otplen", "48")]),
            listed(yubikey),
            "ecebeeejedecebegfcniufvgvjturjgvinhebbvvvvvvvvvv",
        ),
        device(
            "E-OCRA",
            init("ocra2", "E-OCRA", Some(SEED), &[("ocrasuite", "OCRA-1:HOTP-SHA1-6:QN08")]),
            listed(ocra),
            "000000",
        ),
        device(
            "E-FORWARD",
            init("forward", "E-FORWARD", None, &[("forward.serial", "E-TARGET")]),
            hotp(),
            "000000",
        ),
    ]
}

impl Device {
    async fn check(&self, client: &Client, value: &str) -> Verdict {
        let request = CheckRequest::serial(self.serial, format!("{PIN}{value}"));
        client.check_s(&request).await.unwrap_or_else(|error| panic!("{}: {error}", self.serial))
    }

    /// A login with this value; of a device that answers questions, the question is asked first.
    async fn login(&mut self, client: &Client, shown: Shown) -> bool {
        let Some(question) = shown.question else {
            let accepted = self.check(client, &shown.value).await.is_accepted();
            self.used = Some((shown, None));
            return accepted;
        };
        let ask = CheckRequest { data: Some(question.to_owned()), ..CheckRequest::serial(self.serial, PIN) };
        let Verdict::Challenge(challenge) = client.check_s(&ask).await.unwrap() else { return false };
        let accepted = answer(client, &challenge.transaction_id, &shown.value).await;
        self.used = Some((shown, Some(challenge.transaction_id)));
        accepted
    }

    async fn login_next(&mut self, client: &Client) -> bool {
        let shown = (self.next)();
        self.login(client, shown).await
    }

    /// What was accepted last, once more.
    async fn replay(&self, client: &Client) -> bool {
        match self.used.as_ref().unwrap() {
            (shown, None) => self.check(client, &shown.value).await.is_accepted(),
            (shown, Some(transaction)) => answer(client, transaction, &shown.value).await,
        }
    }

    async fn fail(&mut self, client: &Client) {
        let question = self.used.as_ref().and_then(|(shown, _)| shown.question);
        let used = self.used.take();
        let wrong = Shown { question, ..Shown::from(self.wrong) };
        assert!(!self.login(client, wrong).await, "{}: a wrong value", self.serial);
        self.used = used;
    }
}

async fn answer(client: &Client, transaction: &str, value: &str) -> bool {
    let request = CheckRequest { pass: Some(value.to_owned()), ..CheckRequest::default() };
    client.check_t(&request.answering(transaction)).await.unwrap().is_accepted()
}

async fn client_of(url: &str) -> Client {
    let client = Client::builder().url(url).timeout(PATIENCE).build().unwrap();
    client.login("admin", PASSWORD).await.unwrap();
    client
}

/// Enrolled on one node, used on the others.
async fn live(device: &mut Device, nodes: &[Client; 3]) {
    let [first, second, third] = nodes;
    let serial = device.serial;
    first.init_token(&device.init).await.unwrap_or_else(|error| panic!("{serial}: {error}"));
    assert!(device.login_next(second).await, "{serial}: the first login");
    let again = device.replay(third).await;
    assert_eq!(again, device.repeats, "{serial}: a replay on another node");
    for failure in 0..=FAILURES_MAX {
        device.fail(&nodes[failure % nodes.len()]).await;
    }
    let before = device.used.take();
    assert!(!device.login_next(second).await, "{serial}: locked");
    device.used = before;
    let reset = first.reset_tokens(&TokenSelector::serial(serial)).await.unwrap();
    assert_eq!(reset, 1, "{serial}");
    if serial == "E-FORWARD" {
        first.reset_tokens(&TokenSelector::serial("E-TARGET")).await.unwrap();
    }
    assert!(device.login_next(third).await, "{serial}: after the reset");
}

/// The node that leads, once there is one other than this.
fn leader(url: &str, home: &Path, former: Option<u64>) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    let status = ["cluster", "status", "--url", url, "--user", "admin", "--password", PASSWORD, "--json"];
    loop {
        let status = json(&status, home);
        let nodes = status["nodes"].as_array().unwrap();
        let leads = |node: &&Value| node["role"] == "leader" && node["id"].as_u64() != former;
        if let Some(node) = nodes.iter().find(leads) {
            return node["id"].as_u64().unwrap();
        }
        assert!(Instant::now() < deadline, "no leader: {status}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_works_across_the_nodes_and_a_change_of_the_leader() {
    let place = tempfile::tempdir().unwrap();
    let (folder, home) = (place.path().join("cluster"), place.path().join("home"));
    let (http, cluster) = (free_ports(3), free_ports(3));
    let mut dev = Dev::start(
        &folder,
        &[
            "--nodes",
            "3",
            "--no-demo",
            "--http-port",
            &http.to_string(),
            "--cluster-port",
            &cluster.to_string(),
            "--admin-password",
            PASSWORD,
        ],
    );
    dev.ready();
    let urls: Vec<String> = (0..3).map(|node| format!("http://127.0.0.1:{}", http + node)).collect();
    let nodes = [client_of(&urls[0]).await, client_of(&urls[1]).await, client_of(&urls[2]).await];
    nodes[0]
        .init_token(&InitRequest { pin: None, ..init("hmac", "E-TARGET", Some(SEED), &[]) })
        .await
        .unwrap();
    let mut devices = devices();
    for device in &mut devices {
        live(device, &nodes).await;
    }

    let former = leader(&urls[0], &home, None);
    let file: Value = serde_json::from_slice(&std::fs::read(folder.join("cluster.json")).unwrap()).unwrap();
    let known = file["nodes"].as_array().unwrap();
    let node = known.iter().find(|node| node["id"].as_u64() == Some(former)).unwrap();
    signal("-KILL", u32::try_from(node["pid"].as_u64().unwrap()).unwrap());
    let left: Vec<usize> = (0..3).filter(|index| known[*index]["id"].as_u64() != Some(former)).collect();
    leader(&urls[left[0]], &home, Some(former));
    for device in &mut devices {
        let again = device.replay(&nodes[left[0]]).await;
        assert_eq!(again, device.repeats, "{}: a replay at the new leader's", device.serial);
        assert!(device.login_next(&nodes[left[1]]).await, "{}: after the change", device.serial);
        let again = device.replay(&nodes[left[0]]).await;
        assert_eq!(again, device.repeats, "{}: and its replay", device.serial);
    }
    dev.stop();
}
