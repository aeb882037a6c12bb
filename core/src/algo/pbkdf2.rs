//! PBKDF2 with one HMAC (RFC 8018 section 5.2).

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::hotp::keyed;

/// The most iterations done for anybody: a file from outside may not occupy a node for longer than a few seconds.
pub const ITERATIONS_MAX: u32 = 1_000_000;

/// The longest key, in bytes.
pub const LENGTH_MAX: usize = 1024;

/// Derives a key with HMAC-SHA-256. Longer keys than [`LENGTH_MAX`] and more rounds than [`ITERATIONS_MAX`] are cut.
#[must_use]
pub fn with_sha256(password: &[u8], salt: &[u8], iterations: u32, length: usize) -> Zeroizing<Vec<u8>> {
    derive::<Hmac<Sha256>>(password, salt, iterations, length)
}

/// Derives a key with HMAC-SHA-1. Longer keys than [`LENGTH_MAX`] and more rounds than [`ITERATIONS_MAX`] are cut.
#[must_use]
pub fn with_sha1(password: &[u8], salt: &[u8], iterations: u32, length: usize) -> Zeroizing<Vec<u8>> {
    derive::<Hmac<Sha1>>(password, salt, iterations, length)
}

fn derive<M: Mac + KeyInit + Clone>(
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    length: usize,
) -> Zeroizing<Vec<u8>> {
    let length = length.min(LENGTH_MAX);
    let mac: M = keyed(password);
    // Room for a whole last block, so that growing leaves no copies behind.
    let mut key = Zeroizing::new(Vec::with_capacity(length + 64));
    let mut number: u32 = 0;
    while key.len() < length {
        number += 1;
        let mut round =
            mac.clone().chain_update(salt).chain_update(number.to_be_bytes()).finalize().into_bytes();
        let mut block = Zeroizing::new(round.to_vec());
        for _ in 1..iterations.min(ITERATIONS_MAX) {
            round = mac.clone().chain_update(&round).finalize().into_bytes();
            block.iter_mut().zip(&round).for_each(|(sum, byte)| *sum ^= byte);
        }
        key.extend_from_slice(&block);
    }
    key.truncate(length);
    key
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// RFC 6070.
    #[test]
    fn values_of_rfc_6070() {
        for (iterations, key) in [
            (1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
            (2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
            (4096, "4b007901b765489abead49d926f721d065a429c1"),
        ] {
            assert_eq!(HEXLOWER.encode(&with_sha1(b"password", b"salt", iterations, 20)), key);
        }
        let long = with_sha1(b"passwordPASSWORDpassword", b"saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096, 25);
        assert_eq!(HEXLOWER.encode(&long), "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038");
        let short = with_sha1(b"pass\0word", b"sa\0lt", 4096, 16);
        assert_eq!(HEXLOWER.encode(&short), "56fa6aa75548099dcc37d7f03425e0c3");
    }

    /// Reference tokens 14.3.
    #[test]
    fn value_of_the_reference() {
        let key = with_sha256(b"weakpw", &[1, 2, 3, 4], 10_000, 32);
        let expected = "7557a591e4e4e448130f0f01266c34f0f37690f322522026c90e089847eac915";
        assert_eq!(HEXLOWER.encode(&key), expected);
    }
}
