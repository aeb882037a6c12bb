//! `tessera backup`, end to end: a running cluster of three nodes, a file, and new clusters made from it.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::site::{Site, accepted, each, enroll, serial};

/// Number of tokens: 200, or what `TESSERA_BACKUP_TOKENS` says, for measuring.
fn tokens() -> usize {
    std::env::var("TESSERA_BACKUP_TOKENS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

/// Does something and prints how long it took.
#[expect(clippy::print_stdout, reason = "the figures are for people to read")]
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    println!("{what}: {} ms", began.elapsed().as_millis());
    result
}

/// How many OTPs of a token were used before the backup was taken.
const fn used(number: usize) -> usize {
    number % 4
}

/// A folder for a new cluster, stopped and empty, with the cluster key of another one.
fn empty_cluster(place: &Path, name: &str, nodes: u16, key_of: &Site) -> Site {
    let mut site = Site::start(place, name, nodes);
    site.stop();
    for id in 1..=nodes {
        fs::remove_dir_all(site.folder.join(format!("node-{id}/data"))).unwrap();
    }
    fs::copy(key_of.path("cluster.key"), site.path("cluster.key")).unwrap();
    site
}

#[test]
fn a_backup_of_a_running_cluster_becomes_a_new_cluster() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (place, tokens) = (tempfile::tempdir().unwrap(), tokens());
    let mut source = Site::start(place.path(), "source", 3);
    let client = runtime.block_on(source.client());
    runtime.block_on(async {
        enroll(&client, tokens).await;
        each(&client, tokens, |client, number| async move {
            for counter in 0..used(number) {
                assert!(accepted(&client, number, counter).await, "{} at {counter}", serial(number));
            }
        })
        .await;
    });
    let (key, file) = (source.path("backup.key"), source.path("tessera.backup"));
    source.done(&["backup", "new-key", &key]);
    timed("create", || source.done(&["backup", "create", &file, "--backup-key", &key]));
    println!("{tokens} tokens: {} bytes", fs::metadata(&file).unwrap().len());
    let old_session = client.session().unwrap();
    runtime.block_on(async { assert!(accepted(&client, 0, used(0)).await, "after the backup") });

    let cluster_key = source.path("cluster.key");
    let verify = ["backup", "verify", &file, "--backup-key", &key, "--cluster-key", &cluster_key];
    let content = timed("verify", || source.json(&verify));
    assert_eq!(content["counts"]["tokens"], tokens);
    assert_eq!((&content["keys"][0]["id"], &content["keys"][0]["opened"]), (&1.into(), &true.into()));
    assert_eq!(content["keys"][0]["pins"], tokens);
    let shown = source.done(&["key", "show", &cluster_key]);
    assert!(shown.contains(content["keys"][0]["check"].as_str().unwrap()), "{shown}");
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(4).any(|window| window == b"HOTP"), "serials are readable in the file");

    let restore = |config: &str, more: &[&str]| -> Vec<String> {
        let fixed = ["backup", "restore", &file, "--backup-key", &key, "--config", config];
        fixed.iter().chain(more).map(|text| (*text).to_owned()).collect()
    };
    let own = restore(&source.path("node-1/node.toml"), &[]);
    let message = source.refused(&as_arguments(&own));
    assert!(message.contains("that of the cluster the backup was taken from"), "{message}");

    let mut target = empty_cluster(place.path(), "target", 3, &source);
    let arguments = restore(&target.path("node-1/node.toml"), &[]);
    let report = timed("restore", || target.json(&as_arguments(&arguments)));
    assert_eq!(report["from_cluster"], content["cluster"]);
    assert_ne!(report["cluster"], content["cluster"]);
    let message = target.refused(&as_arguments(&arguments));
    assert!(message.contains("is not empty"), "{message}");
    timed("start of three nodes", || target.resume());
    runtime.block_on(async {
        let stale = target.client().await;
        stale.set_session(Some(old_session));
        assert!(stale.key_status().await.is_err(), "a session of the old cluster");
        let client = target.client().await;
        each(&client, tokens, |client, number| async move {
            let next = used(number);
            if next > 0 {
                assert!(!accepted(&client, number, next - 1).await, "{} before the backup", serial(number));
            }
            assert!(accepted(&client, number, next).await, "{} next", serial(number));
            assert!(!accepted(&client, number, next).await, "{} twice", serial(number));
        })
        .await;
    });
    source.stop();
    target.stop();
    with_a_margin(&runtime, place.path(), &source, &restore);
}

