//! Looking into a backup: what it says about itself, what is in it, and whether given keys open all of it.

use std::collections::BTreeMap;
use std::path::Path;

use tessera_core::record::{Key, Record};
use tessera_core::secret::{KeyId, Keyring};
use tessera_raft::archive::{ArchiveHeader, ArchiveKey};

use super::{BackupError, BackupSecret, archive_error, open};
use crate::keys::ClusterKeys;

/// What a backup contains. Everything in it was read and verified.
#[derive(Clone, Debug)]
pub struct Content {
    /// What it says about itself.
    pub header: ArchiveHeader,
    /// Number of records by kind.
    pub counts: BTreeMap<&'static str, u64>,
    /// Ids of the keys in the included cluster key file; `None` if none is included.
    pub included_keys: Option<Vec<KeyId>>,
    /// The keys the content needs.
    pub keys: Vec<KeyReport>,
}

impl Content {
    /// Whether everything in the backup can be used with the keys that were given or are included.
    ///
    /// # Errors
    /// [`BackupError::WrongKeys`] with the key that is missing, or that something does not open under.
    pub fn require_keys(&self) -> Result<(), BackupError> {
        for key in self.keys.iter().filter(|key| key.sealed > 0) {
            if !key.held {
                return Err(BackupError::WrongKeys(format!(
                    "the cluster key file lacks key {}, under which secrets in the backup are sealed",
                    key.id.0
                )));
            }
            if key.unreadable > 0 {
                return Err(BackupError::WrongKeys(format!(
                    "{} secrets in the backup do not open under key {}",
                    key.unreadable, key.id.0
                )));
            }
        }
        Ok(())
    }
}

/// A key the content of a backup needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReport {
    /// Its id.
    pub id: KeyId,
    /// Number of secrets sealed under it.
    pub sealed: u64,
    /// Number of PIN hashes made under it.
    pub pins: u64,
    /// Its check value in hexadecimal digits, as `tessera key status` and `tessera key show` print it.
    pub check: String,
    /// Whether it is among the given or the included keys.
    pub held: bool,
    /// Secrets that do not open although it is; they are damaged.
    pub unreadable: u64,
}

/// Reads a backup from its beginning to its end. With `keys`, or those in the file, every secret in it is opened.
///
/// # Errors
/// When the secret is wrong, the file is damaged or cut off, or `keys` are those of another cluster.
pub fn inspect(
    path: &Path,
    secret: &BackupSecret,
    keys: Option<&ClusterKeys>,
) -> Result<Content, BackupError> {
    let mut opened = open(path, secret)?;
    let header = opened.archive.header().clone();
    let ring = keys.or(opened.keys.as_ref()).map(ClusterKeys::keyring);
    if let Some(ring) = &ring {
        check_keys(&header, ring)?;
    }
    let mut counts = BTreeMap::new();
    let mut unreadable: BTreeMap<KeyId, u64> = BTreeMap::new();
    while let Some((key, slot)) = opened.archive.next_record().map_err(archive_error(path))? {
        *counts.entry(kind(&key)).or_default() += 1;
        if let Some(ring) = &ring {
            count_unreadable(&key, &slot.record, ring, &mut unreadable);
        }
    }
    let report = |key: &ArchiveKey| {
        let id = KeyId(key.id);
        KeyReport {
            id,
            sealed: key.sealed,
            pins: key.pins,
            check: hex(&key.check),
            held: ring.as_ref().is_some_and(|ring| ring.check_value(id).is_some()),
            unreadable: unreadable.get(&id).copied().unwrap_or_default(),
        }
    };
    let included_keys = opened.keys.as_ref().map(|keys| keys.ids().collect());
    Ok(Content { keys: header.keys.iter().map(report).collect(), header, counts, included_keys })
}

/// Refuses keys that are not those the archive was written under. A missing one is no mistake here.
fn check_keys(header: &ArchiveHeader, ring: &Keyring) -> Result<(), BackupError> {
    for key in &header.keys {
        let held = ring.check_value(KeyId(key.id));
        if held.is_some_and(|held| !key.check.is_empty() && held.as_slice() != key.check.as_slice()) {
            return Err(BackupError::WrongKeys(format!(
                "key {} of the cluster key file is not the one of the backup: its check value is {}, expected {}",
                key.id,
                hex(held.as_ref().map_or(&[], <[u8; 8]>::as_slice)),
                hex(&key.check)
            )));
        }
    }
    Ok(())
}

fn count_unreadable(key: &Key, record: &Record, ring: &Keyring, unreadable: &mut BTreeMap<KeyId, u64>) {
    // It replaces nothing, and cannot fail.
    let _ = record.reseal(key, &mut |purpose, identity, sealed| {
        if ring.check_value(sealed.key).is_some() && ring.open(purpose, identity, sealed).is_err() {
            *unreadable.entry(sealed.key).or_default() += 1;
        }
        Ok::<_, std::convert::Infallible>(None)
    });
}

/// The kind of a record, in the plural.
const fn kind(key: &Key) -> &'static str {
    match key {
        Key::Token(_) => "tokens",
        Key::Usage(_) => "token usages",
        Key::Challenge(_) => "challenges",
        Key::Realm(_) => "realms",
        Key::Resolver(_) => "resolvers",
        Key::Setting(_) => "settings",
        Key::Admin(_) => "administrators",
        Key::Revocation(_) => "revoked sessions",
        Key::ClusterSecret(_) => "cluster secrets",
        Key::Reply(_) => "kept replies",
        Key::HistoryAnchor => "audit trail anchors",
        Key::FormatLevel => "format levels",
        Key::Nodes => "lists of nodes",
        Key::Policy(_) => "policies",
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
