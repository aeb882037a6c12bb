//! The names behind owners, asked for as few times as possible.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::decide::Context;
use crate::decide::user::{Found, search_users, user_by_id};
use crate::decision::Stop;
use crate::user::{Owner, ResolverSpec, UserEntry};

/// Up to this many users of a resolver are asked for one by one; more of them by listing the resolver once. Every
/// question makes the decision start again.
const SINGLE_QUESTIONS_MAX: usize = 4;

/// What the resolvers say about owners; `None` for those that cannot be resolved.
pub(super) type Entries = BTreeMap<Owner, Option<Arc<UserEntry>>>;

/// Looks up all these owners.
pub(super) fn entries(cx: &mut Context<'_>, owners: BTreeSet<Owner>) -> Result<Entries, Stop> {
    let mut by_resolver: BTreeMap<ResolverSpec, Vec<Owner>> = BTreeMap::new();
    for owner in owners {
        by_resolver.entry(owner.resolver.clone()).or_default().push(owner);
    }
    let mut found = Entries::new();
    for (spec, owners) in by_resolver {
        if owners.len() > SINGLE_QUESTIONS_MAX {
            list(cx, &spec, owners, &mut found)?;
        } else {
            for owner in owners {
                let entry = match user_by_id(cx, &owner)? {
                    Found::Entry(entry) => Some(entry),
                    Found::Absent | Found::Unavailable => None,
                };
                found.insert(owner, entry);
            }
        }
    }
    Ok(found)
}

fn list(
    cx: &mut Context<'_>,
    spec: &ResolverSpec,
    owners: Vec<Owner>,
    found: &mut Entries,
) -> Result<(), Stop> {
    let users = search_users(cx, spec, &[])?.unwrap_or_default();
    let by_id: BTreeMap<_, _> = users.into_iter().map(|entry| (entry.user_id.clone(), entry)).collect();
    for owner in owners {
        let entry = by_id.get(&owner.user_id).cloned();
        found.insert(owner, entry);
    }
    Ok(())
}
