//! The realm column (reference policies 2.4).

use super::{Class, entries, negation};

/// Realm names, compared literally and without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RealmCondition {
    everywhere: bool,
    /// Folded names; `true` for those that are excluded.
    names: Vec<(bool, Box<str>)>,
    /// All entries as they are written, folded, signs included.
    written: Vec<Box<str>>,
}

impl RealmCondition {
    /// Parses the column; no text is wrong, though an empty one matches nothing.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut condition = Self::default();
        for entry in entries(text, ',') {
            let folded = entry.to_lowercase();
            let (negated, name) = negation(&folded);
            condition.everywhere |= folded == "*";
            condition.names.push((negated, name.into()));
            condition.written.push(folded.into());
        }
        condition
    }

    /// How the condition matches a realm, given in lower case. A `*` in the list matches before anything is excluded.
    #[must_use]
    pub fn class(&self, realm: &str) -> Option<Class> {
        if self.everywhere {
            return Some(Class::Wildcard);
        }
        let mut class = None;
        for (negated, name) in &self.names {
            if **name != *realm {
                continue;
            }
            if *negated {
                return None;
            }
            class = Some(Class::Exact);
        }
        class
    }

    /// The entries literally: an administrator's realms are the union of these lists (reference policies 5.3).
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(|entry| &**entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference policies 12.3 and the sentences of 2.4.
    #[test]
    fn vectors_of_the_reference_hold() {
        for (text, realm, expected) in [
            ("R1", "r1", Some(Class::Exact)),
            ("r1,r2", "r2", Some(Class::Exact)),
            ("*, -r1", "r1", Some(Class::Wildcard)),
            ("-r1, *", "r1", Some(Class::Wildcard)),
            ("r1, *", "r1", Some(Class::Wildcard)),
            ("-r1", "r2", None),
            ("!r1, r2", "r2", Some(Class::Exact)),
            ("r1, -r1", "r1", None),
            ("-r1, r1", "r1", None),
            ("r*", "r1", None),
            ("r2, - r2", "r2", Some(Class::Exact)),
            ("", "r1", None),
            (" , ,", "r1", None),
            ("r1", "r2", None),
            ("*", "/:no realm:/", Some(Class::Wildcard)),
            ("r1", "/:no realm:/", None),
        ] {
            assert_eq!(RealmCondition::parse(text).class(realm), expected, "{text} on {realm}");
        }
    }

    #[test]
    fn entries_are_kept_with_their_signs() {
        let condition = RealmCondition::parse("R1, -r2,, *");
        assert_eq!(condition.written().collect::<Vec<_>>(), ["r1", "-r2", "*"]);
    }
}
