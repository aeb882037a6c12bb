//! The grammar of the action field (reference policies 2.1).
//!
//! ```text
//! action = [ item ] *( "," [ item ] )
//! item   = key | "!" key | key "=" value
//! ```

use std::collections::BTreeMap;

/// The value of an action as it is written. What it means depends on the action's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The bare key.
    On,
    /// `!key`, or the value `false` in any case.
    Off,
    /// Any other value, without the quotes around it.
    Text(Box<str>),
}

/// A parsed action field: values by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items(BTreeMap<Box<str>, Written>);

/// Why an action field cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemsError {
    /// A quote is opened and never closed.
    #[error(
        "a quotation mark ({0}) is opened and not closed; put a text with such a character between the other kind of quotation marks"
    )]
    OpenQuote(char),
    /// The same key has two values.
    #[error("'{0}' is given twice with different values")]
    Contradiction(Box<str>),
}

impl Items {
    /// Parses an action field.
    ///
    /// # Errors
    /// [`ItemsError`].
    pub fn parse(text: &str) -> Result<Self, ItemsError> {
        let mut items = Self::default();
        for (key, written) in pieces(text)? {
            match items.0.get(&key) {
                Some(earlier) if *earlier != written => return Err(ItemsError::Contradiction(key)),
                Some(_) => {}
                None => {
                    items.0.insert(key, written);
                }
            }
        }
        Ok(items)
    }

    /// Parses an action field in which a key may be given several times, as in scope `reporting`; the first counts here.
    ///
    /// # Errors
    /// [`ItemsError::OpenQuote`].
    pub fn parse_repeating(text: &str) -> Result<Self, ItemsError> {
        let mut items = Self::default();
        for (key, written) in pieces(text)? {
            items.0.entry(key).or_insert(written);
        }
        Ok(items)
    }

    /// The value of a key, literally: `*` is a key like any other.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Written> {
        self.0.get(key)
    }

    /// Whether `*` is one of the keys: it matches every action name, without a value.
    #[must_use]
    pub fn has_star(&self) -> bool {
        self.0.contains_key("*")
    }

    /// All keys with their values, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Written)> {
        self.0.iter().map(|(key, written)| (&**key, written))
    }

    /// Whether there is no item at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The items in the order they are written.
///
/// # Errors
/// [`ItemsError::OpenQuote`].
pub fn pieces(text: &str) -> Result<Vec<(Box<str>, Written)>, ItemsError> {
    let mut found = Vec::new();
    for piece in split(text)? {
        let (key, value) = match piece.equals {
            Some(at) => {
                let (key, rest) = piece.text.split_at_checked(at).unwrap_or((piece.text, ""));
                (key.trim(), rest.strip_prefix('=').map(str::trim))
            }
            None => (piece.text.trim(), None),
        };
        if key.is_empty() {
            continue;
        }
        found.push(match value {
            Some(value) => (key.into(), written(value)),
            None => match key.strip_prefix('!') {
                Some(rest) if !rest.is_empty() && !rest.starts_with(char::is_whitespace) => {
                    (rest.into(), Written::Off)
                }
                _ => (key.into(), Written::On),
            },
        });
    }
    Ok(found)
}

/// One item, untrimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Its text, without the commas around it.
    pub(super) text: &'a str,
    /// Where the `=` between key and value stands.
    pub(super) equals: Option<usize>,
}

/// Splits at commas outside of quotes.
pub(super) fn split(text: &str) -> Result<Vec<Piece<'_>>, ItemsError> {
    let mut found = Vec::new();
    let mut quote: Option<char> = None;
    let mut start = 0;
    let mut equals = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '=') if equals.is_none() => equals = Some(at - start),
            (None, ',') => {
                found.push(Piece { text: text.get(start..at).unwrap_or_default(), equals: equals.take() });
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    if let Some(open) = quote {
        return Err(ItemsError::OpenQuote(open));
    }
    found.push(Piece { text: text.get(start..).unwrap_or_default(), equals });
    Ok(found)
}

/// A trimmed value without the quotes around it, if one pair of them encloses all of it.
fn written(value: &str) -> Written {
    let between = |quote: char| {
        let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains(quote)).then_some(inner)
    };
    let inner = between('"').or_else(|| between('\'')).unwrap_or(value);
    if inner.eq_ignore_ascii_case("false") { Written::Off } else { Written::Text(inner.into()) }
}

/// Self-service actions with their former names replaced, each once (reference policies 6.6); `None` if there is none, or
/// the field cannot be parsed.
#[must_use]
pub fn with_present_names(action: &str) -> Option<String> {
    const FORMER: [(&str, &str); 2] =
        [("webprovisionGOOGLE", "enrollHMAC"), ("webprovisionGOOGLEtime", "enrollTOTP")];
    let pieces = pieces(action).ok()?;
    let is_former = |key: &str| FORMER.iter().any(|(former, _)| *former == key);
    if !pieces.iter().any(|(key, _)| is_former(key)) {
        return None;
    }
    let mut kept: Vec<(&str, &Written)> = Vec::new();
    for (key, written) in &pieces {
        let name = FORMER.iter().find(|(former, _)| **former == **key).map_or(&**key, |(_, present)| present);
        if !kept.iter().any(|(earlier, _)| *earlier == name) {
            kept.push((name, written));
        }
    }
    let texts: Vec<String> = kept
        .into_iter()
        .map(|(key, written)| match written {
            Written::On => key.to_owned(),
            Written::Off => format!("{key}=false"),
            Written::Text(text) if text.contains('"') => format!("{key}={}", quoted(text)),
            Written::Text(text) => format!("{key}=\"{text}\""),
        })
        .collect();
    Some(texts.join(", "))
}

