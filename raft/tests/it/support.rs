//! Clusters of several nodes in one process, over real TLS on loopback.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tessera_core::{
    audit::AuditRowV1,
    record::{Key, Record, UsageV1},
    txn::{Dependency, Expectation, HistoryRow, Outcome, Revision, Txn},
    view::StateRead,
};
use tessera_raft::{
    cluster::{CommitError, Member, Role, State, Store},
    config::{NodeTls, SnapshotPolicy, StoreConfig, Timing},
};
use tokio::time::Instant;

pub(crate) const CLUSTER: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
/// All nodes of a test belong to one cluster from the start.
const GENESIS: [u8; 16] = [7; 16];
/// Far more than anything here needs, for machines that are busy.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// So slow that a machine which builds something else at the same time does not look like a dead leader: a change of
/// leader that a test has not caused would spoil it.
pub(crate) const TIMING: Timing = Timing { heartbeat_ms: 500, election_min_ms: 2000, election_max_ms: 3000 };
/// A node that hears nothing for this long would have begun an election, if it were to begin one.
pub(crate) const SILENCE: Duration = Duration::from_millis(TIMING.election_max_ms + 500);

/// A certificate authority and what it signs.
pub(crate) struct Pki {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca_pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), ca_pem }
    }

    pub(crate) fn node(&self, node: u64, cluster: &str) -> NodeTls {
        let name = format!("node-{node}.{cluster}.tessera");
        let key = KeyPair::generate().unwrap();
        let names = vec![name, format!("member.{cluster}.tessera")];
        let cert = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        NodeTls {
            ca_pem: self.ca_pem.clone().into_bytes(),
            cert_pem: cert.pem().into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
        }
    }
}

/// Nodes with their directories; a stopped node keeps directory and address.
pub(crate) struct Nodes {
    pub(crate) pki: Pki,
    dir: TempDir,
    addresses: BTreeMap<u64, SocketAddr>,
    running: BTreeMap<u64, Store>,
    change: Arc<dyn Fn(&mut StoreConfig) + Send + Sync>,
}

impl Nodes {
    pub(crate) fn new(change: impl Fn(&mut StoreConfig) + Send + Sync + 'static) -> Self {
        Self {
            pki: Pki::new(),
            dir: TempDir::new().unwrap(),
            addresses: BTreeMap::new(),
            running: BTreeMap::new(),
            change: Arc::new(change),
        }
    }

    pub(crate) fn config(&self, node: u64) -> StoreConfig {
        let listen = self.addresses.get(&node).copied().unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
        let tls = self.pki.node(node, CLUSTER);
        let mut config = StoreConfig::new(self.data_dir(node), CLUSTER.into(), node, listen, tls);
        config.commit_timeout = Duration::from_secs(20);
        config.timing = TIMING;
        (self.change)(&mut config);
        config
    }

    pub(crate) fn data_dir(&self, node: u64) -> PathBuf {
        self.dir.path().join(node.to_string())
    }

    /// Starts a node; again and again while the former one still holds its address or its disk.
    pub(crate) async fn start(&mut self, node: u64) -> Store {
        self.start_with(node, self.config(node)).await
    }

