//! Starting a node's store.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use openraft::{Config, Raft, SnapshotPolicy, error::Fatal, storage::RaftLogStorage};
use thiserror::Error;
use tokio::net::TcpListener;

use super::{CommitCounters, Inner, OwnRuntime, Store, maintenance};
use crate::{
    barrier::ReadIndexes,
    batcher::Batcher,
    checkpoint::Comparison,
    clock::Clock,
    config::{InvalidConfig, StoreConfig},
    election::{self, ElectionDriver, Heard},
    fault,
    history::{History, HistoryError},
    identity::{IdentityError, OwnIdentity},
    level::Levels,
    log_store::{LogOpenError, LogReader, LogStore},
    membership::Membership,
    proposer::Proposer,
    repair::HistoryRepair,
    sessions::Sessions,
    snapshot::{SnapshotDir, SnapshotError},
    state_store::{HistorySink, Published, StateStore},
    status::Member,
    transport::{
        client::{Network, Peers},
        forward::Forwarder,
        joining::JoinQueue,
        server::{self, Service},
    },
    type_config::{ClusterId, NodeId, TypeConfig},
    wal::{WalConfig, WalMetrics},
};

/// Why a store could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The certificates cannot be used.
    #[error("cannot use the certificates for connections between nodes")]
    Certificates(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No threads could be started.
    #[error("cannot start the threads of the store")]
    Runtime(#[source] io::Error),
    /// The address for other nodes is not available.
    #[error("cannot listen on {address} for other nodes")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The log refuses to open.
    #[error(transparent)]
    Log(#[from] LogOpenError),
    /// The data directory is not this node's, or not complete.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A snapshot cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The history cannot be opened.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Entries between the newest readable snapshot and the log are missing.
    #[error(
        "the log begins after entry {purged}, but the newest readable snapshot ends at entry {snapshot}: entries are \
         missing; wipe the data directory and join again under a new node id"
    )]
    Gap {
        /// Last entry of the snapshot; 0 without one.
        snapshot: u64,
        /// Entries up to this one were removed from the log.
        purged: u64,
    },
    /// openraft refused.
    #[error("cannot start Raft: {0}")]
    Raft(String),
}

/// What is on the disk.
struct Disk {
    own: Arc<OwnIdentity>,
    log: LogStore,
    reader: LogReader,
    wal: Arc<WalMetrics>,
    snapshots: SnapshotDir,
    state: StateStore,
    published: Arc<Published>,
    history: Arc<History>,
}

fn open_disk(config: &StoreConfig, cluster: ClusterId) -> Result<Disk, OpenError> {
    let own = OwnIdentity::open(&config.data_dir, cluster, config.node_id)?;
    let log = LogStore::open(WalConfig::new(&config.data_dir, cluster, config.node_id))?;
    let snapshots = SnapshotDir::open(&config.data_dir.join("snapshots"), cluster)?;
    let history = Arc::new(History::open(&config.data_dir.join("history"))?);
    let state = StateStore::open(snapshots.clone(), sink(history.clone()), config.format_level)?;
    Ok(Disk {
        own,
        reader: log.reader(),
        wal: log.metrics(),
        published: state.published(),
        log,
        snapshots,
        state,
        history,
    })
}

/// The log must reach back to the newest snapshot.
async fn check_continuity(disk: &mut Disk) -> Result<(), OpenError> {
    let log = disk.log.get_log_state().await.map_err(|error| OpenError::Raft(error.to_string()))?;
    match (log.last_purged_log_id, disk.state.last_applied()) {
        (Some(purged), snapshot) if snapshot.is_none_or(|snapshot| snapshot.index < purged.index) => {
            Err(OpenError::Gap { snapshot: snapshot.map_or(0, |id| id.index), purged: purged.index })
        }
        _ => Ok(()),
    }
}

fn sink(history: Arc<History>) -> HistorySink {
    Box::new(move |rows| {
        // The rows are numbered; what is not written now is noticed and fetched from another node.
        if let Err(error) = history.append(rows) {
            tracing::error!(error = %error, "cannot write the history");
        }
    })
}

fn raft_config(config: &StoreConfig) -> Result<Arc<Config>, OpenError> {
    let raft = Config {
        cluster_name: config.cluster_id.clone(),
        heartbeat_interval: config.timing.heartbeat_ms,
        election_timeout_min: config.timing.election_min_ms,
        election_timeout_max: config.timing.election_max_ms,
        install_snapshot_timeout: 60_000,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: fault::keep_entries().unwrap_or(config.snapshot.keep_entries),
        replication_lag_threshold: config.snapshot.keep_entries.max(1),
        // Our own election driver asks around first.
        enable_elect: false,
        ..Config::default()
    };
    raft.validate().map(Arc::new).map_err(|error| OpenError::Raft(error.to_string()))
}

pub(super) async fn open(config: StoreConfig) -> Result<Store, OpenError> {
    let cluster = config.validate()?;
    // Where another part of the program has chosen already, its choice stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.threads)
        .thread_name("raft")
        .enable_all()
        .build()
        .map_err(OpenError::Runtime)?;
    let runtime = OwnRuntime::new(runtime);
    let handle = runtime.handle.clone();
    handle
        .spawn(async move { start(config, cluster, runtime).await })
        .await
        .map_err(|error| OpenError::Raft(error.to_string()))?
}

