//! Which tokens a request is about (reference http-api 6.2).

use std::ops::ControlFlow;

use super::Context;
use super::user::{Identified, UserParams, identify, tokens_of};
use crate::decision::Stop;
use crate::record::Key;
use crate::user::Serial;

/// The parameters that select tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// `serial`, possibly with `*`; empty counts as absent.
    pub serial: Option<String>,
    /// The owner.
    pub user: UserParams,
}

/// The tokens a selection stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// Serials of existing tokens; a token selected by serial and by user occurs twice.
    pub serials: Vec<Serial>,
    /// The user of the request.
    pub user: Identified,
}

/// Tells the caller of an operation that counts tokens why the count is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many tokens were changed.
    pub tokens: u32,
    /// Set if the count is 0 and something was asked for.
    pub missing: Option<Missing>,
}

/// What had no tokens; becomes `detail.message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No token with this serial.
    Serial(String),
    /// No tokens for this user.
    User(String),
}

impl Selection {
    /// A single token, or a pattern.
    #[must_use]
    pub fn serial(serial: &str) -> Self {
        Self { serial: Some(serial.to_owned()), ..Self::default() }
    }

    /// The serial parameter, if it was sent and not empty.
    #[must_use]
    pub fn wanted_serial(&self) -> Option<&str> {
        self.serial.as_deref().filter(|serial| !serial.is_empty())
    }

    /// A serial without wild card.
    #[must_use]
    pub fn exact_serial(&self) -> Option<&str> {
        self.wanted_serial().filter(|serial| !serial.contains('*'))
    }

    /// Selects the tokens. Both parameters given: both selections one after the other, the user's tokens limited to the
    /// serial. The tokens are recorded as read, and named in the audit row.
    ///
    /// # Errors
    /// To ask a resolver, or if the login belongs to several users.
    pub fn resolve(&self, cx: &mut Context<'_>) -> Result<Selected, Stop> {
        let user = identify(cx, &self.user)?;
        let known = user.clone().known()?;
        let wanted = self.wanted_serial();
        let mut serials = wanted.map_or_else(Vec::new, |serial| by_serial(cx, serial));
        if let Some(known) = known {
            let owned = tokens_of(cx, &known)?;
            serials.extend(
                owned
                    .into_iter()
                    .filter(|serial| wanted.is_none_or(|pattern| matches_pattern(pattern, serial.as_str()))),
            );
        }
        note_tokens(cx, &serials);
        Ok(Selected { serials, user })
    }

    /// The count to report for a selection that changed this many tokens.
    #[must_use]
    pub fn count(&self, tokens: usize) -> Count {
        let missing = match (tokens, self.wanted_serial(), self.user.user.as_str()) {
            (0, Some(serial), _) => Some(Missing::Serial(serial.to_owned())),
            (0, None, user) if !user.is_empty() => Some(Missing::User(user.to_owned())),
            _ => None,
        };
        Count { tokens: u32::try_from(tokens).unwrap_or(u32::MAX), missing }
    }
}

/// Existing tokens with this serial; `*` stands for any sequence.
fn by_serial(cx: &mut Context<'_>, wanted: &str) -> Vec<Serial> {
    let candidates = if wanted.contains('*') { scan(cx, wanted) } else { vec![Serial::from(wanted)] };
    candidates.into_iter().filter(|serial| cx.view.token(serial).is_some()).collect()
}

/// Candidates for a pattern. Unrecorded; the caller reads each one again through the view.
fn scan(cx: &Context<'_>, pattern: &str) -> Vec<Serial> {
    let prefix = pattern.split('*').next().unwrap_or_default();
    let mut serials = Vec::new();
    cx.view.unrecorded().scan(&Key::Token(Serial::from(prefix)), &mut |key, _| {
        let Key::Token(serial) = key else { return ControlFlow::Break(()) };
        if !serial.as_str().starts_with(prefix) {
            return ControlFlow::Break(());
        }
        if matches_pattern(pattern, serial.as_str()) {
            serials.push(serial.clone());
        }
        ControlFlow::Continue(())
    });
    serials
}

/// Puts the affected tokens and their types into the audit row, joined by blanks and each once.
pub(crate) fn note_tokens(cx: &mut Context<'_>, serials: &[Serial]) {
    let mut names: Vec<&str> = Vec::new();
    let mut types: Vec<&str> = Vec::new();
    for serial in serials {
        if names.contains(&serial.as_str()) {
            continue;
        }
        names.push(serial.as_str());
        if let Some(token) = cx.view.token(serial) {
            let name = token.token_type.stored_name();
            if !types.contains(&name) {
                types.push(name);
            }
        }
        // The column is short; what would be cut off anyway is not collected.
        if names.len() == NOTED_TOKENS_MAX {
            break;
        }
    }
    cx.audit.serial = names.join(" ").into();
    cx.audit.token_type = types.join(" ").into();
}

const NOTED_TOKENS_MAX: usize = 32;

