//! `tessera token import`: a token file into the cluster, with a report on every row.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::json;
use tessera_client::{Client, ClientError, ImportLine, ImportRow};

use super::export::line;
use crate::output::{self, Format};

/// Shown by `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  tessera token import tokens.csv --format oathcsv --realm demo --dry-run
  tessera token import tokens.csv --format oathcsv --realm demo --report report.csv
  tessera token import keys.xml --format pskc --preshared-key 12345678901234567890123456789012
  tessera token import keys.xml --format pskc --file-password -

A repeated import leaves tokens that are there already with the same seed as they are, so an import that was
interrupted is repeated as it was.";

/// How often an import that broke off is begun again.
const ATTEMPTS: usize = 5;
/// Failed rows shown on the terminal; all of them are in the report.
const SHOWN_MAX: usize = 50;
const BAR_WIDTH: u64 = 30;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FileFormat {
    #[value(name = "aladdin-xml", alias = "safenet", help = "SafeNet and Aladdin XML")]
    SafeNet,
    /// serial, key, type, digits or suite, time step, hash
    #[value(name = "oathcsv", alias = "oath-csv")]
    OathCsv,
    /// Both CSV dialects of Yubico's tools
    #[value(name = "yubikeycsv", alias = "yubikey-csv")]
    YubikeyCsv,
    /// Feitian XML
    Feitian,
    /// PSKC, RFC 6030
    Pskc,
    /// Day passwords: serial, blank, secret
    Dpw,
    #[value(name = "dat", alias = "etoken", help = "eToken and SafeWord DAT")]
    Dat,
}

#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The token file
    file: PathBuf,
    /// Its format
    #[arg(long, value_name = "FORMAT")]
    format: FileFormat,
    /// The realm the tokens come into; none unless given
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,
    /// Tells what would happen and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Imports nothing if one row cannot be imported
    #[arg(long)]
    strict: bool,
    /// Imports the tokens disabled
    #[arg(long)]
    disabled: bool,
    /// Writes what became of every row to this file, as CSV
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// pskc: the pre-shared key, hexadecimal digits; `-` reads it from standard input
    #[arg(long, value_name = "KEY", conflicts_with = "file_password")]
    preshared_key: Option<String>,
    /// pskc: the password of the file; `-` reads it from standard input
    #[arg(long, value_name = "PASSWORD")]
    file_password: Option<String>,
    /// pskc: skips serial numbers that are not four letters or digits and eight hexadecimal digits
    #[arg(long)]
    check_serials: bool,
    /// aladdin-xml: the hash of all tokens; by the length of the seed unless given
    #[arg(long, value_name = "HASH")]
    hashlib: Option<String>,
    /// dat: the day from which the devices count, for example 2000-01-01
    #[arg(long, value_name = "DATE")]
    start_date: Option<String>,
}

/// What is known of the import so far.
#[derive(Default)]
struct Progress {
    total: u64,
    done: u64,
    rows: Vec<ImportRow>,
    stopped: Option<String>,
}

impl Progress {
    fn take(&mut self, line: ImportLine) {
        match line {
            ImportLine::Read { total, skipped, failed } => {
                self.total = total;
                let skipped =
                    skipped.into_iter().map(|row| ImportRow { outcome: "skipped".to_owned(), ..row });
                let failed = failed.into_iter().map(|row| ImportRow { outcome: "failed".to_owned(), ..row });
                self.rows.extend(skipped.chain(failed));
            }
            ImportLine::Rows(rows) => {
                self.done = self.done.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
                self.rows.extend(rows);
            }
            ImportLine::Done { error } => self.stopped = error,
            // The client may learn lines this program does not know.
            _ => {}
        }
    }

    fn bar(&self) -> String {
        let total = self.total.max(1);
        let full = (self.done.saturating_mul(BAR_WIDTH) / total).min(BAR_WIDTH);
        let mut bar = String::from("[");
        for place in 0..BAR_WIDTH {
            bar.push(if place < full { '#' } else { '.' });
        }
        let _ = write!(bar, "] {} of {}", self.done, self.total);
        bar
    }

    fn count(&self, outcome: &str) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }
}

impl Import {
    pub(super) async fn run(self, client: &Client, format: Format) -> anyhow::Result<()> {
        let content =
            std::fs::read(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        let secret = self.secret()?;
        let parameters = self.parameters(secret.as_deref());
        let name = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut progress = send(client, &parameters, &name, &content).await?;
        progress.rows.sort_by_key(|row| row.line);
        if let Some(path) = &self.report {
            write_report(path, &progress.rows)?;
        }
        self.show(&progress, format)?;
        anyhow::ensure!(
            progress.stopped.is_none(),
            "the import stopped early: {}; repeat it",
            progress.stopped.unwrap_or_default()
        );
        let failed = progress.count("failed");
        anyhow::ensure!(failed == 0, "{failed} rows were not imported");
        Ok(())
    }

    /// The key or password of a PSKC file.
    fn secret(&self) -> anyhow::Result<Option<String>> {
        match self.preshared_key.as_deref().or(self.file_password.as_deref()) {
            Some("-") => {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).context("cannot read standard input")?;
                Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
            }
            given => Ok(given.map(str::to_owned)),
        }
    }

