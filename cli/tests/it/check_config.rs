//! `tessera server --check-config`.

use std::path::Path;
use std::process::Output;

use crate::support::{stderr, stdout, tessera};

const CLUSTER: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

fn run(arguments: &[&str]) -> Output {
    tessera(arguments).output().unwrap()
}

fn check(config: &Path) -> Output {
    run(&["server", "--check-config", "--config", config.to_str().unwrap()])
}

#[test]
fn every_problem_is_printed_and_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.toml");
    let text = "[node]\nid = 0\n\n[admin]\nuser = \"root\"\npassword = 5\npasswort = \"Tr0mbone\"\n[cluster]\nid = \"Tr0mbone\"\n";
    std::fs::write(&config, text).unwrap();
    let output = check(&config);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for expected in [
        "line 2: node.id: must be at least 1",
        "line 6: admin.password: expected a text",
        "line 7: admin.passwort: unknown key",
        "line 9: cluster.id: expected a UUID",
        "node.data_dir: is missing",
        "http.certificate_file: is missing",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(!text.contains("Tr0mbone"), "{text}");
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_configuration_made_with_the_documented_commands_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca, ca_key, key) = (path("ca.pem"), path("ca-key.pem"), path("cluster.key"));
    let (node, node_key, config) = (path("node.pem"), path("node-key.pem"), path("node.toml"));
    assert!(run(&["key", "new", &key]).status.success());
    assert!(
        run(&["cert", "ca", "--cluster-id", CLUSTER, "--out", &ca, "--key-out", &ca_key]).status.success()
    );
    let certificate = [
        "cert",
        "node",
        "--cluster-id",
        CLUSTER,
        "--node-id",
        "1",
        "--host",
        "127.0.0.1",
        "--ca",
        &ca,
        "--ca-key",
        &ca_key,
        "--out",
        &node,
        "--key-out",
        &node_key,
    ];
    let output = run(&certificate);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = format!(
        "[node]\nid = 1\ndata_dir = \"data\"\n[cluster]\nid = \"{CLUSTER}\"\nadvertise = \"127.0.0.1:7580\"\n\
         key_file = \"cluster.key\"\nca_file = \"ca.pem\"\ncertificate_file = \"node.pem\"\n\
         private_key_file = \"node-key.pem\"\n[http]\nplain = true\n"
    );
    std::fs::write(&config, &text).unwrap();
    let output = check(Path::new(&config));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains(&format!("node 1 of cluster {CLUSTER}")), "{}", stdout(&output));

    // The same files do not make another node of it, and a second file is never written over the first.
    std::fs::write(&config, text.replace("id = 1", "id = 2")).unwrap();
    let output = check(Path::new(&config));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is not for node-2."), "{}", stderr(&output));
    assert_eq!(run(&["key", "new", &key]).status.code(), Some(1));
    assert_eq!(run(&certificate).status.code(), Some(1));
}
