//! The job of importing a token file: reading it beside the requests, and enrolling its tokens batch by batch.
//!
//! The job needs no record of its own. Every batch is a transaction that can be repeated, so a batch whose fate is not
//! known is proposed again, and when the node itself dies the whole file is sent to another one.

use std::sync::Arc;
use std::time::Duration;

use tessera_core::decide::import::{Fate, ImportBatch, RowReport};
use tessera_core::decision::Refusal;
use tessera_core::facts::{Caller, Random};
use tessera_core::import::format::{Format, Options, read};
use tessera_core::import::{ImportError, Parsed, Row};
use tessera_core::secret::SecretText;
use tessera_core::user::RealmName;
use tokio::time::Instant;

use crate::node::{Node, NotReady};
use crate::run::RunError;

/// Tokens in one transaction. Small enough for logins to be ordered between two batches without waiting noticeably.
const BATCH: usize = 200;
/// A batch is proposed again for so long; a change of the leader takes about a second.
const PATIENCE: Duration = Duration::from_secs(45);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// A token file as it was sent.
#[derive(Debug)]
pub struct TokenFile {
    /// Its format.
    pub format: Format,
    /// Its content, which is mostly seeds.
    pub text: SecretText,
    /// What the format needs to know beside the file.
    pub options: Options,
}

/// The tokens of a file on their way into the cluster.
#[derive(Clone, Debug)]
pub struct ImportJob {
    /// The tokens.
    pub rows: Arc<[Row]>,
    /// The realm they come into.
    pub realm: Option<RealmName>,
    /// Whether they are enabled.
    pub enable: bool,
}

/// Why an import ended early. What was reported before is in the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ImportStopped {
    /// The import as a whole is refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The cluster could not carry a batch out in time.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Receives the report of each batch.
pub type Report<'a> = &'a mut (dyn FnMut(Vec<RowReport>) + Send);

impl Node {
    /// Reads a token file, on a thread for slow work: passwords of PSKC files are stretched, and files are long.
    ///
    /// # Errors
    /// [`ImportError`] when the file as a whole cannot be read.
    pub async fn read_tokens(&self, file: TokenFile) -> Result<Parsed, ImportError> {
        let failed = |problem: &str| ImportError { place: 1, problem: problem.to_owned() };
        // Serials that are not in the file are then the same when it is imported again.
        let entropy = self.keyring().fingerprint(file.text.expose().as_bytes());
        let entropy = entropy.map_err(|_| failed("this node has no active cluster key"))?;
        let reading = tokio::task::spawn_blocking(move || {
            let mut random = Random::new(&entropy);
            read(file.format, file.text.expose(), &file.options, &mut random)
        });
        reading.await.unwrap_or_else(|_| Err(failed("the file could not be read")))
    }

    /// Looks what an import would do, and changes nothing.
    ///
    /// # Errors
    /// [`ImportStopped`].
    pub async fn try_import(
        &self,
        job: &ImportJob,
        caller: &Caller,
        report: Report<'_>,
    ) -> Result<(), ImportStopped> {
        self.import_batches(job, caller, true, report).await
    }

    /// Enrols the tokens of a file. Tokens that are there already with the same seed are left as they are.
    ///
    /// # Errors
    /// [`ImportStopped`]; the import can be repeated then.
    pub async fn import(
        &self,
        job: &ImportJob,
        caller: &Caller,
        report: Report<'_>,
    ) -> Result<(), ImportStopped> {
        self.import_batches(job, caller, false, report).await
    }

    /// The first token of a file that cannot be enrolled, if there is one.
    ///
    /// # Errors
    /// [`ImportStopped`].
    pub async fn first_failure(
        &self,
        job: &ImportJob,
        caller: &Caller,
    ) -> Result<Option<ImportError>, ImportStopped> {
        let mut first = None;
        let mut look = |reports: Vec<RowReport>| {
            for RowReport { place, fate, .. } in reports {
                if let Fate::Failed(problem) = fate {
                    first.get_or_insert(ImportError { place, problem });
                }
            }
        };
        self.try_import(job, caller, &mut look).await?;
        Ok(first)
    }

    async fn import_batches(
        &self,
        job: &ImportJob,
        caller: &Caller,
        dry_run: bool,
        report: Report<'_>,
    ) -> Result<(), ImportStopped> {
        let mut begin = 0;
        while begin < job.rows.len() {
            if self.readiness() == Err(NotReady::Stopping) {
                return Err(RunError::Unavailable.into());
            }
            let end = begin.saturating_add(BATCH).min(job.rows.len());
            let ImportJob { rows, realm, enable } = job.clone();
            let request = ImportBatch { rows, batch: begin..end, realm, enable, dry_run };
            report(self.persist(request, caller).await?);
            begin = end;
        }
        Ok(())
    }

    /// Runs a batch until the cluster has carried it out.
    async fn persist(&self, request: ImportBatch, caller: &Caller) -> Result<Vec<RowReport>, ImportStopped> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let problem = match self.run(request.clone(), caller.clone()).await {
                Ok(outcome) => return outcome.map_err(ImportStopped::Refused),
                Err(problem @ RunError::Defect(_)) => return Err(problem.into()),
                Err(problem) => problem,
            };
            if Instant::now() + PAUSE >= deadline || self.readiness() == Err(NotReady::Stopping) {
                return Err(problem.into());
            }
            tracing::debug!(error = %problem, "a batch of an import is repeated");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
