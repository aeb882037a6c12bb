//! Request parameters: where they come from and how they are read (reference http-api 1.3, 1.5).
//!
//! Query string and form are merged and the query string wins; a JSON body stands alone; `name[]` is a list. Control
//! parameters that every endpoint understands are kept apart from the endpoint's own. Values may be passwords, so
//! nothing here is ever printed: `Debug` shows names only.

mod convert;
mod decode;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use tessera_core::decision::Refusal;
use tessera_core::secret::SecretText;

pub(crate) use convert::parse_bool;
pub use decode::{BodyKind, Malformed, decode};

/// The most parameters a request may have; a request with more is refused as too large.
pub const MAX_PARAMETERS: usize = 1000;

/// A parameter's value.
#[derive(Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    List(Vec<String>),
}

/// Parameters that every endpoint understands and no endpoint sees as its own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// A real HTTP status wanted on errors (reference http-api 3.3).
    pub httperror: Option<String>,
    /// The client's address as a trusted caller states it (reference http-api 1.4).
    pub client: Option<String>,
    /// The CSRF value of a form that cannot set headers (reference http-api 4.3).
    pub csrf_token: Option<String>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control")
    }
}

/// The parameters of one request.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params {
    entries: Vec<(String, Value)>,
    /// Uploaded files: name of the field, name of the file, content.
    files: Vec<(String, String, Vec<u8>)>,
    control: Control,
    damaged: bool,
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|(name, _)| name)).finish()
    }
}

impl Params {
    /// The control parameters.
    #[must_use]
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// Whether a value was not valid UTF-8. The endpoint's parameters are then all treated as missing.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Makes names case-insensitive: they are lower-cased, and of two that become equal the first one counts.
    #[must_use]
    pub fn lowercased(mut self) -> Self {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        self.entries.retain_mut(|(name, _)| {
            *name = name.to_lowercase();
            seen.insert(name.clone())
        });
        self
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// A parameter as text, possibly empty; of a list the first element.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            Value::List(list) => list.first().map(String::as_str),
        }
    }

    /// A parameter as text where an empty one counts as absent.
    #[must_use]
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// Owned form of [`Self::filled`].
    #[must_use]
    pub fn owned(&self, name: &str) -> Option<String> {
        self.filled(name).map(str::to_owned)
    }

    /// The content of a file uploaded under this field name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(known, _, _)| known == name).map(|(_, _, content)| content.as_slice())
    }

    /// Whether the parameter was sent at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// A parameter that has to be sent; it may be empty.
    ///
    /// # Errors
    /// [`Refusal::MissingParameter`].
    pub fn required(&self, name: &'static str) -> Result<&str, Refusal> {
        self.text(name).ok_or(Refusal::MissingParameter(name))
    }

    /// Moves a secret out of the parameters, so that its plaintext exists once.
    pub fn take_secret(&mut self, name: &str) -> Option<SecretText> {
        let (_, value) = self.entries.iter_mut().find(|(known, _)| known == name)?;
        match value {
            Value::Text(text) => Some(SecretText::new(std::mem::take(text))),
            Value::List(list) => list.first_mut().map(|text| SecretText::new(std::mem::take(text))),
        }
    }

    /// Moves an uploaded file out of the parameters: its name and its content.
    pub(crate) fn take_file(&mut self, field: &str) -> Option<(String, Vec<u8>)> {
        let at = self.files.iter().position(|(known, _, _)| known == field)?;
        let (_, name, content) = self.files.swap_remove(at);
        Some((name, content))
    }

    /// All elements of a list; a plain parameter is a list of one, an empty one is no element.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::List(list)) => list.clone(),
            Some(Value::Text(text)) if !text.is_empty() => vec![text.clone()],
            Some(Value::Text(_)) | None => Vec::new(),
        }
    }

    /// A boolean where anything that is none is an error; an empty parameter counts as absent.
    ///
    /// # Errors
    /// [`Refusal::InvalidParameter`].
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(text) = self.filled(name) else { return Ok(None) };
        parse_bool(text).map(Some).ok_or_else(|| invalid(name, "a boolean is needed: true or false"))
    }

    /// A boolean where anything that is none means false.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.text(name).and_then(parse_bool).unwrap_or(false)
    }

    /// A number; an empty parameter counts as absent.
    ///
    /// # Errors
    /// [`Refusal::InvalidParameter`].
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.filled(name) else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| invalid(name, "a whole number is needed"))
    }

    /// All plain parameters in the order they were sent; of a list the first element.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, value)| {
            let text = match value {
                Value::Text(text) => text.as_str(),
                Value::List(list) => list.first().map_or("", String::as_str),
            };
            (name.as_str(), text)
        })
    }

    /// Whether no parameter of the endpoint's own was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// A refusal of a parameter's value; the value itself is never repeated, it may be a secret.
pub(crate) fn invalid(name: &str, problem: &str) -> Refusal {
    Refusal::InvalidParameter { name: name.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(body: &str) -> Params {
        decode(None, BodyKind::Form, body.as_bytes()).unwrap()
    }

    #[test]
    fn empty_counts_as_absent_where_the_endpoint_says_so() {
        let params = form("realm=&user=alice");
        assert_eq!(params.text("realm"), Some(""));
        assert_eq!(params.filled("realm"), None);
        assert_eq!(params.required("realm"), Ok(""));
        assert_eq!(params.required("pass"), Err(Refusal::MissingParameter("pass")));
    }

    #[test]
    fn names_are_case_sensitive_unless_folded() {
        let params = form("OtpLen=8&otplen=6");
        assert_eq!(params.text("OTPLEN"), None);
        assert_eq!(params.number::<u32>("otplen"), Ok(Some(6)));
        assert_eq!(params.lowercased().number::<u32>("otplen"), Ok(Some(8)));
    }

    #[test]
    fn numbers_and_flags_are_checked() {
        let params = form("a=+7&b=seven&c=YES&d=2&e=");
        assert_eq!(params.number::<u32>("a"), Ok(Some(7)));
        assert!(params.number::<u32>("b").is_err());
        assert_eq!(params.number::<u32>("e"), Ok(None));
        assert_eq!(params.flag("c"), Ok(Some(true)));
        assert!(params.flag("d").is_err());
        assert!(!params.is_set("d"));
    }

    #[test]
    fn debug_output_shows_names_only() {
        assert_eq!(format!("{:?}", form("pass=hunter2&client=10.0.0.1")), r#"["pass"]"#);
    }
}
