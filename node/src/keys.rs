//! The cluster key file: the one secret that never enters the log (DESIGN section 5).
//!
//! A text file of a version line, the id of the active key, and one line per key:
//!
//! ```text
//! tessera-cluster-key 1
//! active 2
//! key 1 <64 hexadecimal digits>
//! key 2 <64 hexadecimal digits>
//! ```
//!
//! Empty lines and lines starting with `#` are ignored. The `active` line says under which key a new cluster begins;
//! afterwards the key in use is replicated (`tessera key rotate`). Older keys stay in the file until nothing is sealed
//! under them any more. Every node of a cluster has the same file. No error of this module contains a part of the file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use tessera_core::record::{Key, Record};
use tessera_core::secret::{KeyId, Keyring, Purpose, equal};
use tessera_core::view::StateRead;
use zeroize::Zeroizing;

use crate::entropy::{self, NoEntropy};
use crate::file;

const FIRST_LINE: &str = "tessera-cluster-key 1";
const KEY_BYTES: usize = 32;
/// A key file of more than this is not one.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// The replicated secret that tells whether a node holds the cluster's key.
const KEY_CHECK: &str = "key-check";

/// The keys of a cluster, as a key file holds them.
pub struct ClusterKeys {
    keys: BTreeMap<KeyId, Zeroizing<[u8; KEY_BYTES]>>,
    active: KeyId,
}

impl std::fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClusterKeys({} keys, active {})", self.keys.len(), self.active.0)
    }
}

/// What is wrong with a line of a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyLineProblem {
    /// The first line is not the version line of a version this program knows.
    #[error("the first line must be 'tessera-cluster-key 1'")]
    Version,
    /// Neither `active` nor `key`.
    #[error("a line starts with 'active' or 'key'")]
    Word,
    /// A key id that is not a number from 1.
    #[error("a key id is a number from 1")]
    Id,
    /// A key that is not 64 hexadecimal digits.
    #[error("a key is 64 hexadecimal digits")]
    Key,
    /// A second key with the same id, or a second `active` line.
    #[error("occurs twice")]
    Twice,
    /// There is no `active` line, or no key with its id.
    #[error("there is no usable 'active' line")]
    NoActive,
}

/// Why a key file cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written, or others than its owner may access it.
    #[error(transparent)]
    File(#[from] file::FileError),
    /// A line is wrong.
    #[error("key file {path}, line {line}: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What is wrong.
        problem: KeyLineProblem,
    },
    /// There is no `active` line, or the file does not hold the key it names.
    #[error("key file {path}: no usable 'active' line")]
    NoActiveKey {
        /// The file.
        path: PathBuf,
    },
    /// No random bytes for a new key.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

/// Whether the keys of a node are those its cluster uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyCheck {
    /// They are.
    Match,
    /// They are not; the node must not serve.
    Mismatch,
    /// The cluster has no key check yet: its first start is not finished, or this node has not caught up.
    Unknown,
}

