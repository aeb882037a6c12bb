//! The node's own configuration: a TOML file with environment overrides, read once (reference code-style 10).
//!
//! What all nodes share (realms, resolvers, LinOTP's system keys) is not here but in the replicated state. Every key is
//! described in `deploy/node.example.toml`.

mod check;
mod reader;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tessera_core::secret::SecretText;

use self::reader::{BaseUrl, HostPort, Kind, Located, Reader, Value};
pub use self::reader::{Origin, Problem, environment_name};
use crate::file;
use crate::tls::TlsFiles;

/// A configuration file of more than this is none.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Every key, and how its value is written in the environment.
const KEYS: &[(&str, Kind)] = &[
    ("node.id", Kind::Number),
    ("node.name", Kind::Text),
    ("node.data_dir", Kind::Text),
    ("cluster.id", Kind::Text),
    ("cluster.listen", Kind::Text),
    ("cluster.advertise", Kind::Text),
    ("cluster.bootstrap", Kind::Switch),
    ("cluster.join", Kind::List),
    ("cluster.join_token", Kind::Text),
    ("cluster.join_token_file", Kind::Text),
    ("cluster.key_file", Kind::Text),
    ("cluster.ca_file", Kind::Text),
    ("cluster.certificate_file", Kind::Text),
    ("cluster.private_key_file", Kind::Text),
    ("cluster.timing", Kind::Text),
    ("cluster.commit_timeout_ms", Kind::Number),
    ("cluster.snapshot_transactions", Kind::Number),
    ("cluster.snapshot_log_mib", Kind::Number),
    ("cluster.threads", Kind::Number),
    ("cluster.checkpoint_seconds", Kind::Number),
    ("http.listen", Kind::Text),
    ("http.url", Kind::Text),
    ("http.plain", Kind::Switch),
    ("http.certificate_file", Kind::Text),
    ("http.private_key_file", Kind::Text),
    ("http.trusted_proxies", Kind::List),
    ("http.threads", Kind::Number),
    ("http.drain_seconds", Kind::Number),
    ("session.lifetime_seconds", Kind::Number),
    ("session.refresh_seconds", Kind::Number),
    ("session.cookie_secure", Kind::Switch),
    ("admin.user", Kind::Text),
    ("admin.password", Kind::Text),
    ("admin.password_file", Kind::Text),
    ("log.level", Kind::Text),
    ("log.format", Kind::Text),
    ("members", Kind::Toml),
];

/// Reading cannot wait for ever for the cluster, and not give up before an election is over.
const COMMIT_TIMEOUT_MS: std::ops::RangeInclusive<u64> = 500..=60_000;

/// The configuration of one node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Who this node is.
    pub node: NodeSection,
    /// How it talks to the other nodes.
    pub cluster: ClusterSection,
    /// How clients reach it.
    pub http: HttpSection,
    /// Administrators' sessions.
    pub session: SessionSection,
    /// The administrator created at the first start of the cluster.
    pub admin: AdminSection,
    /// Logging.
    pub log: LogSection,
    /// The members at the first start of the cluster, this node among them. Later changes are replicated.
    pub members: Vec<MemberConfig>,
}

/// `[node]`.
#[derive(Clone, Debug)]
pub struct NodeSection {
    /// The node's id, unique in the cluster for ever, from 1.
    pub id: u64,
    /// Name in the audit trail; the host name unless given.
    pub name: String,
    /// Folder of the write-ahead log, snapshots and history.
    pub data_dir: PathBuf,
}

