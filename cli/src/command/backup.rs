//! `tessera backup`: taking, checking and restoring backups. The encryption happens here, not on a node.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tessera_core::calendar::DateTime;
use tessera_core::secret::SecretText;
use tessera_core::time::UnixMillis;
use tessera_node::NodeConfig;
use tessera_node::backup::{self, BackupKey, BackupSecret, BackupWriter, Content, RestoreOptions};
use tessera_node::file;
use tessera_node::keys::ClusterKeys;

use super::connection::{self, Connection};
use crate::exit::Usage;
use crate::output::{self, Format};

/// A passphrase file of more than this is none.
const PASSPHRASE_BYTES_MAX: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(crate) enum Backup {
    /// Makes a file with a random key that backups are encrypted with.
    #[command(after_help = "Example:\n  tessera backup new-key backup.key\n\n\
        Keep it apart from the backups, and a copy of it in a safe place.")]
    NewKey(NewKey),
    /// Takes a backup of the running cluster into an encrypted file.
    #[command(after_help = "Examples:\n  tessera backup create tessera.backup --backup-key backup.key\n  \
        tessera backup create tessera.backup --passphrase-file passphrase.txt\n  \
        tessera backup create tessera.backup --backup-key backup.key --include-cluster-key cluster.key\n\n\
        The cluster key is not part of a backup unless it is included: keep a copy of it elsewhere, or nobody can read \
        the seeds in the backup.")]
    Create(Create),
    /// Reads a backup to its end, without a server, and says what is in it.
    #[command(
        after_help = "Example:\n  tessera backup verify tessera.backup --backup-key backup.key --cluster-key cluster.key"
    )]
    Verify(Verify),
    /// Makes the data directory of a new cluster's first node from a backup, without a server.
    #[command(
        after_help = "Example:\n  tessera backup restore tessera.backup --backup-key backup.key --config node.toml\n\n\
        The configuration is that of the new cluster: with a cluster id and certificates of its own, and an empty data \
        directory. An OTP that was accepted after the backup was taken is accepted again unless --advance-counters \
        gives it up."
    )]
    Restore(Restore),
}

#[derive(Args, Debug)]
pub(crate) struct NewKey {
    /// The file, which must not exist yet
    file: PathBuf,
}

/// What a backup is encrypted with.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct SecretOptions {
    /// Encrypts with the key in this file, made by `tessera backup new-key`
    #[arg(long, value_name = "FILE")]
    backup_key: Option<PathBuf>,
    /// Encrypts with the passphrase in this file; `-` reads a line of standard input
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The file, which must not exist yet
    file: PathBuf,
    #[command(flatten)]
    secret: SecretOptions,
    /// Keeps this cluster key file in the backup as well; only with --backup-key
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    include_cluster_key: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    secret: SecretOptions,
    /// Opens every secret in the backup with the keys in this file
    #[arg(long, value_name = "FILE")]
    cluster_key: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    secret: SecretOptions,
    /// The configuration of the new cluster's first node
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Gives up the next N OTPs of every token, and all time steps up to now
    #[arg(long, value_name = "N")]
    advance_counters: Option<u64>,
}

impl SecretOptions {
    fn read(&self) -> anyhow::Result<BackupSecret> {
        if let Some(path) = &self.backup_key {
            return Ok(BackupSecret::Key(BackupKey::load(path)?));
        }
        let path = self.passphrase_file.as_deref().unwrap_or(Path::new("-"));
        let text = if path == Path::new("-") {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).context("cannot read the passphrase")?;
            SecretText::new(line.trim_end_matches(['\r', '\n']).to_owned())
        } else {
            let content = file::read_secret(path, PASSPHRASE_BYTES_MAX)?;
            let text = std::str::from_utf8(&content)
                .with_context(|| format!("{} is not UTF-8 text", path.display()))?;
            SecretText::from(text.trim_end_matches(['\r', '\n']))
        };
        if text.expose().is_empty() {
            return Err(Usage("the passphrase is empty".to_owned()).into());
        }
        Ok(BackupSecret::Passphrase(text))
    }
}

impl Backup {
    pub(super) fn run(self, connection: Connection) -> anyhow::Result<()> {
        match self {
            Self::NewKey(NewKey { file }) => {
                BackupKey::create(&file)?;
                output::line(&format!("backup key file: {}", file.display()));
                Ok(())
            }
            Self::Create(create) => connection::block_on(create.run(connection)),
            Self::Verify(verify) => verify.run(connection.format()),
            Self::Restore(restore) => restore.run(connection.format()),
        }
    }
}

impl Create {
    async fn run(self, connection: Connection) -> anyhow::Result<()> {
        let secret = self.secret.read()?;
        let mut writer = BackupWriter::create(&self.file, &secret, self.include_cluster_key.as_deref())?;
        let connected = match connection.connect().await {
            Ok(connected) => connected,
            Err(error) => {
                writer.discard();
                return Err(error);
            }
        };
        let fetched = async {
            let mut download = connected.client.backup().await?;
            while let Some(piece) = download.next().await? {
                writer.push(&piece)?;
            }
            anyhow::Ok(())
        };
        if let Err(error) = fetched.await {
            writer.discard();
            return Err(error);
        }
        let content = writer.finish(&secret)?;
        show(connection.format(), &self.file, &content, content.included_keys.is_some())?;
        if connection.format() == Format::Text && content.included_keys.is_none() {
            output::note("The cluster key is not in this file. Keep a copy of it in another place.");
        }
        connected.finish()
    }
}