impl ClusterKeys {
    /// One new random key with id 1.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn generate() -> Result<Self, NoEntropy> {
        let mut keys = Self { keys: BTreeMap::new(), active: KeyId(0) };
        keys.active = keys.add()?;
        Ok(keys)
    }

    /// Adds a new random key; the active one stays active.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn add(&mut self) -> Result<KeyId, NoEntropy> {
        let newest = self.keys.last_key_value().map_or(0, |(id, _)| id.0);
        let id = KeyId(newest.saturating_add(1));
        self.keys.insert(id, Zeroizing::new(entropy::bytes()?));
        Ok(id)
    }

    /// Removes a key. If it was the active one, the newest of the others is active then.
    ///
    /// # Errors
    /// When there is no such key, or no other one.
    pub fn remove(&mut self, id: KeyId) -> Result<(), &'static str> {
        if !self.keys.contains_key(&id) {
            return Err("is not in it");
        }
        let Some(newest) = self.keys.keys().rev().find(|other| **other != id).copied() else {
            return Err("is the only one in it");
        };
        self.keys.remove(&id);
        if self.active == id {
            self.active = newest;
        }
        Ok(())
    }

    /// The ids of all keys.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.keys().copied()
    }

    /// Takes over the keys of another file. A key that is held already stays as it is; `false` if it differs there.
    pub(crate) fn merge(&mut self, other: &Self) -> bool {
        let mut same = true;
        for (id, key) in &other.keys {
            let known = self.keys.entry(*id).or_insert_with(|| key.clone());
            same &= equal(known.as_slice(), key.as_slice());
        }
        same
    }

    /// The key new secrets are sealed under.
    #[must_use]
    pub const fn active(&self) -> KeyId {
        self.active
    }

    /// Reads a key file, which only its owner may be able to access.
    ///
    /// # Errors
    /// [`KeyFileError`]; nothing of the file's content is in it.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let text = file::read_secret(path, FILE_BYTES_MAX)?;
        let text = std::str::from_utf8(&text).map_err(|_| KeyFileError::Line {
            path: path.to_owned(),
            line: 1,
            problem: KeyLineProblem::Version,
        })?;
        Self::parse(text).map_err(|(line, problem)| {
            let path = path.to_owned();
            if problem == KeyLineProblem::NoActive {
                return KeyFileError::NoActiveKey { path };
            }
            KeyFileError::Line { path, line, problem }
        })
    }

    /// Reads the text of a key file. The error names the line.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, KeyLineProblem)> {
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        match lines.next() {
            Some((_, FIRST_LINE)) => {}
            other => return Err((other.map_or(1, |(line, _)| line), KeyLineProblem::Version)),
        }
        let mut found = Self { keys: BTreeMap::new(), active: KeyId(0) };
        for (line, text) in lines {
            found.add_line(text).map_err(|problem| (line, problem))?;
        }
        if found.keys.contains_key(&found.active) { Ok(found) } else { Err((1, KeyLineProblem::NoActive)) }
    }

    fn add_line(&mut self, text: &str) -> Result<(), KeyLineProblem> {
        let mut words = text.split_ascii_whitespace();
        let word = words.next().unwrap_or_default();
        let id = |words: &mut std::str::SplitAsciiWhitespace<'_>| {
            let id = words.next().and_then(|id| id.parse().ok()).filter(|id| *id > 0);
            id.map(KeyId).ok_or(KeyLineProblem::Id)
        };
        match word {
            "active" => {
                if self.active != KeyId(0) {
                    return Err(KeyLineProblem::Twice);
                }
                self.active = id(&mut words)?;
            }
            "key" => {
                let id = id(&mut words)?;
                let key = words.next().and_then(from_hex).ok_or(KeyLineProblem::Key)?;
                if self.keys.insert(id, key).is_some() {
                    return Err(KeyLineProblem::Twice);
                }
            }
            _ => return Err(KeyLineProblem::Word),
        }
        if words.next().is_some() { Err(KeyLineProblem::Key) } else { Ok(()) }
    }

    /// Writes a new key file with mode 0600; an existing file is never overwritten.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(&self, path: &Path) -> Result<(), KeyFileError> {
        Ok(file::create_secret(path, self.text().as_bytes())?)
    }

    /// Writes a key file in the place of one that is there, so that readers see the old one or the new one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn replace(&self, path: &Path) -> Result<(), KeyFileError> {
        Ok(file::replace_secret(path, self.text().as_bytes())?)
    }

    /// The text of a key file with these keys.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(4096));
        text.push_str(
            "# Tessera cluster key file: the same on every node. Whoever has it and a data directory\n",
        );
        text.push_str("# can read every seed; without it nobody can. Keep a copy in a safe place.\n");
        text.push_str(FIRST_LINE);
        // Writing to a string does not fail.
        let _ = writeln!(text, "\nactive {}", self.active.0);
        for (id, key) in &self.keys {
            let _ = write!(text, "key {} ", id.0);
            for byte in key.iter() {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        text
    }

    /// The keys ready for use.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        let mut ring = Keyring::empty(self.active);
        for (id, key) in &self.keys {
            ring.add(*id, key);
        }
        ring
    }
}

/// Whether the keyring is the one the cluster's secrets are sealed under, by the replicated key check.
#[must_use]
pub fn check(state: &dyn StateRead, keyring: &Keyring) -> KeyCheck {
    let Some(slot) = state.record(&Key::ClusterSecret(KEY_CHECK.into())) else { return KeyCheck::Unknown };
    let Record::ClusterSecret(secret) = slot.record else { return KeyCheck::Mismatch };
    // The seal is authenticated: it opens only under the key it was made with.
    match keyring.open(Purpose::Cluster, KEY_CHECK, &secret.secret) {
        Ok(_) => KeyCheck::Match,
        Err(_) => KeyCheck::Mismatch,
    }
}

pub(crate) fn from_hex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let digits = text.as_bytes();
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok())?;
            *byte = (*byte << 4) | value;
        }
    }
    Some(key)
}