/// `[cluster]`.
#[derive(Clone, Debug)]
pub struct ClusterSection {
    /// The cluster's id; nodes of other clusters are refused.
    pub id: String,
    /// Where the other nodes are listened to.
    pub listen: SocketAddr,
    /// Where the other nodes reach this one.
    pub advertise: String,
    /// Whether this node makes the cluster when there is none yet. True on exactly one node.
    pub bootstrap: bool,
    /// Nodes of the cluster to look for at the first start, beside `members`.
    pub join: Vec<String>,
    /// The token to join with.
    pub join_token: Option<JoinToken>,
    /// The cluster key file.
    pub key_file: PathBuf,
    /// CA, certificate and private key.
    pub tls: TlsFiles,
    /// Heartbeats and elections.
    pub timing: TimingProfile,
    /// How long a request waits for the cluster.
    pub commit_timeout: Duration,
    /// A snapshot is made after this many transactions, …
    pub snapshot_transactions: u64,
    /// … or this many bytes of log.
    pub snapshot_log_bytes: u64,
    /// Threads of the replication runtime.
    pub threads: usize,
    /// Between two checkpoints at which the nodes compare their states.
    pub checkpoint_interval: Duration,
}

/// A token to join the cluster with, needed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinToken {
    /// The token itself.
    Text(SecretText),
    /// A file that only its owner may access. It is read when it is needed and may be gone afterwards.
    File(PathBuf),
}

impl JoinToken {
    /// The token.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(&self) -> Result<SecretText, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => {
                check::password(path).map_err(|problem| format!("{}: {problem}", path.display()))
            }
        }
    }
}

/// A set of times for heartbeats and elections (reference raft-and-storage 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimingProfile {
    /// One data centre.
    Lan,
    /// Slow disks, or several sites.
    Wan,
}

/// `[http]`.
#[derive(Clone, Debug)]
pub struct HttpSection {
    /// Where clients are listened to.
    pub listen: SocketAddr,
    /// The URL clients reach this node under.
    pub url: String,
    /// Certificate chain and private key for HTTPS; plain HTTP without them.
    pub tls: Option<HttpTls>,
    /// Proxies whose `X-Forwarded-For` is believed: addresses and networks.
    pub trusted_proxies: Vec<String>,
    /// Threads of the HTTP runtime; 0 for one per processor.
    pub threads: usize,
    /// How long a node that was told to stop (SIGTERM) sends its clients elsewhere before it stops accepting.
    pub drain: Duration,
}

/// The files for HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTls {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub private_key: PathBuf,
}

/// `[session]` (reference http-api 4.4 and 24).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSection {
    /// Validity of a session token; 0 for ever (`JWT_ACCESS_TOKEN_EXPIRES`).
    pub lifetime_seconds: u64,
    /// With less than this left a new one is sent; 0 never (`JWT_ACCESS_TOKEN_REFRESH`).
    pub refresh_seconds: u64,
    /// Whether browsers may send the cookies over HTTPS only (`SESSION_COOKIE_SECURE`).
    pub cookie_secure: bool,
}

impl Default for SessionSection {
    fn default() -> Self {
        Self { lifetime_seconds: 1800, refresh_seconds: 300, cookie_secure: true }
    }
}

