//! Reading token information: JSON values written by administrators, imports and other software (reference tokens 1.3).

use crate::record::{InfoValue, TokenInfo};

/// A value that means nothing where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("token information '{key}' is not {expected}")]
pub struct InfoFault {
    /// The key.
    pub key: &'static str,
    /// What was expected there.
    pub expected: &'static str,
}

/// The text under a key; `None` if absent, empty or not a text.
#[must_use]
pub fn text<'a>(info: &'a TokenInfo, key: &str) -> Option<&'a str> {
    match info.get(key)? {
        InfoValue::Text(text) if !text.is_empty() => Some(text),
        InfoValue::Text(_) | InfoValue::Integer(_) | InfoValue::Json(_) => None,
    }
}

/// The integer under a key: a JSON integer, a whole or broken number, or either as text. `None` if absent or empty.
///
/// # Errors
/// When something else stands there.
pub fn integer(info: &TokenInfo, key: &'static str) -> Result<Option<i64>, InfoFault> {
    let number = match info.get(key) {
        None => return Ok(None),
        Some(InfoValue::Integer(number)) => Some(*number),
        Some(InfoValue::Text(text)) if text.trim().is_empty() => return Ok(None),
        Some(InfoValue::Json(text)) if &**text == "null" => return Ok(None),
        Some(InfoValue::Text(text) | InfoValue::Json(text)) => parse_integer(text.trim()),
    };
    number.map(Some).ok_or(InfoFault { key, expected: "a number" })
}

/// `30`, `-30`, `30.0`: digits behind the point are dropped.
fn parse_integer(text: &str) -> Option<i64> {
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => whole,
        Some(_) => return None,
        None => text,
    };
    whole.parse().ok()
}

/// An upper limit: absent, empty, 0 and less mean that there is none.
///
/// # Errors
/// When no number stands there.
pub fn limit(info: &TokenInfo, key: &'static str) -> Result<Option<u64>, InfoFault> {
    Ok(integer(info, key)?.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(value: InfoValue) -> TokenInfo {
        TokenInfo::from([("k".into(), value)])
    }

    #[test]
    fn numbers_are_read_leniently() {
        let fault = InfoFault { key: "k", expected: "a number" };
        for (value, expected) in [
            (InfoValue::Integer(30), Ok(Some(30))),
            (InfoValue::Text("30".into()), Ok(Some(30))),
            (InfoValue::Text(" -30 ".into()), Ok(Some(-30))),
            (InfoValue::Json("30.0".into()), Ok(Some(30))),
            (InfoValue::Text("".into()), Ok(None)),
            (InfoValue::Json("null".into()), Ok(None)),
            (InfoValue::Text("soon".into()), Err(fault)),
            (InfoValue::Text("3.x".into()), Err(fault)),
            (InfoValue::Json("[30]".into()), Err(fault)),
        ] {
            assert_eq!(integer(&info(value.clone()), "k"), expected, "{value:?}");
        }
        assert_eq!(integer(&TokenInfo::new(), "k"), Ok(None));
    }

    #[test]
    fn nothing_and_zero_are_no_limit() {
        for (value, expected) in [
            (InfoValue::Integer(0), None),
            (InfoValue::Integer(-1), None),
            (InfoValue::Text("".into()), None),
            (InfoValue::Text("3".into()), Some(3)),
        ] {
            assert_eq!(limit(&info(value.clone()), "k"), Ok(expected), "{value:?}");
        }
    }
}
