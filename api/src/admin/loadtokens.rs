//! `POST /admin/loadtokens`: token files (reference http-api 11.8, tokens 13).
//!
//! Parameters of our own: `strict` (default true: as in the original, nothing is imported when a row cannot be), `dryrun`,
//! and `report=lines`, which streams one JSON object for each batch instead of the XML at the end.

use serde_json::{Value, json};
use tessera_core::decide::import::{Fate, RowReport};
use tessera_core::decide::rejected::Rejected;
use tessera_core::decision::Refusal;
use tessera_core::import::format::{Format, Options};
use tessera_core::import::pskc::Protection;
use tessera_core::import::{ImportError, Parsed};
use tessera_core::secret::SecretText;
use tessera_core::user::RealmName;
use tessera_node::{ImportJob, ImportStopped, Node, TokenFile};
use tokio::sync::OwnedSemaphorePermit;

use crate::call::Call;
use crate::error::{self, Failure, UNNUMBERED};
use crate::params::Params;
use crate::reply::{self, Lines, Reply, xml_failure, xml_success};

/// Of very many failed rows the sentence names the first ones.
const NAMED_FAILURES_MAX: usize = 20;

/// How the caller wants to be answered.
enum Form {
    /// A plain form field was sent: JSON.
    Json,
    /// A file with this name was uploaded: XML.
    Xml(String),
    /// A line of JSON for each batch.
    Lines,
}

impl Form {
    fn failure(&self, message: &str) -> Reply {
        match self {
            Self::Xml(_) => xml_failure(UNNUMBERED, message),
            Self::Json | Self::Lines => reply::failure(UNNUMBERED, message, 1),
        }
    }
}

/// A request as it was sent.
struct Load {
    file: TokenFile,
    realm: Option<RealmName>,
    enable: bool,
    strict: bool,
    dry_run: bool,
    form: Form,
}

pub(crate) async fn loadtokens(mut call: Call) -> Result<Reply, Failure> {
    let Some(permit) = call.shared.import_permit() else { return Ok(Reply::busy()) };
    let (content, form) = file(&mut call.params)?;
    let Load { file, realm, enable, strict, dry_run, form } = match read(&mut call.params, content, &form) {
        Ok((file, realm)) => Load {
            file,
            realm,
            enable: call.params.flag("enable")?.unwrap_or(true),
            strict: call.params.flag("strict")?.unwrap_or(true),
            dry_run: call.params.is_set("dryrun"),
            form,
        },
        Err(Unread::Plain(refusal)) => return Err(refusal.into()),
        Err(Unread::InForm(problem)) => return refuse(&call, &form, problem).await,
    };
    let parsed = match call.shared.node.read_tokens(file).await {
        Ok(parsed) => parsed,
        Err(problem) => return refuse(&call, &form, problem.to_string()).await,
    };
    let Parsed { rows, skipped, failed } = parsed;
    let job = ImportJob { rows: rows.into(), realm, enable };
    if strict && let Some(problem) = first_problem(&call, &job, &failed).await? {
        return refuse(&call, &form, problem).await;
    }
    let import = Import { node: call.shared.node.clone(), job, dry_run, caller: call.caller.clone(), permit };
    if matches!(form, Form::Lines) {
        let (sender, lines) = Lines::channel();
        let total = import.job.rows.len();
        let places: Vec<Value> = skipped
            .iter()
            .map(|skipped| json!({ "line": skipped.place, "reason": skipped.reason }))
            .collect();
        sender.send(&json!({ "total": total, "skipped": places, "failed": failures(&failed) }));
        tokio::spawn(async move {
            let end = import.run(&mut |reports| sender.send(&json!({ "rows": rows_of(&reports) }))).await;
            sender.send(&match end {
                Ok(()) => json!({ "done": true }),
                Err(stopped) => json!({ "done": false, "error": stopped.to_string() }),
            });
        });
        return Ok(Reply::lines(lines));
    }
    let mut summary = Summary::of(failed);
    // On a task of its own, the import goes on when the client goes away.
    let running = tokio::spawn(async move {
        let end = import.run(&mut |reports| summary.add(reports)).await;
        (summary, end)
    });
    let Ok((summary, end)) = running.await else { return Ok(Reply::unavailable()) };
    match end {
        Ok(()) => Ok(summary.reply(&form, dry_run)),
        Err(ImportStopped::Refused(refusal)) => refuse(&call, &form, refusal.to_string()).await,
        Err(ImportStopped::Run(problem)) => Ok(error::run_error(&problem)),
    }
}

