//! md5-crypt (`$1$salt$checksum`), the scheme of FreeBSD 2 and of glibc.

use md5::{Digest, Md5};

use super::{UnusableHash, crypt64, split_salt};

/// What a hash of this scheme starts with.
pub(super) const MARKER: &str = "$1$";

const SALT_MAX: usize = 8;
const CHECKSUM_LENGTH: usize = 22;
const ROUNDS: u32 = 1000;
const DIGEST_ORDER: [&[usize]; 6] = [&[0, 6, 12], &[1, 7, 13], &[2, 8, 14], &[3, 9, 15], &[4, 10, 5], &[11]];

/// Hashes `password` with the salt of `rest`, the part of a stored hash after the marker.
pub(super) fn hash_like(rest: &str, password: &[u8]) -> Result<String, UnusableHash> {
    let (salt, _) = split_salt(rest, SALT_MAX, CHECKSUM_LENGTH)?;
    let mut digest = first_digest(password, salt.as_bytes());
    for round in 0..ROUNDS {
        let mut hasher = Md5::new();
        if round % 2 == 1 {
            hasher.update(password);
        } else {
            hasher.update(digest);
        }
        if round % 3 != 0 {
            hasher.update(salt);
        }
        if round % 7 != 0 {
            hasher.update(password);
        }
        if round % 2 == 1 {
            hasher.update(digest);
        } else {
            hasher.update(password);
        }
        digest = hasher.finalize().into();
    }
    let mut text = format!("{MARKER}{salt}$");
    crypt64::push_permuted(&mut text, &digest, &DIGEST_ORDER);
    Ok(text)
}

/// The digest that enters the rounds.
fn first_digest(password: &[u8], salt: &[u8]) -> [u8; 16] {
    let alternate: [u8; 16] =
        Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize().into();
    let mut hasher = Md5::new().chain_update(password).chain_update(MARKER).chain_update(salt);
    for chunk in password.chunks(alternate.len()) {
        hasher.update(alternate.get(..chunk.len()).unwrap_or_default());
    }
    // One byte per bit of the length, lowest first: NUL for a one, the first character of the password for a zero.
    let mut length = password.len();
    while length > 0 {
        if length & 1 == 1 {
            hasher.update([0]);
        } else {
            hasher.update(password.get(..1).unwrap_or_default());
        }
        length >>= 1;
    }
    hasher.finalize().into()
}
