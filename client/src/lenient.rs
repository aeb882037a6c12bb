//! Readers of reply fields that accept what different versions of the server send for the same thing.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A text; `null` is the empty text, numbers and truth values are written out.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Value::deserialize(deserializer).map(|value| text_of(&value))
}

/// An integer, also written as text; anything else is 0.
pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Value::deserialize(deserializer).map(|value| integer_of(&value).unwrap_or_default())
}

/// An integer, also written as text; anything else is absent.
pub(crate) fn optional_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Value::deserialize(deserializer).map(|value| integer_of(&value))
}

/// A truth value, also written as text or number.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Value::deserialize(deserializer).map(|value| flag_of(&value))
}

/// A list of texts; `null` is the empty list, a single text a list of one.
pub(crate) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Value::deserialize(deserializer).map(|value| match value {
        Value::Array(items) => items.iter().map(text_of).collect(),
        Value::String(one) if !one.is_empty() => vec![one],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Vec::new(),
    })
}

pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

pub(crate) fn integer_of(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

/// The boolean words of reference http-api 1.5.
pub(crate) fn flag_of(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_i64().is_some_and(|number| number != 0),
        Value::String(text) => ["1", "yes", "true"].iter().any(|word| text.eq_ignore_ascii_case(word)),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}
