//! A running node: its store, its keys, its connections to the outside world, and the tasks beside the requests.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tessera_connectors::Connectors;
use tessera_core::configuration::Configuration;
use tessera_core::decide::Request;
use tessera_core::decision::Refusal;
use tessera_core::facts::Caller;
use tessera_core::secret::Keyring;
use tessera_core::time::UnixMillis;
use tessera_core::txn::{Outcome, Revision, Txn};
use tessera_raft::cluster::{CommitError, OpenError, State, Store};
use tessera_raft::config::{NodeTls as StoreTls, SnapshotPolicy, StoreConfig, Timing};
use tessera_raft::level::FORMAT_LEVEL;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{NodeConfig, TimingProfile};
use crate::keyring::NodeKeys;
use crate::keys::{self, ClusterKeys, KeyCheck, KeyFileError};
use crate::lane::Lanes;
use crate::metrics::NodeMetrics;
use crate::retention::RetentionError;
use crate::run::{ANSWER_TIMEOUT, Replica, RunDefect, RunError, Runner};
use crate::tls::{self, NodeTls, TlsError};
use crate::{admission, autopilot, background, file, retention, rotation};

/// A running node. Cheap to clone; all clones are the same node.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    runner: Runner<Store, Connectors>,
    config: NodeConfig,
    fatal: watch::Sender<Option<Fatal>>,
    stopping: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
    /// One backup at a time.
    backup_turns: Arc<Semaphore>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.inner.config.node.id)
    }
}

