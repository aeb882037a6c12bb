//! Search patterns of the passwd resolver (reference users-and-providers 10.3).

/// A text pattern: `*` at the start, at the end or both stands for anything; elsewhere it is an ordinary
/// character, as are `%` and `_`. Upper and lower case are the same.
#[derive(Debug)]
pub(super) struct TextPattern {
    /// Lower-case text between the wildcards.
    text: String,
    open_start: bool,
    open_end: bool,
}

impl TextPattern {
    pub(super) fn parse(pattern: &str) -> Self {
        let (pattern, open_start) = match pattern.strip_prefix('*') {
            Some(rest) => (rest, true),
            None => (pattern, false),
        };
        let (pattern, open_end) = match pattern.strip_suffix('*') {
            Some(rest) => (rest, true),
            None => (pattern, false),
        };
        Self { text: pattern.to_lowercase(), open_start, open_end }
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        let value = value.to_lowercase();
        match (self.open_start, self.open_end) {
            (true, true) => value.contains(&self.text),
            (true, false) => value.ends_with(&self.text),
            (false, true) => value.starts_with(&self.text),
            (false, false) => value == self.text,
        }
    }
}

/// A condition on a numeric user id: `>=`, `<=`, `>`, `<` or `=` and a number, `between a,b` (both included, in
/// either order), a bare number (as `=`), or `*` for any.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NumberPattern {
    Any,
    AtLeast(i64),
    AtMost(i64),
    Above(i64),
    Below(i64),
    Equal(i64),
    Between(i64, i64),
}

impl NumberPattern {
    /// Reads a pattern; `None` when it is no condition on a number, which then matches nobody.
    pub(super) fn parse(pattern: &str) -> Option<Self> {
        let pattern = pattern.trim();
        if pattern == "*" {
            return Some(Self::Any);
        }
        if let Some(bounds) = pattern.strip_prefix("between") {
            let (one, other) = bounds.split_once(',')?;
            let (one, other) = (number(one)?, number(other)?);
            return Some(Self::Between(one.min(other), one.max(other)));
        }
        // The two-character operators come first, so that `<=` is not taken for `<`.
        let operators: [(&str, Condition); 5] = [
            (">=", Self::AtLeast),
            ("<=", Self::AtMost),
            (">", Self::Above),
            ("<", Self::Below),
            ("=", Self::Equal),
        ];
        for (operator, condition) in operators {
            if let Some(operand) = pattern.strip_prefix(operator) {
                return number(operand).map(condition);
            }
        }
        number(pattern).map(Self::Equal)
    }

    /// A user id that is no number matches only [`NumberPattern::Any`].
    pub(super) fn matches(&self, value: &str) -> bool {
        let value = number(value);
        match *self {
            Self::Any => true,
            Self::AtLeast(bound) => value.is_some_and(|value| value >= bound),
            Self::AtMost(bound) => value.is_some_and(|value| value <= bound),
            Self::Above(bound) => value.is_some_and(|value| value > bound),
            Self::Below(bound) => value.is_some_and(|value| value < bound),
            Self::Equal(bound) => value == Some(bound),
            Self::Between(low, high) => value.is_some_and(|value| (low..=high).contains(&value)),
        }
    }
}

/// Makes a condition of its operand.
type Condition = fn(i64) -> NumberPattern;

fn number(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_patterns_follow_the_table() {
        for (pattern, value, expected) in [
            ("alice", "alice", true),
            ("ALICE", "alice", true),
            ("ärger", "ÄRGER", true),
            ("alice", "alice2", false),
            ("al*", "alice", true),
            ("al*", "malice", false),
            ("*ice", "alice", true),
            ("*ice", "alices", false),
            ("*lic*", "alice", true),
            ("*", "alice", true),
            ("*", "", true),
            ("**", "alice", true),
            ("", "", true),
            ("", "alice", false),
            // In the middle the star is a character like any other.
            ("a*e", "alice", false),
            ("a*e", "a*e", true),
            // Wildcards of SQL mean nothing here.
            ("a%", "alice", false),
            ("a_ice", "alice", false),
            ("al.ce", "alice", false),
        ] {
            assert_eq!(TextPattern::parse(pattern).matches(value), expected, "{pattern:?} on {value:?}");
        }
    }

    #[test]
    fn number_patterns_follow_the_table() {
        for (pattern, value, expected) in [
            (">=1000", "1000", true),
            (">=1000", "999", false),
            // The original treats this as `<`.
            ("<=1000", "1000", true),
            ("<=1000", "1001", false),
            (">1000", "1001", true),
            (">1000", "1000", false),
            ("<1000", "999", true),
            ("<1000", "1000", false),
            ("=1000", "1000", true),
            ("=1000", "1001", false),
            ("= 1000 ", "1000", true),
            // The original fails on a bare number.
            ("1000", "1000", true),
            ("1000", "10000", false),
            ("between 1000,1002", "1000", true),
            ("between 1000, 1002", "1002", true),
            ("between 1002,1000", "1001", true),
            ("between 1000,1002", "999", false),
            ("between 1000,1002", "1003", false),
            ("*", "1000", true),
            ("*", "s-1-5", true),
            (">=0", "s-1-5", false),
        ] {
            assert_eq!(
                NumberPattern::parse(pattern).unwrap().matches(value),
                expected,
                "{pattern:?} on {value:?}"
            );
        }
    }

    #[test]
    fn what_is_no_condition_on_a_number_is_refused() {
        for pattern in [
            "",
            "alice",
            "10*",
            ">",
            "=>5",
            "between 5",
            "between 5,",
            "between 1,2,3",
            "99999999999999999999",
        ] {
            assert_eq!(NumberPattern::parse(pattern), None, "{pattern:?}");
        }
    }
}
