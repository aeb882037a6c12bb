//! The divergence alarm, with a node whose disk holds something else than was committed.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use tempfile::TempDir;
use tessera_core::{
    record::{Key, Record, UsageV1},
    txn::Revision,
};
use tessera_raft::{
    cluster::{ComparedState, Store},
    codec,
    snapshot::{SnapshotDir, SnapshotReader},
    type_config::ClusterId,
};

use crate::support::{CLUSTER, LONG, Nodes, committed, counter, set, short_log, until, usage_key};

/// Section of the records in a snapshot file.
const RECORDS: u8 = 2;

/// The log of this process, which is one test's own.
#[derive(Clone)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log(Arc::default());
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::ERROR)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log
    })
}

fn logged(text: &str) -> bool {
    String::from_utf8_lossy(&log().0.lock().unwrap()).contains(text)
}

fn cluster_id() -> ClusterId {
    ClusterId(u128::from_str_radix(&CLUSTER.replace('-', ""), 16).unwrap())
}

/// Writes the newest snapshot of a data directory again, with correct checksums and another value in one record.
fn alter_snapshot(data_dir: &Path, name: &str, value: u64) {
    let snapshots = SnapshotDir::open(&data_dir.join("snapshots"), cluster_id()).unwrap();
    let original = snapshots.newest().unwrap().unwrap();
    let folder = TempDir::new().unwrap();
    let mut writer =
        SnapshotDir::open(folder.path(), cluster_id()).unwrap().begin(original.header.clone()).unwrap();
    let mut reader = SnapshotReader::open(&original.path, cluster_id()).unwrap();
    let mut altered = 0;
    while let Some((section, bytes)) = reader.next_record().unwrap() {
        let mut bytes = bytes.to_vec();
        if section == RECORDS {
            let (key, revision, created, record): (Key, Revision, u64, Record) =
                codec::decode_plain(&bytes).unwrap();
            if key == usage_key(name) {
                assert!(matches!(record, Record::Usage(_)));
                let record = Record::Usage(Arc::new(UsageV1 { next_counter: value, ..UsageV1::default() }));
                bytes = codec::encode_plain(&(key, revision, created, record)).unwrap();
                altered += 1;
            }
        }
        writer.push(section, &bytes).unwrap();
    }
    assert_eq!(altered, 1);
    let forged = writer.finish().unwrap();
    fs::copy(&forged.path, &original.path).unwrap();
}

async fn states(store: &Store) -> Vec<ComparedState> {
    store.compare_states(LONG).await.unwrap()
}

#[tokio::test]
async fn nodes_that_hold_the_same_are_equal_at_every_checkpoint() {
    let nodes = Nodes::cluster(3, |config| config.checkpoint_interval = Duration::from_millis(300)).await;
    committed(nodes.get(1).commit(set("t", 1)).await);
    until("checkpoints are made and compared without being asked for", || {
        nodes.all().iter().all(|store| store.metrics().checkpoint_index > 0)
    })
    .await;
    let follower = nodes.get(nodes.a_follower().await);
    for value in 2..5 {
        committed(nodes.get(1).commit(set("t", value)).await);
        let states = states(&follower).await;
        assert_eq!(states.iter().map(|state| state.node).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(states.iter().all(|state| state.equal && state.checkpoint.is_some()), "{states:?}");
    }
    // What a node computed in passing is the digest of the state it holds when nothing comes after.
    let at = follower.status().applied_index;
    let digest = follower.view().digest();
    let known = follower.checkpoints();
    let same = known.iter().find(|checkpoint| checkpoint.index == at);
    assert!(same.is_none_or(|checkpoint| checkpoint.digest == digest));
    assert!(nodes.all().iter().all(|store| store.metrics().divergences == 0));
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_not_counted_as_equal() {
    let mut nodes = Nodes::cluster(3, |_| {}).await;
    let away = nodes.a_follower().await;
    nodes.kill(away).await;
    let leader = nodes.get(nodes.leader().await);
    let states = leader.compare_states(Duration::from_secs(3)).await.unwrap();
    for state in states {
        assert_eq!((state.equal, state.checkpoint.is_some()), (state.node != away, state.node != away));
    }
    assert!(leader.status().diverged_from.is_empty(), "silence is no difference");
}

#[tokio::test]
async fn a_node_with_an_altered_record_is_found_and_named() {
    log();
    let mut nodes = Nodes::cluster(3, |config| {
        config.snapshot = short_log();
        config.checkpoint_interval = Duration::from_secs(3600);
    })
    .await;
    for value in 1..=20 {
        committed(nodes.get(1).commit(set("t", value)).await);
    }
    committed(nodes.get(1).commit(set("other", 7)).await);
    nodes.agreed().await;
    let victim = nodes.a_follower().await;
    let leader = nodes.leader().await;
    nodes.get(victim).snapshot().await.unwrap();
    until("the follower has a snapshot", || nodes.get(victim).status().snapshot_index > 20).await;
    nodes.kill(victim).await;
    alter_snapshot(&nodes.data_dir(victim), "other", 8);
    let store = nodes.start(victim).await;
    // It works on as if nothing were wrong.
    committed(store.commit(set("t", 21)).await);
    assert_eq!(counter(&*store.barrier().await.unwrap(), "other"), 8);
    assert_eq!(counter(&*nodes.get(leader).barrier().await.unwrap(), "other"), 7);

    let compared = states(&nodes.get(leader)).await;
    for state in compared {
        assert_eq!(state.equal, state.node != victim, "{state:?}");
        assert!(state.checkpoint.is_some());
    }
    assert_eq!(nodes.get(leader).status().diverged_from, [victim]);
    assert_eq!(nodes.get(leader).metrics().diverged_nodes, 1);
    // Every node compares for itself, the one that differs too.
    until("the node sees that it differs from both others", || {
        nodes.get(victim).status().diverged_from.len() == 2
    })
    .await;
    let seen = nodes.get(leader).cluster_status().await;
    let of_victim = seen.iter().find(|node| node.id == victim).unwrap();
    assert_eq!(of_victim.diverged_from.len(), 2);
    let index = of_victim.checkpoint.unwrap().index;
    let line = format!("the states of node {leader} and node {victim} differ at log index {index}");
    assert!(logged(&line), "{line} not logged");
}
