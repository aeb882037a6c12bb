//! Asking resolvers for users. The local administrators are answered from the state, everybody else by the outside world.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Context;
use super::resolver::is_local_admins;
use crate::decision::{Defect, Stop};
use crate::facts::{Answer, Question, ResolverRef, SearchTerm};
use crate::record::{IndexKey, Key};
use crate::user::{AdminLogin, Owner, ResolverSpec, UserEntry, UserId};

/// Asking a resolver for one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It exists.
    Entry(Arc<UserEntry>),
    /// The resolver does not know it.
    Absent,
    /// The resolver did not answer or is not defined; noted in the audit row.
    Unavailable,
}

/// Asks one resolver for the user with this login. A resolver that cannot answer is noted in the audit row and
/// otherwise passed over (users 9).
///
/// # Errors
/// To ask; a defect if the answer is of the wrong kind.
pub fn user_by_login(cx: &mut Context<'_>, spec: &ResolverSpec, login: &str) -> Result<Found, Stop> {
    if is_local_admins(spec) {
        return Ok(local_admin(cx, login));
    }
    let Some(resolver) = resolver_ref(cx, spec) else { return Ok(unavailable(cx, spec)) };
    ask_user(cx, spec, Question::UserByLogin { resolver, login: login.to_owned() })
}

/// Asks the resolver of an owner for the user with its id.
///
/// # Errors
/// As [`user_by_login`].
pub fn user_by_id(cx: &mut Context<'_>, owner: &Owner) -> Result<Found, Stop> {
    if is_local_admins(&owner.resolver) {
        return Ok(local_admin(cx, owner.user_id.as_str()));
    }
    let Some(resolver) = resolver_ref(cx, &owner.resolver) else {
        return Ok(unavailable(cx, &owner.resolver));
    };
    ask_user(cx, &owner.resolver, Question::UserById { resolver, user_id: owner.user_id.clone() })
}

/// All users of a resolver that match all terms; `None` if the resolver did not answer (noted in the audit row).
///
/// # Errors
/// As [`user_by_login`].
pub fn search_users(
    cx: &mut Context<'_>,
    spec: &ResolverSpec,
    terms: &[SearchTerm],
) -> Result<Option<Vec<Arc<UserEntry>>>, Stop> {
    if is_local_admins(spec) {
        return Ok(Some(search_local_admins(cx, terms)));
    }
    let Some(resolver) = resolver_ref(cx, spec) else {
        unavailable(cx, spec);
        return Ok(None);
    };
    match cx.ask(Question::SearchUsers { resolver, terms: terms.to_vec() })? {
        Answer::Users(users) => Ok(Some(users.clone())),
        Answer::Unavailable(_) => {
            unavailable(cx, spec);
            Ok(None)
        }
        Answer::User(_)
        | Answer::Verdict(_)
        | Answer::Loaded
        | Answer::Hash(_)
        | Answer::Yubico { .. }
        | Answer::Remote(_) => Err(Stop::Defect(Defect::Answer("a list of users"))),
    }
}

fn ask_user(cx: &mut Context<'_>, spec: &ResolverSpec, question: Question) -> Result<Found, Stop> {
    match cx.ask(question)? {
        Answer::User(Some(entry)) => Ok(Found::Entry(entry.clone())),
        Answer::User(None) => Ok(Found::Absent),
        Answer::Unavailable(_) => Ok(unavailable(cx, spec)),
        Answer::Users(_)
        | Answer::Verdict(_)
        | Answer::Loaded
        | Answer::Hash(_)
        | Answer::Yubico { .. }
        | Answer::Remote(_) => Err(Stop::Defect(Defect::Answer("a user"))),
    }
}

/// The addressed resolver with its stored definition.
pub(crate) fn resolver_ref(cx: &mut Context<'_>, spec: &ResolverSpec) -> Option<ResolverRef> {
    cx.view.configuration().sources.get(spec).cloned()
}

fn unavailable(cx: &mut Context<'_>, spec: &ResolverSpec) -> Found {
    let sentence = format!("Failed to connect to:{spec}, ");
    if !cx.audit.action_detail.contains(&sentence) {
        cx.audit.action_detail = format!("{}{sentence}", cx.audit.action_detail).into();
    }
    Found::Unavailable
}

/// The local administrators are records, not an outside user store.
fn local_admin(cx: &mut Context<'_>, login: &str) -> Found {
    let login = AdminLogin::from(login);
    match cx.view.get(&Key::Admin(login.clone())) {
        Some(_) => Found::Entry(admin_entry(&login)),
        None => Found::Absent,
    }
}

fn admin_entry(login: &AdminLogin) -> Arc<UserEntry> {
    let mut attributes = BTreeMap::new();
    for field in ["description", "email", "givenname", "mobile", "phone", "surname"] {
        attributes.insert(field.to_owned(), String::new());
    }
    attributes.insert("username".to_owned(), login.as_str().to_owned());
    attributes.insert("userid".to_owned(), login.as_str().to_owned());
    Arc::new(UserEntry {
        user_id: UserId::from(login.as_str()),
        login: login.as_str().to_owned(),
        attributes,
    })
}

fn search_local_admins(cx: &mut Context<'_>, terms: &[SearchTerm]) -> Vec<Arc<UserEntry>> {
    let mut users = Vec::new();
    for key in cx.view.index(&IndexKey::Admins) {
        let Key::Admin(login) = key else { continue };
        let entry = admin_entry(&login);
        if terms.iter().all(|term| admin_matches(&entry, term)) {
            users.push(entry);
        }
    }
    users
}

fn admin_matches(entry: &UserEntry, term: &SearchTerm) -> bool {
    let matches = |value: &String| super::selection::matches_folded(&term.pattern, value);
    if term.field == "searchTerm" {
        return entry.attributes.values().any(matches);
    }
    entry.attributes.get(&term.field).is_none_or(matches)
}
