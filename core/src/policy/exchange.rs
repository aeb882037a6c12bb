//! Policies as a text file, for export and import (reference policies 7.1).

use std::collections::BTreeMap;

use super::set::Policy;
use crate::record::PolicyV1;

/// The keys of a section, in the order in which they are written.
const KEYS: [&str; 8] = ["action", "scope", "realm", "user", "time", "client", "active", "name"];

/// Why a file cannot be imported. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// There is no section in it.
    #[error("the file contains no policy")]
    Empty,
    /// The line is neither a section, nor an assignment, nor a comment.
    #[error("line {0}: expected [name], key = value, or a comment")]
    Line(usize),
    /// An assignment outside of all sections.
    #[error("line {0}: there is no [name] before this line")]
    NoSection(usize),
    /// A section or key that was there before.
    #[error("line {line}: '{name}' is there twice")]
    Twice {
        /// The line.
        line: usize,
        /// The section or key.
        name: String,
    },
    /// A quote that is not closed, or text behind a closed one.
    #[error("line {0}: the quotation marks do not match")]
    Quotes(usize),
    /// A value that looks like a comment.
    #[error("line {0}: a value that begins with # has to stand between quotation marks")]
    Comment(usize),
    /// A section without a required key.
    #[error("policy {policy} has no {key}")]
    Missing {
        /// The policy.
        policy: String,
        /// The key.
        key: &'static str,
    },
}

/// Writes policies as a file.
#[must_use]
pub fn export<'a, P: IntoIterator<Item = &'a Policy>>(policies: P) -> String {
    let mut file = String::new();
    for policy in policies {
        let fields = &policy.fields;
        let active = if fields.active { "True" } else { "False" };
        let name = policy.name.as_str();
        file.push_str(&format!("[{name}]\n"));
        let values = [
            &*fields.action,
            &fields.scope,
            &fields.realm,
            &fields.user,
            &fields.time,
            &fields.client,
            active,
            name,
        ];
        for (key, value) in KEYS.iter().zip(values) {
            file.push_str(&format!("{key} = {}\n", quoted(value)));
        }
    }
    file
}

/// A value with quotes around it where they are needed.
fn quoted(value: &str) -> String {
    let needs = value.is_empty()
        || value.trim() != value
        || value.starts_with(['"', '\''])
        || value.contains([',', '#', '\n', '\r']);
    let lines = value.contains(['\n', '\r']);
    match (needs, value.contains('"'), value.contains('\'')) {
        (false, ..) => value.to_owned(),
        (true, false, _) if !lines => format!("\"{value}\""),
        (true, true, false) if !lines => format!("'{value}'"),
        _ if value.contains("'''") || value.ends_with('\'') => format!("\"\"\"{value}\"\"\""),
        _ => format!("'''{value}'''"),
    }
}

/// Reads a file: the policies by name, in the order in which they stand there.
///
/// # Errors
/// [`ImportError`].
pub fn import(file: &str) -> Result<Vec<(String, PolicyV1)>, ImportError> {
    let mut reader = Reader { rest: file.trim_start_matches('\u{feff}'), line: 0 };
    let mut sections: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    while let Some(line) = reader.next_line() {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some(name) = section(text) {
            let name = name.trim().to_owned();
            if sections.iter().any(|(earlier, _)| *earlier == name) {
                return Err(ImportError::Twice { line: reader.line, name });
            }
            sections.push((name, BTreeMap::new()));
            continue;
        }
        let Some((key, value)) = text.split_once('=') else { return Err(ImportError::Line(reader.line)) };
        let key = key.trim().to_owned();
        let line = reader.line;
        let value = reader.value(value.trim())?;
        let Some((_, keys)) = sections.last_mut() else { return Err(ImportError::NoSection(line)) };
        if keys.contains_key(&key) {
            return Err(ImportError::Twice { line, name: key });
        }
        keys.insert(key, value);
    }
    if sections.is_empty() {
        return Err(ImportError::Empty);
    }
    sections.into_iter().map(|(name, keys)| record(&name, &keys).map(|record| (name, record))).collect()
}

