//! What a snapshot costs the logins that go on meanwhile: three durable nodes in this process, connected as always, with
//! a state of a million tokens. `cargo bench -p tessera-benches --bench snapshot`, with `TESSERA_BENCH_TOKENS=100000`
//! for a smaller state.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints its figures and stops at the first surprise"
)]

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tessera_core::decide::enroll::{Init, SeedSource};
use tessera_core::decide::validate::CheckSerial;
use tessera_core::facts::Caller;
use tessera_core::secret::SecretText;
use tessera_node::keys::ClusterKeys;
use tessera_node::{Node, NodeConfig, tls};
use tokio::task::JoinSet;

const CLUSTER: &str = "6a4f5b0e-2c53-4d2f-9a0d-6f6c1f0d1a01";
/// The seed of RFC 4226 appendix D, and the OTPs of its first counters.
const SEED: &str = "3132333435363738393031323334353637383930";
const OTPS: [&str; 8] = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583"];
const NODES: usize = 3;
const ENROLLING: u64 = 192;
const CLIENTS: u64 = 64;
const ROUNDS: usize = 4;
const QUIET: Duration = Duration::from_secs(10);

fn config(folder: &Path, id: usize, http: &[u16], raft: &[u16]) -> NodeConfig {
    let members: String = (0..NODES)
        .map(|n| {
            format!(
                "[[members]]\nid = {}\ncluster = \"127.0.0.1:{}\"\nhttp = \"http://127.0.0.1:{}\"\n",
                n + 1,
                raft[n],
                http[n]
            )
        })
        .collect();
    // The snapshots of this run are those it asks for.
    let text = format!(
        "[node]\nid = {id}\ndata_dir = \"data-{id}\"\n[cluster]\nid = \"{CLUSTER}\"\nlisten = \"127.0.0.1:{raft}\"\n\
         advertise = \"127.0.0.1:{raft}\"\nbootstrap = {first}\nkey_file = \"cluster.key\"\nca_file = \"ca.crt\"\n\
         certificate_file = \"node{id}.crt\"\nprivate_key_file = \"node{id}.key\"\nsnapshot_transactions = 100000000\n\
         snapshot_log_mib = 65536\n[http]\nlisten = \"127.0.0.1:{http}\"\nurl = \"http://127.0.0.1:{http}\"\nplain = true\n\
         [admin]\nuser = \"admin\"\npassword = \"benchmark only\"\n{members}",
        raft = raft[id - 1],
        http = http[id - 1],
        first = id == 1,
    );
    NodeConfig::parse(&text, folder, []).unwrap()
}

