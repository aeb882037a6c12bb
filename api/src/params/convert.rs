//! Conversions of parameter text (reference http-api 1.5).

/// A boolean-like word: `1`, `yes`, `true` or `0`, `no`, `false` in any case.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" => Some(true),
        "0" | "no" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boolean_words() {
        for (text, value) in [
            ("1", Some(true)),
            ("Yes", Some(true)),
            ("TRUE", Some(true)),
            ("0", Some(false)),
            ("no", Some(false)),
            ("False", Some(false)),
            ("on", None),
            ("", None),
            ("2", None),
        ] {
            assert_eq!(parse_bool(text), value, "{text}");
        }
    }
}