/// `[admin]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminSection {
    /// Login and password.
    pub first: Option<(String, SecretText)>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSection {
    /// A level, or a list of `target=level`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        // openraft logs every vote and heartbeat at `info`.
        Self { level: "info,openraft=warn".to_owned(), format: LogFormat::Text }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[[members]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberConfig {
    /// The node's id.
    pub id: u64,
    /// Where the other nodes reach it.
    pub cluster: String,
    /// Where clients reach it.
    pub http: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] file::FileError),
    /// The configuration is wrong; all problems at once.
    #[error("{path} is not usable:{}", list(.problems))]
    Problems {
        /// The file.
        path: PathBuf,
        /// What is wrong, in the order of the file.
        problems: Vec<Problem>,
    },
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

impl NodeConfig {
    /// Reads a configuration file with the environment laid over it (`std::env::vars()`).
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong. It never contains a value.
    pub fn load(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let content = file::read(path, FILE_BYTES_MAX)?;
        let text = std::str::from_utf8(&content).map_err(|_| ConfigError::Problems {
            path: path.to_owned(),
            problems: vec![Problem {
                origin: Origin::Line(1),
                key: String::new(),
                problem: "not UTF-8 text".to_owned(),
            }],
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(text, folder, environment)
            .map_err(|problems| ConfigError::Problems { path: path.to_owned(), problems })
    }

    /// Reads a configuration text; relative paths in it are relative to `folder`.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn parse(
        text: &str,
        folder: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(text, folder);
        if !reader.problems.is_empty() {
            return Err(reader.finish());
        }
        reader.overlay(KEYS, environment);
        let node = read_node(&mut reader);
        let cluster = read_cluster(&mut reader);
        let http = read_http(&mut reader, &cluster.advertise);
        let mut config = Self {
            session: read_session(&mut reader),
            admin: read_admin(&mut reader),
            log: read_log(&mut reader),
            members: read_members(&mut reader),
            node,
            cluster,
            http,
        };
        config.complete_members(&mut reader);
        let problems = reader.finish();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// Without a list of members the node is alone; with one, it must be in it as it is configured.
    fn complete_members(&mut self, reader: &mut Reader<'_>) {
        if self.members.is_empty() {
            self.members.push(MemberConfig {
                id: self.node.id,
                cluster: self.cluster.advertise.clone(),
                http: self.http.url.clone(),
            });
            return;
        }
        match self.members.iter().find(|member| member.id == self.node.id) {
            None if self.node.id != 0 => reader.reject("members", "this node (node.id) is not among them"),
            Some(own) if own.cluster != self.cluster.advertise => {
                reader.reject("members", "this node's `cluster` differs from cluster.advertise");
            }
            _ => {}
        }
        for (position, member) in self.members.iter().enumerate() {
            let mut others = self.members.iter().skip(position + 1);
            if others.any(|other| other.id == member.id || other.cluster == member.cluster) {
                reader.reject("members", "an id or a `cluster` address occurs twice");
            }
        }
    }
}

fn read_node(reader: &mut Reader<'_>) -> NodeSection {
    let id = reader.require("node.id").unwrap_or(1);
    if id == 0 {
        reader.reject("node.id", "must be at least 1");
    }
    NodeSection {
        id,
        name: reader.take("node.name").unwrap_or_else(host_name),
        data_dir: reader.require_path("node.data_dir"),
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

fn read_cluster(reader: &mut Reader<'_>) -> ClusterSection {
    let id: String = reader.require("cluster.id").unwrap_or_default();
    if !id.is_empty() && !is_uuid(&id) {
        reader.reject("cluster.id", "expected a UUID, such as `uuidgen` prints");
    }
    let advertise = reader.require::<HostPort>("cluster.advertise").map(|address| address.0);
    let mut cluster = ClusterSection {
        id: id.to_ascii_lowercase(),
        listen: SocketAddr::from(([0, 0, 0, 0], 7580)),
        advertise: advertise.unwrap_or_default(),
        bootstrap: false,
        join: Vec::new(),
        join_token: read_join_token(reader),
        key_file: reader.require_path("cluster.key_file"),
        tls: TlsFiles {
            ca: reader.require_path("cluster.ca_file"),
            certificate: reader.require_path("cluster.certificate_file"),
            private_key: reader.require_path("cluster.private_key_file"),
        },
        timing: TimingProfile::Lan,
        commit_timeout: Duration::from_secs(5),
        snapshot_transactions: 200_000,
        snapshot_log_bytes: 64 * MIB,
        threads: 2,
        checkpoint_interval: Duration::from_secs(300),
    };
    reader.set("cluster.listen", &mut cluster.listen);
    reader.set("cluster.bootstrap", &mut cluster.bootstrap);
    let join: Vec<HostPort> = reader.take("cluster.join").unwrap_or_default();
    cluster.join = join.into_iter().map(|address| address.0).collect();
    if let Some(timing) = reader.take::<String>("cluster.timing") {
        match timing.as_str() {
            "lan" => cluster.timing = TimingProfile::Lan,
            "wan" => cluster.timing = TimingProfile::Wan,
            _ => reader.reject("cluster.timing", "expected \"lan\" or \"wan\""),
        }
    }
    let mut commit_timeout_ms = 5000;
    reader.set_within("cluster.commit_timeout_ms", &mut commit_timeout_ms, COMMIT_TIMEOUT_MS);
    cluster.commit_timeout = Duration::from_millis(commit_timeout_ms);
    reader.set_within(
        "cluster.snapshot_transactions",
        &mut cluster.snapshot_transactions,
        1_000..=1_000_000_000,
    );
    let mut snapshot_log_mib = cluster.snapshot_log_bytes / MIB;
    reader.set_within("cluster.snapshot_log_mib", &mut snapshot_log_mib, 1..=65_536);
    cluster.snapshot_log_bytes = snapshot_log_mib * MIB;
    reader.set_within("cluster.threads", &mut cluster.threads, 1..=64);
    let mut checkpoint_seconds = cluster.checkpoint_interval.as_secs();
    reader.set_within("cluster.checkpoint_seconds", &mut checkpoint_seconds, 1..=86_400);
    cluster.checkpoint_interval = Duration::from_secs(checkpoint_seconds);
    cluster
}

fn read_join_token(reader: &mut Reader<'_>) -> Option<JoinToken> {
    let text: Option<SecretText> = reader.take("cluster.join_token");
    let file = reader.take_path("cluster.join_token_file");
    if text.is_some() && file.is_some() {
        reader.reject("cluster.join_token_file", "cluster.join_token is given as well");
    }
    text.map(JoinToken::Text).or(file.map(JoinToken::File))
}

const MIB: u64 = 1024 * 1024;

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.chars().all(|c| c.is_ascii_hexdigit()))
}

fn read_http(reader: &mut Reader<'_>, advertise: &str) -> HttpSection {
    let mut listen = SocketAddr::from(([0, 0, 0, 0], 7480));
    reader.set("http.listen", &mut listen);
    let mut plain = false;
    reader.set("http.plain", &mut plain);
    let certificate = reader.take_path("http.certificate_file");
    let private_key = reader.take_path("http.private_key_file");
    let tls = match (certificate, private_key) {
        (Some(certificate), Some(private_key)) => Some(HttpTls { certificate, private_key }),
        (Some(_), None) => {
            reader.reject("http.certificate_file", "http.private_key_file is missing");
            None
        }
        (None, Some(_)) => {
            reader.reject("http.private_key_file", "http.certificate_file is missing");
            None
        }
        (None, None) if plain => None,
        (None, None) => {
            let choice =
                "is missing: give it with http.private_key_file, or set http.plain = true behind a proxy";
            reader.reject("http.certificate_file", choice);
            None
        }
    };
    let host = advertise.rsplit_once(':').map_or("localhost", |(host, _)| host);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = reader.take::<BaseUrl>("http.url").map(|url| url.0);
    let trusted_proxies: Vec<String> = reader.take("http.trusted_proxies").unwrap_or_default();
    if !trusted_proxies.iter().all(|text| is_network(text)) {
        let example = "expected addresses and networks, such as [\"127.0.0.1\", \"10.0.0.0/8\"]";
        reader.reject("http.trusted_proxies", example);
    }
    let mut threads = 0;
    reader.set_within("http.threads", &mut threads, 0..=1024);
    let mut drain = 3;
    reader.set_within("http.drain_seconds", &mut drain, 0..=600);
    let drain = Duration::from_secs(drain);
    let url = url.unwrap_or_else(|| format!("{scheme}://{host}:{}", listen.port()));
    HttpSection { listen, url, tls, trusted_proxies, threads, drain }
}

fn is_network(text: &str) -> bool {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, prefix.parse::<u8>().ok()),
        None => (text, Some(0)),
    };
    match (address.parse(), prefix) {
        (Ok(IpAddr::V4(_)), Some(prefix)) => prefix <= 32,
        (Ok(IpAddr::V6(_)), Some(prefix)) => prefix <= 128,
        _ => false,
    }
}

fn read_session(reader: &mut Reader<'_>) -> SessionSection {
    const YEAR: u64 = 31_536_000;
    let mut session = SessionSection::default();
    reader.set_within("session.lifetime_seconds", &mut session.lifetime_seconds, 0..=YEAR);
    reader.set_within("session.refresh_seconds", &mut session.refresh_seconds, 0..=YEAR);
    reader.set("session.cookie_secure", &mut session.cookie_secure);
    if session.lifetime_seconds != 0 && session.refresh_seconds >= session.lifetime_seconds {
        reader.reject("session.refresh_seconds", "must be less than session.lifetime_seconds");
    }
    session
}

fn read_admin(reader: &mut Reader<'_>) -> AdminSection {
    let user: Option<String> = reader.take("admin.user");
    let password: Option<SecretText> = reader.take("admin.password");
    let from_file = reader.take_path("admin.password_file");
    if password.is_some() && from_file.is_some() {
        reader.reject("admin.password_file", "admin.password is given as well");
    }
    let password = match (password, from_file) {
        (Some(password), _) => Some(password),
        (None, Some(path)) => match check::password(&path) {
            Ok(password) => Some(password),
            Err(problem) => {
                reader.reject("admin.password_file", problem);
                return AdminSection::default();
            }
        },
        (None, None) => None,
    };
    match (user, password) {
        (Some(user), Some(password)) => AdminSection { first: Some((user, password)) },
        (None, None) => AdminSection::default(),
        (Some(_), None) => {
            reader.reject("admin.user", "admin.password or admin.password_file is missing");
            AdminSection::default()
        }
        (None, Some(password)) => AdminSection { first: Some(("admin".to_owned(), password)) },
    }
}

fn read_log(reader: &mut Reader<'_>) -> LogSection {
    let mut log = LogSection::default();
    if let Some(level) = reader.take::<String>("log.level") {
        if crate::telemetry::is_level(&level) {
            log.level = level;
        } else {
            reader.reject("log.level", "expected error, warn, info, debug, trace, or a list of target=level");
        }
    }
    if let Some(format) = reader.take::<String>("log.format") {
        match format.as_str() {
            "text" => log.format = LogFormat::Text,
            "json" => log.format = LogFormat::Json,
            _ => reader.reject("log.format", "expected \"text\" or \"json\""),
        }
    }
    log
}

fn read_members(reader: &mut Reader<'_>) -> Vec<MemberConfig> {
    let Some(list) = reader.take_raw("members") else { return Vec::new() };
    let Value::List(items) = list.value else {
        reader.reject("members", "expected [[members]] sections with id, cluster and http");
        return Vec::new();
    };
    let mut members = Vec::new();
    for (position, item) in items.into_iter().enumerate() {
        members.extend(read_member(reader, position, item));
    }
    members
}

fn read_member(reader: &mut Reader<'_>, position: usize, item: Located) -> Option<MemberConfig> {
    let Value::Table(mut keys) = item.value else {
        reader.report(
            item.origin,
            &format!("members[{position}]"),
            "expected id, cluster and http".to_owned(),
        );
        return None;
    };
    let (id, cluster, http) = (keys.remove("id"), keys.remove("cluster"), keys.remove("http"));
    for (key, entry) in keys {
        reader.report(entry.origin, &format!("members[{position}].{key}"), "unknown key".to_owned());
    }
    let origin = item.origin;
    let id = member_key::<u64>(reader, position, "id", &origin, id);
    let cluster = member_key::<HostPort>(reader, position, "cluster", &origin, cluster);
    let http = member_key::<BaseUrl>(reader, position, "http", &origin, http);
    Some(MemberConfig { id: id?, cluster: cluster?.0, http: http?.0 })
}

fn member_key<T: reader::FromValue>(
    reader: &mut Reader<'_>,
    position: usize,
    key: &str,
    section: &Origin,
    entry: Option<Located>,
) -> Option<T> {
    let path = format!("members[{position}].{key}");
    let Some(entry) = entry else {
        reader.report(section.clone(), &path, format!("is missing: expected {}", T::EXPECTED));
        return None;
    };
    let value = T::from_value(&entry.value);
    if value.is_none() {
        reader.report(entry.origin, &path, format!("expected {}", T::EXPECTED));
    }
    value
}

#[cfg(test)]
mod tests;
