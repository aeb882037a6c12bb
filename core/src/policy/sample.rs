//! Users for the tests of this folder.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::query::{Directory, Identity};
use crate::decision::Stop;
use crate::user::{UserEntry, UserId};

/// User stores: logins with their attributes, by resolver.
pub(super) struct People(BTreeMap<(&'static str, &'static str), Arc<UserEntry>>);

impl Directory for People {
    fn find(&mut self, resolver: &str, login: &str) -> Result<Option<Arc<UserEntry>>, Stop> {
        let found = self.0.iter().find(|((name, user), _)| *name == resolver && *user == login);
        Ok(found.map(|(_, entry)| entry.clone()))
    }
}

impl People {
    /// Nobody.
    pub(super) fn nobody() -> Self {
        Self(BTreeMap::new())
    }

    /// The identity of reference policies 12.2, and `max` in `res2`.
    pub(super) fn of_the_reference() -> Self {
        let mut people = Self::nobody();
        people.add("res1", "hans", &[("mobile", "+49 170 1234"), ("department", "sales "), ("email", "")]);
        people.add("res2", "max", &[]);
        people
    }

    /// Adds a user.
    pub(super) fn add(&mut self, resolver: &'static str, login: &'static str, attributes: &[(&str, &str)]) {
        let attributes =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let entry = UserEntry { user_id: UserId::from(login), login: login.to_owned(), attributes };
        self.0.insert((resolver, login), Arc::new(entry));
    }
}

/// A user found through a resolver, whose record has not been read.
pub(super) const fn identity<'a>(login: &'a str, realm: &'a str, resolver: &'a str) -> Identity<'a> {
    Identity { login, realm: Some(realm), resolver: Some(resolver), entry: None }
}
