//! sha1-crypt (`$sha1$rounds$salt$checksum`), the scheme of NetBSD: iterated HMAC-SHA-1.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::{UnusableHash, crypt64, parse_rounds, split_salt};

/// What a hash of this scheme starts with.
pub(super) const MARKER: &str = "$sha1$";

const SALT_MAX: usize = 64;
const CHECKSUM_LENGTH: usize = 28;
/// The first byte appears again at the end, to fill the last group.
const DIGEST_ORDER: [&[usize]; 7] =
    [&[0, 1, 2], &[3, 4, 5], &[6, 7, 8], &[9, 10, 11], &[12, 13, 14], &[15, 16, 17], &[18, 19, 0]];

/// Hashes `password` with the rounds and salt of `rest`, the part of a stored hash after the marker.
pub(super) fn hash_like(rest: &str, password: &[u8]) -> Result<String, UnusableHash> {
    let (rounds, rest) = rest.split_once('$').ok_or(UnusableHash::Malformed)?;
    let rounds = parse_rounds(rounds)?;
    let (salt, _) = split_salt(rest, SALT_MAX, CHECKSUM_LENGTH)?;

    let keyed = Hmac::<Sha1>::new_from_slice(password).map_err(|_| UnusableHash::Malformed)?;
    let mut digest = keyed.clone().chain_update(format!("{salt}{MARKER}{rounds}")).finalize().into_bytes();
    for _ in 1..rounds {
        digest = keyed.clone().chain_update(digest).finalize().into_bytes();
    }
    let mut text = format!("{MARKER}{rounds}${salt}$");
    crypt64::push_permuted(&mut text, &digest, &DIGEST_ORDER);
    Ok(text)
}