fn section(text: &str) -> Option<&str> {
    let (name, rest) = text.strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim();
    (rest.is_empty() || rest.starts_with('#')).then_some(name)
}

fn record(policy: &str, keys: &BTreeMap<String, String>) -> Result<PolicyV1, ImportError> {
    let required = |key: &'static str| {
        let missing = || ImportError::Missing { policy: policy.to_owned(), key };
        keys.get(key).map(|value| value.as_str().into()).ok_or_else(missing)
    };
    let or = |key: &str, fallback: &str| -> Box<str> {
        keys.get(key).map(String::as_str).filter(|value| !value.trim().is_empty()).unwrap_or(fallback).into()
    };
    Ok(PolicyV1 {
        action: required("action")?,
        scope: required("scope")?,
        active: or("active", "True"),
        realm: or("realm", "*"),
        user: or("user", "*"),
        time: or("time", "*"),
        client: or("client", "*"),
    })
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    fn next_line(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.line += 1;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    /// A value; one in triple quotes may go on over the next lines.
    fn value(&mut self, text: &'a str) -> Result<String, ImportError> {
        for quotes in ["'''", "\"\"\""] {
            if let Some(rest) = text.strip_prefix(quotes) {
                return self.long(rest, quotes);
            }
        }
        if text.starts_with('#') {
            return Err(ImportError::Comment(self.line));
        }
        if text.starts_with(['"', '\'']) { self.quoted(text) } else { Ok(without_comment(text).to_owned()) }
    }

    fn long(&mut self, first: &'a str, quotes: &str) -> Result<String, ImportError> {
        let opened = self.line;
        let mut value = String::new();
        let mut line = first;
        loop {
            if let Some((end, behind)) = line.rsplit_once(quotes) {
                value.push_str(end);
                return self.nothing_behind(behind, value);
            }
            value.push_str(line);
            value.push('\n');
            line = self.next_line().ok_or(ImportError::Quotes(opened))?;
        }
    }

    /// One quoted value, or several with commas between them, which are joined (D28).
    fn quoted(&self, text: &str) -> Result<String, ImportError> {
        let mut values: Vec<&str> = Vec::new();
        let mut rest = text;
        loop {
            let (value, behind) = self.element(rest)?;
            values.push(value);
            match behind.trim_start().strip_prefix(',') {
                Some(next) => rest = next.trim_start(),
                None => return self.nothing_behind(behind, values.join(", ")),
            }
        }
    }

    fn element<'t>(&self, text: &'t str) -> Result<(&'t str, &'t str), ImportError> {
        for quote in ['"', '\''] {
            if let Some(rest) = text.strip_prefix(quote) {
                return rest.split_once(quote).ok_or(ImportError::Quotes(self.line));
            }
        }
        let end = text.find(',').unwrap_or(text.len());
        let (value, behind) = text.split_at_checked(end).unwrap_or((text, ""));
        Ok((without_comment(value).trim(), behind))
    }

    fn nothing_behind(&self, behind: &str, value: String) -> Result<String, ImportError> {
        let behind = behind.trim();
        if behind.is_empty() || behind.starts_with('#') {
            Ok(value)
        } else {
            Err(ImportError::Quotes(self.line))
        }
    }
}

