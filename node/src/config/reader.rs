//! Reads a TOML text and the environment into located values, and collects everything that is wrong with them.
//!
//! Problems name the key, and the line or environment variable it was given in; they never contain a value or a part of
//! a line, because that may be a password.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tessera_core::secret::SecretText;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// How a key's value is written in the environment, where everything is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Switch,
    /// Parts separated by commas.
    List,
    /// A TOML value.
    Toml,
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In the file, at this line (from 1).
    Line(usize),
    /// In this environment variable.
    Environment(String),
    /// Nowhere.
    Absent,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// The key's path, such as `http.listen`.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Line(line) => write!(f, "line {line}: ")?,
            Origin::Environment(name) => write!(f, "environment variable {name}: ")?,
            Origin::Absent => {}
        }
        if self.key.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}: {}", self.key, self.problem)
        }
    }
}

#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Switch(bool),
    List(Vec<Located>),
    Table(BTreeMap<String, Located>),
    Other,
}

#[derive(Clone)]
pub(super) struct Located {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A type a configuration value can have.
pub(super) trait FromValue: Sized {
    /// What is expected, for error texts.
    const EXPECTED: &'static str;
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for String {
    const EXPECTED: &'static str = "a text that is not empty";
    fn from_value(value: &Value) -> Option<Self> {
        let Value::Text(text) = value else { return None };
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

impl FromValue for SecretText {
    const EXPECTED: &'static str = "a text that is not empty";
    fn from_value(value: &Value) -> Option<Self> {
        let Value::Text(text) = value else { return None };
        (!text.is_empty()).then(|| Self::new(text.clone()))
    }
}

impl FromValue for bool {
    const EXPECTED: &'static str = "true or false";
    fn from_value(value: &Value) -> Option<Self> {
        let Value::Switch(switch) = value else { return None };
        Some(*switch)
    }
}

impl FromValue for u64 {
    const EXPECTED: &'static str = "a number that is not negative";
    fn from_value(value: &Value) -> Option<Self> {
        let Value::Number(number) = value else { return None };
        Self::try_from(*number).ok()
    }
}

impl FromValue for usize {
    const EXPECTED: &'static str = u64::EXPECTED;
    fn from_value(value: &Value) -> Option<Self> {
        u64::from_value(value).and_then(|number| Self::try_from(number).ok())
    }
}

impl FromValue for SocketAddr {
    const EXPECTED: &'static str = "an IP address and a port, such as \"0.0.0.0:7480\" or \"[::]:7480\"";
    fn from_value(value: &Value) -> Option<Self> {
        String::from_value(value)?.parse().ok()
    }
}

impl FromValue for Vec<String> {
    const EXPECTED: &'static str = "a list of texts";
    fn from_value(value: &Value) -> Option<Self> {
        let Value::List(items) = value else { return None };
        items.iter().map(|item| String::from_value(&item.value)).collect()
    }
}

/// A host and a port, as another node would connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPort(pub(super) String);

impl FromValue for HostPort {
    const EXPECTED: &'static str = "a host name or address and a port, such as \"otp1.example.com:7580\"";
    fn from_value(value: &Value) -> Option<Self> {
        let text = String::from_value(value)?;
        let (host, port) = text.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let usable = match bracketed {
            Some(address) => {
                address.parse::<std::net::Ipv6Addr>().is_ok_and(|address| !address.is_unspecified())
            }
            None => !host.is_empty() && host != "0.0.0.0" && host.chars().all(legal),
        };
        (usable && port != 0).then_some(Self(text))
    }
}

impl FromValue for Vec<HostPort> {
    const EXPECTED: &'static str =
        "a list of host names or addresses with ports, such as [\"otp1.example.com:7580\"]";
    fn from_value(value: &Value) -> Option<Self> {
        let Value::List(items) = value else { return None };
        items.iter().map(|item| HostPort::from_value(&item.value)).collect()
    }
}

/// An absolute http or https URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseUrl(pub(super) String);

impl FromValue for BaseUrl {
    const EXPECTED: &'static str = "a URL such as \"https://otp1.example.com:7480\"";
    fn from_value(value: &Value) -> Option<Self> {
        let text = String::from_value(value)?;
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let legal = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#' | '"' | '<' | '>' | '\\');
        (!rest.is_empty() && !rest.starts_with('/') && rest.chars().all(legal))
            .then(|| Self(text.trim_end_matches('/').to_owned()))
    }
}

/// The values not read yet, and the problems found so far.
pub(super) struct Reader<'a> {
    folder: &'a Path,
    entries: BTreeMap<String, Located>,
    origins: BTreeMap<String, Origin>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Reads a text; relative paths in it are relative to `folder`.
    pub(super) fn new(text: &str, folder: &'a Path) -> Self {
        let mut reader =
            Self { folder, entries: BTreeMap::new(), origins: BTreeMap::new(), problems: Vec::new() };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            reader.report(Origin::Line(line), "", "not valid TOML".to_owned());
        }
        // After an error of syntax the rest is guesswork, which would hide the real problem.
        if reader.problems.is_empty() {
            reader.add_document(text, document.get_ref());
        }
        reader
    }

    fn add_document(&mut self, text: &str, document: &DeTable<'_>) {
        for (name, value) in document {
            let section = name.get_ref().as_ref();
            match located(text, value) {
                Located { value: Value::Table(keys), .. } => {
                    for (key, value) in keys {
                        self.entries.insert(format!("{section}.{key}"), value);
                    }
                }
                other => {
                    self.entries.insert(section.to_owned(), other);
                }
            }
        }
    }

    /// Lays environment variables over the file. The name of a key's variable is `TESSERA_` and the key's path in capital
    /// letters with `_` for the dot. Other variables are ignored.
    pub(super) fn overlay(
        &mut self,
        keys: &[(&str, Kind)],
        environment: impl IntoIterator<Item = (String, String)>,
    ) {
        let names: BTreeMap<String, (&str, Kind)> =
            keys.iter().map(|(key, kind)| (environment_name(key), (*key, *kind))).collect();
        for (name, text) in environment {
            let Some((key, kind)) = names.get(&name).copied() else { continue };
            let origin = Origin::Environment(name);
            let value = from_environment(kind, text, &origin);
            self.entries.insert(key.to_owned(), Located { value, origin });
        }
    }

    /// Notes a problem.
    pub(super) fn report(&mut self, origin: Origin, key: &str, problem: String) {
        self.problems.push(Problem { origin, key: key.to_owned(), problem });
    }

    /// Notes a problem with the value of a key that was read before.
    pub(super) fn reject(&mut self, key: &str, problem: impl Into<String>) {
        let origin = self.origins.get(key).cloned().unwrap_or(Origin::Absent);
        self.report(origin, key, problem.into());
    }

    /// The value of a key, if it was given and is usable.
    pub(super) fn take<T: FromValue>(&mut self, key: &str) -> Option<T> {
        let entry = self.take_raw(key)?;
        let value = T::from_value(&entry.value);
        if value.is_none() {
            self.report(entry.origin, key, format!("expected {}", T::EXPECTED));
        }
        value
    }

    /// The value of a key as it is.
    pub(super) fn take_raw(&mut self, key: &str) -> Option<Located> {
        let entry = self.entries.remove(key)?;
        self.origins.insert(key.to_owned(), entry.origin.clone());
        Some(entry)
    }

    /// Sets a field if the key was given.
    pub(super) fn set<T: FromValue>(&mut self, key: &str, field: &mut T) {
        if let Some(value) = self.take(key) {
            *field = value;
        }
    }

    /// Sets a field to a number within limits if the key was given.
    pub(super) fn set_within<T: FromValue + PartialOrd + fmt::Display>(
        &mut self,
        key: &str,
        field: &mut T,
        limits: std::ops::RangeInclusive<T>,
    ) {
        let Some(value) = self.take::<T>(key) else { return };
        if limits.contains(&value) {
            *field = value;
        } else {
            self.reject(key, format!("must be from {} to {}", limits.start(), limits.end()));
        }
    }

    /// The value of a key that must be given; a problem is noted if it is not.
    pub(super) fn require<T: FromValue>(&mut self, key: &str) -> Option<T> {
        if !self.entries.contains_key(key) {
            self.report(Origin::Absent, key, format!("is missing: expected {}", T::EXPECTED));
        }
        self.take(key)
    }

    /// A path; a relative one is relative to the configuration file's folder.
    pub(super) fn take_path(&mut self, key: &str) -> Option<PathBuf> {
        self.take::<String>(key).map(|path| self.folder.join(path))
    }

    /// As [`Self::take_path`], for a key that must be given.
    pub(super) fn require_path(&mut self, key: &str) -> PathBuf {
        self.require::<String>(key).map(|path| self.folder.join(path)).unwrap_or_default()
    }

    /// Everything that was wrong, in the order of the file; what has not been read is an unknown key.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        for (key, entry) in std::mem::take(&mut self.entries) {
            self.report(entry.origin, &key, "unknown key".to_owned());
        }
        self.problems.sort();
        self.problems
    }
}

