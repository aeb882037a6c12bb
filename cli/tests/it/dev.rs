//! `tessera dev`, end to end: real processes, real connections.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{stderr, stdout, tessera};

const PASSWORD: &str = "geheim geheim";
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `tessera dev`, ended when dropped.
pub(crate) struct Dev {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Dev {
    pub(crate) fn start(folder: &Path, more: &[&str]) -> Self {
        Self::start_with(folder, more, &[])
    }

    /// With variables in the environment, which its nodes see as well.
    pub(crate) fn start_with(folder: &Path, more: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = tessera(&["dev", "--data-dir", folder.to_str().unwrap()]);
        command.envs(environment.iter().copied());
        let mut child = command.args(more).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Everything it prints until it says that it runs.
    pub(crate) fn ready(&mut self) -> Vec<String> {
        let mut printed = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            let last = line.starts_with("Ctrl-C");
            printed.push(line);
            if last {
                return printed;
            }
        }
        panic!("it ended instead of running: {printed:?}");
    }

    pub(crate) fn stop(mut self) {
        signal("-TERM", self.child.id());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        panic!("it did not stop");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Its nodes notice that their parent is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

fn is_alive(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// A port that was free a moment ago.
fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

fn pasted(line: &str) -> Value {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    let text = stdout(&output);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{line}\n{text}{}", stderr(&output)))
}

pub(crate) fn json(arguments: &[&str], home: &Path) -> Value {
    let output = run(arguments, home);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

pub(crate) fn run(arguments: &[&str], home: &Path) -> Output {
    tessera(arguments).env("XDG_STATE_HOME", home).output().unwrap()
}

fn curl_is_installed() -> bool {
    Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_cluster_of_one_serves_stops_and_continues() {
    let place = tempfile::tempdir().unwrap();
    let (folder, home) = (place.path().join("cluster"), place.path().join("home"));
    let (http, cluster) = (free_port(), free_port());
    let url = format!("http://127.0.0.1:{http}");
    let options = ["--http-port", &http, "--cluster-port", &cluster, "--admin-password", PASSWORD];
    let mut dev = Dev::start(&folder, &options);
    let printed = dev.ready();
    assert!(printed.iter().any(|line| line.contains(&url)), "{printed:#?}");
    assert!(printed.iter().any(|line| line.contains(PASSWORD)), "{printed:#?}");

    let file: Value = serde_json::from_slice(&std::fs::read(folder.join("cluster.json")).unwrap()).unwrap();
    assert_eq!(file["nodes"][0]["http"], url);
    assert_eq!(file["admin"]["password"], PASSWORD);
    let pid = file["nodes"][0]["pid"].as_u64().unwrap();
    assert!(is_alive(pid));

    let curl: Vec<&str> =
        printed.iter().map(|line| line.trim()).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(curl.len(), 3);
    if curl_is_installed() {
        assert_eq!(pasted(curl[0])["result"]["value"], true, "the first login");
        assert_eq!(pasted(curl[1])["result"]["value"], false, "the replay");
        let shown = pasted(curl[2]);
        assert_eq!(shown["result"]["value"]["data"][0]["LinOtp.TokenSerialnumber"], "DEMO-HOTP");
    } else {
        eprintln!("skipped: curl is not installed");
    }
    use_as_administrator(&url, &home);

    dev.stop();
    assert!(!is_alive(pid), "the node must end with its parent");
    let mut dev = Dev::start(&folder, &["--no-demo"]);
    dev.ready();
    let rows =
        json(&["token", "list", "--url", &url, "--user", "admin", "--password", PASSWORD, "--json"], &home);
    let serials: Vec<&str> =
        rows.as_array().unwrap().iter().map(|row| row["serial"].as_str().unwrap()).collect();
    assert_eq!(serials, ["DEMO-HOTP", "DEMO-TOTP"]);
    dev.stop();
}

fn use_as_administrator(url: &str, home: &Path) {
    let login = ["login", "--url", url, "--user", "admin", "--password"];
    assert_eq!(run(&[&login[..], &["wrong"]].concat(), home).status.code(), Some(4));
    json(&[&login[..], &[PASSWORD, "--json"]].concat(), home);
    let status = json(&["cluster", "status", "--json"], home);
    assert_eq!(status["nodes"][0]["role"], "leader", "{status}");
    assert_eq!(status["nodes"][0]["reachable"], true);
    let compared = json(&["cluster", "compare", "--json"], home);
    assert_eq!((&compared["equal"], &compared["complete"]), (&Value::Bool(true), &Value::Bool(true)));
    let audit = json(&["audit", "verify", "--json"], home);
    assert_eq!((&audit["ok"], &audit["nodes"][0]["check"]["fault"]), (&Value::Bool(true), &Value::Null));
    assert!(audit["nodes"][0]["rows"].as_u64().unwrap() > 0, "{audit}");
    let users = json(&["user", "list", "--realm", "demo", "--json"], home);
    let logins: Vec<&str> =
        users.as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap()).collect();
    assert_eq!(logins, ["alice", "bob"]);
    let token = json(&["token", "init", "--genkey", "--owner", "bob", "--realm", "demo", "--json"], home);
    let serial = token["serial"].as_str().unwrap();
    json(&["token", "set-pin", serial, "99", "--json"], home);
    json(&["token", "disable", serial, "--json"], home);
    let rows = json(&["token", "list", "--serial", serial, "--json"], home);
    assert_eq!(rows[0]["active"], false);
    json(&["token", "remove", serial, "--json"], home);
    assert_eq!(run(&["token", "show", serial], home).status.code(), Some(1));
    let check = ["token", "check", "--owner", "bob", "--realm", "demo", "1234000000"];
    assert_eq!(run(&check, home).status.code(), Some(1));
    json(&["logout", "--json"], home);
    assert_eq!(run(&["token", "list", "--url", url], home).status.code(), Some(4));
}

#[test]
fn no_node_outlives_its_parent() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("cluster");
    let (http, cluster) = (free_port(), free_port());
    let mut dev = Dev::start(&folder, &["--http-port", &http, "--cluster-port", &cluster, "--no-demo"]);
    dev.ready();
    let file: Value = serde_json::from_slice(&std::fs::read(folder.join("cluster.json")).unwrap()).unwrap();
    let pid = file["nodes"][0]["pid"].as_u64().unwrap();
    signal("-KILL", dev.child.id());
    let deadline = Instant::now() + PATIENCE;
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "the node outlived its parent");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
