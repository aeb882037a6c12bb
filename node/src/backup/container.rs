//! The encrypted file around a backup.
//!
//! ```text
//! offset  bytes
//!      0      8  "TESSBKUP"
//!      8      1  version of this layout, 1
//!      9      1  where the key comes from: 1 passphrase, 2 key file
//!     10     16  salt, random
//!     26     12  memory in KiB, passes, lanes of argon2id, u32 each; 0 for a key file
//!     38      4  bytes of a chunk of plaintext
//!     42      4  CRC-32 of the 42 bytes before
//!     46     32  HMAC-SHA-256 of the 46 bytes before
//!     78         chunks
//! ```
//!
//! Numbers are little endian. The secret is argon2id(passphrase, salt), or the 32 bytes of the key file. From it come two
//! keys, `HMAC-SHA-256(secret, label || the first 46 bytes)`: with the label `tessera backup head 1` the one for the HMAC,
//! with `tessera backup data 1` the one for AES-256-GCM; they are new for every file because the salt is. A chunk is the
//! ciphertext and the 16-byte tag; its nonce is its number (u64, big endian), three zero bytes and 1 for the last chunk,
//! else 0. So a chunk opens in its place only, and a file that was cut off lacks its last chunk. The last chunk may be
//! empty, all others are full. The checksum tells a damaged head from a wrong passphrase.

use std::io::{self, Read, Write};

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use argon2::{Algorithm, Argon2, Params, Version};
use tessera_core::secret::{SecretText, equal, hmac_sha256};
use zeroize::Zeroizing;

use crate::entropy::{self, NoEntropy};

const MAGIC: &[u8; 8] = b"TESSBKUP";
const VERSION: u8 = 1;
const HEAD: usize = 46;
/// Bytes before the chunks.
const HEAD_AND_MAC: usize = 78;
const TAG: usize = 16;
const CHUNK: u32 = 64 * 1024;
/// A chunk of another program may be this long.
const CHUNK_MAX: u32 = 16 * 1024 * 1024;
/// RFC 9106 section 4, second recommended option: 64 MiB, 3 passes, 4 lanes.
const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
/// What a file may demand of the one who opens it: 1 GiB, 16 passes, 16 lanes.
const COST_MAX: Cost = Cost { memory_kib: 1024 * 1024, passes: 16, lanes: 16 };
/// Fewer characters are not accepted for a new backup.
pub const PASSPHRASE_CHARACTERS_MIN: usize = 12;

/// What a backup is encrypted with.
#[derive(Debug)]
pub enum BackupSecret {
    /// A passphrase.
    Passphrase(SecretText),
    /// The 32 random bytes of a backup key file.
    Key(BackupKey),
}

/// The content of a backup key file.
pub struct BackupKey(pub(super) Zeroizing<[u8; 32]>);

impl std::fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BackupKey")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

const NO_COST: Cost = Cost { memory_kib: 0, passes: 0, lanes: 0 };

/// Why a file is not opened, or not written.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// It cannot be read or written.
    #[error("cannot {action} the file")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Something else.
    #[error("this is not a Tessera backup")]
    NotABackup,
    /// A layout of a newer program.
    #[error("the file has layout {0}, this program reads layout 1: use a newer one")]
    Newer(u8),
    /// The first bytes were changed.
    #[error("the head of the file is damaged")]
    Head,
    /// A key file was given for a file with a passphrase, or the other way round.
    #[error("the file is encrypted with {found}, but {given} was given")]
    OtherSecret {
        /// What the file was encrypted with.
        found: &'static str,
        /// What was given.
        given: &'static str,
    },
    /// The secret is wrong.
    #[error("wrong {0}")]
    WrongSecret(&'static str),
    /// The passphrase is too easily guessed.
    #[error(
        "the passphrase is too short: at least {PASSPHRASE_CHARACTERS_MIN} characters are needed, or use a backup key file"
    )]
    Weak,
    /// The last chunk is missing.
    #[error("the file ends too early: it was cut off")]
    Truncated,
    /// The last chunk does not verify, whatever the reason.
    #[error("the end of the file is damaged, or it was cut off")]
    End,
    /// A chunk was changed, or is not in its place.
    #[error("the file is damaged in chunk {0}")]
    Damaged(u64),
    /// argon2id could not be computed.
    #[error("argon2id failed: {0}")]
    Argon2(argon2::Error),
    /// No random bytes.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