impl Verify {
    fn run(self, format: Format) -> anyhow::Result<()> {
        let secret = self.secret.read()?;
        let keys = self.cluster_key.as_deref().map(ClusterKeys::load).transpose()?;
        let content = backup::inspect(&self.file, &secret, keys.as_ref())?;
        let checked = keys.is_some() || content.included_keys.is_some();
        show(format, &self.file, &content, checked)?;
        if !checked {
            return Ok(());
        }
        Ok(content.require_keys()?)
    }
}

impl Restore {
    fn run(self, format: Format) -> anyhow::Result<()> {
        let secret = self.secret.read()?;
        let config = NodeConfig::load(&self.config, std::env::vars())?;
        let options = RestoreOptions { now: now(), advance: self.advance_counters };
        let report = backup::restore(&self.file, &secret, &config, options)?;
        let (header, restored) = (&report.header, report.restored);
        if format == Format::Json {
            return output::json(&json!({
                "data_dir": config.node.data_dir,
                "cluster": config.cluster.id,
                "node": config.node.id,
                "members": config.members.iter().map(|member| member.id).collect::<Vec<_>>(),
                "from_cluster": header.cluster,
                "revision": header.revision,
                "taken_at": instant(header.taken_at),
                "records": header.records,
                "left_out": restored.left_out,
                "advanced": restored.advanced,
                "unusable": restored.unusable,
                "wrote_key_file": report.wrote_key_file,
            }));
        }
        output::line(&format!(
            "{}: node {} of the new cluster {}, {} records as of {} (revision {})",
            config.node.data_dir.display(),
            config.node.id,
            config.cluster.id,
            header.records.saturating_sub(restored.left_out),
            instant(header.taken_at),
            header.revision
        ));
        if report.wrote_key_file {
            output::line(&format!("cluster key file written: {}", config.cluster.key_file.display()));
        }
        match self.advance_counters {
            Some(count) => output::line(&format!(
                "{} tokens advanced by {count}, time-based ones to now; {} unusable tokens left alone",
                restored.advanced, restored.unusable
            )),
            None => output::note(
                "OTPs that were accepted after the backup was taken will be accepted once more: see --advance-counters.",
            ),
        }
        output::note("Start this node first. The others start with empty data directories, or join later.");
        Ok(())
    }
}

fn now() -> UnixMillis {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// An instant as text, UTC.
fn instant(at: UnixMillis) -> String {
    let DateTime { year, month, day, hour, minute, second } = DateTime::of(at);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn show(format: Format, path: &Path, content: &Content, checked: bool) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json(&as_json(path, content, checked)),
        Format::Text => {
            for line in as_text(path, content, checked) {
                output::line(&line);
            }
            Ok(())
        }
    }
}

fn as_json(path: &Path, content: &Content, checked: bool) -> Value {
    let header = &content.header;
    let keys: Vec<Value> = content
        .keys
        .iter()
        .map(|key| {
            json!({
                "id": key.id.0, "check": key.check, "sealed": key.sealed, "pins": key.pins,
                "opened": checked && key.held && key.unreadable == 0,
            })
        })
        .collect();
    json!({
        "file": path,
        "cluster": header.cluster,
        "node": header.node,
        "version": header.version,
        "level": header.level,
        "taken_at": instant(header.taken_at),
        "revision": header.revision,
        "records": header.records,
        "counts": content.counts,
        "audit_rows_not_included": header.history_number,
        "keys": keys,
        "included_keys": content.included_keys.as_ref().map(|ids| ids.iter().map(|id| id.0).collect::<Vec<_>>()),
    })
}

fn as_text(path: &Path, content: &Content, checked: bool) -> Vec<String> {
    let header = &content.header;
    let mut lines = vec![
        format!("{}: complete and correct", path.display()),
        format!("cluster   {}, node {}", header.cluster, header.node),
        format!("taken     {} at revision {}", instant(header.taken_at), header.revision),
        format!("format    level {}, version {}", header.level, header.version),
    ];
    let counts: Vec<String> = content.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    lines.push(format!("content   {} records: {}", header.records, counts.join(", ")));
    lines.push(format!("not in it {} rows of the audit trail", header.history_number));
    for key in &content.keys {
        let state = match (checked, key.held, key.unreadable) {
            (false, ..) => "not tried",
            (true, false, _) => "key not given",
            (true, true, 0) => "all opened",
            (true, true, _) => "some do not open",
        };
        lines.push(format!(
            "needs     cluster key {} (check value {}): {} secrets ({state}), {} PINs",
            key.id.0, key.check, key.sealed, key.pins
        ));
    }
    lines.push(match &content.included_keys {
        None => "includes  no cluster key".to_owned(),
        Some(ids) => {
            let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
            format!("includes  cluster key {}", ids.join(", "))
        }
    });
    lines
}
