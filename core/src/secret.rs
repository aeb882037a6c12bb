//! Secrets: plaintext that is cleared on drop, sealed secrets as they are replicated, and PIN hashes.
//!
//! DESIGN section 5: every secret is sealed with AES-256-GCM under the cluster key before it enters a transaction, and
//! the key's id travels with it so that the key can be rotated. PINs are kept as HMAC-SHA-256 under a key derived from
//! the cluster key, with a salt per token: a short PIN cannot be protected by a slow hash, but a stolen data directory
//! without the key reveals nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Secret text in the clear: a submitted password, a PIN, a seed as typed. Cleared on drop, never printed, compared in
/// constant time.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    /// Takes ownership of secret text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself; the caller must not let it reach a log, an error or a record.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        equal(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl Eq for SecretText {}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

/// Compares two byte strings in a time that depends on their lengths only.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Identifies one cluster key; ids only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(pub u32);

/// What a sealed secret is for. Part of the authenticated data, so that a sealed value cannot be moved to another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A token's seed; bound to the serial.
    Seed,
    /// A token's device PIN (mOTP, OCRA) or a reversibly stored OTP PIN; bound to the serial.
    UserPin,
    /// A secret parameter of a resolver; bound to `name/parameter`.
    Resolver,
    /// A secret value of the system configuration; bound to the key.
    Setting,
    /// The password hash of a local administrator; bound to the login.
    Administrator,
    /// A secret of the cluster itself, such as the session signing key; bound to its name.
    Cluster,
    /// A secret inside a policy's action, bound to the action's name: it stays valid when the policy is renamed.
    Policy,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::UserPin => "user-pin",
            Self::Resolver => "resolver",
            Self::Setting => "setting",
            Self::Administrator => "administrator",
            Self::Cluster => "cluster",
            Self::Policy => "policy",
        }
    }

    fn bind(self, identity: &str) -> Vec<u8> {
        let label = self.label();
        let mut bound = Vec::with_capacity(label.len() + 1 + identity.len());
        bound.extend_from_slice(label.as_bytes());
        bound.push(0);
        bound.extend_from_slice(identity.as_bytes());
        bound
    }
}

/// A secret as it is stored and replicated: AES-256-GCM ciphertext with tag, nonce and the id of the key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The key it was sealed under.
    pub key: KeyId,
    /// The GCM nonce, never used twice under one key.
    pub nonce: [u8; 12],
    /// Ciphertext followed by the 16-byte tag.
    pub ciphertext: Box<[u8]>,
}

impl Sealed {
    /// The form in texts that are stored as clients know them: key id, nonce and ciphertext in hex, separated by colons.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}:{}:{}", self.key.0, HEXLOWER.encode(&self.nonce), HEXLOWER.encode(&self.ciphertext))
    }

    /// Reads [`Self::to_text`]; `None` for anything else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let key = KeyId(parts.next()?.parse().ok()?);
        let nonce = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?.try_into().ok()?;
        let ciphertext = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?.into_boxed_slice();
        parts.next().is_none().then_some(Self { key, nonce, ciphertext })
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(key {})", self.key.0)
    }
}

/// A PIN as it is stored: salted HMAC-SHA-256 under a key derived from the cluster key.
///
/// A hash cannot be made again without the PIN. When the cluster key is replaced, the PIN key derived from it is therefore
/// kept as a cluster secret under the new one ([`crate::decide::rotation`]).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinHash {
    /// The cluster key whose PIN key the MAC was made with.
    pub key: KeyId,
    /// Random salt of this PIN.
    pub salt: [u8; 16],
    /// `HMAC-SHA-256(pin key, salt || PIN as UTF-8)`.
    pub mac: [u8; 32],
}

impl fmt::Debug for PinHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinHash(key {})", self.key.0)
    }
}

/// Why a sealed secret could not be opened or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// This node does not hold the key the secret was sealed under.
    #[error("cluster key {} is not in this node's key file", .0.0)]
    UnknownKey(KeyId),
    /// The ciphertext is damaged, or it was sealed for another place.
    #[error("sealed secret does not verify under cluster key {}", .0.0)]
    Damaged(KeyId),
}