impl From<ContainerError> for io::Error {
    fn from(error: ContainerError) -> Self {
        if let ContainerError::Io { source, .. } = error {
            return source;
        }
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

fn io_error(action: &'static str) -> impl Fn(io::Error) -> ContainerError {
    move |source| ContainerError::Io { action, source }
}

/// The first bytes of a file, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    source: u8,
    salt: [u8; 16],
    cost: Cost,
    chunk: u32,
}

const PASSPHRASE: u8 = 1;
const KEY_FILE: u8 = 2;

const fn source_name(source: u8) -> &'static str {
    if source == PASSPHRASE { "passphrase" } else { "backup key" }
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_AND_MAC);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[VERSION, self.source]);
        bytes.extend_from_slice(&self.salt);
        for number in [self.cost.memory_kib, self.cost.passes, self.cost.lanes, self.chunk] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEAD]) -> Result<Self, ContainerError> {
        let (covered, crc) = bytes.split_last_chunk::<4>().ok_or(ContainerError::Head)?;
        let (magic, rest) = covered.split_first_chunk::<8>().ok_or(ContainerError::Head)?;
        if magic != MAGIC {
            return Err(ContainerError::NotABackup);
        }
        if crc32fast::hash(covered) != u32::from_le_bytes(*crc) {
            return Err(ContainerError::Head);
        }
        let (&[version, source], rest) = rest.split_first_chunk::<2>().ok_or(ContainerError::Head)?;
        if version != VERSION {
            return Err(ContainerError::Newer(version));
        }
        let (salt, rest) = rest.split_first_chunk::<16>().ok_or(ContainerError::Head)?;
        let numbers: Vec<u32> =
            rest.chunks_exact(4).filter_map(|four| four.try_into().ok().map(u32::from_le_bytes)).collect();
        let [memory_kib, passes, lanes, chunk] = *numbers.as_slice() else {
            return Err(ContainerError::Head);
        };
        let head = Self { source, salt: *salt, cost: Cost { memory_kib, passes, lanes }, chunk };
        if head.is_acceptable() { Ok(head) } else { Err(ContainerError::Head) }
    }

    fn is_acceptable(&self) -> bool {
        let cost = match self.source {
            PASSPHRASE => {
                self.cost.memory_kib <= COST_MAX.memory_kib
                    && self.cost.passes <= COST_MAX.passes
                    && self.cost.lanes <= COST_MAX.lanes
            }
            KEY_FILE => self.cost == NO_COST,
            _ => false,
        };
        cost && (1..=CHUNK_MAX).contains(&self.chunk)
    }
}

/// The keys of one file.
struct Keys {
    head: Zeroizing<[u8; 32]>,
    data: Aes256Gcm,
}

impl BackupSecret {
    const fn source(&self) -> u8 {
        match self {
            Self::Passphrase(_) => PASSPHRASE,
            Self::Key(_) => KEY_FILE,
        }
    }

    /// Whether it is strong enough for a file that contains the cluster key.
    #[must_use]
    pub const fn is_random(&self) -> bool {
        matches!(self, Self::Key(_))
    }

    fn keys(&self, head: &Head, bytes: &[u8]) -> Result<Keys, ContainerError> {
        let mut secret = Zeroizing::new([0; 32]);
        match self {
            Self::Key(key) => secret.copy_from_slice(&*key.0),
            Self::Passphrase(passphrase) => {
                let Cost { memory_kib, passes, lanes } = head.cost;
                let params =
                    Params::new(memory_kib, passes, lanes, Some(32)).map_err(ContainerError::Argon2)?;
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(passphrase.expose().as_bytes(), &head.salt, &mut *secret)
                    .map_err(ContainerError::Argon2)?;
            }
        }
        let data = derive(&secret, b"tessera backup data 1", bytes);
        Ok(Keys {
            head: derive(&secret, b"tessera backup head 1", bytes),
            data: Aes256Gcm::new((&*data).into()),
        })
    }
}

fn derive(secret: &[u8; 32], label: &[u8], head: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(hmac_sha256(secret, &[label, head]))
}

fn nonce(number: u64, last: bool) -> Nonce<aes_gcm::aead::consts::U12> {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    Nonce::from([a, b, c, d, e, f, g, h, 0, 0, 0, u8::from(last)])
}

/// Encrypts what is written to it. [`Sealer::finish`] writes the last chunk; without it the file is incomplete.
pub struct Sealer<W> {
    out: W,
    cipher: Aes256Gcm,
    chunk: Zeroizing<Vec<u8>>,
    number: u64,
}

impl<W> std::fmt::Debug for Sealer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer(chunk {})", self.number)
    }
}

impl<W: Write> Sealer<W> {
    /// Writes the head of a new file.
    ///
    /// # Errors
    /// When the passphrase is too short, or `out` does not take it.
    pub fn begin(mut out: W, secret: &BackupSecret) -> Result<Self, ContainerError> {
        if let BackupSecret::Passphrase(passphrase) = secret
            && passphrase.expose().chars().count() < PASSPHRASE_CHARACTERS_MIN
        {
            return Err(ContainerError::Weak);
        }
        let cost = if secret.is_random() { NO_COST } else { COST };
        let head = Head { source: secret.source(), salt: entropy::bytes()?, cost, chunk: CHUNK };
        let bytes = head.encode();
        let keys = secret.keys(&head, &bytes)?;
        let tag = hmac_sha256(&*keys.head, &[&bytes]);
        out.write_all(&bytes).and_then(|()| out.write_all(&tag)).map_err(io_error("write"))?;
        Ok(Self { out, cipher: keys.data, chunk: Zeroizing::new(Vec::new()), number: 0 })
    }