/// Why a node does not start. The texts are for operators and hold no secret.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The cluster key file.
    #[error("the cluster key file cannot be used")]
    Keys(#[from] KeyFileError),
    /// The TLS files of the node.
    #[error("the TLS files of the node cannot be used")]
    Tls(#[from] TlsError),
    /// The data folder, or the address the other nodes are listened to at.
    #[error("the store cannot be opened")]
    Open(#[source] OpenError),
    /// The key file is not that of this cluster.
    #[error(transparent)]
    WrongKeys(#[from] Fatal),
    /// Two metrics have the same name.
    #[error("the metrics cannot be set up")]
    Metrics(#[from] prometheus::Error),
}

/// Why a running node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// The secrets of the cluster do not open with this node's keys.
    #[error("the cluster key file is not that of this cluster: use the file of the other nodes")]
    WrongKeys,
    /// Secrets of the cluster are sealed under a key that this node does not hold.
    #[error(
        "the cluster key file lacks a key that secrets of the cluster are still sealed under: use the file of the \
         other nodes"
    )]
    MissingKeys,
    /// Replication has stopped for good: the disk failed, or an invariant is broken.
    #[error("replication has stopped for good: see the errors above, most often the disk")]
    ReplicationStopped,
    /// The cluster does not admit this data directory; the text says why and what to do.
    #[error("this node cannot take part in the cluster: {0}")]
    NotAdmitted(String),
    /// It was removed from the cluster, which is what was wanted.
    #[error("this node was removed from the cluster")]
    Removed,
}

/// Why a node cannot serve requests now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It is being stopped.
    #[error("the node is stopping")]
    Stopping,
    /// It is not a member of a cluster yet.
    #[error("the node is not a member of a cluster yet")]
    NoCluster,
    /// It has not caught up yet, and does not vote.
    #[error("the node is catching up with the cluster and has no vote yet")]
    NoVote,
    /// No leader is known, or the leader has lost its majority.
    #[error("no leader with a majority is known")]
    NoLeader,
    /// The first start of the cluster is not complete, or the node has not caught up with it.
    #[error("the first start of the cluster is not complete on this node")]
    FirstStart,
    /// It cannot serve any more and is about to stop.
    #[error(transparent)]
    Failed(#[from] Fatal),
}

impl Node {
    /// Starts a node: checks keys and certificates, and opens the store. With an empty data folder it then looks for its
    /// cluster, or makes it. [`Node::readiness`] says when it can serve.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        let node_keys = NodeKeys::new(ClusterKeys::load(&config.cluster.key_file)?);
        let tls = tls::load(&config.cluster.tls, &config.cluster.id, config.node.id)?;
        let metrics = NodeMetrics::new()?;
        note_expiry(&tls, &metrics);
        // If it cannot be created, opening the store says why.
        let _ = file::create_private_dir(&config.node.data_dir);
        let store = Store::open(store_config(&config, &tls)).await.map_err(StartError::Open)?;
        if keys::check(&*store.view(), &node_keys.of(&*store.view())) == KeyCheck::Mismatch {
            store.shutdown().await;
            return Err(StartError::WrongKeys(Fatal::WrongKeys));
        }
        let node = Self::assemble(store, config, node_keys, metrics);
        node.spawn(admission::answer_joins(node.clone()));
        node.spawn(admission::enter(node.clone()));
        node.spawn(admission::watch_place(node.clone()));
        node.spawn(autopilot::run(node.clone()));
        node.spawn(rotation::watch_keys(node.clone()));
        node.spawn(rotation::watch_key_file(node.clone()));
        node.spawn(rotation::reseal(node.clone()));
        node.spawn(background::remove_expired(node.clone()));
        node.spawn(background::watch_store(node.clone()));
        node.spawn(background::raise_level(node.clone()));
        node.spawn(retention::keep_to_limits(node.clone()));
        Ok(node)
    }

    fn assemble(store: Store, config: NodeConfig, keys: NodeKeys, metrics: NodeMetrics) -> Self {
        let runner = Runner {
            store,
            outside: Connectors::new(config.node.data_dir.clone()),
            keys,
            metrics,
            name: config.node.name.clone(),
            patience: config.cluster.commit_timeout,
            answer_patience: ANSWER_TIMEOUT,
            lanes: Lanes::default(),
            configuration: ArcSwap::default(),
        };
        let inner = Inner {
            runner,
            config,
            fatal: watch::Sender::new(None),
            stopping: watch::Sender::new(false),
            tasks: Mutex::default(),
            backup_turns: Arc::new(Semaphore::new(1)),
        };
        Self { inner: Arc::new(inner) }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut stopping = self.inner.stopping.subscribe();
        let mut tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(async move {
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = task => {}
            }
        });
    }

    /// Runs a request: decides it on this node and commits the decision. The outer result says whether there is a
    /// reply, the inner one whether the domain says no.
    ///
    /// # Errors
    /// [`RunError`]. After [`RunError::OutcomeUnknown`] the request may have been carried out.
    pub async fn run<R: Request>(
        &self,
        request: R,
        caller: Caller,
    ) -> Result<Result<R::Reply, Refusal>, RunError> {
        match self.fatal() {
            Some(_) => Err(RunError::Unavailable),
            None => self.inner.runner.run(&request, caller).await,
        }
    }

    /// Removes what the audit trail holds beyond its limits, on all nodes, if this node leads and it is time to; the
    /// number of rows removed.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub async fn trim_audit(&self) -> Result<u64, RetentionError> {
        retention::trim(self).await
    }

    /// The replicated store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.runner.store
    }

    /// The cluster keys for the newest state of this node.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        self.inner.runner.keys.of(&*self.store().view())
    }

    pub(crate) fn keys(&self) -> &NodeKeys {
        &self.inner.runner.keys
    }

    pub(crate) fn backup_turns(&self) -> Arc<Semaphore> {
        self.inner.backup_turns.clone()
    }

    /// The node's own configuration.
    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        &self.inner.config
    }

    /// The cluster's configuration as this node has applied it: settings, realms, resolvers.
    #[must_use]
    pub fn configuration(&self) -> Arc<Configuration> {
        self.inner.runner.configuration_of(&*self.store().view())
    }

    /// The name of this node in the audit trail.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.runner.name
    }

    /// What the node counts.
    #[must_use]
    pub fn metrics(&self) -> &NodeMetrics {
        &self.inner.runner.metrics
    }

    /// Whether the node can serve requests now. Looks at this node only; costs nothing.
    ///
    /// # Errors
    /// What is missing.
    pub fn readiness(&self) -> Result<(), NotReady> {
        if *self.inner.stopping.borrow() {
            return Err(NotReady::Stopping);
        }
        if let Some(fatal) = self.fatal() {
            return Err(fatal.into());
        }
        if !self.store().is_admitted() || !self.store().is_initialized() {
            return Err(NotReady::NoCluster);
        }
        let status = self.store().status();
        if !status.running {
            return Err(Fatal::ReplicationStopped.into());
        }
        if status.leader.is_none() || !status.quorum {
            return Err(NotReady::NoLeader);
        }
        if !status.voters.contains(&status.node_id) {
            return Err(NotReady::NoVote);
        }
        match keys::check(&*self.store().view(), &self.keyring()) {
            KeyCheck::Match => Ok(()),
            KeyCheck::Mismatch => Err(Fatal::WrongKeys.into()),
            KeyCheck::Unknown => Err(NotReady::FirstStart),
        }
    }

    /// Waits until the node must stop for a reason of its own, and says why.
    pub async fn failure(&self) -> Fatal {
        let mut fatal = self.inner.fatal.subscribe();
        loop {
            if let Some(fatal) = fatal.borrow_and_update().clone() {
                return fatal;
            }
            if fatal.changed().await.is_err() {
                // The node is gone, and with it whatever could have failed.
                std::future::pending::<()>().await;
            }
        }
    }

    fn fatal(&self) -> Option<Fatal> {
        self.inner.fatal.borrow().clone()
    }

    pub(crate) fn fail(&self, fatal: Fatal) {
        self.inner.fatal.send_replace(Some(fatal));
    }

    /// From now on [`Node::readiness`] says that the node is stopping, so that load balancers leave; it still serves.
    pub fn announce_shutdown(&self) {
        self.inner.stopping.send_replace(true);
    }

    /// Hands leadership to another node if this one leads. A failure is logged; [`Node::shutdown`] tries again.
    pub async fn hand_over(&self) {
        self.store().hand_over().await;
    }

    /// Stops the node: hands over leadership, flushes, closes. The front ends must have been stopped before.
    pub async fn shutdown(&self) {
        self.announce_shutdown();
        let mut tasks = std::mem::take(&mut *self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
        self.store().shutdown().await;
    }
}