/// An import that can be run on a task of its own.
struct Import {
    node: Node,
    job: ImportJob,
    dry_run: bool,
    caller: tessera_core::facts::Caller,
    permit: OwnedSemaphorePermit,
}

impl Import {
    async fn run(self, report: &mut (dyn FnMut(Vec<RowReport>) + Send)) -> Result<(), ImportStopped> {
        let Self { node, job, dry_run, caller, permit } = self;
        let end = if dry_run {
            node.try_import(&job, &caller, report).await
        } else {
            node.import(&job, &caller, report).await
        };
        drop(permit);
        end
    }
}

/// The first row that cannot be imported.
async fn first_problem(
    call: &Call,
    job: &ImportJob,
    failed: &[ImportError],
) -> Result<Option<String>, Failure> {
    if let Some(problem) = failed.first() {
        return Ok(Some(problem.to_string()));
    }
    match call.shared.node.first_failure(job, &call.caller).await {
        Ok(found) => Ok(found.map(|problem| problem.to_string())),
        Err(ImportStopped::Refused(refusal)) => Ok(Some(refusal.to_string())),
        Err(ImportStopped::Run(problem)) => Err(problem.into()),
    }
}

/// A refusal in the form of the request, which is audited like any other.
async fn refuse(call: &Call, form: &Form, problem: String) -> Result<Reply, Failure> {
    match call.run(Rejected::new(Refusal::Other(problem.clone()))).await {
        Err(Failure::Run(error)) => Ok(error::run_error(&error)),
        Ok(_) | Err(Failure::Unread(_) | Failure::Refused { .. }) => Ok(form.failure(&problem)),
    }
}

/// The content of the file, and the form of the reply.
fn file(params: &mut Params) -> Result<(Vec<u8>, Form), Refusal> {
    let lines = params.text("report") == Some("lines");
    let (content, form) = match params.take_file("file") {
        Some((name, content)) => (content, Form::Xml(name)),
        None => match params.take_secret("file") {
            Some(text) => (text.expose().as_bytes().to_vec(), Form::Json),
            None => return Err(nothing_to_load()),
        },
    };
    Ok((content, if lines { Form::Lines } else { form }))
}

fn nothing_to_load() -> Refusal {
    Refusal::Other("Error loading tokens. File or Type empty!".to_owned())
}

/// What is wrong with the parameters.
enum Unread {
    /// Answered in JSON whatever was uploaded.
    Plain(Refusal),
    /// Answered in the form of the request.
    InForm(String),
}

fn read(
    params: &mut Params,
    content: Vec<u8>,
    form: &Form,
) -> Result<(TokenFile, Option<RealmName>), Unread> {
    let kind = params.filled("type").ok_or_else(|| Unread::Plain(nothing_to_load()))?.to_owned();
    let format = Format::find(&kind).ok_or_else(|| {
        let known = Format::ALL.map(Format::name).join(", ");
        Unread::InForm(format!("Unknown file type: {kind}. Known are {known}"))
    })?;
    let protection = if format == Format::Pskc { protection(params)? } else { Protection::Plain };
    if content.is_empty() {
        return Err(match form {
            Form::Xml(_) | Form::Lines => Unread::InForm(nothing_to_load().to_string()),
            Form::Json => Unread::Plain(nothing_to_load()),
        });
    }
    let text = String::from_utf8(content)
        .map_err(|_| Unread::InForm("the file is not text in UTF-8; convert it first".to_owned()))?;
    let options = Options {
        hashlib: params.text("aladdin_hashlib").unwrap_or_default().to_owned(),
        protection,
        checks_serials: params.has("pskc_checkserial"),
        start_date: params.text("startdate").unwrap_or_default().to_owned(),
    };
    let realm = params.filled("realm").or_else(|| params.filled("targetrealm")).map(RealmName::folded);
    Ok((TokenFile { format, text: SecretText::new(text), options }, realm))
}