struct ClusterKey {
    seal: Aes256Gcm,
    check: [u8; 8],
    sealed: AtomicU64,
    opened: AtomicU64,
}

/// How often a node has used a cluster key; for the monitoring only, no decision depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// The key.
    pub key: KeyId,
    /// Secrets sealed under it.
    pub sealed: u64,
    /// Secrets opened with it.
    pub opened: u64,
}

/// The key under which PINs are hashed while a cluster key is current.
struct PinKey {
    bytes: Zeroizing<[u8; 32]>,
    mac: Hmac<Sha256>,
}

/// The cluster keys a node holds, ready for use. New secrets are sealed under the active one.
pub struct Keyring {
    keys: BTreeMap<KeyId, ClusterKey>,
    /// Those derived from `keys`, and those the cluster keeps of keys that are gone.
    pins: BTreeMap<KeyId, PinKey>,
    active: KeyId,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys, active {})", self.keys.len(), self.active.0)
    }
}

pub(crate) fn mac_with(key: &[u8]) -> Hmac<Sha256> {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable_key_length(),
    }
}

#[expect(
    clippy::panic,
    reason = "HMAC accepts keys of every length (RFC 2104); the error type is shared with other MACs"
)]
fn unreachable_key_length() -> Hmac<Sha256> {
    panic!("HMAC refused a key")
}

/// HMAC-SHA-256 (RFC 2104) of the parts, one behind the other.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = mac_with(key);
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn derive(master: &[u8; 32], label: &str) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(hmac_sha256(master, &[label.as_bytes()]))
}

impl Keyring {
    /// A keyring of one key.
    #[must_use]
    pub fn new(active: KeyId, master: &[u8; 32]) -> Self {
        let mut ring = Self::empty(active);
        ring.add(active, master);
        ring
    }

    /// A keyring without keys, which the active one is still to be added to.
    #[must_use]
    pub const fn empty(active: KeyId) -> Self {
        Self { keys: BTreeMap::new(), pins: BTreeMap::new(), active }
    }

    /// Adds another key (an older one during a rotation, or the next one).
    pub fn add(&mut self, id: KeyId, master: &[u8; 32]) {
        let seal = derive(master, "tessera seal 1");
        let pin = derive(master, "tessera pin 1");
        let check = derive(master, "tessera check 1");
        let mut short = [0; 8];
        short.copy_from_slice(check.first_chunk::<8>().unwrap_or(&[0; 8]));
        self.keys.insert(
            id,
            ClusterKey {
                seal: Aes256Gcm::new((&*seal).into()),
                check: short,
                sealed: AtomicU64::new(0),
                opened: AtomicU64::new(0),
            },
        );
        self.add_pin_key(id, &pin);
    }

    /// Adds the PIN key of a cluster key that need not be held any more.
    pub fn add_pin_key(&mut self, id: KeyId, bytes: &[u8; 32]) {
        self.pins.insert(id, PinKey { bytes: Zeroizing::new(*bytes), mac: mac_with(bytes) });
    }

    /// The PIN key of a cluster key.
    #[must_use]
    pub fn pin_key(&self, id: KeyId) -> Option<&[u8; 32]> {
        self.pins.get(&id).map(|key| &*key.bytes)
    }

    /// Makes a key the one new secrets are sealed under. While it is not held nothing can be sealed.
    pub const fn activate(&mut self, id: KeyId) {
        self.active = id;
    }

    /// The key new secrets are sealed under.
    #[must_use]
    pub const fn active(&self) -> KeyId {
        self.active
    }

    /// A value that is equal on two nodes exactly if they hold the same key under this id; reveals nothing of the key.
    #[must_use]
    pub fn check_value(&self, id: KeyId) -> Option<[u8; 8]> {
        self.keys.get(&id).map(|key| key.check)
    }

    /// How often each key was used since the node started, by id.
    pub fn uses(&self) -> impl Iterator<Item = KeyUse> {
        self.keys.iter().map(|(id, key)| KeyUse {
            key: *id,
            sealed: key.sealed.load(Ordering::Relaxed),
            opened: key.opened.load(Ordering::Relaxed),
        })
    }

    /// The ids of all keys held, each with its [check value](Self::check_value).
    pub fn check_values(&self) -> impl Iterator<Item = (KeyId, [u8; 8])> {
        self.keys.iter().map(|(id, key)| (*id, key.check))
    }

