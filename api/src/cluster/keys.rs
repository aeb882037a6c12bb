//! `GET /cluster/keys` and `POST /cluster/keys/rotate`: the cluster keys, for administrators.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tessera_core::decide::rotation::SwitchKey;
use tessera_core::decision::Refusal;
use tessera_core::secret::KeyId;
use tessera_node::KeyStatus;

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Reply};

#[derive(Serialize)]
struct Status {
    /// The key secrets are sealed under.
    current: Option<u32>,
    /// Secrets that are still sealed under another one.
    stale: u64,
    keys: Vec<Key>,
    nodes: Vec<Holder>,
}

#[derive(Serialize)]
struct Key {
    id: u32,
    /// Empty if no node that answered holds the key.
    check: String,
    sealed: u64,
    pins: u64,
    /// Whether the PIN hashes made under it need the key itself.
    pin_key_stored: bool,
    /// Whether it can be removed from the key files.
    needed: bool,
}

#[derive(Serialize)]
struct Holder {
    id: u64,
    reachable: bool,
    keys: Vec<u32>,
}

pub(crate) async fn status(call: Call) -> Result<Reply, Failure> {
    Ok(reply::value(rendered(&call.shared.node.key_status().await)))
}

/// Makes a key current that all nodes hold, `key` or the newest of the asked node. What is sealed under others is sealed
/// again by the leader afterwards; [`status`] tells how far that is. Repeating the call does no harm.
pub(crate) async fn rotate(call: Call) -> Result<Reply, Failure> {
    let node = &call.shared.node;
    let wanted: Option<u32> = call.params.number("key")?;
    let to = wanted.map_or_else(|| node.newest_key(), KeyId);
    node.everyone_holds(to).await.map_err(|problem| Failure::Unread(Refusal::Other(problem)))?;
    let from = call.run(SwitchKey { to }).await?;
    let members = [("from".to_owned(), from.0), ("to".to_owned(), to.0)];
    Ok(reply::value(reply::Members(members.into())))
}

fn rendered(status: &KeyStatus) -> Status {
    let held: BTreeMap<KeyId, &str> =
        status.nodes.values().flatten().flatten().map(|(id, check)| (*id, check.as_str())).collect();
    let found = &status.found;
    let needed: BTreeSet<KeyId> = found.needed().chain(status.current).collect();
    let ids: BTreeSet<KeyId> = held
        .keys()
        .chain(found.sealed.keys())
        .chain(found.pins.keys())
        .chain(&status.current)
        .copied()
        .collect();
    let key = |id: &KeyId| Key {
        id: id.0,
        check: held.get(id).copied().unwrap_or_default().to_owned(),
        sealed: found.sealed.get(id).copied().unwrap_or_default(),
        pins: found.pins.get(id).copied().unwrap_or_default(),
        pin_key_stored: found.pin_keys.contains(id),
        needed: needed.contains(id),
    };
    let holder = |(id, keys): (&u64, &Option<Vec<(KeyId, String)>>)| Holder {
        id: *id,
        reachable: keys.is_some(),
        keys: keys.iter().flatten().map(|(id, _)| id.0).collect(),
    };
    Status {
        current: status.current.map(|id| id.0),
        stale: status.stale(),
        keys: ids.iter().map(key).collect(),
        nodes: status.nodes.iter().map(holder).collect(),
    }
}
