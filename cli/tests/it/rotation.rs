//! `tessera key rotate`, end to end, while users log in.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tessera_client::Client;
use tokio::task::JoinSet;

use crate::site::{OTPS, Site, UNANSWERED, accepted, enroll, serial, until};

const TOKENS: usize = 300;
/// Tokens kept for after the rotation.
const KEPT: usize = 10;
const TASKS: usize = 6;

/// Users that log in again and again until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (client, stop, done) = (client.clone(), stop.clone(), done.clone());
            tasks.spawn(async move {
                for counter in 0..OTPS.len() {
                    for number in (KEPT + task..TOKENS).step_by(TASKS) {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        assert!(accepted(&client, number, counter).await, "{} at {counter}", serial(number));
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
                panic!("all OTPs are used up");
            });
        }
        Self { stop, done, tasks }
    }

    fn logins(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Every login must have been accepted.
    async fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

/// Gives node 3 a key file of its own.
fn separate_key_file(site: &mut Site) {
    site.stop();
    fs::copy(site.path("cluster.key"), site.path("node-3/own.key")).unwrap();
    let config = site.path("node-3/node.toml");
    let text = fs::read_to_string(&config).unwrap();
    let changed = text.replace("\"../cluster.key\"", "\"own.key\"");
    assert_ne!(text, changed);
    fs::write(&config, changed).unwrap();
    site.resume();
}

/// The rotation is what is seen in the records; whoever leads goes on with it.
#[test]
fn a_rotation_goes_on_when_the_leader_dies_right_after_the_switch() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = tempfile::tempdir().unwrap();
    let site = Site::start(place.path(), "cluster", 3);
    let client = runtime.block_on(site.client());
    runtime.block_on(enroll(&client, 50));
    site.done(&["key", "add", &site.path("cluster.key")]);
    let newest_held_by = |count: usize| {
        let status = runtime.block_on(client.key_status()).unwrap();
        status.nodes.iter().filter(|node| node.keys.contains(&2)).count() == count
    };
    until("all nodes have read the new key", || newest_held_by(3));
    let leader = site.json(&["cluster", "status"])["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["role"] == "leader")
        .and_then(|node| node["id"].as_u64())
        .unwrap();
    let switch = runtime.block_on(client.rotate_key(Some(2))).unwrap();
    assert_eq!((switch.from, switch.to), (1, 2));
    site.kill(leader);
    until("everything is sealed under the new key", || {
        runtime
            .block_on(client.key_status())
            .is_ok_and(|status| status.current == Some(2) && status.stale == 0)
    });
    for number in 0..50 {
        assert!(runtime.block_on(accepted(&client, number, 0)), "{}", serial(number));
    }
}

#[test]
fn the_cluster_key_is_replaced_while_users_log_in() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut site = Site::start(place.path(), "cluster", 3);
    separate_key_file(&mut site);
    let client = runtime.block_on(site.client());
    runtime.block_on(enroll(&client, TOKENS));

    let message = site.refused(&["key", "rotate"]);
    assert!(message.contains("add a new key"), "{message}");
    let (shared, own) = (site.path("cluster.key"), site.path("node-3/own.key"));
    site.done(&["key", "add", &shared]);
    let holders = |site: &Site, key: u64| {
        let status = site.json(&["key", "status"]);
        let nodes = status["nodes"].as_array().unwrap().clone();
        let holds = |node: &serde_json::Value| node["keys"].as_array().unwrap().contains(&key.into());
        nodes.iter().filter(|node| holds(node)).count()
    };
    until("two nodes have read the new key", || holders(&site, 2) == 2);
    let message = site.refused(&["key", "rotate", "--to", "2"]);
    assert!(
        message.contains("missing on node 3") || message.contains("this node does not hold key 2"),
        "{message}"
    );
    assert_eq!(site.json(&["key", "status"])["current"], 1, "nothing may have changed");
    fs::copy(&shared, &own).unwrap();
    until("all nodes have read the new key", || holders(&site, 2) == 3);

    let _entered = runtime.enter();
    let (term, unanswered) = (site.term(), UNANSWERED.load(Ordering::Relaxed));
    let load = Load::start(&client);
    until("users log in", || load.logins() >= 60);
    let rotated = site.json(&["key", "rotate", "--to", "2"]);
    let during = load.logins();
    assert_eq!((&rotated["current"], &rotated["removable"]), (&2.into(), &serde_json::json!([1])));
    until("users go on", || load.logins() >= during + 60);
    runtime.block_on(load.finish());
    let unanswered = UNANSWERED.load(Ordering::Relaxed) - unanswered;
    assert!(unanswered == 0 || site.term() != term, "{unanswered} logins without an answer, and no election");

    let status = site.json(&["key", "status"]);
    let old = status["keys"].as_array().unwrap().iter().find(|key| key["id"] == 1).unwrap().clone();
    assert_eq!((&old["sealed"], &old["needed"]), (&0.into(), &false.into()));
    assert_eq!((&old["pins"], &old["pin_key_stored"]), (&TOKENS.into(), &true.into()));
    for file in [&shared, &own] {
        site.done(&["key", "remove", file, "1"]);
    }
    until("all nodes have forgotten the old key", || holders(&site, 1) == 0);
    let check = |client: &Client, counter: usize| {
        for number in 0..KEPT {
            assert!(runtime.block_on(accepted(client, number, counter)), "{}", serial(number));
        }
    };
    check(&client, 0);
    site.stop();
    site.resume();
    let client = runtime.block_on(site.client());
    check(&client, 1);
    let message = site.refused(&["token", "check", "--serial", &serial(0), &format!("1235{}", OTPS[2])]);
    assert!(message.contains("rejected"), "a wrong PIN: {message}");
    site.stop();
}
