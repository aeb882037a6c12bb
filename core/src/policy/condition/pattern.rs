//! Expressions in user conditions (reference policies 2.3 and D16).
//!
//! `*` stands for any sequence, everything else is a regular expression in an engine whose time is linear in the text: no
//! look-around, no back-references. Most conditions in practice are plain names or names with `*` and need no engine.

use regex::{Regex, RegexBuilder};

/// The most memory one expression may take, so that a policy set cannot fill a node.
const EXPRESSION_BYTES_MAX: usize = 256 * 1024;

/// An expression that does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{expression}' is not a usable regular expression: {problem}")]
pub struct InvalidPattern {
    expression: Box<str>,
    problem: Box<str>,
}

/// What a text has to match as a whole.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// The text itself always matches, whatever its characters mean in an expression.
    literal: Box<str>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Literal,
    /// What stands between the `*`.
    Pieces(Vec<Box<str>>),
    Expression(Regex),
}

impl Pattern {
    /// Compiles a pattern; `folded` patterns and the texts they are compared with are in lower case.
    ///
    /// # Errors
    /// [`InvalidPattern`].
    pub fn parse(text: &str, folded: bool) -> Result<Self, InvalidPattern> {
        let literal: Box<str> = if folded { text.to_lowercase().into() } else { text.into() };
        let form = if text.contains(['.', '+', '?', '(', ')', '[', ']', '{', '}', '|', '^', '$', '\\']) {
            Form::Expression(compile(&format!(r"\A(?:{})\z", expand_stars(text)), folded, text)?)
        } else if text.contains('*') {
            Form::Pieces(literal.split('*').map(Box::from).collect())
        } else {
            Form::Literal
        };
        Ok(Self { literal, form })
    }

    /// Whether the whole text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        if *self.literal == *text {
            return true;
        }
        match &self.form {
            Form::Literal => false,
            Form::Pieces(pieces) => contains_in_order(pieces, text),
            Form::Expression(expression) => expression.is_match(text),
        }
    }
}

/// An expression that is looked for anywhere in a text.
#[derive(Clone, Debug)]
pub struct Search(Regex);

impl Search {
    /// Compiles the expression; `*` has the meaning it has in expressions.
    ///
    /// # Errors
    /// [`InvalidPattern`].
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        compile(text, false, text).map(Self)
    }

    /// Whether the expression is found.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

fn compile(expression: &str, folded: bool, shown: &str) -> Result<Regex, InvalidPattern> {
    RegexBuilder::new(expression)
        .case_insensitive(folded)
        .size_limit(EXPRESSION_BYTES_MAX)
        .dfa_size_limit(EXPRESSION_BYTES_MAX)
        .build()
        .map_err(|error| InvalidPattern { expression: shown.into(), problem: last_line(&error.to_string()) })
}

/// The engine draws a picture of the expression; its last line says what is wrong.
fn last_line(message: &str) -> Box<str> {
    let line = message.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it does not compile");
    line.trim().trim_start_matches("error: ").into()
}

/// `*` becomes `.*`, an existing `.*` stays.
fn expand_stars(text: &str) -> String {
    let mut expanded = String::with_capacity(text.len() + 4);
    for c in text.chars() {
        if c == '*' && !expanded.ends_with('.') {
            expanded.push('.');
        }
        expanded.push(c);
    }
    expanded
}

/// Whether a text consists of the pieces in their order with anything between them, beginning with the first and ending
/// with the last.
fn contains_in_order(pieces: &[Box<str>], text: &str) -> bool {
    let [first, middle @ .., last] = pieces else { return false };
    let Some(mut rest) = text.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last)) else {
        return false;
    };
    for piece in middle {
        match rest.find(&**piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_texts_are_matched() {
        for (pattern, text, folded, expected) in [
            ("hans", "hans", false, true),
            ("hans", "Hans", false, false),
            ("hans", "hansi", false, false),
            ("han*", "hans", false, true),
            ("han*", "han", false, true),
            ("*ans", "hans", false, true),
            ("h*n*s", "hans", false, true),
            ("h*n*s", "hsn", false, false),
            ("a*a", "a", false, false),
            ("h.*", "hans", false, true),
            ("h.ns", "hans", false, true),
            ("hans$", "hans", false, true),
            ("h.", "hans", false, false),
            ("a+b", "a+b", false, true),
            ("a+b", "aab", false, true),
            ("a+b", "abb", false, false),
            ("hans|eva", "eva", false, true),
            ("hans|eva", "hansi", false, false),
            ("(ab)*", "abxyz", false, true),
            ("R1", "r1", true, true),
            ("R.*", "r1", true, true),
            ("R*", "r1", true, true),
            ("ü*", "über", false, true),
        ] {
            assert_eq!(
                Pattern::parse(pattern, folded).unwrap().matches(text),
                expected,
                "{pattern} on {text}"
            );
        }
    }

    #[test]
    fn what_the_engine_cannot_do_is_refused() {
        for expression in ["han[s", "(a", "a(?=b)", r"(a)\1", "[a-", "a{1000000}"] {
            let error = Pattern::parse(expression, false).unwrap_err();
            assert!(error.to_string().contains(expression), "{error}");
        }
        assert!(Search::parse("*").is_err());
    }

    #[test]
    fn searches_are_not_anchored() {
        assert!(Search::parse("170").unwrap().is_in("+49 170 1"));
        assert!(Search::parse(r"^\+49").unwrap().is_in("+49 170 1"));
        assert!(!Search::parse("^49").unwrap().is_in("+49 170 1"));
    }
}
