//! Token files: sending one (`/admin/loadtokens` of a Tessera cluster), with a report while it is worked off.

use serde::Deserialize;

use crate::client::Client;
use crate::error::ClientError;
use crate::lenient;
use crate::transport::{Access, Payload, Repeat, Request, read_lines};

/// A line of the report on an import.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ImportLine {
    /// The file was read.
    Read {
        /// Tokens that can be tried.
        total: u64,
        /// Rows that are no tokens.
        skipped: Vec<ImportRow>,
        /// Rows that cannot be read.
        failed: Vec<ImportRow>,
    },
    /// Some tokens were worked off.
    Rows(Vec<ImportRow>),
    /// The end.
    Done {
        /// Why the import stopped early, if it did; it can be repeated then.
        error: Option<String>,
    },
}

/// What became of a row of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ImportRow {
    /// Its line, from 1.
    #[serde(deserialize_with = "lenient::integer")]
    pub line: i64,
    /// The serial; empty if the row is no token.
    #[serde(deserialize_with = "lenient::text")]
    pub serial: String,
    /// `created`, `replaced`, `unchanged` or `failed`; empty if the row was not tried.
    #[serde(deserialize_with = "lenient::text")]
    pub outcome: String,
    /// Why it failed or was skipped.
    #[serde(deserialize_with = "lenient::text")]
    pub reason: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawLine {
    total: Option<u64>,
    skipped: Vec<ImportRow>,
    failed: Vec<ImportRow>,
    rows: Option<Vec<ImportRow>>,
    done: Option<bool>,
    error: Option<String>,
}

impl ImportLine {
    fn parse(path: &str, line: &[u8]) -> Result<Self, ClientError> {
        let raw: RawLine = serde_json::from_slice(line)
            .map_err(|_| ClientError::bad_reply(path, "a line of the report is not JSON"))?;
        match raw {
            RawLine { total: Some(total), skipped, failed, .. } => Ok(Self::Read { total, skipped, failed }),
            RawLine { rows: Some(rows), .. } => Ok(Self::Rows(rows)),
            RawLine { done: Some(true), .. } => Ok(Self::Done { error: None }),
            RawLine { done: Some(false), error, .. } => {
                Ok(Self::Done { error: Some(error.unwrap_or_else(|| "unknown".to_owned())) })
            }
            RawLine { .. } => Err(ClientError::bad_reply(path, "a line of the report is of an unknown kind")),
        }
    }
}

impl Client {
    /// Sends a token file to one node and passes on its report line by line. Parameters as in reference http-api 11.8,
    /// and `strict`, `dryrun` of Tessera.
    ///
    /// # Errors
    /// Those of the transport, and the error of a request that was refused as a whole. After an error in the middle
    /// the import can be repeated: tokens that are there already are left as they are.
    pub async fn import_tokens(
        &self,
        parameters: &[(&str, &str)],
        file_name: &str,
        content: &[u8],
        each: &mut (dyn FnMut(ImportLine) + Send),
    ) -> Result<(), ClientError> {
        let path = "/admin/loadtokens";
        let mut all = parameters.to_vec();
        all.push(("report", "lines"));
        let (content_type, bytes) = crate::client::upload_body(&all, file_name, content)?;
        let request = Request {
            method: reqwest::Method::POST,
            path,
            payload: Payload::Body { content_type: &content_type, bytes: &bytes },
            access: Access::Session,
            repeat: Repeat::OnlyIfUnsent,
            idempotency_key: None,
        };
        let mut finished = false;
        let mut problem = None;
        let mut take = |line: &[u8]| match ImportLine::parse(path, line) {
            Ok(line) => {
                finished |= matches!(line, ImportLine::Done { .. });
                each(line);
            }
            Err(error) => problem = Some(error),
        };
        let (url, response) = self.transport().begin(&request).await?;
        read_lines(&url, path, response, &mut take).await?;
        match problem {
            Some(problem) => Err(problem),
            None if finished => Ok(()),
            None => Err(ClientError::bad_reply(path, "the report ends in the middle")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let parse = |line: &str| ImportLine::parse("/x", line.as_bytes());
        let row = ImportRow { line: 3, reason: "no key".to_owned(), ..ImportRow::default() };
        assert_eq!(
            parse(r#"{"total": 2, "skipped": [{"line": 3, "reason": "no key"}], "failed": []}"#).unwrap(),
            ImportLine::Read { total: 2, skipped: vec![row], failed: Vec::new() }
        );
        let rows = parse(r#"{"rows": [{"line": 1, "serial": "A", "outcome": "created"}]}"#).unwrap();
        let ImportLine::Rows(rows) = rows else { panic!("{rows:?}") };
        assert_eq!((rows[0].serial.as_str(), rows[0].outcome.as_str()), ("A", "created"));
        assert_eq!(parse(r#"{"done": true}"#).unwrap(), ImportLine::Done { error: None });
        let stopped = parse(r#"{"done": false, "error": "no leader"}"#).unwrap();
        assert_eq!(stopped, ImportLine::Done { error: Some("no leader".to_owned()) });
        assert!(parse("{}").is_err() && parse("nonsense").is_err());
    }
}