/// A value as it has to be written so that it is read as the same text again.
#[must_use]
pub fn quoted(value: &str) -> String {
    let plain = !value.contains([',', '"', '\'']) && value.trim() == value;
    match value.contains('"') {
        false if plain => value.to_owned(),
        false => format!("\"{value}\""),
        true => format!("'{value}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Written {
        Written::Text(value.into())
    }

    #[track_caller]
    fn check(action: &str, expected: &[(&str, Written)]) {
        let items = Items::parse(action).unwrap_or_else(|error| panic!("{action}: {error}"));
        let expected: BTreeMap<Box<str>, Written> =
            expected.iter().map(|(key, written)| ((*key).into(), written.clone())).collect();
        assert_eq!(items.0, expected, "{action}");
    }

    /// Reference policies 12.1.
    #[test]
    fn vectors_of_the_reference_are_parsed() {
        check(", otppin=  3 , ", &[("otppin", text("3"))]);
        check("!delete", &[("delete", Written::Off)]);
        check(
            "voice_message=\"Sir, your otp is {otp}\",",
            &[("voice_message", text("Sir, your otp is {otp}"))],
        );
        check(
            "a=blablub,b=\"bla blub\",c=\",;'_\", d='\",\",,\"'",
            &[("a", text("blablub")), ("b", text("bla blub")), ("c", text(",;'_")), ("d", text("\",\",,\""))],
        );
        check(
            " f = 'bla blub, ' ,a=c,,d=b       n,,e='b       n'",
            &[
                ("f", text("bla blub, ")),
                ("a", text("c")),
                ("d", text("b       n")),
                ("e", text("b       n")),
            ],
        );
        check(
            "a=ur=asdad, !b,, pp='1,0', k='abc = 1' ppp = '1 ,0'",
            &[
                ("a", text("ur=asdad")),
                ("b", Written::Off),
                ("pp", text("1,0")),
                ("k", text("'abc = 1' ppp = '1 ,0'")),
            ],
        );
        check("f =,", &[("f", text(""))]);
        check("t,f = v,,,", &[("t", Written::On), ("f", text("v"))]);
        check("a==b", &[("a", text("=b"))]);
        check("=a", &[]);
        check("x='false'", &[("x", Written::Off)]);
        check("del=1, del=1", &[("del", text("1"))]);
    }

    /// Reference policies 2.1: the sentences that have no vector.
    #[test]
    fn rules_without_vector_hold() {
        check("!key=5", &[("!key", text("5"))]);
        check("! key", &[("! key", Written::On)]);
        check("!", &[("!", Written::On)]);
        check("k=FALSE,l=True", &[("k", Written::Off), ("l", text("True"))]);
        check("k=\"\"", &[("k", text(""))]);
        check("k=a \"b\" c", &[("k", text("a \"b\" c"))]);
        check("k=\"a\" b", &[("k", text("\"a\" b"))]);
        check("k=a\\\"b\\\"c", &[("k", text("a\\\"b\\\"c"))]);
        check("*", &[("*", Written::On)]);
        check("", &[]);
        check(",,,", &[]);
        assert!(Items::parse("a, *").unwrap().has_star());
        assert!(!Items::parse("a*").unwrap().has_star());
    }

    #[test]
    fn faults_are_named() {
        for (action, error) in [
            ("delete=\"12 ,  3", ItemsError::OpenQuote('"')),
            ("It's=1", ItemsError::OpenQuote('\'')),
            ("smstext=It's <otp>", ItemsError::OpenQuote('\'')),
            ("a=1,a=2", ItemsError::Contradiction("a".into())),
            ("a, a=true", ItemsError::Contradiction("a".into())),
            ("a, !a", ItemsError::Contradiction("a".into())),
            ("a='b\"c'd\"", ItemsError::OpenQuote('"')),
            ("a=x\"'\"'\"", ItemsError::OpenQuote('\'')),
            ("a=\"'\"x'y'\"z\"'", ItemsError::OpenQuote('\'')),
        ] {
            assert_eq!(Items::parse(action), Err(error), "{action}");
        }
    }

    #[test]
    fn former_names_of_the_selfservice_are_replaced() {
        for (before, after) in [
            (
                "reset, webprovisionGOOGLE, enrollTOTP, webprovisionGOOGLEtime",
                Some("reset, enrollHMAC, enrollTOTP"),
            ),
            (
                "webprovisionGOOGLE, footer_text='a, b', !reset",
                Some("enrollHMAC, footer_text=\"a, b\", reset=false"),
            ),
            ("reset, enrollHMAC", None),
            ("webprovisionGOOGLE='", None),
        ] {
            assert_eq!(with_present_names(before).as_deref(), after, "{before}");
        }
    }

    #[test]
    fn quoted_values_are_read_back() {
        for value in ["plain", "with blank", " outer ", "a,b", "say \"x\"", "it's", "", "a=b"] {
            let action = format!("k={},l", quoted(value));
            assert_eq!(Items::parse(&action).unwrap().get("k"), Some(&text(value)), "{action}");
        }
    }
}
