//! The filters of the token list.

use std::collections::{BTreeMap, BTreeSet};

use super::Candidate;
use super::owners::{Entries, entries};
use crate::decide::Context;
use crate::decide::selection::matches_folded;
use crate::decide::user::{Identified, KnownUser, UserParams, identify, tokens_of};
use crate::decision::Stop;
use crate::record::TokenV1;
use crate::user::{Owner, RealmName, Serial};

/// Shown as the login of an owner nobody knows any more; also a value of the owner filter.
pub(super) const NO_USER_INFO: &str = "/:no user info:/";

/// The realm filter: any of its parts has to fit.
pub(super) struct Realms(Option<Vec<RealmPart>>);

enum RealmPart {
    None,
    Pattern(String),
}

impl Realms {
    pub(super) fn parse(text: Option<&str>) -> Self {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty() && *text != "*") else {
            return Self(None);
        };
        let part = |part: &str| match part.trim() {
            "/:no realm:/" | "''" | "\"\"" => RealmPart::None,
            name => RealmPart::Pattern(name.to_lowercase()),
        };
        Self(Some(text.split(',').map(part).collect()))
    }

    pub(super) fn passes(&self, token: &TokenV1) -> bool {
        let Some(parts) = &self.0 else { return true };
        parts.iter().any(|part| match part {
            RealmPart::None => token.realms.is_empty(),
            RealmPart::Pattern(pattern) => {
                token.realms.iter().any(|realm| shell_match(pattern, realm.as_str()))
            }
        })
    }
}

/// Shell-style pattern: `*` any sequence, `?` any one character.
fn shell_match(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on after the last `*` if what follows it does not fit here.
    let mut retry = None;
    loop {
        let before = pattern.clone();
        match (pattern.next(), text.clone().next()) {
            (Some('*'), _) => retry = Some((pattern.clone(), text.clone())),
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == '?' || wanted == given => {
                text.next();
            }
            (Some(_) | None, _) => {
                drop(before);
                let Some((after_star, mut skipped)) = retry.take() else { return false };
                if skipped.next().is_none() {
                    return false;
                }
                pattern = after_star.clone();
                text = skipped.clone();
                retry = Some((after_star, skipped));
            }
        }
    }
}

/// The text filter.
pub(super) enum Text {
    Any,
    Active(bool),
    /// Lower case, searched in several fields.
    Part(String),
}

impl Text {
    pub(super) fn parse(text: Option<&str>) -> Self {
        match text {
            None => Self::Any,
            Some("/:active:/" | "/:enabled:/" | "/:token is active:/" | "/:token is enabled:/") => {
                Self::Active(true)
            }
            Some("/:inactive:/" | "/:disabled:/" | "/:token is inactive:/" | "/:token is disabled:/") => {
                Self::Active(false)
            }
            Some(text) => Self::Part(text.to_lowercase()),
        }
    }

    pub(super) fn passes(&self, serial: &Serial, token: &TokenV1) -> bool {
        let part = match self {
            Self::Any => return true,
            Self::Active(active) => return token.active == *active,
            Self::Part(part) => part,
        };
        let owner = token.owner.as_ref();
        contains_folded(&token.description, part)
            || contains_folded(serial.as_str(), part)
            || contains_folded(token.token_type.stored_name(), part)
            || owner.is_some_and(|owner| {
                contains_folded(owner.resolver.as_str(), part)
                    || contains_folded(owner.user_id.as_str(), part)
            })
    }
}

/// Whether a text contains another one, given in lower case, without regard to case.
fn contains_folded(text: &str, part: &str) -> bool {
    if !text.is_ascii() {
        return text.to_lowercase().contains(part);
    }
    let (text, part) = (text.as_bytes(), part.as_bytes());
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// The owner filter.
pub(super) enum Owners {
    Any,
    Unassigned,
    /// The tokens of one user.
    Listed(Vec<Serial>),
    /// Login names, with `*`.
    Pattern(String),
}

impl Owners {
    pub(super) fn parse(cx: &mut Context<'_>, params: &UserParams) -> Result<Self, Stop> {
        let user = params.user.trim();
        Ok(match user {
            "" => Self::Any,
            "/:no user:/" | "/:none:/" | "''" | "\"\"" => Self::Unassigned,
            _ if user.contains('*') || user == NO_USER_INFO => Self::Pattern(user.to_owned()),
            _ => Self::Listed(tokens_of_all(cx, params)?),
        })
    }

    pub(super) fn serials(&self) -> Option<&[Serial]> {
        match self {
            Self::Listed(serials) => Some(serials),
            Self::Any | Self::Unassigned | Self::Pattern(_) => None,
        }
    }

    /// What can be said without knowing the owner's name.
    pub(super) const fn may_pass(&self, token: &TokenV1) -> bool {
        match self {
            Self::Any | Self::Listed(_) => true,
            Self::Unassigned => token.owner.is_none(),
            Self::Pattern(_) => token.owner.is_some(),
        }
    }

    /// Keeps the tokens whose owner's name fits. This needs every owner, not only those of a page.
    pub(super) fn narrow(&self, cx: &mut Context<'_>, found: &mut Vec<Candidate>) -> Result<(), Stop> {
        let Self::Pattern(pattern) = self else { return Ok(()) };
        let owners: BTreeSet<Owner> =
            found.iter().filter_map(|candidate| candidate.token.owner.clone()).collect();
        let names: Entries = entries(cx, owners)?;
        let fits: BTreeMap<&Owner, bool> = names
            .iter()
            .map(|(owner, entry)| {
                let name = entry.as_ref().map_or(NO_USER_INFO, |entry| &entry.login);
                (owner, matches_folded(pattern, name))
            })
            .collect();
        let keep = |candidate: &Candidate| {
            candidate.token.owner.as_ref().is_some_and(|owner| fits.get(owner).is_some_and(|fits| *fits))
        };
        found.retain(keep);
        Ok(())
    }
}

/// The tokens of a user in one realm, or in all realms with `realm=*`; nothing for an unknown user.
fn tokens_of_all(cx: &mut Context<'_>, params: &UserParams) -> Result<Vec<Serial>, Stop> {
    if params.realm() != Some("*") {
        return match identify(cx, params)?.known()? {
            Some(user) => tokens_of(cx, &user),
            None => Ok(Vec::new()),
        };
    }
    let configuration = cx.view.configuration();
    let mut users: Vec<KnownUser> = Vec::new();
    for realm in configuration.realms.keys().map(RealmName::as_str) {
        let params = UserParams { realm: Some(realm.to_owned()), ..params.clone() };
        if let Identified::Known(user) = identify(cx, &params)? {
            users.push(user);
        }
    }
    let mut serials = BTreeSet::new();
    for user in &users {
        serials.extend(tokens_of(cx, user)?);
    }
    Ok(serials.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_patterns_know_star_and_question_mark() {
        let table = [
            ("my*", "myrealm", true),
            ("my*", "mine", false),
            ("*", "", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*d", "abcbd", true),
            ("*b*d", "abcb", false),
            ("a*a", "a", false),
            ("realm", "realm2", false),
            ("**a", "ba", true),
        ];
        for (pattern, text, matches) in table {
            assert_eq!(shell_match(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn text_search_ignores_case_also_beyond_ascii() {
        for (text, part, contains) in [
            ("Büro ÄRGER", "ärger", true),
            ("My Token", "token", true),
            ("My Token", "tokens", false),
            ("", "x", false),
            ("x", "", true),
        ] {
            assert_eq!(contains_folded(text, part), contains, "{text} {part}");
        }
    }
}
