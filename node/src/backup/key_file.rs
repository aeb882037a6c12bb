//! The backup key file: 32 random bytes that encrypt backups instead of a passphrase.
//!
//! A text file of two lines, `tessera-backup-key 1` and 64 hexadecimal digits. Keep it apart from the backups.

use std::fmt::Write as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::container::BackupKey;
use crate::entropy::{self, NoEntropy};
use crate::file::{self, FileError};
use crate::keys::from_hex;

const FIRST_LINE: &str = "tessera-backup-key 1";
/// A file of more than this is none.
const FILE_BYTES_MAX: u64 = 4096;

/// Why a backup key file cannot be used or written. Nothing of its content is in it.
#[derive(Debug, thiserror::Error)]
pub enum BackupKeyError {
    /// The file cannot be read or written, or others than its owner may access it.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is something else.
    #[error("{0} is no backup key file: expected 'tessera-backup-key 1' and a line of 64 hexadecimal digits")]
    Content(String),
    /// No random bytes for a new key.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

impl BackupKey {
    /// Reads a backup key file, which only its owner may be able to access.
    ///
    /// # Errors
    /// [`BackupKeyError`].
    pub fn load(path: &Path) -> Result<Self, BackupKeyError> {
        let content = file::read_secret(path, FILE_BYTES_MAX)?;
        let key = std::str::from_utf8(&content).ok().and_then(|text| {
            let mut lines =
                text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            let (first, key, rest) = (lines.next()?, lines.next()?, lines.next());
            (first == FIRST_LINE && rest.is_none()).then(|| from_hex(key))?
        });
        key.map(Self).ok_or_else(|| BackupKeyError::Content(path.display().to_string()))
    }

    /// Writes a file with a new random key and mode 0600; an existing file is never overwritten.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<(), BackupKeyError> {
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(entropy::bytes()?);
        let mut text = Zeroizing::new(String::with_capacity(256));
        text.push_str("# Opens the backups that were made with it. Keep it apart from them.\n");
        text.push_str(FIRST_LINE);
        text.push('\n');
        for byte in key.iter() {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
        Ok(file::create_secret(path, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_file_is_private_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.key");
        BackupKey::create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let key = BackupKey::load(&path).unwrap();
        assert_ne!(*key.0, [0; 32]);
        assert_eq!(*BackupKey::load(&path).unwrap().0, *key.0);
        assert!(BackupKey::create(&path).is_err(), "an existing key must never be overwritten");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(BackupKey::load(&path), Err(BackupKeyError::File(_))));
    }

    #[test]
    fn something_else_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let digits = "ab".repeat(32);
        for (number, text) in [
            String::new(),
            digits.clone(),
            format!("tessera-cluster-key 1\n{digits}\n"),
            format!("tessera-backup-key 1\n{}\n", &digits[2..]),
            format!("tessera-backup-key 1\n{digits}\n{digits}\n"),
        ]
        .iter()
        .enumerate()
        {
            let path = folder.path().join(number.to_string());
            file::create_secret(&path, text.as_bytes()).unwrap();
            let error = BackupKey::load(&path).unwrap_err();
            assert!(matches!(error, BackupKeyError::Content(_)), "{text}");
            assert!(!format!("{error} {error:?}").contains("abab"));
        }
    }
}