/// The error of a missing file, for callers that create one then.
#[must_use]
pub fn is_missing(error: &KeyFileError) -> bool {
    matches!(error, KeyFileError::File(file) if file.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HEX_1: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const HEX_2: &str = "FFEEDDCCBBAA99887766554433221100ffeeddccbbaa99887766554433221100";

    fn write(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn written_keys_are_read_again_and_seal_alike() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        let mut keys = ClusterKeys::generate().unwrap();
        assert_eq!(keys.add().unwrap(), KeyId(2));
        keys.create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let loaded = ClusterKeys::load(&path).unwrap();
        assert_eq!(loaded.active(), KeyId(1), "a new key is not used before the cluster is told to");
        for id in [KeyId(1), KeyId(2)] {
            assert_eq!(loaded.keyring().check_value(id), keys.keyring().check_value(id));
        }
        assert_ne!(keys.keyring().check_value(KeyId(1)), keys.keyring().check_value(KeyId(2)));
        assert!(keys.create(&path).is_err(), "an existing key file must never be overwritten");
    }

    #[test]
    fn a_key_is_removed_unless_it_is_the_last_one() {
        let mut keys = ClusterKeys::generate().unwrap();
        assert!(keys.remove(KeyId(1)).is_err(), "the only one");
        keys.add().unwrap();
        keys.add().unwrap();
        assert!(keys.remove(KeyId(9)).is_err());
        keys.remove(KeyId(1)).unwrap();
        assert_eq!((keys.active(), keys.ids().collect::<Vec<_>>()), (KeyId(3), vec![KeyId(2), KeyId(3)]));
        assert_eq!(keys.add().unwrap(), KeyId(4), "ids only grow");
    }

    #[test]
    fn keys_of_a_new_file_are_added_and_a_changed_key_is_noticed() {
        let mut keys = ClusterKeys::generate().unwrap();
        let before = keys.keyring().check_value(KeyId(1));
        let mut file = ClusterKeys { keys: keys.keys.clone(), active: KeyId(1) };
        file.add().unwrap();
        assert!(keys.merge(&file));
        assert_eq!(keys.ids().count(), 2);
        let mut other = ClusterKeys::generate().unwrap();
        other.add().unwrap();
        assert!(!keys.merge(&other), "key 1 is another one there");
        assert_eq!(keys.keyring().check_value(KeyId(1)), before);
    }

    #[test]
    fn the_format_is_the_documented_one() {
        let text = format!("# note\n\ntessera-cluster-key 1\nactive 2\nkey 1 {HEX_1}\nkey 2 {HEX_2}\n");
        let (_folder, path) = write(&text, 0o400);
        let keys = ClusterKeys::load(&path).unwrap();
        let expected: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let same = Keyring::new(KeyId(1), &expected);
        assert_eq!(keys.keyring().check_value(KeyId(1)), same.check_value(KeyId(1)));
        assert_eq!(keys.keyring().active(), KeyId(2));
    }

    #[test]
    fn a_file_others_can_access_is_refused() {
        for mode in [0o640, 0o604, 0o660, 0o644] {
            let (_folder, path) = write(&format!("tessera-cluster-key 1\nactive 1\nkey 1 {HEX_1}\n"), mode);
            let error = ClusterKeys::load(&path).unwrap_err();
            assert!(error.to_string().contains("chmod 600"), "{mode:o}: {error}");
        }
    }

    #[test]
    fn errors_name_the_line_and_never_the_content() {
        let short = &HEX_1[..62];
        let cases = [
            (format!("key 1 {HEX_1}\n"), 1, KeyLineProblem::Version),
            (String::new(), 1, KeyLineProblem::Version),
            (format!("tessera-cluster-key 2\nkey 1 {HEX_1}\n"), 1, KeyLineProblem::Version),
            (format!("tessera-cluster-key 1\nactive 1\nkey 1 {short}\n"), 3, KeyLineProblem::Key),
            (format!("tessera-cluster-key 1\nactive 1\nkey 1 {short}zz\n"), 3, KeyLineProblem::Key),
            (format!("tessera-cluster-key 1\nactive 1\nkey 1 {HEX_1} x\n"), 3, KeyLineProblem::Key),
            (format!("tessera-cluster-key 1\nactive 1\nkey 0 {HEX_1}\n"), 3, KeyLineProblem::Id),
            (format!("tessera-cluster-key 1\nactive one\nkey 1 {HEX_1}\n"), 2, KeyLineProblem::Id),
            (format!("tessera-cluster-key 1\nactive 1\nkee 1 {HEX_1}\n"), 3, KeyLineProblem::Word),
            (
                format!("tessera-cluster-key 1\nactive 1\nkey 1 {HEX_1}\nkey 1 {HEX_2}\n"),
                4,
                KeyLineProblem::Twice,
            ),
        ];
        for (text, expected_line, expected) in cases {
            let (_folder, path) = write(&text, 0o600);
            let error = ClusterKeys::load(&path).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("000102"), "{error:?}");
            let KeyFileError::Line { line, problem, .. } = error else { panic!("{error}") };
            assert_eq!((line, problem), (expected_line, expected));
        }
        let (_folder, path) = write(&format!("tessera-cluster-key 1\nactive 3\nkey 1 {HEX_1}\n"), 0o600);
        assert!(matches!(ClusterKeys::load(&path), Err(KeyFileError::NoActiveKey { .. })));
        assert!(is_missing(&ClusterKeys::load(Path::new("/nonexistent/cluster.key")).unwrap_err()));
    }
}