    fn write_chunk(&mut self, last: bool) -> io::Result<()> {
        self.cipher
            .encrypt_in_place(&nonce(self.number, last), b"", &mut *self.chunk)
            .map_err(|_| io::Error::other("AES-GCM failed"))?;
        self.out.write_all(&self.chunk)?;
        self.chunk.clear();
        self.number += 1;
        Ok(())
    }

    /// Writes the last chunk and returns what was written to.
    ///
    /// # Errors
    /// When it does not take it.
    pub fn finish(mut self) -> Result<W, ContainerError> {
        self.write_chunk(true).and_then(|()| self.out.flush()).map_err(io_error("write"))?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let limit = usize::try_from(CHUNK).unwrap_or(usize::MAX);
        if self.chunk.len() >= limit {
            // Something follows, so it is not the last one.
            self.write_chunk(false)?;
        }
        let room = limit.saturating_sub(self.chunk.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.chunk.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // A chunk is written when it is full or the last one.
        Ok(())
    }
}

/// Decrypts a file. Nothing is handed out before its chunk has verified, and the end only after the last chunk.
pub struct Opener<R> {
    input: R,
    cipher: Aes256Gcm,
    /// Bytes of a chunk in the file.
    stored: usize,
    /// Read ahead, to know whether a chunk is the last one.
    next: Vec<u8>,
    chunk: Zeroizing<Vec<u8>>,
    at: usize,
    number: u64,
    ended: bool,
}

impl<R> std::fmt::Debug for Opener<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener(chunk {})", self.number)
    }
}

impl<R: Read> Opener<R> {
    /// Reads the head and checks the secret.
    ///
    /// # Errors
    /// When this is no backup, the head is damaged, or the secret is wrong.
    pub fn begin(mut input: R, secret: &BackupSecret) -> Result<Self, ContainerError> {
        let mut bytes = [0; HEAD];
        let mut tag = [0; 32];
        read_head(&mut input, &mut bytes)?;
        let head = Head::decode(&bytes)?;
        read_head(&mut input, &mut tag)?;
        let given = source_name(secret.source());
        if head.source != secret.source() {
            return Err(ContainerError::OtherSecret { found: source_name(head.source), given });
        }
        let keys = secret.keys(&head, &bytes)?;
        if !equal(&hmac_sha256(&*keys.head, &[&bytes]), &tag) {
            return Err(ContainerError::WrongSecret(given));
        }
        let stored = usize::try_from(head.chunk).unwrap_or(usize::MAX).saturating_add(TAG);
        let next = read_up_to(&mut input, stored).map_err(io_error("read"))?;
        let chunk = Zeroizing::new(Vec::new());
        Ok(Self { input, cipher: keys.data, stored, next, chunk, at: 0, number: 0, ended: false })
    }

    fn open_next(&mut self) -> Result<(), ContainerError> {
        let following = if self.next.len() < self.stored {
            Vec::new()
        } else {
            read_up_to(&mut self.input, self.stored).map_err(io_error("read"))?
        };
        let current = std::mem::replace(&mut self.next, following);
        let last = self.next.is_empty();
        let opened = |last: bool| {
            let mut chunk = Zeroizing::new(current.clone());
            self.cipher
                .decrypt_in_place(&nonce(self.number, last), b"", &mut *chunk)
                .map(|()| chunk)
                .map_err(|_| ContainerError::Damaged(self.number))
        };
        self.chunk = match opened(last) {
            Ok(chunk) => chunk,
            // It is missing, or it is good but not the last one.
            Err(_) if last && (current.len() < TAG || opened(false).is_ok()) => {
                return Err(ContainerError::Truncated);
            }
            // A chunk that was cut short cannot verify; nor can one that was changed.
            Err(_) if last => return Err(ContainerError::End),
            Err(error) => return Err(error),
        };
        self.at = 0;
        self.number += 1;
        self.ended = last;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            if self.ended || buffer.is_empty() {
                return Ok(0);
            }
            self.open_next()?;
        }
        let rest = self.chunk.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at += count;
        Ok(count)
    }
}

fn read_head(input: &mut impl Read, bytes: &mut [u8]) -> Result<(), ContainerError> {
    input.read_exact(bytes).map_err(|source| {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return ContainerError::NotABackup;
        }
        ContainerError::Io { action: "read", source }
    })
}

fn read_up_to(input: &mut impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