/// What the rest is built on.
struct Foundation {
    own: Arc<OwnIdentity>,
    config: StoreConfig,
    runtime: OwnRuntime,
    listen_addr: SocketAddr,
    raft: Raft<TypeConfig>,
    peers: Arc<Peers>,
    snapshots: SnapshotDir,
    published: Arc<Published>,
    history: Arc<History>,
    log: LogReader,
    wal: Arc<WalMetrics>,
}

async fn start(config: StoreConfig, cluster: ClusterId, runtime: OwnRuntime) -> Result<Store, OpenError> {
    let mut disk = {
        let config = config.clone();
        let opened = tokio::task::spawn_blocking(move || open_disk(&config, cluster)).await;
        opened.map_err(|error| OpenError::Raft(error.to_string()))??
    };
    check_continuity(&mut disk).await?;
    let address = config.listen;
    let listen_error = |source| OpenError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let listen_addr = listener.local_addr().map_err(listen_error)?;
    let server = server::server(&config).map_err(|error| OpenError::Certificates(error.into()))?;
    let levels = Levels::new(config.format_level, disk.published.clone());
    let peers = Arc::new(Peers::new(&config, cluster, disk.own.clone(), levels));
    let raft = Raft::new(config.node_id, raft_config(&config)?, Network(peers.clone()), disk.log, disk.state)
        .await
        .map_err(|error: Fatal<NodeId>| OpenError::Raft(error.to_string()))?;
    let (store, service) = assemble(
        Foundation {
            own: disk.own,
            config,
            runtime,
            listen_addr,
            raft,
            peers,
            snapshots: disk.snapshots,
            published: disk.published,
            history: disk.history,
            log: disk.reader,
            wal: disk.wal,
        },
        cluster,
    );
    tokio::spawn(async move {
        if let Err(error) = server::serve(server, Arc::new(service), listener).await {
            tracing::error!(error = %error, "no longer listening for other nodes");
        }
    });
    Ok(store)
}

/// Puts the parts together and starts their tasks.
fn assemble(base: Foundation, cluster: ClusterId) -> (Store, Service) {
    let Foundation { own, config, runtime, raft, peers, published, history, log, .. } = base;
    let (node, timing) = (config.node_id, config.timing);
    let heard = Arc::new(Heard::new());
    let clock = Arc::new(Clock::default());
    let batcher = Batcher::start(node, raft.clone(), Duration::from_millis(timing.election_max_ms));
    let forwarder = Arc::new(Forwarder::new(peers.clone(), runtime.handle.clone()));
    let own_reads = ReadIndexes::of_leader(raft.clone());
    let read_indexes = ReadIndexes::of_cluster(raft.clone(), own_reads.clone(), forwarder.clone());
    let proposer = Proposer { raft: raft.clone(), batcher: batcher.clone(), forwarder: forwarder.clone() };
    let sessions = Arc::new(Sessions::new(node, proposer.clone()));
    let membership =
        Arc::new(Membership::new(node, timing, raft.clone(), batcher.clone(), log.clone(), peers.clone()));
    let (joining, join_requests) = JoinQueue::new();
    let comparison = Comparison::new(node, raft.clone(), peers.clone(), proposer.clone());
    let announcement = Arc::new(ArcSwap::default());
    let service = Service {
        raft: raft.clone(),
        cluster,
        cluster_name: config.cluster_id.clone(),
        node,
        timing,
        own: own.clone(),
        peers: peers.clone(),
        membership: membership.clone(),
        joining,
        heard: heard.clone(),
        batcher: batcher.clone(),
        read_indexes: own_reads,
        snapshots: base.snapshots,
        history: history.reader(),
        checkpoints: comparison.checkpoints.clone(),
        levels: Levels::new(config.format_level, published.clone()),
        refused: Mutex::default(),
        announcement: announcement.clone(),
        senders: Mutex::new(BTreeMap::new()),
        receiving: tokio::sync::Mutex::default(),
    };
    let inner = Inner {
        node,
        own,
        place: Member { raft_addr: config.advertise.clone(), api_url: config.api_url.clone() },
        join_requests: Mutex::new(Some(join_requests)),
        timing,
        commit_timeout: config.commit_timeout,
        listen_addr: base.listen_addr,
        format_level: config.format_level,
        raft,
        peers,
        published,
        history,
        log,
        wal: base.wal,
        heard,
        clock,
        batcher,
        read_indexes,
        sessions,
        membership,
        comparison,
        forwarder: forwarder.clone(),
        counters: CommitCounters::default(),
        announcement,
        runtime,
    };
    start_drivers(&inner);
    maintenance::start(&inner, &config, &forwarder, &proposer);
    (Store { inner: Arc::new(inner) }, service)
}

/// Starts what stands for election, and what completes the history.
fn start_drivers(inner: &Inner) {
    let driver = ElectionDriver {
        raft: inner.raft.clone(),
        peers: inner.peers.clone(),
        heard: inner.heard.clone(),
        timing: inner.timing,
        node: inner.node,
    };
    tokio::spawn(driver.run());
    tokio::spawn(election::fall_silent(inner.raft.clone(), inner.peers.clone(), inner.timing));
    let repair = HistoryRepair {
        node: inner.node,
        raft: inner.raft.clone(),
        peers: inner.peers.clone(),
        published: inner.published.clone(),
        history: inner.history.clone(),
    };
    tokio::spawn(repair.run());
}
