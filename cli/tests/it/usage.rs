//! Exit codes and help, without a server.

use crate::support::{stderr, stdout, tessera};

#[test]
fn exit_codes_tell_the_cases_apart() {
    let home = tempfile::tempdir().unwrap();
    let code = |arguments: &[&str]| {
        let mut command = tessera(arguments);
        let output = command.env("HOME", home.path()).env_remove("XDG_STATE_HOME").output().unwrap();
        (output.status.code(), stderr(&output))
    };
    // Port 1 on loopback: nothing listens there.
    let nowhere = "http://127.0.0.1:1";
    for (arguments, expected) in [
        (vec!["token", "frobnicate"], 2),
        (vec!["token", "list"], 2),
        (vec!["token", "list", "--url", "ftp://a", "--user", "a", "--password", "b"], 2),
        (vec!["token", "list", "--url", nowhere], 4),
        (vec!["logout"], 4),
        (vec!["token", "list", "--url", nowhere, "--user", "a", "--password", "b"], 3),
        (vec!["token", "check", "--owner", "a", "123456", "--url", nowhere], 3),
        (vec!["server", "--config", "/nonexistent/node.toml"], 1),
    ] {
        let (found, text) = code(&arguments);
        assert_eq!(found, Some(expected), "{arguments:?}: {text}");
        assert!(!text.is_empty());
    }
}

#[test]
fn completion_and_help_are_printed() {
    for (arguments, expected) in [
        (vec!["completion", "bash"], "_tessera"),
        (vec!["completion", "zsh"], "#compdef tessera"),
        (vec!["--help"], "Exit codes:"),
        (vec!["token", "init", "--help"], "Examples:"),
        (vec!["dev", "--help"], "cluster.json"),
    ] {
        let output = tessera(&arguments).output().unwrap();
        assert!(output.status.success());
        assert!(stdout(&output).contains(expected), "{arguments:?}");
    }
}
