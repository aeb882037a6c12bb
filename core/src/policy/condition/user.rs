//! The user column (reference policies 2.3).

use super::pattern::{InvalidPattern, Pattern, Search};
use super::{Class, entries, negation};
use crate::decision::Stop;
use crate::policy::query::{Directory, Identity};
use crate::user::UserEntry;

/// Conditions on users, tried in order.
#[derive(Clone, Debug)]
pub struct UserCondition(Vec<Entry>);

/// Why a user column cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUser {
    /// An expression does not compile.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// A resolver condition does not end with the colon.
    #[error("'{0}' is not a resolver condition such as 'resolver:' or 'login.resolver:'")]
    Resolver(Box<str>),
    /// An attribute condition has no attribute.
    #[error("'{0}' names no attribute behind the '#'")]
    NoAttribute(Box<str>),
    /// An attribute condition has several operators.
    #[error("'{0}' has more than one of the operators ==, != and ~=")]
    Operators(Box<str>),
}

#[derive(Clone, Debug)]
struct Entry {
    negated: bool,
    /// The condition without its sign: it may literally be the user.
    text: Box<str>,
    form: Form,
}

/// The form of a condition, decided by the characters it contains.
#[derive(Clone, Debug)]
enum Form {
    Selector(Selector),
    Attribute { selector: Option<Selector>, attribute: Box<str>, test: Test },
}

#[derive(Clone, Debug)]
enum Selector {
    Login(LoginPart),
    Domain { login: LoginPart, realm: Pattern },
    Resolver { login: LoginPart, resolver: Box<str> },
}

#[derive(Clone, Debug)]
enum LoginPart {
    Anybody,
    Like(Pattern),
}

#[derive(Clone, Debug)]
enum Test {
    Present,
    Equals(Box<str>),
    Differs(Box<str>),
    Contains(Search),
}

impl LoginPart {
    fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if text == "*" { Ok(Self::Anybody) } else { Pattern::parse(text, false).map(Self::Like) }
    }

    fn matches(&self, login: &str) -> bool {
        match self {
            Self::Anybody => true,
            Self::Like(pattern) => pattern.matches(login),
        }
    }
}

impl Selector {
    fn parse(text: &str) -> Result<Self, InvalidUser> {
        if let Some((login, realm)) = text.rsplit_once('@') {
            // `*` behind the `@` was an invalid expression; it now means what it looks like.
            let realm = Pattern::parse(realm, true)?;
            return Ok(Self::Domain { login: LoginPart::parse(login)?, realm });
        }
        if text.contains(':') {
            let name = text.strip_suffix(':').filter(|name| !name.contains(':'));
            let name = name.ok_or_else(|| InvalidUser::Resolver(text.into()))?;
            let (login, resolver) = name.rsplit_once('.').unwrap_or(("", name));
            if resolver.is_empty() {
                return Err(InvalidUser::Resolver(text.into()));
            }
            let login = if login.is_empty() { LoginPart::Anybody } else { LoginPart::parse(login)? };
            return Ok(Self::Resolver { login, resolver: resolver.into() });
        }
        Ok(Self::Login(LoginPart::parse(text)?))
    }

    fn matches(&self, who: &Identity<'_>, directory: &mut dyn Directory) -> Result<bool, Stop> {
        Ok(match self {
            Self::Login(login) => login.matches(who.login),
            Self::Domain { login, realm } => {
                who.realm.is_some_and(|name| realm.matches(name)) && login.matches(who.login)
            }
            Self::Resolver { login, resolver } => {
                login.matches(who.login) && who.in_resolver(resolver, directory)?
            }
        })
    }
}

impl Form {
    fn parse(text: &str) -> Result<Self, InvalidUser> {
        let Some((selector, rest)) = text.split_once('#') else {
            return Selector::parse(text).map(Self::Selector);
        };
        let selector = selector.trim();
        let selector = if selector.is_empty() { None } else { Some(Selector::parse(selector)?) };
        let (attribute, test) = attribute_test(rest, text)?;
        Ok(Self::Attribute { selector, attribute, test })
    }

    fn matches(&self, who: &Identity<'_>, directory: &mut dyn Directory) -> Result<bool, Stop> {
        let (selector, attribute, test) = match self {
            Self::Selector(selector) => return selector.matches(who, directory),
            Self::Attribute { selector, attribute, test } => (selector, attribute, test),
        };
        if let Some(selector) = selector
            && !selector.matches(who, directory)?
        {
            return Ok(false);
        }
        let elsewhere = match selector {
            Some(Selector::Resolver { resolver, .. }) => Some(&**resolver),
            Some(Selector::Login(_) | Selector::Domain { .. }) | None => None,
        };
        who.with_entry(elsewhere, directory, |entry| test.holds(entry, attribute))
    }
}

fn attribute_test(rest: &str, condition: &str) -> Result<(Box<str>, Test), InvalidUser> {
    let operators: Vec<(usize, &str)> =
        ["==", "!=", "~="].into_iter().flat_map(|operator| rest.match_indices(operator)).collect();
    let (attribute, test) = match operators[..] {
        [] => (rest.trim(), Test::Present),
        [(at, operator)] => {
            let (attribute, value) = rest.split_at_checked(at).unwrap_or_default();
            let value = value.strip_prefix(operator).unwrap_or_default().trim();
            let test = match operator {
                "==" => Test::Equals(value.into()),
                "!=" => Test::Differs(value.into()),
                _ => Test::Contains(Search::parse(value)?),
            };
            (attribute.trim(), test)
        }
        _ => return Err(InvalidUser::Operators(condition.into())),
    };
    if attribute.is_empty() {
        return Err(InvalidUser::NoAttribute(condition.into()));
    }
    Ok((attribute.into(), test))
}

