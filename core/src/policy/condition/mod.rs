//! The conditions of a policy: one file per column, each with its grammar, its vectors and how it is matched
//! (reference policies 2.3 to 2.6).

pub mod client;
pub mod pattern;
pub mod realm;
pub mod time;
pub mod user;

/// How closely a condition matches. Ordered by precedence: the closest wins (reference policies 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Only `*` matched.
    Wildcard,
    /// An expression, a resolver or an attribute matched; only users have this class.
    Pattern,
    /// The thing itself is named.
    Exact,
}

/// An entry without the sign in front of it, and whether there was one. There is no blank between the two.
fn negation(entry: &str) -> (bool, &str) {
    match entry.strip_prefix(['-', '!']) {
        Some(rest) => (true, rest),
        None => (false, entry),
    }
}

/// The trimmed, non-empty entries of a list.
fn entries(list: &str, separator: char) -> impl Iterator<Item = &str> {
    list.split(separator).map(str::trim).filter(|entry| !entry.is_empty())
}
