//! Users from a file in the format of `/etc/passwd` (reference users-and-providers 3).
//!
//! The file is parsed once and kept in memory; a look-up is a hash-table access. At most every
//! [`FILE_CHECK_INTERVAL`] one caller compares the file's identity (inode, size, times) with what was loaded and
//! reads it again if it differs. The others go on with the users they have meanwhile, so a change is visible after
//! the interval and the time it takes to read the file. A file that can no longer be used makes the store
//! unavailable; users that may have been removed are not served from memory.

mod file;
mod matching;
mod table;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tessera_core::facts::SearchTerm;
use tessera_core::secret::SecretText;
use tessera_core::user::{UserEntry, UserId};

use self::file::Snapshot;
pub use self::file::{FILE_BYTES_MAX, LoadError};
use self::table::Table;
use super::{Answer, ResolverError, ResolverTest, UserIdResolver};
use crate::password::{PasswordVerdict, check_password};

/// Shortest time between two looks at the file's identity. A look-up in between costs no system call; a changed
/// file is noticed after this time at the latest, if anybody asks.
pub const FILE_CHECK_INTERVAL: Duration = Duration::from_millis(INTERVAL_MS);

const INTERVAL_MS: u64 = 250;

/// Stands for the root directory in a file name.
const ROOT_PLACEHOLDER: &str = "%(here)s";

/// What a passwd resolver is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswdConfig {
    /// Name of the resolver, for messages.
    pub name: String,
    /// The parameter `fileName`; may contain `%(here)s`. A relative name is relative to `root_dir`.
    pub file_name: String,
    /// The node's root directory, which replaces `%(here)s`.
    pub root_dir: PathBuf,
}

impl PasswdConfig {
    /// The file name with the placeholder filled in.
    fn path(&self) -> PathBuf {
        let root = self.root_dir.to_string_lossy();
        self.root_dir.join(self.file_name.trim().replace(ROOT_PLACEHOLDER, &root))
    }
}

/// A user store that reads a password file. Cloning is cheap and shares the loaded file.
#[derive(Debug, Clone)]
pub struct PasswdResolver {
    store: Arc<Store>,
}

impl PasswdResolver {
    /// Loads the file; blocks while it reads.
    ///
    /// A file that cannot be used is not an error here: the resolver answers with the reason and looks again after
    /// [`FILE_CHECK_INTERVAL`], so that it recovers by itself.
    #[must_use]
    pub fn new(config: &PasswdConfig) -> Self {
        let path = config.path();
        let snapshot = file::load(&path, &config.name);
        let store = Store {
            name: config.name.clone(),
            path,
            current: ArcSwap::from_pointee(snapshot),
            timer: CheckTimer::default(),
            opened: Instant::now(),
            refreshing: Mutex::new(()),
        };
        Self { store: Arc::new(store) }
    }

    /// Loads the file and insists that it can be used; blocks while it reads.
    ///
    /// # Errors
    ///
    /// [`ResolverError::Unavailable`] when the file cannot be read, [`ResolverError::Misconfigured`] when it is
    /// not a regular file, exceeds [`FILE_BYTES_MAX`] or has no usable line.
    pub fn open(config: &PasswdConfig) -> Result<Self, ResolverError> {
        let resolver = Self::new(config);
        resolver.store.table()?;
        Ok(resolver)
    }

    /// SHA-256 of the loaded file, so that nodes with different copies can be told apart by a metric. `None`
    /// while the file cannot be used.
    #[must_use]
    pub fn content_hash(&self) -> Option<[u8; 32]> {
        self.store.table().ok().map(|table| table.content_hash())
    }

    /// The file with all symbolic links resolved: the resolver id that LinOTP stores with a token.
    #[must_use]
    pub fn resolved_path(&self) -> PathBuf {
        self.store.path.canonicalize().unwrap_or_else(|_| self.store.path.clone())
    }

    /// Looks at the file now instead of at the next due look-up; blocks while it reads.
    ///
    /// # Errors
    ///
    /// As [`PasswdResolver::open`].
    pub fn refresh(&self) -> Result<(), ResolverError> {
        self.store.refresh();
        self.store.table().map(drop)
    }

    /// The users, after looking at the file if that is due.
    async fn table(&self) -> Result<Arc<Table>, ResolverError> {
        if self.store.is_check_due() {
            let store = Arc::clone(&self.store);
            self.blocking(move || store.refresh()).await?;
        }
        self.store.table()
    }

    /// Runs slow work outside the threads of the async runtime.
    async fn blocking<T, F>(&self, work: F) -> Result<T, ResolverError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        tokio::task::spawn_blocking(work).await.map_err(|error| ResolverError::Unavailable {
            resolver: self.store.name.clone(),
            source: Arc::new(error),
        })
    }
}