/// The environment variable of a key.
#[must_use]
pub fn environment_name(key: &str) -> String {
    format!("TESSERA_{}", key.replace('.', "_").to_ascii_uppercase())
}

fn from_environment(kind: Kind, text: String, origin: &Origin) -> Value {
    match kind {
        Kind::Text => Value::Text(text),
        Kind::Number => text.trim().parse().map_or(Value::Other, Value::Number),
        Kind::Switch => text.trim().parse().map_or(Value::Other, Value::Switch),
        Kind::List => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            let item = |part: &str| Located { value: Value::Text(part.to_owned()), origin: origin.clone() };
            Value::List(parts.map(item).collect())
        }
        Kind::Toml => match DeValue::parse(&text) {
            Ok(value) => relocated(convert("", value.get_ref()), origin),
            Err(_) => Value::Other,
        },
    }
}

/// Replaces line numbers, which mean nothing in a variable, by the variable.
fn relocated(value: Value, origin: &Origin) -> Value {
    let moved = |inner: Located| Located { value: relocated(inner.value, origin), origin: origin.clone() };
    match value {
        Value::List(items) => Value::List(items.into_iter().map(moved).collect()),
        Value::Table(keys) => {
            Value::Table(keys.into_iter().map(|(key, inner)| (key, moved(inner))).collect())
        }
        other @ (Value::Text(_) | Value::Number(_) | Value::Switch(_) | Value::Other) => other,
    }
}

fn located(text: &str, value: &Spanned<DeValue<'_>>) -> Located {
    let origin = Origin::Line(line_of(text, value.span().start));
    Located { value: convert(text, value.get_ref()), origin }
}

fn convert(text: &str, value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(string) => Value::Text(string.as_ref().to_owned()),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).map_or(Value::Other, Value::Number)
        }
        DeValue::Boolean(switch) => Value::Switch(*switch),
        DeValue::Array(items) => Value::List(items.iter().map(|item| located(text, item)).collect()),
        DeValue::Table(keys) => Value::Table(
            keys.iter()
                .map(|(key, value)| (key.get_ref().as_ref().to_owned(), located(text, value)))
                .collect(),
        ),
        DeValue::Float(_) | DeValue::Datetime(_) => Value::Other,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
