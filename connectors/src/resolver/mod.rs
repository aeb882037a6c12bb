//! User stores: where logins, names and addresses come from (reference users-and-providers 2).
//!
//! Every store implements [`UserIdResolver`]. A store answers questions about its own users only; realms, the
//! order of resolvers and what is cached are decided elsewhere. "Not found" and "wrong password" are
//! values; an error always means that the store could not answer.

mod passwd;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use passwd::{FILE_BYTES_MAX, FILE_CHECK_INTERVAL, LoadError, PasswdConfig, PasswdResolver};

use tessera_core::facts::SearchTerm;
use tessera_core::secret::SecretText;
use tessera_core::user::{UserEntry, UserId};

use crate::password::PasswordVerdict;

/// Field name of a [`SearchTerm`] that at least one searchable field has to match.
pub const ANY_FIELD: &str = "searchTerm";

/// What the test of a resolver found (`/admin/testresolver`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolverTest {
    /// The store answers and holds that many users; rendered as `{rows, err_string: ""}`.
    Rows(u64),
    /// The store answers with a list of user ids, possibly cut off at its size limit.
    Users {
        /// The ids that were received.
        uids: Vec<String>,
        /// True when the store held more.
        size_limit_exceeded: bool,
    },
}

/// Why a store could not answer. Never means "not found" or "wrong password".
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResolverError {
    /// The store cannot be reached at the moment; asking again later may help.
    #[error("user store {resolver} is unavailable")]
    Unavailable {
        /// Name of the resolver.
        resolver: String,
        /// What went wrong.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The store answers something that cannot be used until an administrator changes it.
    #[error("user store {resolver} is misconfigured")]
    Misconfigured {
        /// Name of the resolver.
        resolver: String,
        /// What is wrong.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
}

/// The future every method of [`UserIdResolver`] returns; boxed so that resolvers can be trait objects.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ResolverError>> + Send + 'a>>;

/// A user store. Must be called within a tokio runtime.
///
/// Every method fails with [`ResolverError`] when the store cannot answer.
pub trait UserIdResolver: fmt::Debug + Send + Sync {
    /// The user with this login name.
    fn find_by_login<'a>(&'a self, login: &'a str) -> Answer<'a, Option<Arc<UserEntry>>>;

    /// The user with this identifier.
    fn find_by_uid<'a>(&'a self, uid: &'a UserId) -> Answer<'a, Option<Arc<UserEntry>>>;

    /// Compares a submitted password with that of the user `uid`; an unknown user is a mismatch.
    fn check_password<'a>(
        &'a self,
        uid: &'a UserId,
        submitted: &'a SecretText,
    ) -> Answer<'a, PasswordVerdict>;

    /// The users that match all terms (reference users-and-providers 10.3), in the order of the store; no terms
    /// match everybody.
    fn search<'a>(&'a self, terms: &'a [SearchTerm]) -> Answer<'a, Vec<Arc<UserEntry>>>;

    /// All users, in the order of the store.
    fn list(&self) -> Answer<'_, Vec<Arc<UserEntry>>> {
        Box::pin(async { self.search(&[]).await })
    }

    /// Asks the store itself, past every cache, whether it works.
    fn test(&self) -> Answer<'_, ResolverTest>;
}