    fn key(&self, id: KeyId) -> Result<&ClusterKey, SealError> {
        self.keys.get(&id).ok_or(SealError::UnknownKey(id))
    }

    /// Seals a secret under the active key. The nonce must be fresh random bytes.
    ///
    /// # Errors
    /// When the active key is missing or the plaintext is longer than GCM allows.
    pub fn seal(
        &self,
        purpose: Purpose,
        identity: &str,
        plaintext: &[u8],
        nonce: [u8; 12],
    ) -> Result<Sealed, SealError> {
        self.seal_under(self.active, purpose, identity, plaintext, nonce)
    }

    /// Seals a secret under a certain key, which is about to become the active one. The nonce must be fresh random bytes.
    ///
    /// # Errors
    /// When that key is missing or the plaintext is longer than GCM allows.
    pub fn seal_under(
        &self,
        key: KeyId,
        purpose: Purpose,
        identity: &str,
        plaintext: &[u8],
        nonce: [u8; 12],
    ) -> Result<Sealed, SealError> {
        let aad = purpose.bind(identity);
        let held = self.key(key)?;
        let ciphertext = held
            .seal
            .encrypt(&Nonce::from(nonce), Payload { msg: plaintext, aad: &aad })
            .map_err(|_| SealError::Damaged(key))?;
        held.sealed.fetch_add(1, Ordering::Relaxed);
        Ok(Sealed { key, nonce, ciphertext: ciphertext.into_boxed_slice() })
    }

