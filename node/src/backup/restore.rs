//! A new cluster from a backup: the data directory of its first node.

use std::path::Path;
use std::sync::Arc;

use tessera_core::configuration::Configuration;
use tessera_core::decide::restore::{Restore, Restored};
use tessera_core::decide::{decide, rotation};
use tessera_core::decision::Step;
use tessera_core::facts::{Caller, Facts};
use tessera_core::time::UnixMillis;
use tessera_core::txn::Txn;
use tessera_raft::archive::ArchiveHeader;
use tessera_raft::cluster::{Member, State};
use tessera_raft::restore::RestoreTarget;

use super::{BackupError, BackupSecret, inspect, open};
use crate::config::NodeConfig;
use crate::entropy;
use crate::file;
use crate::keys::{ClusterKeys, is_missing};

/// What the operator may choose.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOptions {
    /// The clock.
    pub now: UnixMillis,
    /// How many OTPs of each token are given up, with all time steps up to now; `None` leaves all counters alone.
    pub advance: Option<u64>,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct RestoreReport {
    /// What the backup said about itself.
    pub header: ArchiveHeader,
    /// What was changed in the state.
    pub restored: Restored,
    /// Whether the cluster key file was written from the backup.
    pub wrote_key_file: bool,
}

/// Makes the data directory of a new cluster's first node, which its configuration describes. The backup is read twice:
/// nothing is written before all of it has been verified.
///
/// # Errors
/// When the backup or the keys are not in order, the directory is not empty, or the cluster id is the old one.
pub fn restore(
    path: &Path,
    secret: &BackupSecret,
    config: &NodeConfig,
    options: RestoreOptions,
) -> Result<RestoreReport, BackupError> {
    let target = target(config);
    let opened = open(path, secret)?;
    let header = opened.archive.header().clone();
    target.check(&header)?;
    let key_file = &config.cluster.key_file;
    let (keys, wrote_key_file) = match (ClusterKeys::load(key_file), opened.keys) {
        (Ok(keys), _) => (keys, false),
        (Err(error), Some(keys)) if is_missing(&error) => (keys, true),
        (Err(error), _) => return Err(error.into()),
    };
    inspect(path, secret, Some(&keys))?.require_keys()?;
    if wrote_key_file {
        keys.create(key_file)?;
    }
    // If it cannot be created, the restore says why.
    let _ = file::create_private_dir(&config.node.data_dir);
    let mut restored = Restored::default();
    let archive = open(path, secret)?.archive;
    target.restore(archive, |state| {
        let (reply, txn) = adapt(state, &keys, config, &header, options)?;
        restored = reply;
        Ok(txn)
    })?;
    Ok(RestoreReport { header, restored, wrote_key_file })
}

fn target(config: &NodeConfig) -> RestoreTarget {
    RestoreTarget {
        data_dir: config.node.data_dir.clone(),
        cluster_id: config.cluster.id.clone(),
        node_id: config.node.id,
        place: Member { raft_addr: config.cluster.advertise.clone(), api_url: config.http.url.clone() },
    }
}

fn adapt(
    state: &State,
    keys: &ClusterKeys,
    config: &NodeConfig,
    header: &ArchiveHeader,
    options: RestoreOptions,
) -> Result<(Restored, Txn), String> {
    let mut ring = keys.keyring();
    rotation::prepare(state, &mut ring).map_err(|error| error.to_string())?;
    let entropy = entropy::bytes().map_err(|error| error.to_string())?;
    let caller =
        Caller { action: "restore".to_owned(), server: config.node.name.clone(), ..Caller::default() };
    let facts = Facts {
        now: options.now.max(header.taken_at),
        entropy: &entropy,
        keyring: &ring,
        caller: &caller,
        answers: &[],
    };
    let history: String = header.history_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let origin = format!(
        "restored from revision {} of cluster {}, whose audit trail had {} rows with the chain hash {history}",
        header.revision, header.cluster, header.history_number
    );
    let request = Restore { origin, advance: options.advance };
    match decide(state, Arc::new(Configuration::load(state)), facts, &request) {
        Step::Done(decision) => Ok((decision.reply.map_err(|refusal| refusal.to_string())?, decision.txn)),
        Step::Defect(defect) => Err(defect.to_string()),
        Step::Ask(_) => Err("the restore asks a question".to_owned()),
    }
}