fn note_expiry(tls: &NodeTls, metrics: &NodeMetrics) {
    metrics.certificate_days.set(tls.days_left);
    if tls.ends_soon() {
        tracing::warn!(
            certificate.days = tls.days_left,
            "the node's certificate ends soon: make a new one with `tessera cert node`"
        );
    }
}

fn store_config(config: &NodeConfig, tls: &NodeTls) -> StoreConfig {
    let tls = StoreTls {
        ca_pem: tls.ca_pem.clone(),
        cert_pem: tls.certificate_pem.clone(),
        key_pem: tls.private_key_pem.to_vec(),
    };
    let cluster = &config.cluster;
    let (folder, id) = (config.node.data_dir.clone(), cluster.id.clone());
    StoreConfig {
        advertise: cluster.advertise.clone(),
        api_url: config.http.url.clone(),
        timing: match cluster.timing {
            TimingProfile::Lan => Timing { heartbeat_ms: 100, election_min_ms: 300, election_max_ms: 450 },
            TimingProfile::Wan => Timing { heartbeat_ms: 250, election_min_ms: 800, election_max_ms: 1200 },
        },
        commit_timeout: cluster.commit_timeout,
        threads: cluster.threads,
        checkpoint_interval: cluster.checkpoint_interval,
        format_level: format_level(),
        snapshot: SnapshotPolicy {
            log_bytes: cluster.snapshot_log_bytes,
            transactions: cluster.snapshot_transactions,
            ..SnapshotPolicy::default()
        },
        ..StoreConfig::new(folder, id, config.node.id, cluster.listen, tls)
    }
}

/// The format level this node claims to support. Tests of rolling upgrades let a debug build pretend.
fn format_level() -> u32 {
    #[cfg(debug_assertions)]
    if let Some(level) = std::env::var("TESSERA_TEST_FORMAT_LEVEL").ok().and_then(|text| text.parse().ok()) {
        tracing::warn!(level, "pretending to support another format level");
        return level;
    }
    FORMAT_LEVEL
}

impl Replica for Store {
    type State = State;

    fn view(&self) -> Arc<State> {
        Self::view(self)
    }

    async fn barrier(&self) -> Result<Arc<State>, RunError> {
        Self::barrier(self).await.map_err(RunError::from)
    }

    async fn wait_applied(&self, revision: Revision, deadline: Instant) -> Result<Arc<State>, RunError> {
        Self::wait_applied(self, revision, deadline).await.map_err(RunError::from)
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, RunError> {
        Self::commit(self, txn).await.map_err(RunError::from)
    }

    fn now(&self) -> UnixMillis {
        Self::now(self)
    }
}

impl From<CommitError> for RunError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Unavailable | CommitError::Stopping => Self::Unavailable,
            CommitError::OutcomeUnknown => Self::OutcomeUnknown,
            CommitError::Busy => Self::Busy,
            CommitError::TooLarge => Self::Defect(RunDefect::TooLarge),
        }
    }
}
