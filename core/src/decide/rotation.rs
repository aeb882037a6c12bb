//! Replacing the cluster key while the cluster runs.
//!
//! Which key is current is replicated: it is the one the key check is sealed under. [`SwitchKey`] seals the check under
//! the next key, and from its revision on no transaction with a sealed secret of an earlier decision is applied
//! ([`super::decide`] sees to that). Then everything else is sealed again in batches of [`Reseal`], each an ordinary
//! transaction that conflicts with whoever changes the same records. Where it has got to follows from the records
//! themselves, so that any node can go on after a crash.
//!
//! A PIN hash cannot be made again without the PIN. The PIN key it was made with is derived from its cluster key one-way
//! and is stored as a cluster secret when that key is replaced. It is sealed like every other secret, so the former
//! cluster key is not needed any more.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::bootstrap::KEY_CHECK;
use super::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::record::{ClusterSecretV1, Key, Record};
use crate::secret::{KeyId, Keyring, Purpose, SealError};
use crate::txn::Revision;
use crate::view::StateRead;

/// What the names of stored PIN keys begin with; the number of the cluster key follows.
const PIN_KEY: &str = "pin-key-";

/// The place of the key check.
pub(super) fn key_check() -> Key {
    Key::ClusterSecret(KEY_CHECK.into())
}

/// `cluster/keys/rotate`: from now on secrets are sealed under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchKey {
    /// The key, which all nodes must hold; the node has checked that.
    pub to: KeyId,
}

impl Request for SwitchKey {
    /// The key that was current before; the same one if nothing was to be done.
    type Reply = KeyId;

    fn decide(&self, cx: &mut Context<'_>) -> Result<KeyId, Stop> {
        let Some(Record::ClusterSecret(check)) = cx.view.get(&key_check()) else {
            return Err(Refusal::Other("the first start of the cluster is not complete".to_owned()).into());
        };
        let from = check.secret.key;
        cx.audit.action_detail = format!("key {} -> {}", from.0, self.to.0).into();
        if cx.facts.keyring.check_value(self.to).is_none() {
            return Err(Refusal::Other(format!("this node does not hold key {}", self.to.0)).into());
        }
        if from != self.to {
            let text = cx.facts.keyring.open(Purpose::Cluster, KEY_CHECK, &check.secret)?;
            self.store(cx, KEY_CHECK, &text)?;
            let name = format!("{PIN_KEY}{}", from.0);
            let stored = cx.view.get(&Key::ClusterSecret(name.as_str().into())).is_some();
            if let Some(bytes) = cx.facts.keyring.pin_key(from).filter(|_| !stored) {
                self.store(cx, &name, bytes)?;
            }
        }
        cx.audit.success = true;
        Ok(from)
    }
}

impl SwitchKey {
    fn store(self, cx: &mut Context<'_>, name: &str, secret: &[u8]) -> Result<(), SealError> {
        let nonce = cx.random.bytes();
        let secret = cx.facts.keyring.seal_under(self.to, Purpose::Cluster, name, secret, nonce)?;
        let record = Record::ClusterSecret(Arc::new(ClusterSecretV1 { secret }));
        cx.view.put(Key::ClusterSecret(name.into()), record);
        Ok(())
    }
}

/// Seals the secrets of some records again under the current key. The node hands in candidates it found in the state;
/// each is looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reseal {
    /// Candidates.
    pub keys: Vec<Key>,
}

/// What a [`Reseal`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Secrets sealed again.
    pub done: u64,
    /// Secrets that do not open with any key of this node, and stay as they are.
    pub unreadable: u64,
}

impl Request for Reseal {
    type Reply = Resealed;
    const AUDITED: bool = false;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Resealed, Stop> {
        let Some(Record::ClusterSecret(check)) = cx.view.get(&key_check()) else {
            return Ok(Resealed::default());
        };
        let current = check.secret.key;
        let mut resealed = Resealed::default();
        for key in &self.keys {
            let Some(record) = cx.view.get(key) else { continue };
            let (keyring, random) = (cx.facts.keyring, &mut cx.random);
            let fresh = record.reseal(key, &mut |purpose, identity, sealed| {
                if sealed.key == current {
                    return Ok(None);
                }
                let Ok(secret) = keyring.open(purpose, identity, sealed) else {
                    resealed.unreadable += 1;
                    return Ok(None);
                };
                resealed.done += 1;
                keyring.seal_under(current, purpose, identity, &secret, random.bytes()).map(Some)
            })?;
            if let Some(fresh) = fresh {
                cx.view.put(key.clone(), fresh);
            }
        }
        Ok(resealed)
    }
}

