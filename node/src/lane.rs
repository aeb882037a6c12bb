//! Lanes: requests that would overtake each other are decided one after the other on a node.
//!
//! Two logins of one owner read and write the same records; decided at once, one of them conflicts at its commit and
//! is decided again. Queueing them avoids that work. Correctness never rests on it: requests of other nodes do not
//! queue here, and a conflict is noticed at the commit.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Number of independently locked parts, so that lanes do not compete for one lock.
const SHARDS: usize = 64;

type Lane = Arc<tokio::sync::Mutex<()>>;
type Shard = Mutex<HashMap<String, Lane>>;

/// All lanes in use. A lane exists as long as somebody is in it or waits for it.
#[derive(Debug)]
pub(crate) struct Lanes {
    shards: Vec<Shard>,
    hasher: RandomState,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect(), hasher: RandomState::new() }
    }
}

impl Lanes {
    /// Waits until it is the caller's turn. Callers of one lane get their turns in the order they came. Dropping the
    /// future gives up the place.
    pub(crate) async fn enter(&self, name: String) -> Turn<'_> {
        let shard = self.shard(&name);
        let lane = shard.map(|shard| locked(shard).entry(name.clone()).or_default().clone());
        let mut turn = Turn { shard, name, guard: None };
        if let Some(lane) = lane {
            turn.guard = Some(lane.lock_owned().await);
        }
        turn
    }

    fn shard(&self, name: &str) -> Option<&Shard> {
        let buckets = u64::try_from(SHARDS).unwrap_or(1);
        let position = self.hasher.hash_one(name) % buckets;
        self.shards.get(usize::try_from(position).unwrap_or(0))
    }

    #[cfg(test)]
    fn in_use(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).len()).sum()
    }
}

fn locked(shard: &Shard) -> std::sync::MutexGuard<'_, HashMap<String, Lane>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A turn in a lane; the next one waiting gets its turn when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    shard: Option<&'a Shard>,
    name: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let Some(shard) = self.shard else { return };
        let mut lanes = locked(shard);
        // Everybody in the lane or waiting for it holds a reference; new ones are only handed out under this lock.
        if lanes.get(&self.name).is_some_and(|lane| Arc::strong_count(lane) == 1) {
            lanes.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_lane_is_used_by_one_request_at_a_time() {
        let lanes = Arc::new(Lanes::default());
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (lanes, inside, most) = (lanes.clone(), inside.clone(), most.clone());
                tokio::spawn(async move {
                    let turn = lanes.enter("alice".to_owned()).await;
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 1);
        assert_eq!(lanes.in_use(), 0);
    }

    #[tokio::test]
    async fn different_lanes_do_not_wait_for_each_other() {
        let lanes = Lanes::default();
        let alice = lanes.enter("alice".to_owned()).await;
        let bob = lanes.enter("bob".to_owned()).await;
        assert_eq!(lanes.in_use(), 2);
        drop((alice, bob));
        assert_eq!(lanes.in_use(), 0);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_nothing_behind() {
        let lanes = Lanes::default();
        let first = lanes.enter("alice".to_owned()).await;
        let second = tokio::time::timeout(Duration::from_millis(20), lanes.enter("alice".to_owned())).await;
        assert!(second.is_err());
        assert_eq!(lanes.in_use(), 1);
        drop(first);
        assert_eq!(lanes.in_use(), 0);
        // The first may also leave before the second gives up.
        let first = lanes.enter("alice".to_owned()).await;
        let mut second = Box::pin(lanes.enter("alice".to_owned()));
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut second).await.is_err());
        drop(first);
        drop(second);
        assert_eq!(lanes.in_use(), 0);
    }
}