    fn parameters(&self, secret: Option<&str>) -> Vec<(&'static str, String)> {
        let kind = self.format.to_possible_value();
        let flag = |is_set: bool| if is_set { "true" } else { "false" }.to_owned();
        let mut all = vec![
            ("type", kind.map(|kind| kind.get_name().to_owned()).unwrap_or_default()),
            ("strict", flag(self.strict)),
            ("dryrun", flag(self.dry_run)),
            ("enable", flag(!self.disabled)),
        ];
        all.extend(self.realm.clone().map(|realm| ("realm", realm)));
        all.extend(self.hashlib.clone().map(|hash| ("aladdin_hashlib", hash)));
        all.extend(self.start_date.clone().map(|date| ("startdate", date)));
        if matches!(self.format, FileFormat::Pskc) {
            let (kind, key, password) = match (&self.preshared_key, &self.file_password) {
                (Some(_), _) => ("key", secret, None),
                (None, Some(_)) => ("password", None, secret),
                (None, None) => ("plain", None, None),
            };
            all.push(("pskc_type", kind.to_owned()));
            all.push(("pskc_preshared", key.unwrap_or_default().to_owned()));
            all.push(("pskc_password", password.unwrap_or_default().to_owned()));
            all.extend(self.check_serials.then(|| ("pskc_checkserial", "true".to_owned())));
        }
        all
    }

    fn show(&self, progress: &Progress, format: Format) -> anyhow::Result<()> {
        let outcomes = ["created", "replaced", "unchanged", "failed", "skipped"];
        let counts = outcomes.map(|outcome| (outcome, progress.count(outcome)));
        if format == Format::Json {
            let rows: Vec<_> = progress.rows.iter().map(row_json).collect();
            let mut value = json!({ "dry_run": self.dry_run, "rows": rows });
            if let Some(members) = value.as_object_mut() {
                members.extend(counts.map(|(outcome, count)| (outcome.to_owned(), count.into())));
            }
            return output::json(&value);
        }
        let troubled = || progress.rows.iter().filter(|row| !row.reason.is_empty());
        for ImportRow { line, serial, outcome, reason } in troubled().take(SHOWN_MAX) {
            let serial = if serial.is_empty() { String::new() } else { format!(" {serial}") };
            output::line(&format!("line {line}{serial}: {outcome}: {reason}"));
        }
        let hidden = troubled().count().saturating_sub(SHOWN_MAX);
        if hidden > 0 {
            output::line(&format!("and {hidden} more; --report FILE writes all of them"));
        }
        let counted: Vec<String> =
            counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        let prefix = if self.dry_run { "would be: " } else { "" };
        output::line(&format!("{prefix}{}", counted.join(", ")));
        Ok(())
    }
}

/// Sends the file; again if the connection or the node breaks in the middle, which makes no doubles.
async fn send(
    client: &Client,
    parameters: &[(&'static str, String)],
    name: &str,
    content: &[u8],
) -> anyhow::Result<Progress> {
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let watched = output::is_watched();
    let mut attempt = 1;
    loop {
        let mut progress = Progress::default();
        let mut take = |line| {
            progress.take(line);
            if watched {
                output::progress(&progress.bar());
            }
        };
        let end = client.import_tokens(&parameters, name, content, &mut take).await;
        if watched {
            output::note("");
        }
        let problem = match end {
            Ok(()) if progress.stopped.is_none() => return Ok(progress),
            Ok(()) => progress.stopped.clone().unwrap_or_default(),
            Err(
                error @ (ClientError::Broken { .. }
                | ClientError::Connect { .. }
                | ClientError::Timeout { .. }
                | ClientError::Status { code: 503 }),
            ) if attempt < ATTEMPTS => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        if attempt >= ATTEMPTS {
            return Ok(progress);
        }
        output::note(&format!("the import broke off ({problem}) and is begun again"));
        attempt += 1;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

fn row_json(row: &ImportRow) -> serde_json::Value {
    json!({ "line": row.line, "serial": row.serial, "outcome": row.outcome, "reason": row.reason })
}

fn write_report(path: &Path, rows: &[ImportRow]) -> anyhow::Result<()> {
    let mut text = line(&["line", "serial", "outcome", "reason"].map(str::to_owned));
    for row in rows {
        text.push_str(&line(&[
            row.line.to_string(),
            row.serial.clone(),
            row.outcome.clone(),
            row.reason.clone(),
        ]));
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: i64, outcome: &str) -> ImportRow {
        ImportRow { line, outcome: outcome.to_owned(), ..ImportRow::default() }
    }

    #[test]
    fn progress_counts_what_was_tried() {
        let mut progress = Progress::default();
        assert!(progress.bar().ends_with("] 0 of 0"));
        progress.take(ImportLine::Read { total: 4, skipped: vec![row(1, "")], failed: vec![row(2, "")] });
        progress.take(ImportLine::Rows(vec![row(3, "created"), row(4, "failed")]));
        assert_eq!(progress.bar(), format!("[{}{}] 2 of 4", "#".repeat(15), ".".repeat(15)));
        let counts = ["created", "failed", "skipped", "unchanged"].map(|outcome| progress.count(outcome));
        assert_eq!(counts, [1, 2, 1, 0]);
    }
}