fn as_arguments(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

/// What was used after the backup is not accepted again when the operator gives a margin.
fn with_a_margin(
    runtime: &tokio::runtime::Runtime,
    place: &Path,
    source: &Site,
    restore: &dyn Fn(&str, &[&str]) -> Vec<String>,
) {
    let mut careful = empty_cluster(place, "careful", 1, source);
    let arguments = restore(&careful.path("node-1/node.toml"), &["--advance-counters", "2"]);
    let report = careful.json(&as_arguments(&arguments));
    assert_eq!(report["advanced"], tokens());
    careful.resume();
    runtime.block_on(async {
        let client = careful.client().await;
        for number in 0..4 {
            let next = used(number);
            assert!(!accepted(&client, number, next).await, "{} may have been used", serial(number));
            assert!(accepted(&client, number, next + 2).await, "{}", serial(number));
        }
    });
    careful.stop();
}

#[test]
fn a_damaged_file_and_a_wrong_secret_are_refused_with_the_reason() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut site = Site::start(place.path(), "source", 1);
    runtime.block_on(async { enroll(&site.client().await, 5).await });
    let (passphrase, wrong) = (site.path("passphrase"), site.path("wrong"));
    let file = site.path("tessera.backup");
    for (path, text) in [(&passphrase, "correct horse battery\n"), (&wrong, "correct horse batterz\n")] {
        private(path, text.as_bytes());
    }
    let create = ["backup", "create", &file, "--passphrase-file", &passphrase];
    site.done(&create);
    let message = site.refused(&create);
    assert!(message.contains("exists"), "an existing file must never be overwritten: {message}");
    site.done(&["backup", "verify", &file, "--passphrase-file", &passphrase]);
    let message = site.refused(&["backup", "verify", &file, "--passphrase-file", &wrong]);
    assert!(message.contains("wrong passphrase"), "{message}");

    let bytes = fs::read(&file).unwrap();
    let damaged = site.path("damaged.backup");
    let mut flipped = bytes.clone();
    flipped[1000] ^= 1;
    for (content, text) in [
        (flipped, "is damaged"),
        (bytes[..bytes.len() - 40].to_vec(), "damaged, or it was cut off"),
        (bytes[..60].to_vec(), "not a Tessera backup"),
        (b"something else".to_vec(), "not a Tessera backup"),
    ] {
        fs::write(&damaged, content).unwrap();
        let message = site.refused(&["backup", "verify", &damaged, "--passphrase-file", &passphrase]);
        assert!(message.contains(text), "{message}");
    }

    private(&wrong, b"short\n");
    let other = site.path("other.backup");
    let message = site.refused(&["backup", "create", &other, "--passphrase-file", &wrong]);
    assert!(message.contains("at least 12 characters"), "{message}");
    assert!(!Path::new(&other).exists() && !Path::new(&format!("{other}.part")).exists());

    let (backup_key, cluster_key) = (site.path("backup.key"), site.path("cluster.key"));
    site.done(&["backup", "new-key", &backup_key]);
    let create =
        ["backup", "create", &other, "--backup-key", &backup_key, "--include-cluster-key", &cluster_key];
    site.done(&create);
    let content = site.json(&["backup", "verify", &other, "--backup-key", &backup_key]);
    assert_eq!((&content["included_keys"][0], &content["keys"][0]["opened"]), (&1.into(), &true.into()));
    site.stop();
    with_the_key_inside(place.path(), &site, &other, &backup_key);
}

/// The cluster key file comes out of the backup when there is none.
fn with_the_key_inside(place: &Path, source: &Site, file: &str, backup_key: &str) {
    let mut target = empty_cluster(place, "target", 1, source);
    let key_file = target.path("cluster.key");
    let config = target.path("node-1/node.toml");
    let restore = ["backup", "restore", file, "--backup-key", backup_key, "--config", &config];
    fs::remove_file(&key_file).unwrap();
    target.done(&["key", "new", &key_file]);
    let message = target.refused(&restore);
    assert!(message.contains("is not the one of the backup"), "{message}");
    fs::remove_file(&key_file).unwrap();
    assert_eq!(target.json(&restore)["wrote_key_file"], true);
    target.resume();
    let status = target.json(&["key", "status"]);
    assert_eq!((&status["current"], &status["keys"][0]["pins"]), (&1.into(), &5.into()));
    target.stop();
}

fn private(path: &str, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
