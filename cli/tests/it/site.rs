//! A development cluster with tokens, for tests of operators' commands.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tessera_client::{CheckRequest, Client, InitRequest, Secret, ShowRequest, Verdict};

use crate::dev::{Dev, run};
use crate::support::{stderr, stdout};

pub(crate) const PASSWORD: &str = "geheim geheim";
pub(crate) const PIN: &str = "1234";
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// RFC 4226 appendix D: the seed `12345678901234567890` and its first OTPs.
const SEED: &str = "3132333435363738393031323334353637383930";
pub(crate) const OTPS: [&str; 10] =
    ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
/// For machines that are busy with something else: an election in the middle of a test is not what it is about.
const PATIENT: [(&str, &str); 2] =
    [("TESSERA_CLUSTER_TIMING", "wan"), ("TESSERA_CLUSTER_COMMIT_TIMEOUT_MS", "20000")];
/// Requests under way at the same time.
const TASKS: usize = 8;

/// A cluster in a folder. It can be stopped and started again.
pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    pub(crate) urls: Vec<String>,
    home: PathBuf,
    options: Vec<String>,
    dev: Option<Dev>,
}

impl Site {
    /// Fills a folder and starts a cluster of `nodes`.
    pub(crate) fn start(place: &Path, name: &str, nodes: u16) -> Self {
        let (http, cluster) = (free_ports(nodes), free_ports(nodes));
        let options = [
            ("--nodes", nodes.to_string()),
            ("--http-port", http.to_string()),
            ("--cluster-port", cluster.to_string()),
            ("--admin-password", PASSWORD.to_owned()),
        ];
        let mut options: Vec<String> =
            options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        options.push("--no-demo".to_owned());
        let urls = (http..http + nodes).map(|port| format!("http://127.0.0.1:{port}")).collect();
        let mut site = Self { folder: place.join(name), urls, home: place.join("home"), options, dev: None };
        site.resume();
        site
    }

    /// Starts it again.
    pub(crate) fn resume(&mut self) {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let mut dev = Dev::start_with(&self.folder, &options, &PATIENT);
        dev.ready();
        self.dev = Some(dev);
    }

    pub(crate) fn stop(&mut self) {
        self.dev.take().unwrap().stop();
    }

    /// The newest term of the cluster: it changes with every election.
    pub(crate) fn term(&self) -> u64 {
        let status = self.json(&["cluster", "status"]);
        let nodes = status["nodes"].as_array().unwrap();
        nodes.iter().filter_map(|node| node["term"].as_u64()).max().unwrap()
    }

    /// Kills a node.
    pub(crate) fn kill(&self, id: u64) {
        let file = std::fs::read(self.folder.join("cluster.json")).unwrap();
        let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
        let node = file["nodes"].as_array().unwrap().iter().find(|node| node["id"] == id).unwrap();
        let pid = node["pid"].as_u64().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// Runs a command as the administrator of this cluster and expects it to succeed; its output.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// As [`Self::done`] with `--json`.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.done(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Runs a command and expects it to fail; its message.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        stderr(&output)
    }

    fn output(&self, arguments: &[&str]) -> std::process::Output {
        let urls = self.urls.join(",");
        let connection = ["--url", &urls, "--user", "admin", "--password", PASSWORD, "--timeout", "30"];
        run(&[arguments, &connection].concat(), &self.home)
    }

    /// A client of all nodes with a session.
    pub(crate) async fn client(&self) -> Client {
        let client = Client::builder()
            .urls(self.urls.iter().cloned())
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        client.login("admin", PASSWORD).await.unwrap();
        client
    }
}

/// The first of some ports in a row, below those the system gives to outgoing connections. Tests of this binary run in
/// processes of their own, so the process id takes part in the choice.
fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..500 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let start = std::process::id().wrapping_mul(97).wrapping_add(u32::from(step) * 11);
        let first = 12_000 + u16::try_from(start % 19_000).unwrap();
        let bound: Vec<_> =
            (first..first + count).map_while(|port| TcpListener::bind(("127.0.0.1", port)).ok()).collect();
        if bound.len() == usize::from(count) {
            return first;
        }
    }
    panic!("no {count} free ports in a row");
}

pub(crate) fn serial(number: usize) -> String {
    format!("HOTP{number:05}")
}

/// Enrols tokens with the seed of RFC 4226 and the PIN.
pub(crate) async fn enroll(client: &Client, count: usize) {
    each(client, count, |client, number| async move {
        let request = InitRequest {
            token_type: "hmac".to_owned(),
            serial: Some(serial(number)),
            otpkey: Some(Secret::new(SEED)),
            pin: Some(Secret::new(PIN)),
            ..InitRequest::default()
        };
        let began = Instant::now();
        // Enrolling the same token again does no harm.
        while let Err(error) = client.init_token(&request).await {
            assert!(error.outcome_is_unknown() && began.elapsed() < PATIENCE, "{}: {error}", serial(number));
        }
    })
    .await;
}

/// Does something for the numbers below `count`, several at a time.
pub(crate) async fn each<F>(
    client: &Client,
    count: usize,
    work: impl Fn(Client, usize) -> F + Send + Sync + Clone + 'static,
) where
    F: Future<Output = ()> + Send,
{
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (client, work) = (client.clone(), work.clone());
        tasks.spawn(async move {
            for number in (task..count).step_by(TASKS) {
                work(client.clone(), number).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Logins that were not answered.
pub(crate) static UNANSWERED: AtomicUsize = AtomicUsize::new(0);

/// Whether the OTP of a counter is accepted. When a change of leader leaves that open, which happens on a busy machine, the
/// token's counter tells.
pub(crate) async fn accepted(client: &Client, number: usize, counter: usize) -> bool {
    let pass = format!("{PIN}{}", OTPS[counter]);
    let began = Instant::now();
    loop {
        match client.check_s(&CheckRequest::serial(serial(number), pass.as_str())).await {
            Ok(Verdict::Accepted { .. }) => return true,
            Ok(Verdict::Rejected { .. }) => return false,
            Err(error) if error.outcome_is_unknown() && began.elapsed() < PATIENCE => {
                UNANSWERED.fetch_add(1, Ordering::Relaxed);
                if next_counter(client, number).await == Some(counter + 1) {
                    return true;
                }
            }
            other => panic!("token {number}, counter {counter}: {other:?}"),
        }
    }
}

async fn next_counter(client: &Client, number: usize) -> Option<usize> {
    let request = ShowRequest { serial: Some(serial(number)), ..ShowRequest::default() };
    let page = client.show_tokens(&request).await.ok()?;
    usize::try_from(page.rows.first()?.next_counter).ok()
}

/// Waits for a condition.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(200));
    }
}
