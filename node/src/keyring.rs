//! The keys of a running node, as each state needs them.
//!
//! The key file says which keys the node holds, the replicated state which of them is current and which PIN keys of former
//! ones are kept. The two are put together once for each change of either. The file is read again now and then, so that a
//! new key reaches a running node; a key that disappeared from the file stays in memory as long as anything needs it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tessera_core::decide::rotation;
use tessera_core::secret::{KeyId, Keyring};
use tessera_core::txn::Revision;
use tessera_core::view::StateRead;

use crate::backup::hex;
use crate::keys::{ClusterKeys, KeyFileError};

/// The keys of a node.
#[derive(Debug)]
pub(crate) struct NodeKeys {
    held: Mutex<ClusterKeys>,
    /// Counts the changes of `held`.
    generation: AtomicU64,
    /// The newest keyring that was put together.
    ready: ArcSwap<Ready>,
}

#[derive(Debug)]
struct Ready {
    generation: u64,
    /// Of the key check; 0 before the first start is complete.
    revision: Revision,
    ring: Arc<Keyring>,
}

/// What a look at the key file brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// Keys that are new in the file.
    pub(crate) added: Vec<KeyId>,
    /// Keys that are not in the file any more and are still held.
    pub(crate) gone: Vec<KeyId>,
    /// A key has another value in the file than before, which is ignored.
    pub(crate) differs: bool,
}

impl NodeKeys {
    pub(crate) fn new(keys: ClusterKeys) -> Self {
        let ring = Arc::new(keys.keyring());
        let ready = Ready { generation: 0, revision: Revision(0), ring };
        Self { held: Mutex::new(keys), generation: AtomicU64::new(0), ready: ArcSwap::from_pointee(ready) }
    }

    fn held(&self) -> MutexGuard<'_, ClusterKeys> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys for decisions on a state. If they do not fit it, which [`crate::keys::check`] finds out, whatever needs the
    /// missing key fails and everything else goes on.
    pub(crate) fn of(&self, state: &dyn StateRead) -> Arc<Keyring> {
        let revision = rotation::current_key(state).map_or(Revision(0), |(_, revision)| revision);
        let ready = self.ready.load();
        let generation = self.generation.load(Ordering::Acquire);
        if ready.revision == revision && ready.generation == generation {
            return ready.ring.clone();
        }
        // If the keys change in between, the ring has more than its generation says and is made once more.
        let mut ring = self.held().keyring();
        if let Err(error) = rotation::prepare(state, &mut ring) {
            tracing::error!(error = %error, "the keys of this node do not fit the cluster");
        }
        let ring = Arc::new(ring);
        // A request on an older state must not push out what others are about to use.
        if revision >= ready.revision {
            self.ready.store(Arc::new(Ready { generation, revision, ring: ring.clone() }));
        }
        ring
    }

    /// Reads the key file again.
    ///
    /// # Errors
    /// When it cannot be used; the keys stay as they are.
    pub(crate) fn reload(&self, path: &Path) -> Result<Reloaded, KeyFileError> {
        let file = ClusterKeys::load(path)?;
        let mut held = self.held();
        let before: BTreeSet<KeyId> = held.ids().collect();
        let in_file: BTreeSet<KeyId> = file.ids().collect();
        let differs = !held.merge(&file);
        let added: Vec<KeyId> = in_file.difference(&before).copied().collect();
        self.generation.fetch_add(u64::from(!added.is_empty()), Ordering::Release);
        Ok(Reloaded { added, gone: before.difference(&in_file).copied().collect(), differs })
    }

    /// Forgets keys that nothing needs any more.
    pub(crate) fn forget(&self, ids: &[KeyId]) {
        let mut held = self.held();
        for id in ids {
            // The last one stays.
            let _ = held.remove(*id);
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// What other nodes are told: `keys=1:<check value>,2:<check value>`.
    pub(crate) fn announcement(&self) -> String {
        let ring = self.held().keyring();
        let keys: Vec<String> =
            ring.check_values().map(|(id, check)| format!("{}:{}", id.0, hex(&check))).collect();
        format!("keys={}", keys.join(","))
    }
}

/// Reads an announcement: ids and check values in hexadecimal digits. Nothing if it was made by a program that announces
/// nothing.
pub(crate) fn announced(text: &str) -> Vec<(KeyId, String)> {
    let keys = text.split_whitespace().find_map(|word| word.strip_prefix("keys="));
    let key = |text: &str| {
        let (id, check) = text.split_once(':')?;
        Some((KeyId(id.parse().ok()?), check.to_owned()))
    };
    keys.unwrap_or_default().split(',').filter_map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_understood_by_other_nodes() {
        let mut keys = ClusterKeys::generate().unwrap();
        keys.add().unwrap();
        let ring = keys.keyring();
        let expected: Vec<(KeyId, String)> =
            ring.check_values().map(|(id, check)| (id, hex(&check))).collect();
        assert_eq!(announced(&NodeKeys::new(keys).announcement()), expected);
        assert_eq!(announced(""), []);
        assert_eq!(announced("keys="), []);
        assert_eq!(announced("level=3 keys=1:ab,x,2:cd"), [(KeyId(1), "ab".into()), (KeyId(2), "cd".into())]);
    }

    #[test]
    fn a_key_that_is_gone_from_the_file_stays_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        let mut file = ClusterKeys::generate().unwrap();
        file.create(&path).unwrap();
        let keys = NodeKeys::new(ClusterKeys::load(&path).unwrap());
        assert_eq!(keys.reload(&path).unwrap(), Reloaded::default());
        file.add().unwrap();
        file.replace(&path).unwrap();
        assert_eq!(keys.reload(&path).unwrap().added, [KeyId(2)]);
        file.remove(KeyId(1)).unwrap();
        file.replace(&path).unwrap();
        assert_eq!(keys.reload(&path).unwrap().gone, [KeyId(1)]);
        assert_eq!(announced(&keys.announcement()).len(), 2);
        keys.forget(&[KeyId(1)]);
        assert_eq!(announced(&keys.announcement()).len(), 1);
        assert_eq!(keys.reload(&path).unwrap(), Reloaded::default());
        std::fs::write(&path, "nonsense").unwrap();
        assert!(keys.reload(&path).is_err());
        assert_eq!(announced(&keys.announcement()).len(), 1);
    }
}
