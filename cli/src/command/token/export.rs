//! `tessera token export`: the inventory as CSV (RFC 4180). Seeds and PINs are not in it; the server does not tell them.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tessera_client::{Client, ShowRequest, TokenRow};

use crate::output;

/// Tokens asked for at once.
const PAGE: u64 = 5000;

const HEAD: [&str; 16] = [
    "serial",
    "type",
    "owner",
    "user_id",
    "resolver",
    "realms",
    "active",
    "digits",
    "fail_count",
    "fail_count_max",
    "next_counter",
    "created_at",
    "last_success_at",
    "last_match_at",
    "info",
    "description",
];

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The file; standard output unless given. A file that is there already is not overwritten
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only tokens in this realm
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,
    /// Only tokens of this owner
    #[arg(long, value_name = "LOGIN")]
    owner: Option<String>,
    /// Only serial numbers like this; `*` is a wild card
    #[arg(long, value_name = "PATTERN")]
    serial: Option<String>,
}

impl Export {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<()> {
        let mut file = match &self.output {
            Some(path) => {
                Some(File::create_new(path).with_context(|| format!("cannot create {}", path.display()))?)
            }
            None => None,
        };
        let mut put = |line: &str| match &mut file {
            Some(file) => file.write_all(line.as_bytes()).context("cannot write the file"),
            None => {
                output::raw(line.as_bytes());
                Ok(())
            }
        };
        put(&line(&HEAD.map(str::to_owned)))?;
        let mut page = 1;
        loop {
            let request = ShowRequest {
                serial: self.serial.clone(),
                user: self.owner.clone(),
                realm: self.realm.clone(),
                sort_by: Some("TokenSerialnumber".to_owned()),
                page: Some(page),
                page_size: Some(PAGE),
                ..ShowRequest::default()
            };
            let found = client.show_tokens(&request).await?;
            for token in &found.rows {
                put(&line(&cells(token)))?;
            }
            if found.pages <= i64::try_from(page).unwrap_or(i64::MAX) {
                return Ok(());
            }
            page += 1;
        }
    }
}

fn cells(token: &TokenRow) -> [String; 16] {
    [
        token.serial.clone(),
        token.token_type.clone(),
        token.login.clone(),
        token.user_id.clone(),
        token.resolver.clone(),
        token.realms.join(" "),
        token.active.to_string(),
        token.digits.to_string(),
        token.fail_count.to_string(),
        token.fail_count_max.to_string(),
        token.next_counter.to_string(),
        token.created_at.clone(),
        token.last_success_at.clone(),
        token.last_match_at.clone(),
        token.info.as_str().map_or_else(|| token.info.to_string(), compact),
        token.description.clone(),
    ]
}

/// JSON text on one line.
fn compact(text: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => value.to_string(),
        Err(_) => text.to_owned(),
    }
}

/// A line of CSV; a cell is quoted where it has to be.
pub(super) fn line(cells: &[String]) -> String {
    let quoted = cells.iter().map(|cell| {
        if cell.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.clone()
        }
    });
    let mut line = quoted.collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4180 section 2.
    #[test]
    fn cells_are_quoted_where_they_have_to_be() {
        let cells = ["a", "b c", "d,e", "f\"g", "h\ni", ""].map(str::to_owned);
        assert_eq!(line(&cells), "a,b c,\"d,e\",\"f\"\"g\",\"h\ni\",\r\n");
    }

    #[test]
    fn information_is_on_one_line() {
        let token = TokenRow {
            serial: "A".to_owned(),
            info: serde_json::Value::String("{\n\"hashlib\": \"sha1\"\n}".to_owned()),
            ..TokenRow::default()
        };
        assert_eq!(cells(&token)[14], "{\"hashlib\":\"sha1\"}");
        assert_eq!(cells(&token).len(), HEAD.len());
    }
}
