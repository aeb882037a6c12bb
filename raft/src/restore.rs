//! From an archive to the data directory of the first node of a new cluster.
//!
//! The directory looks as if its node had made a cluster of itself alone, by a first log entry that was followed by a
//! snapshot: it is admitted as the founder's, with a new genesis, the log is empty and purged up to that entry, and the
//! snapshot holds the restored state. Other nodes join as they join any new cluster, and get the snapshot from this node.
//! The snapshot's name appears last; without it a node refuses to start from the directory, so that a restore that was
//! interrupted does no harm.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::mpsc::sync_channel,
};

use openraft::CommittedLeaderId;
use tessera_core::txn::{Outcome, Txn};
use thiserror::Error;

use crate::{
    archive::{ArchiveError, ArchiveHeader, ArchiveReader},
    history::{History, HistoryError},
    identity::{self, IdentityError, OwnIdentity},
    snapshot::{SnapshotDir, SnapshotError},
    state::State,
    state_file,
    status::Member,
    transport::parse_cluster_id,
    type_config::{LogId, Membership, NodeInfo, StoredMembership},
    wal::{LogPosition, OpenError, Wal, WalConfig, WalFailure},
};

/// Index of the entry that is said to have made the cluster.
const FIRST_INDEX: u64 = 1;

/// The node whose directory is made.
#[derive(Clone, Debug)]
pub struct RestoreTarget {
    /// The data directory, which must be empty or not exist.
    pub data_dir: PathBuf,
    /// The new cluster, a UUID as text; not the one the archive comes from.
    pub cluster_id: String,
    /// The node.
    pub node_id: u64,
    /// Where it is reached.
    pub place: Member,
}

/// Why a backup was not restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The directory is in use, or was used.
    #[error("{} is not empty: restore into a new directory only, and never beside a running node", .0.display())]
    NotEmpty(PathBuf),
    /// The old cluster's id.
    #[error(
        "the cluster id {0} is that of the cluster the backup was taken from: give the new cluster an id and \
         certificates of its own, so that nodes of the old one cannot mix with it"
    )]
    SameCluster(String),
    /// The target cannot be used.
    #[error("{0}")]
    Target(&'static str),
    /// The directory cannot be written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The directory cannot be made this node's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log cannot be made.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The log cannot be written.
    #[error(transparent)]
    LogWrite(#[from] WalFailure),
    /// The audit trail cannot be written.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The snapshot cannot be written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The state in the backup cannot be used.
    #[error("{0}")]
    Unfit(String),
}

impl RestoreTarget {
    /// Whether a directory may be made for this node from such an archive. To be called early: nothing is changed.
    ///
    /// # Errors
    /// [`RestoreError::NotEmpty`], [`RestoreError::SameCluster`], [`RestoreError::Target`], [`RestoreError::Io`].
    pub fn check(&self, header: &ArchiveHeader) -> Result<(), RestoreError> {
        let Some(cluster) = parse_cluster_id(&self.cluster_id) else {
            return Err(RestoreError::Target("the cluster id must be a UUID"));
        };
        if parse_cluster_id(&header.cluster) == Some(cluster) {
            return Err(RestoreError::SameCluster(self.cluster_id.clone()));
        }
        let path = &self.data_dir;
        match fs::read_dir(path).map(|mut entries| entries.next().is_some()) {
            Ok(true) => Err(RestoreError::NotEmpty(path.clone())),
            Ok(false) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(RestoreError::Io { action: "read", path: path.clone(), source }),
        }
    }

    /// Makes the directory. `adapt` sees the state as it was and says what is changed in it before it is stored.
    ///
    /// # Errors
    /// As [`Self::check`]; when the archive is damaged; when `adapt` refuses; when the directory cannot be written.
    pub fn restore<R: Read>(
        &self,
        archive: ArchiveReader<R>,
        adapt: impl FnOnce(&State) -> Result<Txn, String>,
    ) -> Result<(), RestoreError> {
        self.check(archive.header())?;
        let cluster = parse_cluster_id(&self.cluster_id).ok_or(RestoreError::Target("not a UUID"))?;
        let mut state = archive.into_state()?;
        let mut rows = Vec::new();
        let txn = adapt(&state).map_err(RestoreError::Unfit)?;
        if !matches!(state.adapt(txn, &mut rows), Outcome::Committed(_)) {
            return Err(RestoreError::Unfit("the changes do not fit the state".to_owned()));
        }
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| RestoreError::Io { action, path, source }
        };
        fs::create_dir_all(&self.data_dir).map_err(io("create", &self.data_dir))?;
        OwnIdentity::open(&self.data_dir, cluster, self.node_id)?.admit(identity::random()?, true)?;
        make_log(WalConfig::new(&self.data_dir, cluster, self.node_id))?;
        let history = History::open(&self.data_dir.join("history"))?;
        history.append(rows)?;
        history.flush()?;
        drop(history);
        let snapshots = SnapshotDir::open(&self.data_dir.join("snapshots"), cluster)?;
        let first = first_entry();
        let membership = StoredMembership::new(Some(first), self.membership());
        state_file::store(&snapshots, &state, Some(first), &membership)?;
        Ok(())
    }

    fn membership(&self) -> Membership {
        let Member { raft_addr, api_url } = self.place.clone();
        let nodes = BTreeMap::from([(self.node_id, NodeInfo { raft_addr, api_url })]);
        Membership::new(vec![BTreeSet::from([self.node_id])], nodes)
    }
}

fn first_entry() -> LogId {
    LogId::new(CommittedLeaderId::new(0, 0), FIRST_INDEX)
}

/// An empty log behind the first entry.
fn make_log(config: WalConfig) -> Result<(), RestoreError> {
    let (wal, _) = Wal::open(config)?;
    let (done, purged) = sync_channel(1);
    wal.purge(
        LogPosition { term: 0, node: 0, index: FIRST_INDEX },
        Box::new(move |outcome| {
            // The receiver waits until this is sent.
            let _ = done.send(outcome);
        }),
    );
    purged.recv().map_err(|_| RestoreError::Target("the log was closed early"))??;
    Ok(())
}
