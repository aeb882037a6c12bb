//! Streamed lists (reference http-api 2.4): one line, no `versionNumber`, extra members inside `result`.

use serde::Serialize;
use tessera_core::decision::Refusal;

use super::{API_VERSION, Ending, JSON, PRODUCT, Reply, json};
use crate::params::Params;

/// Records per page when only `page` is given.
const DEFAULT_PAGE_SIZE: usize = 16;
/// The error number of a `page` that is not a number.
const BAD_PAGE: i32 = 9876;

/// The page of a list a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// Everything; `rp` alone has no effect.
    All,
    /// A zero-based page.
    One {
        /// Its number.
        number: usize,
        /// Records per page.
        size: usize,
    },
    /// `page` was not a number.
    Unreadable,
}

impl Page {
    /// Reads `page` and `rp`.
    ///
    /// # Errors
    /// When `rp` is not a number.
    pub(crate) fn read(params: &Params) -> Result<Self, Refusal> {
        let size = params.number("rp")?;
        let Some(page) = params.filled("page") else { return Ok(Self::All) };
        Ok(match page.trim().parse() {
            Ok(number) => Self::One { number, size: size.unwrap_or(DEFAULT_PAGE_SIZE) },
            Err(_) => Self::Unreadable,
        })
    }

    /// The one-line reply with the rows of this page. `queried` counts the rows up to and including the page.
    pub(crate) fn render<T: Serialize>(self, rows: &[T]) -> Reply {
        let (skip, take, number) = match self {
            Self::All => (0, rows.len(), None),
            Self::One { number, size } => (number.saturating_mul(size), size, Some(number)),
            Self::Unreadable => return bad_page(),
        };
        let queried = skip.saturating_add(take).min(rows.len());
        let mut body = prefix();
        for (count, row) in rows.iter().skip(skip).take(take).enumerate() {
            if count > 0 {
                body.extend_from_slice(b", ");
            }
            body.extend(json::one_line(row));
        }
        body.extend_from_slice(format!(" ], \"queried\" : {queried} ").as_bytes());
        if let Some(number) = number {
            body.extend_from_slice(format!(", \"page\": {number}").as_bytes());
        }
        body.extend_from_slice(format!("}}, \"version\": \"{PRODUCT}\", \"id\": 1}}").as_bytes());
        Reply::new(JSON, body)
    }
}

fn prefix() -> Vec<u8> {
    format!("{{\"jsonrpc\": \"{API_VERSION}\", \"result\": {{\"status\": true, \"value\": [ ").into_bytes()
}

fn bad_page() -> Reply {
    let body = format!(
        "{{\"jsonrpc\": \"{API_VERSION}\", \"result\": {{\"status\": false, \"error\": {{\"code\": {BAD_PAGE}, \
         \"message\": \"ERR{BAD_PAGE}: parameter 'page' is not a number\"}}}}, \"version\": \"{PRODUCT}\", \"id\": 1}}"
    );
    Reply::new(JSON, body).ending(Ending::Refused)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::params::{BodyKind, decode};

    fn page(query: &str) -> Result<Page, Refusal> {
        Page::read(&decode(Some(query), BodyKind::None, b"").unwrap())
    }

    fn body(reply: &Reply) -> (String, Value) {
        (String::from_utf8(reply.body.to_vec()).unwrap(), serde_json::from_slice(&reply.body).unwrap())
    }

    #[test]
    fn everything_is_sent_without_a_page() {
        assert_eq!(page("rp=2"), Ok(Page::All));
        let (text, _) = body(&Page::All.render(&[json!({"a": 1, "b": "x"}), json!({"a": 2})]));
        assert_eq!(
            text,
            "{\"jsonrpc\": \"2.0802\", \"result\": {\"status\": true, \"value\": [ {\"a\": 1, \"b\": \"x\"}, \
             {\"a\": 2} ], \"queried\" : 2 }, \"version\": \"LinOTP 4.0.0 (Tessera 0.1.0)\", \"id\": 1}"
        );
    }

    #[test]
    fn pages_are_zero_based_and_16_long_by_default() {
        let rows: Vec<u32> = (0..40).collect();
        let (text, value) = body(&page("page=1").unwrap().render(&rows));
        assert_eq!(value["result"]["value"], json!((16..32).collect::<Vec<u32>>()));
        assert_eq!(value["result"]["queried"], 32);
        assert!(text.contains("\"queried\" : 32 , \"page\": 1}"));
        let (_, value) = body(&page("page=2&rp=15").unwrap().render(&rows));
        assert_eq!(value["result"]["value"], json!((30..40).collect::<Vec<u32>>()));
        assert_eq!((&value["result"]["queried"], &value["result"]["page"]), (&json!(40), &json!(2)));
    }

    #[test]
    fn unreadable_paging_is_an_error() {
        let (text, value) = body(&page("page=x").unwrap().render(&[1]));
        assert_eq!(value["result"]["error"]["code"], 9876);
        assert!(!text.contains('\n'));
        assert!(page("page=1&rp=x").is_err());
    }
}
