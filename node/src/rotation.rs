//! The cluster key in use: which nodes hold which keys, making another one current, and sealing everything again under it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tessera_core::decide::rotation::{KeyUse, Reseal, current_key, stale};
use tessera_core::facts::Caller;
use tessera_core::record::Key;
use tessera_core::secret::KeyId;
use tessera_core::txn::Revision;
use tessera_raft::cluster::{Role, State};
use tokio::task::spawn_blocking;

use crate::backup::hex;
use crate::keyring::announced;
use crate::keys::{self, KeyCheck};
use crate::node::{Fatal, Node};

/// How often the key file is read again.
const KEY_FILE_INTERVAL: Duration = Duration::from_secs(2);
/// After so many readings it is counted again whether keys that are gone from the file are still needed.
const COUNT_ROUNDS: u32 = 15;
/// How often the replicated key check is compared with the keys.
const KEY_CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// How often a node looks whether there is something to seal again.
const RESEAL_INTERVAL: Duration = Duration::from_millis(500);
/// After a pass that left something behind.
const RESEAL_RETRY: Duration = Duration::from_secs(30);
/// Records in one transaction, some tens of kilobytes.
const BATCH: usize = 64;
/// Records found in one look at the state.
const LOOK: usize = 4096;

/// The keys of a cluster, as one node sees them.
#[derive(Clone, Debug)]
pub struct KeyStatus {
    /// The key secrets are sealed under; `None` before the first start is complete.
    pub current: Option<KeyId>,
    /// What is sealed and hashed under which key.
    pub found: KeyUse,
    /// The members and the keys they say they hold, with their check values; `None` for one that did not answer.
    pub nodes: BTreeMap<u64, Option<Vec<(KeyId, String)>>>,
}

impl KeyStatus {
    /// Number of secrets that are not sealed under the current key.
    #[must_use]
    pub fn stale(&self) -> u64 {
        self.found.sealed.iter().filter(|(id, _)| Some(**id) != self.current).map(|(_, count)| count).sum()
    }
}

impl Node {
    /// The keys of the cluster: what they are needed for, and who holds them. Looks at all records.
    pub async fn key_status(&self) -> KeyStatus {
        let state = self.store().view();
        let counted = spawn_blocking(move || (current_key(&*state).map(|(id, _)| id), KeyUse::of(&*state)));
        let (nodes, counted) = (self.store().cluster_status().await, counted.await);
        let (current, found) = counted.unwrap_or_default();
        let held = |node: tessera_raft::cluster::NodeStatus| {
            (node.id, node.reachable.then(|| announced(&node.announcement)))
        };
        KeyStatus { current, found, nodes: nodes.into_iter().map(held).collect() }
    }

    /// The greatest id among this node's keys.
    #[must_use]
    pub fn newest_key(&self) -> KeyId {
        let ring = self.keyring();
        ring.check_values().map(|(id, _)| id).max().unwrap_or(KeyId(0))
    }