/// An unquoted value up to a comment behind it.
fn without_comment(text: &str) -> &str {
    let end = text.match_indices('#').map(|(at, _)| at).find(|at| {
        text.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    });
    end.and_then(|end| text.get(..end)).unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::PolicyName;
    use std::sync::Arc;

    /// The example of reference policies 7.1.
    const EXAMPLE: &str = r#"
[otppin_vpn]
name = otppin_vpn
realm = "r1,r2"
active = True
client = "10.0.0.0/8, -10.1.1.1"
user = *
time = * * * * * *;
action = 'smstext="Hello, <otp>", otppin=1'
scope = authentication
"#;

    fn one(file: &str) -> PolicyV1 {
        let policies = import(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(policies.len(), 1);
        policies.into_iter().next().unwrap().1
    }

    #[test]
    fn the_example_of_the_reference_is_read() {
        let policy = one(EXAMPLE);
        assert_eq!(&*policy.realm, "r1,r2");
        assert_eq!(&*policy.client, "10.0.0.0/8, -10.1.1.1");
        assert_eq!(&*policy.action, "smstext=\"Hello, <otp>\", otppin=1");
        assert_eq!((&*policy.scope, &*policy.user, &*policy.active), ("authentication", "*", "True"));
        assert_eq!(&*policy.time, "* * * * * *;");
    }

    fn compiled(name: &str, record: PolicyV1) -> Policy {
        Policy::compile(PolicyName::from(name), Arc::new(record))
    }

    /// Case AD-20, and the quoting rules.
    #[test]
    fn what_is_exported_is_imported_as_it_was() {
        for action in [
            "otppin=1",
            "otppin=1, autosms",
            "smstext=\"a, b\"",
            "smstext='a, b'",
            "smstext=\"it's\", emailtext='say \"x\"'",
            "smstext=\"a # b\"",
            " autosms ",
            "'autosms'=1",
            "smstext=\"two\nlines\"",
            "smstext='two\nlines'",
            "a=\"x\", b='y'",
        ] {
            let record = PolicyV1 {
                action: action.into(),
                scope: "authentication".into(),
                realm: "r1, r2".into(),
                user: "#mobile".into(),
                client: "10.0.0.0/8".into(),
                time: "* 8-17 * * * *; -* 12 * * * *".into(),
                active: "False".into(),
            };
            let before = compiled("p", record);
            let file = export([&before]);
            assert_eq!(compiled("p", one(&file)).fields, before.fields, "{file}");
        }
        assert_eq!(export([]), "");
    }

    /// Cases AD-17 and AD-18, D28.
    #[test]
    fn missing_and_unquoted_values_are_completed() {
        let file = "# policies\n[a]\r\naction = max_count_dpw=3 # three\nscope = gettoken\nclient = None\n\
                    realm = \"\"\nuser = \"local:\", koelbel\n";
        let policy = one(file);
        assert_eq!(&*policy.action, "max_count_dpw=3");
        assert_eq!((&*policy.client, &*policy.realm, &*policy.user), ("None", "*", "local:, koelbel"));
        assert_eq!((&*policy.active, &*policy.time), ("True", "*"));
        assert_eq!(&*one("[a]\naction = otppin=1, autosms\nscope=x\nrealm = r1, r2").realm, "r1, r2");
    }

    /// Case AD-19 and everything else that is wrong.
    #[test]
    fn faults_are_found_with_their_line() {
        for (file, error) in [
            ("", ImportError::Empty),
            ("# nothing\n", ImportError::Empty),
            ("action = a", ImportError::NoSection(1)),
            ("[a]\nscope = x", ImportError::Missing { policy: "a".into(), key: "action" }),
            ("[a]\naction = x", ImportError::Missing { policy: "a".into(), key: "scope" }),
            ("[a]\nnonsense", ImportError::Line(2)),
            ("[a]\naction = \"x", ImportError::Quotes(2)),
            ("[a]\naction = \"x\" y", ImportError::Quotes(2)),
            ("[a]\naction = '''x\n", ImportError::Quotes(2)),
            ("[a]\nuser = #mobile", ImportError::Comment(2)),
            ("[a]\n[a]", ImportError::Twice { line: 2, name: "a".into() }),
            ("[a]\nuser = x\nuser = y", ImportError::Twice { line: 3, name: "user".into() }),
        ] {
            assert_eq!(import(file), Err(error), "{file}");
        }
    }
}