/// Whether a text matches a pattern in which `*` stands for any sequence and everything else for itself.
#[must_use]
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return text.ends_with(piece);
        }
        match text.find(piece) {
            Some(at) => text = text.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

/// As [`matches_pattern`], without regard to case.
#[must_use]
pub fn matches_folded(pattern: &str, text: &str) -> bool {
    matches_pattern(&pattern.to_lowercase(), &text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::super::sample::add_token;
    use super::*;
    use crate::decision::Refusal;
    use crate::test_state::TestState;
    use proptest::prelude::*;

    struct Probe(Selection);

    impl Request for Probe {
        type Reply = Selected;

        fn decide(&self, cx: &mut Context<'_>) -> Result<Selected, Stop> {
            self.0.resolve(cx)
        }
    }

    fn selection(serial: &str, user: &str) -> Selection {
        Selection { serial: Some(serial.to_owned()), user: UserParams::login(user) }
    }

    fn state() -> TestState {
        let mut state = TestState::with_users();
        for (serial, owner) in [
            ("H1", Some(("staff", "u1"))),
            ("H2", Some(("staff", "u1"))),
            ("H3", Some(("staff", "u2"))),
            ("X1", None),
        ] {
            add_token(&mut state, serial, owner, &["corp"]);
        }
        state
    }

    /// Reference http-api 6.2.
    #[test]
    fn tokens_are_selected_by_serial_and_by_user() {
        let table: [(&str, &str, &[&str]); 16] = [
            ("", "", &[]),
            ("H1", "", &["H1"]),
            ("h1", "", &[]),
            ("H9", "", &[]),
            ("H*", "", &["H1", "H2", "H3"]),
            ("*1", "", &["H1", "X1"]),
            ("*", "", &["H1", "H2", "H3", "X1"]),
            ("H1*", "", &["H1"]),
            ("", "alice", &["H1", "H2"]),
            ("", "nobody", &[]),
            ("H1", "alice", &["H1", "H1"]),
            ("H3", "alice", &["H3"]),
            ("X1", "alice", &["X1"]),
            ("H*", "alice", &["H1", "H2", "H3", "H1", "H2"]),
            ("H9", "alice", &[]),
            ("H1", "nobody", &["H1"]),
        ];
        for (serial, user, expected) in table {
            let selected = state().run(&Probe(selection(serial, user))).unwrap();
            let serials: Vec<&str> = selected.serials.iter().map(Serial::as_str).collect();
            assert_eq!(serials, expected, "serial '{serial}' user '{user}'");
        }
    }

    #[test]
    fn an_ambiguous_login_selects_nothing_but_a_refusal() {
        let mut state = state();
        state.add_realm("corp", &["staff", "guests"]);
        state.add_user("guests", "alice", "u9");
        assert_eq!(state.run(&Probe(selection("", "alice"))), Err(Refusal::AmbiguousUser("alice".into())));
        assert!(!state.last_audit().success);
    }

    #[test]
    fn the_audit_row_names_each_token_once() {
        let mut state = state();
        state.run(&Probe(selection("H*", "alice"))).unwrap();
        assert_eq!(&*state.last_audit().serial, "H1 H2 H3");
        assert_eq!(&*state.last_audit().token_type, "HMAC");
        assert_eq!(&*state.last_audit().user, "alice");
    }

    #[test]
    fn an_empty_count_says_what_had_no_tokens() {
        let missing = |serial, user, tokens| selection(serial, user).count(tokens).missing;
        assert_eq!(missing("S", "u", 0), Some(Missing::Serial("S".into())));
        assert_eq!(missing("", "u", 0), Some(Missing::User("u".into())));
        assert_eq!(missing("", "", 0), None);
        assert_eq!(missing("S", "u", 1), None);
    }

    #[test]
    fn star_matches_any_sequence_and_nothing_else_is_special() {
        let table = [
            ("a*c", "abbc", true),
            ("a*c", "ac", true),
            ("a*c", "a", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("*a*", "bab", true),
            ("a*b*c", "a-c-b", false),
            ("a.c", "abc", false),
            ("", "", true),
            ("", "a", false),
            ("ä*", "äö", true),
        ];
        for (pattern, text, matches) in table {
            assert_eq!(matches_pattern(pattern, text), matches, "{pattern} {text}");
        }
        assert!(matches_folded("AL*", "alice"));
    }

    proptest! {
        /// The definition: a text matches if the pattern's pieces can be found in it one after the other.
        #[test]
        fn a_pattern_made_from_a_text_matches_it(pieces in prop::collection::vec("[ab]{0,3}", 1..5), gap in "[abc]{0,4}") {
            let text = pieces.join(&gap);
            let pattern = pieces.join("*");
            prop_assert!(matches_pattern(&pattern, &text));
            prop_assert!(matches_pattern("*", &text));
            let longer = format!("{text}d");
            prop_assert!(!matches_pattern(&pattern, &longer) || pattern.ends_with('*'));
        }
    }
}
