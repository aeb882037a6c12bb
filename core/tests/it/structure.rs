//! The dependency graph of the workspace, which Cargo cannot forbid by itself (DESIGN section 1, code-style 2).

#![allow(clippy::unwrap_used, reason = "clippy knows test functions, but not their helpers, as tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Everything `tessera-core` may be linked with. Nothing here performs I/O, reads a clock or starts a thread.
/// `getrandom` with `libc` and `cfg-if` comes with a default feature of `aead` and is not called.
const CORE_MAY_USE: [&str; 43] = [
    "aead",
    "aes",
    "aes-gcm",
    "block-buffer",
    "cfg-if",
    "cipher",
    "cmov",
    "const-oid",
    "cpubits",
    "cpufeatures",
    "crypto-common",
    "ctr",
    "ctutils",
    "data-encoding",
    "digest",
    "getrandom",
    "ghash",
    "hmac",
    "hybrid-array",
    "inout",
    "itoa",
    "libc",
    "md-5",
    "memchr",
    "percent-encoding",
    "polyval",
    "proc-macro2",
    "quick-xml",
    "quote",
    "rand_core",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "sha1",
    "sha2",
    "subtle",
    "syn",
    "thiserror",
    "thiserror-impl",
    "typenum",
    "universal-hash",
    "zeroize",
];

/// As above: names that do not fit the table's width.
const CORE_MAY_USE_TOO: [&str; 7] =
    ["regex", "regex-automata", "regex-syntax", "tessera-core", "unicode-ident", "zeroize_derive", "zmij"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(workspace())
        .args(arguments)
        .args(["--offline", "--locked"])
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Packages in the normal dependency tree of a package, down to a depth.
fn tree(package: &str, depth: &str) -> BTreeSet<String> {
    let text = cargo(&["tree", "-p", package, "-e", "normal", "--prefix", "none", "--depth", depth]);
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn core_is_linked_with_nothing_outside_its_list() {
    let allowed: BTreeSet<String> =
        CORE_MAY_USE.iter().chain(&CORE_MAY_USE_TOO).map(|name| (*name).to_owned()).collect();
    let used = tree("tessera-core", "99");
    assert!(used.contains("tessera-core"), "the tree is empty");
    let foreign: Vec<&String> = used.difference(&allowed).collect();
    assert!(foreign.is_empty(), "tessera-core now depends on {foreign:?}");
}

#[test]
fn api_does_not_depend_on_consensus_or_storage() {
    let used = tree("tessera-api", "1");
    assert!(used.contains("tessera-node"), "{used:?}");
    for forbidden in ["openraft", "sled", "tonic", "tessera-raft", "tessera-connectors"] {
        assert!(!used.contains(forbidden), "tessera-api depends on {forbidden}");
    }
}

#[test]
fn client_depends_on_no_other_crate_of_ours() {
    let used = tree("tessera-client", "99");
    let ours: Vec<&String> = used.iter().filter(|name| name.starts_with("tessera-")).collect();
    assert_eq!(ours, ["tessera-client"]);
}

/// Each file directly under `tests/` becomes a binary of its own.
#[test]
fn every_crate_has_at_most_one_integration_test_binary() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() >= 9, "the workspace has {} packages", packages.len());
    for package in packages {
        let tests: Vec<&str> = package["targets"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|target| target["kind"][0] == "test")
            .map(|target| target["name"].as_str().unwrap())
            .collect();
        assert!(tests.is_empty() || tests == ["it"], "{} has the test binaries {tests:?}", package["name"]);
    }
}

/// Rule of code-style 3: look for a split at 500 lines, and never pass 1000.
#[test]
fn no_source_file_of_core_is_too_long() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 1000, "{} has {lines} lines", path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} files were found");
}