/// What opens a PSKC file. All three parameters have to be sent; those that do not matter may be empty.
fn protection(params: &mut Params) -> Result<Protection, Unread> {
    let kind = params.text("pskc_type").map(str::to_owned);
    let password = params.take_secret("pskc_password");
    let key = params.take_secret("pskc_preshared");
    let missing = |name: &str| Unread::Plain(Refusal::Other(format!("Missing parameter: '{name}'")));
    let kind = kind.ok_or_else(|| missing("pskc_type"))?;
    let password = password.ok_or_else(|| missing("pskc_password"))?;
    let key = key.ok_or_else(|| missing("pskc_preshared"))?;
    match kind.as_str() {
        "plain" => Ok(Protection::Plain),
        "key" => Ok(Protection::Key(key)),
        "password" => Ok(Protection::Password(password)),
        _ => Err(Unread::InForm("pskc_type is one of plain, key, password".to_owned())),
    }
}

/// What an import has done, for those who want to know it at its end.
#[derive(Default)]
struct Summary {
    imported: usize,
    failed: Vec<ImportError>,
}

impl Summary {
    fn of(failed: Vec<ImportError>) -> Self {
        Self { imported: 0, failed }
    }

    fn add(&mut self, reports: Vec<RowReport>) {
        for RowReport { place, fate, .. } in reports {
            match fate {
                Fate::Created | Fate::Replaced | Fate::Unchanged => self.imported += 1,
                Fate::Failed(problem) => self.failed.push(ImportError { place, problem }),
            }
        }
    }

    fn reply(&self, form: &Form, dry_run: bool) -> Reply {
        let verb = if dry_run { "can be" } else { "were" };
        let name = if let Form::Xml(name) = form { format!(" '{name}'") } else { String::new() };
        let mut sentence = format!("{} tokens {verb} imported from the file{name}", self.imported);
        if !self.failed.is_empty() {
            let named: Vec<String> =
                self.failed.iter().take(NAMED_FAILURES_MAX).map(ToString::to_string).collect();
            sentence.push_str(&format!("; {} {verb} not: {}", self.failed.len(), named.join("; ")));
        }
        let mut options = vec![("imported", self.imported.to_string())];
        if !self.failed.is_empty() {
            options.push(("failed", self.failed.len().to_string()));
        }
        match form {
            Form::Xml(_) => xml_success(&sentence, &options),
            Form::Json | Form::Lines => reply::success(
                sentence,
                1,
                Some(json!({ "imported": self.imported, "failed": failures(&self.failed) })),
            ),
        }
    }
}

fn failures(failed: &[ImportError]) -> Vec<Value> {
    failed.iter().map(|error| json!({ "line": error.place, "reason": error.problem })).collect()
}

fn rows_of(reports: &[RowReport]) -> Vec<Value> {
    let row = |report: &RowReport| {
        let (outcome, reason) = match &report.fate {
            Fate::Created => ("created", None),
            Fate::Replaced => ("replaced", None),
            Fate::Unchanged => ("unchanged", None),
            Fate::Failed(problem) => ("failed", Some(problem)),
        };
        let mut row = json!({ "line": report.place, "serial": report.serial, "outcome": outcome });
        if let (Some(members), Some(reason)) = (row.as_object_mut(), reason) {
            members.insert("reason".to_owned(), reason.as_str().into());
        }
        row
    };
    reports.iter().map(row).collect()
}