fn free_ports() -> Vec<u16> {
    let listeners: Vec<_> = (0..NODES).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

async fn start(folder: &Path) -> Vec<Node> {
    ClusterKeys::generate().unwrap().create(&folder.join("cluster.key")).unwrap();
    let ca = tls::new_ca(CLUSTER).unwrap();
    ca.create(&folder.join("ca.crt"), &folder.join("ca.key")).unwrap();
    let (http, raft) = (free_ports(), free_ports());
    let mut nodes = Vec::new();
    for id in 1..=NODES {
        let names = ["127.0.0.1".to_owned()];
        let node = tls::new_node(&ca, CLUSTER, u64::try_from(id).unwrap(), &names).unwrap();
        node.create(&folder.join(format!("node{id}.crt")), &folder.join(format!("node{id}.key"))).unwrap();
        let config = config(folder, id, &http, &raft);
        nodes.push(Node::start(config).await.unwrap());
    }
    while nodes.iter().any(|node| node.readiness().is_err()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    nodes
}

fn caller(action: &str) -> Caller {
    Caller { action: action.to_owned(), ..Caller::default() }
}

async fn enrol(nodes: &[Node], tokens: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for (node, _) in nodes.iter().cycle().zip(0..ENROLLING) {
        let (node, next) = (node.clone(), next.clone());
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= tokens {
                    return;
                }
                let init = Init {
                    serial: Some(serial(number)),
                    seed: SeedSource { given: Some(SecretText::from(SEED)), generate: false },
                    ..Init::default()
                };
                node.run(init, caller("admin/init")).await.unwrap().unwrap();
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.unwrap();
    }
}

fn serial(number: u64) -> String {
    format!("B{number:07}")
}

/// Clients that log in with one fresh OTP after the other until they are stopped. Each has tokens of its own.
struct Load {
    stop: Arc<AtomicBool>,
    workers: JoinSet<Vec<(Instant, Duration)>>,
}

impl Load {
    /// `round` chooses the counter, so that no OTP is sent twice.
    fn start(nodes: &[Node], tokens: u64, round: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = JoinSet::new();
        for client in 0..CLIENTS {
            let (nodes, stop) = (nodes.to_vec(), stop.clone());
            workers.spawn(async move {
                let mut seen = Vec::new();
                let own = (client..tokens).step_by(usize::try_from(CLIENTS).unwrap());
                for (number, node) in own.zip(nodes.iter().cycle()) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let check = CheckSerial {
                        serial: Some(serial(number)),
                        pass: Some(SecretText::from(OTPS[round])),
                        ..CheckSerial::default()
                    };
                    let begun = Instant::now();
                    let verdict = node.run(check, caller("validate/check_s")).await.unwrap().unwrap();
                    assert!(verdict.accepted, "{}", serial(number));
                    seen.push((begun, begun.elapsed()));
                }
                seen
            });
        }
        Self { stop, workers }
    }

    async fn end(mut self) -> Vec<(Instant, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        while let Some(seen) = self.workers.join_next().await {
            all.extend(seen.unwrap());
        }
        all
    }
}

fn line(name: &str, latencies: impl Iterator<Item = Duration>, time: Duration) -> u64 {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    for latency in latencies {
        histogram.record(u64::try_from(latency.as_micros()).unwrap().max(1)).unwrap();
    }
    let p99 = histogram.value_at_quantile(0.99);
    println!(
        "{name:24} {:>6} logins in {:>6} ms, p50 {:>6} us, p99 {p99:>6} us, max {:>7} us",
        histogram.len(),
        time.as_millis(),
        histogram.value_at_quantile(0.5),
        histogram.max(),
    );
    p99
}

/// One round: logins for a while, then logins while all nodes make a snapshot. Both p99.
async fn round(nodes: &[Node], tokens: u64, round: usize) -> (u64, u64) {
    let load = Load::start(nodes, tokens, round);
    let begun = Instant::now();
    tokio::time::sleep(QUIET).await;
    let asked = Instant::now();
    let before: Vec<u64> = nodes.iter().map(|node| node.store().status().snapshot_index).collect();
    for node in nodes {
        node.store().snapshot().await.unwrap();
    }
    let made = |(node, before): (&Node, &u64)| node.store().status().snapshot_index > *before;
    while !nodes.iter().zip(&before).all(made) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let done = Instant::now();
    let seen = load.end().await;
    let quiet = seen.iter().filter(|(at, time)| *at + *time < asked).map(|(_, time)| *time);
    let during = seen.iter().filter(|(at, time)| *at < done && *at + *time > asked).map(|(_, time)| *time);
    (line("without snapshot", quiet, asked - begun), line("while snapshots are made", during, done - asked))
}

fn main() {
    let wanted = std::env::var("TESSERA_BENCH_TOKENS").ok().and_then(|text| text.parse().ok());
    let tokens: u64 = wanted.unwrap_or(1_000_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let nodes = start(folder.path()).await;
        let begun = Instant::now();
        enrol(&nodes, tokens).await;
        println!("{tokens} tokens enrolled in {} s", begun.elapsed().as_secs());
        for number in 0..ROUNDS {
            let (quiet, during) = round(&nodes, tokens, number).await;
            println!("ratio of the p99: {}.{:02}", during / quiet, during % quiet * 100 / quiet);
        }
        for node in &nodes {
            node.shutdown().await;
        }
    });
}