impl UserIdResolver for PasswdResolver {
    fn find_by_login<'a>(&'a self, login: &'a str) -> Answer<'a, Option<Arc<UserEntry>>> {
        Box::pin(async move { Ok(self.table().await?.find_by_login(login)) })
    }

    fn find_by_uid<'a>(&'a self, uid: &'a UserId) -> Answer<'a, Option<Arc<UserEntry>>> {
        Box::pin(async move { Ok(self.table().await?.find_by_uid(uid.as_str())) })
    }

    fn check_password<'a>(
        &'a self,
        uid: &'a UserId,
        submitted: &'a SecretText,
    ) -> Answer<'a, PasswordVerdict> {
        Box::pin(async move {
            let Some(stored) = self.table().await?.password_hash(uid.as_str()) else {
                return Ok(PasswordVerdict::Mismatch);
            };
            let submitted = submitted.clone();
            let verdict =
                self.blocking(move || check_password(&stored, submitted.expose().as_bytes())).await?;
            if let PasswordVerdict::Unusable(reason) = verdict {
                tracing::warn!(
                    resolver.name = %self.store.name,
                    user.id = %uid,
                    reason = %reason,
                    "password of a user cannot be checked"
                );
            }
            Ok(verdict)
        })
    }

    fn search<'a>(&'a self, terms: &'a [SearchTerm]) -> Answer<'a, Vec<Arc<UserEntry>>> {
        Box::pin(async move {
            let table = self.table().await?;
            let terms = terms.to_vec();
            self.blocking(move || table.search(&terms)).await
        })
    }

    fn test(&self) -> Answer<'_, ResolverTest> {
        Box::pin(async move {
            let store = Arc::clone(&self.store);
            self.blocking(move || store.refresh()).await?;
            let users = self.store.table()?.user_count();
            Ok(ResolverTest::Rows(u64::try_from(users).unwrap_or(u64::MAX)))
        })
    }
}

/// The loaded file and what is needed to notice that it changed.
#[derive(Debug)]
struct Store {
    name: String,
    path: PathBuf,
    current: ArcSwap<Snapshot>,
    timer: CheckTimer,
    opened: Instant,
    /// Held while the file is looked at, so that a large file is not read twice at the same time.
    refreshing: Mutex<()>,
}

impl Store {
    fn table(&self) -> Result<Arc<Table>, ResolverError> {
        match &self.current.load().content {
            Ok(table) => Ok(Arc::clone(table)),
            Err(error) => Err(error.in_resolver(&self.name)),
        }
    }

    fn is_check_due(&self) -> bool {
        self.timer.is_due(u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn refresh(&self) {
        let _guard = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.current.load().is_current(&self.path) {
            return;
        }
        let snapshot = file::load(&self.path, &self.name);
        let (before, after) = (&self.current.load().content, &snapshot.content);
        match (before, after) {
            (_, Ok(table)) => tracing::info!(
                resolver.name = %self.name,
                users = table.user_count(),
                "password file loaded again"
            ),
            // Said once, not at every look while the file stays unusable.
            (Ok(_), Err(error)) => tracing::error!(
                resolver.name = %self.name,
                error = %error,
                "password file can no longer be used"
            ),
            (Err(_), Err(_)) => {}
        }
        self.current.store(Arc::new(snapshot));
    }
}

/// Lets one caller per [`FILE_CHECK_INTERVAL`] look at the file.
#[derive(Debug)]
struct CheckTimer {
    next_ms: AtomicU64,
}

impl Default for CheckTimer {
    fn default() -> Self {
        Self { next_ms: AtomicU64::new(INTERVAL_MS) }
    }
}

impl CheckTimer {
    /// True for exactly one of the callers that ask after the interval has passed.
    fn is_due(&self, now_ms: u64) -> bool {
        let due_ms = self.next_ms.load(Ordering::Relaxed);
        now_ms >= due_ms
            && self
                .next_ms
                .compare_exchange(
                    due_ms,
                    now_ms.saturating_add(INTERVAL_MS),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn one_caller_per_interval_looks_at_the_file() {
        let timer = CheckTimer::default();
        let due: Vec<u64> = [0, 100, 249, 250, 251, 499, 500, 500, 749, 10_000, 10_001, 10_249, 10_250]
            .into_iter()
            .filter(|&now| timer.is_due(now))
            .collect();
        assert_eq!(due, [250, 500, 10_000, 10_250]);
    }

    #[test]
    fn the_placeholder_and_relative_names_lead_to_the_root_directory() {
        let path = |file_name: &str| {
            let (name, root_dir) = ("files".to_owned(), PathBuf::from("/srv/tessera"));
            PasswdConfig { name, file_name: file_name.to_owned(), root_dir }.path()
        };
        assert_eq!(path("%(here)s/users"), Path::new("/srv/tessera/users"));
        assert_eq!(path("users"), Path::new("/srv/tessera/users"));
        assert_eq!(path("/etc/passwd"), Path::new("/etc/passwd"));
    }
}
