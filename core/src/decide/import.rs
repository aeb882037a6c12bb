//! `admin/loadtokens`: enrolling the tokens of a file, a batch in each transaction (reference tokens 13).
//!
//! A batch can be repeated: a token that has the seed of the file already is left as it is, counter, owner and PIN
//! included. So an import that was interrupted is repeated as a whole, and no one-time password becomes good again.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::enroll::{Init, store};
use super::enrollment::{Place, limit_realms};
use super::rights::require_realm;
use super::{Context, Request};
use crate::audit::AuditRowV1;
use crate::decision::{Refusal, Stop};
use crate::import::Row;
use crate::policy::catalogue::admin;
use crate::record::{TokenType, TokenV1};
use crate::secret::{Purpose, equal};
use crate::serial;
use crate::token::Draft;
use crate::user::{RealmName, Serial};

/// Enrols some of the tokens of a file.
#[derive(Clone, Debug)]
pub struct ImportBatch {
    /// All tokens of the file.
    pub rows: Arc<[Row]>,
    /// Which of them.
    pub batch: Range<usize>,
    /// The realm they come into; it has to exist.
    pub realm: Option<RealmName>,
    /// Whether they are enabled.
    pub enable: bool,
    /// Tells what would happen, and changes nothing.
    pub dry_run: bool,
}

/// What became of a token of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is new.
    Created,
    /// There was a token with this serial, of this type and with another seed: it was set up again.
    Replaced,
    /// There was a token with this serial, type and seed; nothing was changed.
    Unchanged,
    /// It cannot be enrolled; the text says why.
    Failed(String),
}

/// A row of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowReport {
    /// The line of the file.
    pub place: usize,
    /// The serial.
    pub serial: String,
    /// What became of it.
    pub fate: Fate,
}

impl Request for ImportBatch {
    type Reply = Vec<RowReport>;
    /// Instead of one row for the request there is one for each token.
    const AUDITED: bool = false;

    /// Imports do not overtake each other on a node; with many preconditions they would only hinder each other.
    fn lane(&self) -> Option<String> {
        Some("import".to_owned())
    }

    fn decide(&self, cx: &mut Context<'_>) -> Result<Vec<RowReport>, Stop> {
        self.check_realm(cx)?;
        require_realm(cx, &admin::IMPORT, self.realm.as_ref())?;
        self.limit(cx)?;
        let mut reports = Vec::with_capacity(self.batch.len());
        for row in self.rows.get(self.batch.clone()).unwrap_or_default() {
            let fate = match self.enroll(cx, row) {
                Ok(fate) => fate,
                Err(Stop::Refuse(refusal)) => Fate::Failed(refusal.to_string()),
                Err(stop @ (Stop::Ask(_) | Stop::Defect(_))) => return Err(stop),
            };
            let report = RowReport { place: row.place, serial: row.serial().to_owned(), fate };
            if !self.dry_run {
                cx.rows.push(self.audit_row(row, &report));
            }
            reports.push(report);
        }
        if self.dry_run {
            cx.view.discard_writes();
        }
        Ok(reports)
    }
}

impl ImportBatch {
    fn check_realm(&self, cx: &mut Context<'_>) -> Result<(), Refusal> {
        let configuration = cx.view.configuration();
        match &self.realm {
            Some(realm) if !configuration.realms.contains_key(realm) => Err(Refusal::Other(format!(
                "target realm could not be assigned: there is no realm '{realm}'"
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// `tokencount` (reference policies 6.3). Counted for the whole batch, so that a large file does not count a large
    /// realm again and again.
    fn limit(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        if !self.enable {
            return Ok(());
        }
        let rows = self.rows.get(self.batch.clone()).unwrap_or_default();
        let coming: BTreeSet<Serial> = rows.iter().map(|row| Serial::from(row.serial())).collect();
        limit_realms(cx, &Place::of_realms(&[]), &coming, self.realm.as_slice())
    }

    /// Nothing is written before all that can be refused has been checked.
    fn enroll(&self, cx: &mut Context<'_>, row: &Row) -> Result<Fate, Stop> {
        let init = Init { enable: Some(self.enable), ..row.token.clone() };
        let token_type = init.wanted_type()?;
        let serial = serial::parse(row.serial())?;
        let configuration = cx.view.configuration();
        let stored = cx.view.token(&serial);
        let mut draft = init.draft(cx, token_type, &serial, &configuration.settings)?;
        init.set_common(&mut draft.token)?;
        draft.token.realms = self.realm.iter().cloned().collect();
        token_type.rules().enroll(cx, &init, &mut draft)?;
        if let Some(stored) = &stored
            && has_seed(cx, &serial, stored, &draft)?
        {
            return Ok(Fate::Unchanged);
        }
        store(cx, draft)?;
        start_at(cx, &serial, token_type, row.counter);
        Ok(if stored.is_some() { Fate::Replaced } else { Fate::Created })
    }

    /// The audit row of a token.
    fn audit_row(&self, row: &Row, report: &RowReport) -> AuditRowV1 {
        let token_type = row.token.token_type.as_deref().and_then(TokenType::find);
        let info = match &report.fate {
            Fate::Created => "imported".to_owned(),
            Fate::Replaced => "imported, replaces the seed of a token".to_owned(),
            Fate::Unchanged => "was imported before".to_owned(),
            Fate::Failed(problem) => format!("line {}: {problem}", row.place),
        };
        AuditRowV1 {
            success: !matches!(report.fate, Fate::Failed(_)),
            serial: report.serial.as_str().into(),
            token_type: token_type.map_or("", TokenType::stored_name).into(),
            realm: self.realm.as_ref().map_or("", RealmName::as_str).into(),
            info: info.into(),
            ..AuditRowV1::default()
        }
    }
}

/// Whether a stored token has the seed of a draft already.
fn has_seed(cx: &Context<'_>, serial: &Serial, stored: &TokenV1, draft: &Draft) -> Result<bool, Stop> {
    let (Some(sealed), Some(seed)) = (&stored.seed, &draft.seed) else { return Ok(false) };
    let opened = cx.facts.keyring.open(Purpose::Seed, serial.as_str(), sealed)?;
    Ok(equal(&opened, seed.expose().as_bytes()))
}

/// Puts an event-based token where its device is. The original reads the counter and forgets it.
fn start_at(cx: &mut Context<'_>, serial: &Serial, token_type: TokenType, counter: Option<u64>) {
    let Some(counter) = counter.filter(|counter| *counter > 0 && token_type == TokenType::Hmac) else {
        return;
    };
    let mut usage = Arc::unwrap_or_clone(cx.view.usage(serial));
    usage.next_counter = counter;
    cx.view.put_usage(serial, usage);
}
