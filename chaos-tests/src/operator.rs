//! What an operator does: the command line, and the files of a new node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use tokio::process::Command;

use crate::cluster::Cluster;
use crate::layout::{ADMIN, ADMIN_PASSWORD, Place};

/// The output of `tessera cluster token --json` and `replace --json`.
#[derive(Debug, Deserialize)]
pub struct Token {
    /// Id of the new node.
    pub node: u64,
    /// The token.
    pub token: String,
}

/// How a new node finds its cluster.
#[derive(Debug)]
pub enum Way<'a> {
    /// It waits for `tessera cluster join`.
    Command,
    /// Its configuration names a peer and holds the token.
    Configuration {
        /// `host:port` of a member.
        peer: &'a str,
        /// The token.
        token: &'a str,
    },
}

/// Runs a command against nodes of the cluster, as its administrator; returns how it ended.
///
/// # Errors
/// If the program cannot be run.
pub async fn run(cluster: &Cluster, at: &[u64], arguments: &[&str]) -> Result<Output> {
    let urls: Result<Vec<&str>> = at.iter().map(|id| cluster.url(*id)).collect();
    let output = Command::new(cluster.program())
        .args(arguments)
        .env("TESSERA_URL", urls?.join(","))
        .env("TESSERA_USER", ADMIN)
        .env("TESSERA_PASSWORD", ADMIN_PASSWORD)
        .env("XDG_STATE_HOME", cluster.folder().join("operator"))
        .kill_on_drop(true)
        .output()
        .await?;
    Ok(output)
}

/// Runs a command that has to succeed; returns what it printed.
///
/// # Errors
/// If it fails; the text has what it said.
pub async fn succeed(cluster: &Cluster, at: &[u64], arguments: &[&str]) -> Result<String> {
    let output = run(cluster, at, arguments).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tessera {} ended with {}:\n{said}", arguments.join(" "), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command that has to be refused; returns the reason it gave.
///
/// # Errors
/// If it succeeds, or fails in another way.
pub async fn refused(cluster: &Cluster, at: &[u64], arguments: &[&str]) -> Result<String> {
    let output = run(cluster, at, arguments).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() != Some(1) {
        bail!("tessera {} was to be refused, but ended with {}:\n{said}", arguments.join(" "), output.status);
    }
    Ok(said)
}

/// A join token, from `tessera cluster token` or `replace`.
///
/// # Errors
/// If the command fails.
pub async fn token(cluster: &Cluster, at: &[u64], arguments: &[&str]) -> Result<Token> {
    let all: Vec<&str> = ["cluster"].iter().chain(arguments).chain(&["--json"]).copied().collect();
    let printed = succeed(cluster, at, &all).await?;
    serde_json::from_str(&printed).with_context(|| format!("not a token: {printed}"))
}

/// A node that cannot come back gets its documented successor, which is started, joins and becomes ready; returns its id.
///
/// # Errors
/// If a command fails or the new node does not become ready.
pub async fn replace(cluster: &mut Cluster, at: &[u64], old: u64) -> Result<u64> {
    let token = token(cluster, at, &["replace", &old.to_string()]).await?;
    cluster.forget(old);
    let config = lay_out(cluster, token.node, &Way::Command).await?.display().to_string();
    cluster.launch(token.node)?;
    let arguments = ["cluster", "join", "--config", &config, "--token", &token.token, "--wait", "40"];
    succeed(cluster, at, &arguments).await?;
    cluster.wait_ready(&[token.node]).await?;
    Ok(token.node)
}

/// Writes certificate and configuration of a new node and tells the harness about it. Nothing is started.
///
/// # Errors
/// If a file cannot be written.
pub async fn lay_out(cluster: &mut Cluster, id: u64, way: &Way<'_>) -> Result<PathBuf> {
    let place = cluster.layout().another(id)?;
    let cluster_id = cluster.layout().cluster_id().to_owned();
    let folder = place.config.parent().context("the configuration is in no folder")?.to_owned();
    fs::create_dir_all(&folder)?;
    let number = id.to_string();
    let path = |folder: &Path, name: &str| folder.join(name).display().to_string();
    let authority = cluster.layout().folder();
    let (ca, ca_key) = (path(authority, "ca.pem"), path(authority, "ca-key.pem"));
    let (certificate, key) = (path(&folder, "node.pem"), path(&folder, "key.pem"));
    let mut arguments = vec!["cert", "node", "--cluster-id", &cluster_id, "--node-id", &number];
    arguments.extend(["--ca", &ca, "--ca-key", &ca_key, "--out", &certificate, "--key-out", &key]);
    succeed(cluster, &[], &arguments).await?;
    let joining = match way {
        Way::Command => String::new(),
        Way::Configuration { peer, token } => format!("join = [\"{peer}\"]\njoin_token = \"{token}\"\n"),
    };
    let Place { listening, advertised, http, .. } = &place;
    let text = format!(
        "[node]\nid = {id}\nname = \"node-{id}\"\ndata_dir = \"data\"\n\n[cluster]\nid = \"{cluster_id}\"\n\
         listen = \"{listening}\"\nadvertise = \"{advertised}\"\nkey_file = \"../cluster.key\"\nca_file = \"../ca.pem\"\n\
         certificate_file = \"node.pem\"\nprivate_key_file = \"key.pem\"\n{joining}\n[http]\nlisten = \"{http}\"\n\
         url = \"http://{http}\"\nplain = true\n\n[session]\ncookie_secure = false\n"
    );
    let config = place.config.clone();
    fs::write(&config, text)?;
    cluster.adopt(place).await?;
    Ok(config)
}
