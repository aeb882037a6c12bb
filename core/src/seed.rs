//! Seeds as text: what administrators type, what is stored, and the key bytes behind it (reference tokens 1.2, 4.2).

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use zeroize::Zeroizing;

use crate::facts::Random;
use crate::secret::SecretText;

/// The longest seed accepted, in hex digits: what an original server can store.
pub const HEX_DIGITS_MAX: usize = 1024;

/// Why a text cannot be a hexadecimal seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// The sentence is LinOTP's: administrators' scripts match on it.
    #[error("The provided token seed contains non-hexadecimal characters")]
    NotHex,
    /// A digit is missing or one too many.
    #[error("the token seed has an odd number of hexadecimal digits")]
    OddLength,
    /// Nothing remains after blanks and hyphens are removed.
    #[error("the token seed is empty")]
    Empty,
    /// Longer than [`HEX_DIGITS_MAX`].
    #[error("the token seed is longer than {HEX_DIGITS_MAX} hexadecimal digits")]
    TooLong,
}

/// Removes the blanks and hyphens people group digits with; what remains are hex digits, possibly an odd number of them.
///
/// # Errors
/// When other characters remain, or too many, or none.
pub fn clean_hex(typed: &SecretText) -> Result<SecretText, SeedError> {
    let kept = typed.expose().chars().filter(|c| !matches!(c, ' ' | '-'));
    let mut digits = String::with_capacity(typed.expose().len().min(HEX_DIGITS_MAX));
    for digit in kept {
        if !digit.is_ascii_hexdigit() {
            return Err(SeedError::NotHex);
        }
        if digits.len() == HEX_DIGITS_MAX {
            return Err(SeedError::TooLong);
        }
        digits.push(digit);
    }
    if digits.is_empty() {
        return Err(SeedError::Empty);
    }
    Ok(SecretText::new(digits))
}

/// The key bytes of a hex text.
///
/// # Errors
/// When it is no hex text, or has an odd number of digits, or none.
pub fn key_bytes(hex: &[u8]) -> Result<Zeroizing<Vec<u8>>, SeedError> {
    if hex.is_empty() {
        return Err(SeedError::Empty);
    }
    if !hex.len().is_multiple_of(2) {
        return Err(SeedError::OddLength);
    }
    HEXLOWER_PERMISSIVE.decode(hex).map(Zeroizing::new).map_err(|_| SeedError::NotHex)
}

/// A fresh random seed of this many bytes, as lower-case hex.
pub fn generate(random: &mut Random, bytes: usize) -> SecretText {
    let mut key = Zeroizing::new(vec![0; bytes]);
    random.fill(&mut key);
    SecretText::new(HEXLOWER.encode(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_hyphens_are_removed() {
        let clean = |text: &str| clean_hex(&SecretText::from(text)).map(|seed| seed.expose().to_owned());
        assert_eq!(clean("31 32-33\u{20}3A").as_deref(), Ok("3132333A"));
        assert_eq!(clean("abc").as_deref(), Ok("abc"), "an odd number is noticed by whoever needs the bytes");
        for bad in ["3x", "3132\n", "３１", "+1"] {
            assert_eq!(clean(bad), Err(SeedError::NotHex), "{bad:?}");
        }
        for empty in ["", " ", "- -"] {
            assert_eq!(clean(empty), Err(SeedError::Empty), "{empty:?}");
        }
        assert!(clean(&"a".repeat(HEX_DIGITS_MAX)).is_ok());
        assert_eq!(clean(&"a".repeat(HEX_DIGITS_MAX + 1)), Err(SeedError::TooLong));
    }

    #[test]
    fn bytes_need_pairs_of_digits() {
        assert_eq!(key_bytes(b"3aFf").unwrap().as_slice(), [0x3a, 0xff]);
        assert_eq!(key_bytes(b"3aF"), Err(SeedError::OddLength));
        assert_eq!(key_bytes(b""), Err(SeedError::Empty));
        assert_eq!(key_bytes(b"zz"), Err(SeedError::NotHex));
    }

    #[test]
    fn generated_seeds_have_the_length_asked_for() {
        let seed = generate(&mut Random::new(&[1; 32]), 32);
        assert_eq!(key_bytes(seed.expose().as_bytes()).unwrap().len(), 32);
    }
}
