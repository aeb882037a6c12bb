//! Token files: what vendors deliver with hardware tokens, read into enrolments (reference tokens 13).
//!
//! Every parser is a function from text to [`Parsed`]. Files come from outside and are not trusted: size, number and
//! length are bounded, nothing panics, and no message repeats a seed.

pub mod dpw;
pub mod etoken;
pub mod oath_csv;
pub mod pskc;
pub mod safenet;
mod xml;
pub mod yubikey_csv;

use crate::decide::enroll::{Init, SeedSource};
use crate::secret::SecretText;

/// The most tokens in one file.
pub const TOKENS_MAX: usize = 1_000_000;
/// The longest line, in bytes.
pub const LINE_MAX: usize = 16 * 1024;

/// The description of an imported token unless the file has one.
const DESCRIPTION: &str = "imported";

/// A token of a file.
#[derive(Clone, Debug)]
pub struct Row {
    /// The line it stands in or begins at, or the number of its element; from 1.
    pub place: usize,
    /// Its enrolment; serial and type are set.
    pub token: Init,
    /// The counter the device is at, if the file tells.
    pub counter: Option<u64>,
}

/// A row that is not a token to be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// As in [`Row`].
    pub place: usize,
    /// Why.
    pub reason: &'static str,
}

/// A file that was read.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The tokens, in their order.
    pub rows: Vec<Row>,
    /// What was passed over.
    pub skipped: Vec<Skipped>,
}

/// Why a file cannot be imported. Names the place, never a value of it that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {place}: {problem}")]
pub struct ImportError {
    /// As in [`Row`].
    pub place: usize,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl ImportError {
    fn at(place: usize, problem: impl Into<String>) -> Self {
        Self { place, problem: problem.into() }
    }
}

impl Parsed {
    fn add(&mut self, row: Row) -> Result<(), ImportError> {
        if self.rows.len() >= TOKENS_MAX {
            return Err(ImportError::at(row.place, format!("a file may have {TOKENS_MAX} tokens")));
        }
        self.rows.push(row);
        Ok(())
    }

    fn skip(&mut self, place: usize, reason: &'static str) {
        // Of very many skipped rows the first ones tell enough.
        if self.skipped.len() < TOKENS_MAX {
            self.skipped.push(Skipped { place, reason });
        }
    }
}

/// The lines of a text with their numbers, without their ends. A byte order mark in front is dropped.
fn lines(text: &str) -> impl Iterator<Item = Result<(usize, &str), ImportError>> {
    text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate().map(|(number, line)| {
        if line.len() > LINE_MAX {
            return Err(ImportError::at(number + 1, format!("longer than {LINE_MAX} bytes")));
        }
        Ok((number + 1, line))
    })
}

/// An enrolment with what all formats have.
fn token(token_type: &str, serial: &str, seed: &str) -> Init {
    Init {
        token_type: Some(token_type.to_owned()),
        serial: Some(serial.to_owned()),
        seed: SeedSource { given: Some(SecretText::from(seed)), generate: false },
        description: Some(DESCRIPTION.to_owned()),
        ..Init::default()
    }
}

/// The hash that a seed of this many hex digits is made for (reference tokens 13.2).
const fn hash_by_length(digits: usize) -> &'static str {
    match digits {
        128 => "sha512",
        64 => "sha256",
        _ => "sha1",
    }
}

/// What the tests of the formats compare: everything that matters of a row, the seed included.
#[cfg(test)]
fn shown(parsed: &Parsed) -> Vec<String> {
    parsed
        .rows
        .iter()
        .map(|Row { place, token, counter }| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let seed = token.seed.given.as_ref().map_or("", SecretText::expose);
            let mut line = format!("{place} {} {} {seed}", text(&token.token_type), text(&token.serial));
            let mut add = |name: &str, value: Option<String>| {
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    line.push_str(&format!(" {name}={value}"));
                }
            };
            add("len", token.otplen.map(|number| number.to_string()));
            add("hash", token.hashlib.clone());
            add("step", token.time_step.map(|number| number.to_string()));
            add("shift", token.time_shift.map(|number| number.to_string()));
            add("suite", token.ocra.suite.clone());
            add("count", counter.map(|number| number.to_string()));
            add("desc", token.description.clone());
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_refused_by_number() {
        let text = format!("a\n{}\n", "x".repeat(LINE_MAX + 1));
        let problem = lines(&text).find_map(Result::err).unwrap();
        assert_eq!(problem.to_string(), "line 2: longer than 16384 bytes");
        assert_eq!(lines("\u{feff}a\r\nb").filter_map(Result::ok).collect::<Vec<_>>(), [(1, "a"), (2, "b")]);
    }
}