    pub(crate) async fn start_with(&mut self, node: u64, config: StoreConfig) -> Store {
        let deadline = Instant::now() + LONG;
        let store = loop {
            match Store::open(config.clone()).await {
                Ok(store) => break store,
                Err(error) if Instant::now() > deadline => panic!("cannot start node {node}: {error:?}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        store.admit(GENESIS).await.unwrap();
        self.addresses.insert(node, store.listen_addr());
        self.running.insert(node, store.clone());
        store
    }

    /// Stops a node without a hand-over.
    pub(crate) async fn kill(&mut self, node: u64) {
        let store = self.running.remove(&node).unwrap();
        store.kill().await;
    }

    pub(crate) fn get(&self, node: u64) -> Store {
        self.running[&node].clone()
    }

    pub(crate) fn all(&self) -> Vec<Store> {
        self.running.values().cloned().collect()
    }

    pub(crate) fn members(&self) -> BTreeMap<u64, Member> {
        let member = |address: &SocketAddr| Member { raft_addr: address.to_string(), api_url: String::new() };
        self.addresses.iter().map(|(id, address)| (*id, member(address))).collect()
    }

    pub(crate) fn member(&self, node: u64) -> Member {
        self.members()[&node].clone()
    }

    /// Nodes 1 to `count`, bootstrapped by node 1, with a leader.
    pub(crate) async fn cluster(
        count: u64,
        change: impl Fn(&mut StoreConfig) + Send + Sync + 'static,
    ) -> Self {
        let mut nodes = Self::new(change);
        for node in 1..=count {
            nodes.start(node).await;
        }
        nodes.get(1).bootstrap(nodes.members()).await.unwrap();
        nodes.leader().await;
        nodes
    }

    /// The leader that all running nodes agree on.
    pub(crate) async fn leader(&self) -> u64 {
        let mut leader = 0;
        until("the nodes agree on a leader", || {
            let seen: Vec<_> = self.all().iter().map(|store| store.status()).collect();
            let Some(first) = seen[0].leader.filter(|id| self.running.contains_key(id)) else { return false };
            leader = first;
            seen.iter().all(|status| status.leader == Some(first))
                && seen.iter().any(|status| status.node_id == first && status.role == Role::Leader)
        })
        .await;
        leader
    }

    /// Asks whoever leads to hand over, until the target leads. One attempt may fail: whatever enters the log meanwhile
    /// disturbs it, and with five voters a follower refuses its vote while it has just heard of the leader.
    pub(crate) async fn hand_over(&self, target: u64) {
        let deadline = Instant::now() + LONG;
        loop {
            let leader = self.leader().await;
            if leader == target {
                return;
            }
            let handed_over = self.get(leader).transfer_leadership(target).await;
            assert!(Instant::now() < deadline, "no hand-over: {handed_over:?}");
        }
    }

    pub(crate) async fn a_follower(&self) -> u64 {
        let leader = self.leader().await;
        *self.running.keys().find(|id| **id != leader).unwrap()
    }

    /// Waits until all running nodes hold the same, and returns it.
    pub(crate) async fn agreed(&self) -> Arc<State> {
        let newest = self.get(*self.running.keys().next().unwrap()).barrier().await.unwrap();
        for store in self.all() {
            store.wait_applied(newest.revision(), Instant::now() + LONG).await.unwrap();
        }
        until("all nodes hold the same state", || {
            let digests: Vec<_> = self.all().iter().map(|store| store.view().digest()).collect();
            digests.windows(2).all(|pair| pair[0] == pair[1])
        })
        .await;
        self.all()[0].view()
    }
}

/// A snapshot policy that keeps almost no log behind a snapshot.
pub(crate) fn short_log() -> SnapshotPolicy {
    SnapshotPolicy { keep_entries: 2, pause: Duration::ZERO, ..SnapshotPolicy::default() }
}

/// Waits for a condition.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        let deadline = Instant::now() + LONG;
        while !condition() {
            assert!(Instant::now() < deadline, "{caller}: not within {LONG:?}: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Checks that a condition holds all the time.
#[track_caller]
pub(crate) fn holds(
    what: &str,
    time: Duration,
    mut condition: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            assert!(condition(), "{caller}: no longer holds: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn usage_key(name: &str) -> Key {
    Key::Usage(name.into())
}

pub(crate) fn counter(state: &dyn StateRead, name: &str) -> u64 {
    match state.record(&usage_key(name)).map(|slot| slot.record) {
        Some(Record::Usage(usage)) => usage.next_counter,
        _ => 0,
    }
}

/// Sets a counter whatever it was, with a history row.
pub(crate) fn set(name: &str, value: u64) -> Txn {
    let record = Record::Usage(Arc::new(UsageV1 { next_counter: value, ..UsageV1::default() }));
    let row = AuditRowV1 { info: format!("{name}={value}").into(), ..AuditRowV1::default() };
    Txn {
        writes: vec![(usage_key(name), Some(record))],
        history: vec![HistoryRow::Audit(row)],
        ..Txn::default()
    }
}

/// Counts up by one from what a state says.
pub(crate) fn increment(state: &dyn StateRead, name: &str) -> Txn {
    let key = usage_key(name);
    let revision = state.record(&key).map_or(Revision(0), |slot| slot.revision);
    let expects = vec![Expectation { dependency: Dependency::Record(key), revision }];
    Txn { expects, ..set(name, counter(state, name) + 1) }
}

/// Commits and expects success.
#[track_caller]
pub(crate) fn committed(outcome: Result<Outcome, CommitError>) -> Revision {
    match outcome.map(Outcome::settled) {
        Ok(Outcome::Committed(revision)) => revision,
        other => panic!("not committed: {other:?}"),
    }
}

/// Commits a transaction that may be applied again, until it is known to be: for stores whose `commit_timeout` is short
/// because a test waits for it elsewhere.
pub(crate) async fn committed_at_last(store: &Store, txn: &Txn) -> Revision {
    let deadline = Instant::now() + LONG;
    loop {
        match store.commit(txn.clone()).await {
            Err(CommitError::Unavailable | CommitError::OutcomeUnknown) if Instant::now() < deadline => {}
            outcome => return committed(outcome),
        }
    }
}

/// A barrier, likewise.
pub(crate) async fn barrier_at_last(store: &Store) -> Arc<State> {
    let deadline = Instant::now() + LONG;
    loop {
        match store.barrier().await {
            Err(CommitError::Unavailable) if Instant::now() < deadline => {}
            state => return state.unwrap(),
        }
    }
}

/// Holds up all threads of a node's Raft runtime, as a stopped process would.
pub(crate) struct Frozen(Arc<(Mutex<bool>, Condvar)>);

impl Frozen {
    pub(crate) async fn freeze(store: &Store, threads: usize) -> Self {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let held = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for _ in 0..threads {
            let (gate, held) = (gate.clone(), held.clone());
            store.raft_runtime().spawn(async move {
                held.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let (open, opened) = &*gate;
                drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
            });
        }
        until("all threads are held up", || held.load(std::sync::atomic::Ordering::SeqCst) == threads).await;
        Self(gate)
    }

    pub(crate) fn thaw(self) {
        drop(self);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}
