//! What a node does beside requests: removing expired records, watching its store and clock.

use std::time::Duration;

use tessera_core::decide::janitor::RemoveExpired;
use tessera_core::decide::maintenance::RaiseFormatLevel;
use tessera_core::facts::Caller;
use tessera_raft::cluster::Role;

use crate::node::{Fatal, Node};

const EXPIRY_INTERVAL: Duration = Duration::from_secs(5);
/// Records removed in one transaction.
const EXPIRED_AT_ONCE: usize = 256;
const LEVEL_INTERVAL: Duration = Duration::from_secs(10);
const STORE_INTERVAL: Duration = Duration::from_secs(1);
/// More than this between the clocks of leader and node is an alarm (DESIGN section 2).
const CLOCK_ALARM_MS: u64 = 1000;

/// The leader removes records whose time is over.
pub(crate) async fn remove_expired(node: Node) {
    loop {
        tokio::time::sleep(EXPIRY_INTERVAL).await;
        while node.store().status().role == Role::Leader && remove_some(&node).await {}
    }
}

/// Removes a few expired records; whether there may be more.
async fn remove_some(node: &Node) -> bool {
    let store = node.store();
    let keys = store.view().expired(store.now(), EXPIRED_AT_ONCE);
    if keys.is_empty() {
        return false;
    }
    let full = keys.len() >= EXPIRED_AT_ONCE;
    let caller = Caller { action: "janitor".to_owned(), ..Caller::default() };
    match node.run(RemoveExpired { keys }, caller).await {
        Ok(Ok(removed)) => {
            node.metrics().expired.inc_by(u64::from(removed));
            full && removed > 0
        }
        Ok(Err(refusal)) => {
            tracing::warn!(error = %refusal, "expired records were not removed");
            false
        }
        Err(error) => {
            tracing::debug!(error = %error, "expired records were not removed");
            false
        }
    }
}

/// The leader raises the format level as soon as every member supports more.
pub(crate) async fn raise_level(node: Node) {
    loop {
        tokio::time::sleep(LEVEL_INTERVAL).await;
        if node.store().status().role != Role::Leader {
            continue;
        }
        let Some(level) = node.store().raisable_level().await else { continue };
        let caller = Caller { action: "format-level".to_owned(), ..Caller::default() };
        match node.run(RaiseFormatLevel { level }, caller).await {
            Ok(Ok(())) => tracing::info!(level, "the format level was raised: all members support it"),
            Ok(Err(refusal)) => tracing::debug!(error = %refusal, "the format level was not raised"),
            Err(error) => tracing::debug!(error = %error, "the format level was not raised"),
        }
    }
}

/// Publishes how far the clock is from the leader's, says so when it is too far, and gives the node up when its
/// replication has stopped for good.
pub(crate) async fn watch_store(node: Node) {
    let mut alarm = false;
    loop {
        if !node.store().is_running() {
            tracing::error!("{}", Fatal::ReplicationStopped);
            return node.fail(Fatal::ReplicationStopped);
        }
        let offset = node.store().clock_offset_ms();
        node.metrics().show_clock_offset(offset);
        let too_far = offset.unsigned_abs() > CLOCK_ALARM_MS;
        if too_far && !alarm {
            tracing::warn!(
                clock.offset_ms = offset,
                "the clocks of this node and the leader differ too much"
            );
        }
        alarm = too_far;
        tokio::time::sleep(STORE_INTERVAL).await;
    }
}
