//! Restoring: the frozen backup of each format level, and what is refused.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tessera_core::decide::validate::CheckSerial;
use tessera_core::facts::Caller;
use tessera_core::secret::KeyId;
use tessera_core::time::UnixMillis;
use tessera_node::backup::{
    BackupError, BackupKey, BackupSecret, RestoreOptions, RestoreReport, inspect, restore,
};
use tessera_node::keys::ClusterKeys;
use tessera_node::testing::single;
use tessera_node::{Node, NodeConfig};

use crate::start::ready;

/// Written once by version 0.1.0 and never again. A cluster of three nodes with the HOTP token `GOLDH1` (seed of RFC 4226,
/// PIN 1234, the OTP at counter 0 used), the TOTP token `GOLDT1` with the same seed, a resolver, a realm and a sealed
/// setting; the cluster key is inside.
const LEVEL_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/level-1.backup");
const LEVEL_1_KEY: &str = "dd4ae99e252fea37f7cfc8b0b89b854dcc9ea722f8265a5ecccfb900066880ce";

fn secret(folder: &Path) -> BackupSecret {
    let path = folder.join("backup.key");
    std::fs::write(&path, format!("tessera-backup-key 1\n{LEVEL_1_KEY}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    BackupSecret::Key(BackupKey::load(&path).unwrap())
}

/// A new cluster's first node without a key file.
fn without_key(folder: &Path) -> NodeConfig {
    let config = single(folder).unwrap();
    std::fs::remove_file(&config.cluster.key_file).unwrap();
    config
}

fn restored(config: &NodeConfig, folder: &Path) -> Result<RestoreReport, BackupError> {
    let options = RestoreOptions { now: UnixMillis::from_seconds(1_900_000_000), advance: None };
    restore(Path::new(LEVEL_1), &secret(folder), config, options)
}

async fn accepted(node: &Node, serial: &str, pass: &str) -> bool {
    let (serial, pass) = (Some(serial.to_owned()), Some(pass.into()));
    let request = CheckSerial { serial, pass, ..CheckSerial::default() };
    node.run(request, Caller::default()).await.unwrap().unwrap().accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_format_level_1_is_restored_by_this_version() {
    let folder = tempfile::tempdir().unwrap();
    let content = inspect(Path::new(LEVEL_1), &secret(folder.path()), None).unwrap();
    assert_eq!((content.header.level, content.header.revision), (1, 8));
    let expected = BTreeMap::from([
        ("administrators", 1),
        ("cluster secrets", 2),
        ("realms", 2),
        ("resolvers", 2),
        ("settings", 35),
        ("token usages", 2),
        ("tokens", 2),
    ]);
    assert_eq!(content.counts, expected);
    assert_eq!(content.included_keys, Some(vec![KeyId(1)]));
    assert_eq!((content.keys[0].sealed, content.keys[0].pins, content.keys[0].unreadable), (6, 1, 0));

    let config = without_key(folder.path());
    assert!(restored(&config, folder.path()).unwrap().wrote_key_file);
    let node = Node::start(config).await.unwrap();
    ready(&node).await;
    assert!(!accepted(&node, "GOLDH1", "1234755224").await, "used before the backup");
    assert!(!accepted(&node, "GOLDH1", "1235287082").await, "wrong PIN");
    assert!(accepted(&node, "GOLDH1", "1234287082").await);
    let restore_row = node.store().history().range(1, 1, 1).unwrap();
    let text = String::from_utf8_lossy(&restore_row[0].bytes).into_owned();
    assert!(text.contains("4c687883-7865-426f-827e-fdb6437b1555"), "the origin in the audit trail: {text}");
    node.shutdown().await;
}

#[test]
fn nothing_is_written_when_the_keys_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let config = single(folder.path()).unwrap();
    let error = restored(&config, folder.path()).unwrap_err();
    assert!(
        matches!(&error, BackupError::WrongKeys(text) if text.contains("not the one of the backup")),
        "{error}"
    );
    assert!(!config.node.data_dir.exists());
    // A key file that has only a later key.
    let mut keys = ClusterKeys::load(&config.cluster.key_file).unwrap();
    keys.add().unwrap();
    keys.remove(KeyId(1)).unwrap();
    keys.replace(&config.cluster.key_file).unwrap();
    let error = restored(&config, folder.path()).unwrap_err();
    assert!(matches!(&error, BackupError::WrongKeys(text) if text.contains("lacks key 1")), "{error}");
    assert!(!config.node.data_dir.exists());
}

#[test]
fn the_old_cluster_id_and_a_used_directory_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = without_key(folder.path());
    config.cluster.id = "4c687883-7865-426f-827e-fdb6437b1555".to_owned();
    let error = restored(&config, folder.path()).unwrap_err();
    assert!(error.to_string().contains("nodes of the old one cannot mix"), "{error}");
    config.cluster.id = tessera_node::testing::CLUSTER_ID.to_owned();
    std::fs::create_dir(&config.node.data_dir).unwrap();
    let left: PathBuf = config.node.data_dir.join("wal.lock");
    std::fs::write(&left, "").unwrap();
    let error = restored(&config, folder.path()).unwrap_err();
    assert!(error.to_string().contains("is not empty"), "{error}");
    std::fs::remove_file(&left).unwrap();
    assert!(!config.cluster.key_file.exists(), "the key file is written only when all else is right");
    restored(&config, folder.path()).unwrap();
}