    /// Whether every member of the cluster holds a key, the same as this node's. The text names those that do not.
    ///
    /// # Errors
    /// What is missing.
    pub async fn everyone_holds(&self, id: KeyId) -> Result<(), String> {
        let Some(own) = self.keyring().check_value(id).map(|check| hex(&check)) else {
            return Err(format!(
                "this node does not hold key {}: add it to the key file of every node first",
                id.0
            ));
        };
        let (mut without, mut other, mut silent) = (Vec::new(), Vec::new(), Vec::new());
        for node in self.store().cluster_status().await {
            let held = announced(&node.announcement);
            match held.iter().find(|(held, _)| *held == id) {
                _ if !node.reachable => silent.push(node.id),
                None => without.push(node.id),
                Some((_, check)) if *check != own => other.push(node.id),
                Some(_) => {}
            }
        }
        let mut problems = Vec::new();
        for (nodes, problem) in [
            (without, "it is missing on"),
            (other, "there is another key with this number on"),
            (silent, "there is no answer from"),
        ] {
            if !nodes.is_empty() {
                problems.push(format!("{problem} {}", list(&nodes)));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(format!(
            "key {} cannot be made current: {}; every node needs the same key file, and reads it again by itself",
            id.0,
            problems.join(", ")
        ))
    }
}

fn list(nodes: &[u64]) -> String {
    let numbers: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    format!("{} {}", if nodes.len() == 1 { "node" } else { "nodes" }, numbers.join(", "))
}

/// A node that holds other keys than its cluster must not serve. It learns of that when it has caught up, or when another
/// key becomes current.
pub(crate) async fn watch_keys(node: Node) {
    let (mut checked, mut complete) = (None, false);
    loop {
        let state = node.store().view();
        let found = current_key(&*state);
        if checked != found {
            match keys::check(&*state, &node.keyring()) {
                KeyCheck::Mismatch => {
                    tracing::error!("{}", Fatal::WrongKeys);
                    return node.fail(Fatal::WrongKeys);
                }
                KeyCheck::Match | KeyCheck::Unknown => checked = found,
            }
        }
        if !complete && checked.is_some() {
            // Fails while there is no leader; then it is tried again.
            if let Some(missing) = missing_keys(&node).await {
                if !missing.is_empty() {
                    tracing::error!(keys = ?missing, "{}", Fatal::MissingKeys);
                    return node.fail(Fatal::MissingKeys);
                }
                complete = true;
            }
        }
        tokio::time::sleep(KEY_CHECK_INTERVAL).await;
    }
}

/// The keys that something in the cluster needs and this node does not hold; `None` if that cannot be found out now.
async fn missing_keys(node: &Node) -> Option<Vec<KeyId>> {
    let state = node.store().barrier().await.ok()?;
    let ring = node.keyring();
    let needed = spawn_blocking(move || KeyUse::of(&*state).needed().collect::<Vec<_>>()).await.ok()?;
    Some(needed.into_iter().filter(|id| ring.check_value(*id).is_none()).collect())
}

/// Reads the key file again now and then, and tells the other nodes which keys are held.
pub(crate) async fn watch_key_file(node: Node) {
    let path = node.config().cluster.key_file.clone();
    let mut last_problem = String::new();
    let mut missed: Vec<KeyId> = Vec::new();
    let mut rounds = 0_u32;
    loop {
        node.store().announce(node.keys().announcement());
        tokio::time::sleep(KEY_FILE_INTERVAL).await;
        let reading = (node.clone(), path.clone());
        let read = spawn_blocking(move || reading.0.keys().reload(&reading.1)).await;
        let problem = match read {
            Ok(Ok(read)) => {
                if !read.added.is_empty() {
                    tracing::info!(keys = ?read.added, "the key file has new keys");
                }
                rounds = rounds.wrapping_add(1);
                if read.gone != missed || (!missed.is_empty() && rounds.is_multiple_of(COUNT_ROUNDS)) {
                    missed = drop_unneeded(&node, read.gone).await;
                }
                let text =
                    "a key in the key file differs from the one with this number that is in use: ignored";
                if read.differs { text.to_owned() } else { String::new() }
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if !problem.is_empty() && problem != last_problem {
            tracing::error!(error = %problem, "the cluster key file cannot be used; the keys in memory stay");
        }
        last_problem = problem;
    }
}

/// Forgets those of the keys that nothing needs; returns the others, which stay in memory.
async fn drop_unneeded(node: &Node, gone: Vec<KeyId>) -> Vec<KeyId> {
    // Without everything that is committed, something that still needs the key might not be seen.
    let Ok(state) = node.store().barrier().await else { return Vec::new() };
    let needed = spawn_blocking(move || {
        let mut needed: Vec<KeyId> = KeyUse::of(&*state).needed().collect();
        needed.extend(current_key(&*state).map(|(id, _)| id));
        needed
    });
    let Ok(needed) = needed.await else { return Vec::new() };
    let (needed, unneeded): (Vec<_>, Vec<_>) = gone.into_iter().partition(|id| needed.contains(id));
    if !unneeded.is_empty() {
        tracing::info!(keys = ?unneeded, "keys that nothing needs any more were removed from the key file");
        node.keys().forget(&unneeded);
    }
    if !needed.is_empty() {
        tracing::error!(
            keys = ?needed,
            "keys that are still needed are missing in the key file: put them back, the node cannot start without them"
        );
    }
    needed
}

/// The leader seals again what is not sealed under the current key. Nothing is remembered but what can be seen in the
/// state, so a new leader goes on where the last one was.
pub(crate) async fn reseal(node: Node) {
    let mut clean: Option<Revision> = None;
    loop {
        tokio::time::sleep(RESEAL_INTERVAL).await;
        if node.store().status().role != Role::Leader {
            continue;
        }
        let Some((current, revision)) = current_key(&*node.store().view()) else { continue };
        if clean == Some(revision) {
            continue;
        }
        match pass(&node, current).await {
            Some(0) => clean = Some(revision),
            Some(left) => {
                tracing::warn!(secrets = left, "secrets of a former cluster key could not be sealed again");
                tokio::time::sleep(RESEAL_RETRY).await;
            }
            // Another node leads, or the cluster is not available: look again.
            None => {}
        }
    }
}

/// Goes once through all records; the number of secrets left behind, or `None` if it was interrupted.
async fn pass(node: &Node, current: KeyId) -> Option<u64> {
    let (mut after, mut done, mut unreadable): (Option<Key>, u64, u64) = (None, 0, 0);
    loop {
        let state = node.store().view();
        let found = find(state, after.clone(), current).await?;
        let Some(last) = found.last().cloned() else { break };
        for batch in found.chunks(BATCH) {
            if node.store().status().role != Role::Leader {
                return None;
            }
            let began = tokio::time::Instant::now();
            let caller = Caller { action: "reseal".to_owned(), ..Caller::default() };
            match node.run(Reseal { keys: batch.to_vec() }, caller).await {
                Ok(Ok(batch)) => {
                    done += batch.done;
                    unreadable += batch.unreadable;
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = %error, "secrets were not sealed again");
                    return None;
                }
                Err(error) => {
                    tracing::debug!(error = %error, "secrets were not sealed again");
                    return None;
                }
            }
            // Logins have at least half of the time.
            tokio::time::sleep(began.elapsed()).await;
        }
        after = Some(last);
    }
    if done > 0 {
        tracing::info!(secrets = done, key = current.0, "everything is sealed under the current cluster key");
    }
    Some(unreadable)
}

async fn find(state: Arc<State>, after: Option<Key>, current: KeyId) -> Option<Vec<Key>> {
    spawn_blocking(move || stale(&*state, after.as_ref(), current, LOOK)).await.ok()
}