impl Test {
    fn holds(&self, entry: &UserEntry, attribute: &str) -> bool {
        let value = entry.attributes.get(attribute).map(|value| value.trim());
        match self {
            Self::Present => value.is_some(),
            Self::Equals(wanted) => value == Some(wanted),
            Self::Differs(unwanted) => value != Some(unwanted),
            Self::Contains(search) => value.is_some_and(|value| !value.is_empty() && search.is_in(value)),
        }
    }
}

impl UserCondition {
    /// Parses the column; an empty one matches nobody.
    ///
    /// # Errors
    /// [`InvalidUser`].
    pub fn parse(text: &str) -> Result<Self, InvalidUser> {
        let parse = |entry: &str| {
            let (negated, text) = negation(entry);
            Ok(Entry { negated, text: text.into(), form: Form::parse(text)? })
        };
        entries(text, ',').map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// How the condition matches a user. An excluded user is rejected at once, whatever else matches.
    ///
    /// # Errors
    /// To ask a user store; one that does not answer makes the condition false.
    pub fn class(&self, who: &Identity<'_>, directory: &mut dyn Directory) -> Result<Option<Class>, Stop> {
        let mut best = None;
        for entry in &self.0 {
            // What could not change the result any more need not be worked out.
            if !entry.negated && best == Some(Class::Exact) {
                continue;
            }
            if !entry.form.matches(who, directory)? {
                continue;
            }
            if entry.negated {
                return Ok(None);
            }
            best = best.max(Some(entry.class(who)));
        }
        Ok(best)
    }
}

impl Entry {
    /// The class of a condition that matches.
    fn class(&self, who: &Identity<'_>) -> Class {
        if who.is_named_by(&self.text) {
            return Class::Exact;
        }
        match self.form {
            Form::Selector(Selector::Login(LoginPart::Anybody)) => Class::Wildcard,
            Form::Selector(_) | Form::Attribute { .. } => Class::Pattern,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::sample::{People, identity};

    #[track_caller]
    fn check(text: &str, who: &Identity<'_>, expected: Option<Class>) {
        let condition = UserCondition::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let class = condition.class(who, &mut People::of_the_reference()).unwrap();
        assert_eq!(class, expected, "{text} on {}", who.login);
    }

    const EXACT: Option<Class> = Some(Class::Exact);
    const PATTERN: Option<Class> = Some(Class::Pattern);
    const WILDCARD: Option<Class> = Some(Class::Wildcard);

    /// Reference policies 12.2.
    #[test]
    fn vectors_of_the_reference_hold() {
        let hans = identity("hans", "r1", "res1");
        for (text, expected) in [
            ("*", WILDCARD),
            ("hans", EXACT),
            ("*, hans", EXACT),
            ("hans, *", EXACT),
            ("Hans", None),
            ("han*", PATTERN),
            ("h.*", PATTERN),
            ("h.ns", PATTERN),
            ("hans$", PATTERN),
            ("*, han*", PATTERN),
            ("hans@r1", EXACT),
            ("hans@R1", PATTERN),
            ("*@r1", PATTERN),
            ("*@r.*", PATTERN),
            ("*@.*", PATTERN),
            ("*@*", PATTERN),
            ("*@r2", None),
            ("-hans", None),
            ("*, -hans", None),
            ("-hans, *", None),
            ("hans, !*@r1", None),
            ("!*@r2, *", WILDCARD),
            ("hans.res1:", EXACT),
            ("res1:", PATTERN),
            ("*.res1:", PATTERN),
            ("res2:", None),
            ("nores:", None),
            ("#mobile", PATTERN),
            ("#email", PATTERN),
            ("#fax", None),
            ("#department == sales", PATTERN),
            (r"*@r1#mobile ~= ^\+49", PATTERN),
            ("*@r1#fax != 5", PATTERN),
            ("*@r1#mobile == 5", None),
            ("*, !#mobile ~= 170", None),
            ("", None),
            (" , ,", None),
        ] {
            check(text, &hans, expected);
        }
        let without_resolver = Identity { resolver: None, ..hans };
        check("hans.res1:", &without_resolver, PATTERN);
    }

    /// Reference policies 2.3: the sentences that have no vector.
    #[test]
    fn rules_without_vector_hold() {
        let hans = identity("hans", "r1", "res1");
        for (text, expected) in [
            ("- hans, *", WILDCARD),
            ("res1:#mobile", PATTERN),
            ("hans.res1:#mobile ~= 170", PATTERN),
            ("eva.res1:#mobile", None),
            ("res2:#mobile", None),
            ("eva#mobile", None),
            ("eva#fax != 5", None),
            ("#email ~= .*", None),
            ("#mobile == +49 170 1234", PATTERN),
            ("#department != sales", None),
            ("Res1:", None),
            ("hans@*", PATTERN),
            ("HANS@r1", None),
        ] {
            check(text, &hans, expected);
        }
        let mail = identity("a@b.c", "r1", "res1");
        check("a@b.c", &mail, None);
        check("a@b.c@r1", &mail, EXACT);
        check("*", &mail, WILDCARD);
        let odd = identity("a+b", "r1", "res1");
        check("a+b", &odd, EXACT);
        let nobody = Identity { login: "", realm: None, resolver: None, entry: None };
        check("*", &nobody, WILDCARD);
        check("*@.*", &nobody, None);
        check("#mobile", &nobody, None);
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        for text in ["han[s", "a@(", "res1:x", "a:b:", ":", "#", "# == 5", "#a == 1 != 2", "#a ~= ("] {
            assert!(UserCondition::parse(text).is_err(), "{text}");
        }
    }
}