    /// Opens a sealed secret.
    ///
    /// # Errors
    /// When the key is not held by this node, or the secret is damaged or belongs elsewhere.
    pub fn open(
        &self,
        purpose: Purpose,
        identity: &str,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let aad = purpose.bind(identity);
        let key = self.key(sealed.key)?;
        let opened = key
            .seal
            .decrypt(&Nonce::from(sealed.nonce), Payload { msg: &sealed.ciphertext, aad: &aad })
            .map_err(|_| SealError::Damaged(sealed.key))?;
        key.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Zeroizing::new(opened))
    }

    /// Hashes a PIN with a fresh random salt.
    ///
    /// # Errors
    /// When the active key is missing.
    pub fn hash_pin(&self, pin: &str, salt: [u8; 16]) -> Result<PinHash, SealError> {
        let mac = self.pin_mac(self.active, pin, &salt)?;
        Ok(PinHash { key: self.active, salt, mac })
    }

    /// Whether this is the PIN behind the hash, in constant time.
    ///
    /// # Errors
    /// When the hash's key is not held by this node.
    pub fn verify_pin(&self, hash: &PinHash, pin: &str) -> Result<bool, SealError> {
        Ok(equal(&self.pin_mac(hash.key, pin, &hash.salt)?, &hash.mac))
    }

    /// A value that is the same for the same text on every node, and tells nothing about it without the cluster key.
    ///
    /// # Errors
    /// When the active key is missing.
    pub fn fingerprint(&self, text: &[u8]) -> Result<[u8; 32], SealError> {
        let key = self.pin_key(self.active).ok_or(SealError::UnknownKey(self.active))?;
        // Longer than a salt, so that no PIN hash is a fingerprint.
        Ok(hmac_sha256(key, &[b"tessera fingerprint 1", text]))
    }

    fn pin_mac(&self, id: KeyId, pin: &str, salt: &[u8; 16]) -> Result<[u8; 32], SealError> {
        let mut mac = self.pins.get(&id).ok_or(SealError::UnknownKey(id))?.mac.clone();
        mac.update(salt);
        mac.update(pin.as_bytes());
        Ok(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Keyring {
        Keyring::new(KeyId(1), &[7; 32])
    }

    #[test]
    fn sealed_secret_opens_only_for_its_purpose_and_place() {
        let sealed = ring().seal(Purpose::Seed, "A1", b"seed", [1; 12]).unwrap();
        assert_eq!(ring().open(Purpose::Seed, "A1", &sealed).unwrap().as_slice(), b"seed");
        assert_eq!(ring().open(Purpose::Seed, "A2", &sealed), Err(SealError::Damaged(KeyId(1))));
        assert_eq!(ring().open(Purpose::UserPin, "A1", &sealed), Err(SealError::Damaged(KeyId(1))));
        let other = Keyring::new(KeyId(1), &[8; 32]);
        assert_eq!(other.open(Purpose::Seed, "A1", &sealed), Err(SealError::Damaged(KeyId(1))));
        let renamed = Keyring::new(KeyId(2), &[7; 32]);
        assert_eq!(renamed.open(Purpose::Seed, "A1", &sealed), Err(SealError::UnknownKey(KeyId(1))));
    }

    #[test]
    fn old_secrets_open_after_a_rotation() {
        let sealed = ring().seal(Purpose::Seed, "A1", b"seed", [1; 12]).unwrap();
        let mut rotated = ring();
        rotated.add(KeyId(2), &[9; 32]);
        rotated.activate(KeyId(2));
        assert_eq!(rotated.open(Purpose::Seed, "A1", &sealed).unwrap().as_slice(), b"seed");
        assert_eq!(rotated.seal(Purpose::Seed, "A1", b"seed", [2; 12]).unwrap().key, KeyId(2));
    }

    #[test]
    fn uses_of_a_key_are_counted() {
        let mut ring = ring();
        let sealed = ring.seal(Purpose::Seed, "A1", b"seed", [1; 12]).unwrap();
        ring.add(KeyId(2), &[9; 32]);
        ring.activate(KeyId(2));
        ring.seal(Purpose::Seed, "A1", b"seed", [2; 12]).unwrap();
        ring.open(Purpose::Seed, "A1", &sealed).unwrap();
        ring.open(Purpose::Seed, "A2", &sealed).unwrap_err();
        let uses: Vec<(u32, u64, u64)> =
            ring.uses().map(|uses| (uses.key.0, uses.sealed, uses.opened)).collect();
        assert_eq!(uses, [(1, 1, 1), (2, 1, 0)]);
    }

    #[test]
    fn pin_verifies_only_itself() {
        let hash = ring().hash_pin("1234", [3; 16]).unwrap();
        assert!(ring().verify_pin(&hash, "1234").unwrap());
        for wrong in ["", "123", "12345", "1235"] {
            assert!(!ring().verify_pin(&hash, wrong).unwrap(), "{wrong}");
        }
    }

    #[test]
    fn a_pin_verifies_with_the_pin_key_alone() {
        let old = ring();
        let hash = old.hash_pin("1234", [3; 16]).unwrap();
        let mut next = Keyring::new(KeyId(2), &[9; 32]);
        assert_eq!(next.verify_pin(&hash, "1234"), Err(SealError::UnknownKey(KeyId(1))));
        next.add_pin_key(KeyId(1), old.pin_key(KeyId(1)).unwrap());
        assert!(next.verify_pin(&hash, "1234").unwrap());
        assert!(!next.verify_pin(&hash, "1235").unwrap());
        assert_eq!(next.hash_pin("1234", [3; 16]).unwrap().key, KeyId(2));
        assert_eq!(next.check_value(KeyId(1)), None, "a PIN key is no cluster key");
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let sealed = ring().seal(Purpose::Seed, "A1", b"seed", [1; 12]).unwrap();
        assert_eq!(format!("{sealed:?}"), "Sealed(key 1)");
        assert_eq!(format!("{:?}", SecretText::from("hunter2")), "SecretText");
        assert_eq!(format!("{:?}", ring()), "Keyring(1 keys, active 1)");
    }

    #[test]
    fn the_text_form_of_a_sealed_secret_is_read_back_and_nothing_else_is() {
        let sealed = Sealed { key: KeyId(3), nonce: [9; 12], ciphertext: vec![0xc0, 0xff, 0xee].into() };
        assert_eq!(sealed.to_text(), "3:090909090909090909090909:c0ffee");
        assert_eq!(Sealed::from_text(&sealed.to_text()), Some(sealed));
        let form = "3:010101010101010101010101:zz";
        for bad in ["", "3", "3:00", "x:00:00", "x:090909090909090909090909:c0ffee", form, "3:09:c0ffee:"] {
            assert_eq!(Sealed::from_text(bad), None, "{bad}");
        }
    }
}