/// The key secrets are sealed under, and the revision of the key check; `None` before the first start is complete.
#[must_use]
pub fn current_key(state: &dyn StateRead) -> Option<(KeyId, Revision)> {
    let slot = state.record(&key_check())?;
    let Record::ClusterSecret(check) = slot.record else { return None };
    Some((check.secret.key, slot.revision))
}

/// Prepares the keys of a node for a state: makes the current key active and adds the PIN keys the state keeps.
///
/// # Errors
/// When the keyring lacks the current key, or a stored PIN key does not open.
pub fn prepare(state: &dyn StateRead, keyring: &mut Keyring) -> Result<(), SealError> {
    let Some((current, _)) = current_key(state) else { return Ok(()) };
    // Even if it is missing: then nothing may be sealed under another one.
    keyring.activate(current);
    if keyring.check_value(current).is_none() {
        return Err(SealError::UnknownKey(current));
    }
    for (id, secret) in stored_pin_keys(state) {
        let name = format!("{PIN_KEY}{}", id.0);
        let bytes = keyring.open(Purpose::Cluster, &name, &secret.secret)?;
        let bytes: &[u8; 32] =
            bytes.as_slice().try_into().map_err(|_| SealError::Damaged(secret.secret.key))?;
        keyring.add_pin_key(id, bytes);
    }
    Ok(())
}

fn stored_pin_keys(state: &dyn StateRead) -> Vec<(KeyId, Arc<ClusterSecretV1>)> {
    let mut found = Vec::new();
    state.scan(&Key::ClusterSecret(PIN_KEY.into()), &mut |key, slot| {
        let Key::ClusterSecret(name) = key else { return ControlFlow::Break(()) };
        let Some(number) = name.strip_prefix(PIN_KEY) else { return ControlFlow::Break(()) };
        if let (Ok(id), Record::ClusterSecret(secret)) = (number.parse(), &slot.record) {
            found.push((KeyId(id), secret.clone()));
        }
        ControlFlow::Continue(())
    });
    found
}

/// The keys of at most `limit` records behind `after` that have a secret sealed under another key than `current`, in
/// order. Looks at all records if there are none.
#[must_use]
pub fn stale(state: &dyn StateRead, after: Option<&Key>, current: KeyId, limit: usize) -> Vec<Key> {
    let mut found = Vec::new();
    // The least of all keys.
    let first = Key::Token("".into());
    state.scan(after.unwrap_or(&first), &mut |key, slot| {
        if found.len() >= limit {
            return ControlFlow::Break(());
        }
        let visited = slot.record.reseal(key, &mut |_, _, sealed| {
            if sealed.key == current { Ok(None) } else { Err(()) }
        });
        if visited.is_err() && after != Some(key) {
            found.push(key.clone());
        }
        ControlFlow::Continue(())
    });
    found
}

/// How much of a state depends on which key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// Number of sealed secrets by key.
    pub sealed: BTreeMap<KeyId, u64>,
    /// Number of PIN hashes by key.
    pub pins: BTreeMap<KeyId, u64>,
    /// Keys whose PIN key the state keeps: PIN hashes of theirs do not need the key itself.
    pub pin_keys: Vec<KeyId>,
}

impl KeyUse {
    /// Counts. Looks at all records.
    #[must_use]
    pub fn of(state: &dyn StateRead) -> Self {
        let mut found = Self {
            pin_keys: stored_pin_keys(state).into_iter().map(|(id, _)| id).collect(),
            ..Self::default()
        };
        let mut count = |key: &Key, record: &Record| {
            // It replaces nothing, and cannot fail.
            let _ = record.reseal(key, &mut |_, _, sealed| {
                *found.sealed.entry(sealed.key).or_default() += 1;
                Ok::<_, std::convert::Infallible>(None)
            });
            if let Some(hash) = record.pin_hash() {
                *found.pins.entry(hash.key).or_default() += 1;
            }
        };
        state.scan(&Key::Token("".into()), &mut |key, slot| {
            count(key, &slot.record);
            ControlFlow::Continue(())
        });
        found
    }

    /// The keys without which something in the state cannot be used.
    pub fn needed(&self) -> impl Iterator<Item = KeyId> {
        let hashed = self.pins.keys().filter(|id| !self.pin_keys.contains(id));
        let mut needed: Vec<KeyId> = self.sealed.keys().chain(hashed).copied().collect();
        needed.sort_unstable();
        needed.dedup();
        needed.into_iter()
    }
}

#[cfg(test)]
mod tests;
