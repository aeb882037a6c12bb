//! HOTP, the HMAC-based one-time password of RFC 4226, and the search for a value in a window of counters.

use std::ops::Range;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::record::HashAlgorithm;

/// The numbers of digits a value can have: RFC 4226 section 5.3 asks for at least 6; the truncated value has at most 10.
pub const DIGITS: std::ops::RangeInclusive<u32> = 4..=10;

/// The widest window that is searched, whatever a token or the configuration says: a request may not occupy a node for
/// longer than about 0.1 s.
pub const WINDOW_MAX: u64 = 100_000;

/// A value as decimal digits, left-padded with zeros to its length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code {
    digits: [u8; 10],
    len: usize,
}

impl Code {
    /// The last `digits` digits of a truncated value, at most ten.
    pub(super) fn cut(value: u32, digits: u32) -> Self {
        let modulus = 10_u64.saturating_pow(digits.min(10));
        Self::new(u64::from(value) % modulus, usize::try_from(digits.min(10)).unwrap_or(10))
    }

    /// All digits of a truncated value, without leading zeros.
    pub(super) fn whole(value: u32) -> Self {
        Self::cut(value, value.checked_ilog10().unwrap_or(0) + 1)
    }

    fn new(value: u64, len: usize) -> Self {
        let mut code = Self { digits: [b'0'; 10], len };
        let mut rest = value;
        for digit in code.digits.iter_mut().take(len).rev() {
            *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or(0));
            rest /= 10;
        }
        code
    }

    /// The digits as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    fn bytes(&self) -> &[u8] {
        self.digits.get(..self.len).unwrap_or(&self.digits)
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code")
    }
}

/// A number of digits outside of [`DIGITS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("otp length {0} is not between 4 and 10")]
pub struct UnsupportedDigits(pub u32);

/// HMAC with the key already absorbed: starting a value costs a copy instead of two compressions.
#[derive(Clone)]
enum KeyedMac {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

/// A seed ready to produce values.
#[derive(Clone)]
pub struct Hotp {
    mac: KeyedMac,
    len: usize,
    modulus: u64,
}

impl std::fmt::Debug for Hotp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hotp({} digits)", self.len)
    }
}

impl Hotp {
    /// Prepares a seed.
    ///
    /// # Errors
    /// When the number of digits is outside of [`DIGITS`].
    pub fn new(seed: &[u8], hash: HashAlgorithm, digits: u32) -> Result<Self, UnsupportedDigits> {
        let len = usize::try_from(digits).ok().filter(|_| DIGITS.contains(&digits));
        let len = len.ok_or(UnsupportedDigits(digits))?;
        let mac = match hash {
            HashAlgorithm::Sha1 => KeyedMac::Sha1(keyed(seed)),
            HashAlgorithm::Sha256 => KeyedMac::Sha256(keyed(seed)),
            HashAlgorithm::Sha512 => KeyedMac::Sha512(keyed(seed)),
        };
        Ok(Self { mac, len, modulus: 10_u64.saturating_pow(digits) })
    }

    /// The value at a counter (RFC 4226 section 5.3).
    #[must_use]
    pub fn code(&self, counter: u64) -> Code {
        let counter = counter.to_be_bytes();
        let truncated = match &self.mac {
            KeyedMac::Sha1(mac) => truncate(&mac.clone().chain_update(counter).finalize().into_bytes()),
            KeyedMac::Sha256(mac) => truncate(&mac.clone().chain_update(counter).finalize().into_bytes()),
            KeyedMac::Sha512(mac) => truncate(&mac.clone().chain_update(counter).finalize().into_bytes()),
        };
        Code::new(u64::from(truncated) % self.modulus, self.len)
    }

    /// Whether this is the value at a counter, in constant time.
    #[must_use]
    pub fn is_code(&self, otp: &str, counter: u64) -> bool {
        self.code(counter).bytes().ct_eq(otp.as_bytes()).into()
    }

    /// The first counter of the range with this value. Searches the whole range whether or not it finds the value early;
    /// of a range longer than [`WINDOW_MAX`] only the beginning is searched.
    #[must_use]
    pub fn find(&self, otp: &str, range: Range<u64>) -> Option<u64> {
        if otp.len() != self.len {
            return None;
        }
        first_of(range, |counter| self.code(counter).bytes().ct_eq(otp.as_bytes()))
    }
}

/// The first place of a range that `is_it`. The time depends on the range only; of one longer than [`WINDOW_MAX`] the
/// beginning is searched.
pub(super) fn first_of(range: Range<u64>, is_it: impl Fn(u64) -> Choice) -> Option<u64> {
    let end = range.end.min(range.start.saturating_add(WINDOW_MAX));
    let mut found = Choice::from(0);
    let mut at = 0;
    for place in range.start..end {
        let first = is_it(place) & !found;
        at.conditional_assign(&place, first);
        found |= first;
    }
    bool::from(found).then_some(at)
}

pub(crate) fn keyed<M: Mac + KeyInit>(seed: &[u8]) -> M {
    match <M as KeyInit>::new_from_slice(seed) {
        Ok(mac) => mac,
        Err(_) => unreachable_key_length(),
    }
}

#[expect(
    clippy::panic,
    reason = "HMAC accepts keys of every length (RFC 2104); the error type is shared with other MACs"
)]
fn unreachable_key_length<M>() -> M {
    panic!("HMAC refused a key")
}

/// Dynamic truncation: 31 bits from the offset that the last nibble names (RFC 4226 section 5.3). The shortest digest has
/// 20 bytes, so that the four bytes always exist.
pub(super) fn truncate(digest: &[u8]) -> u32 {
    let offset = usize::from(digest.last().copied().unwrap_or_default() & 0x0f);
    let word = digest.get(offset..).and_then(<[u8]>::first_chunk::<4>).copied().unwrap_or_default();
    u32::from_be_bytes(word) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXUPPER;

    use super::*;

    fn hotp(seed: &[u8], digits: u32) -> Hotp {
        Hotp::new(seed, HashAlgorithm::Sha1, digits).unwrap()
    }

    #[track_caller]
    fn check(seed: &[u8], first: u64, codes: &str) {
        let hotp = hotp(seed, 6);
        for (counter, code) in (first..).zip(codes.split(' ')) {
            assert_eq!(hotp.code(counter).as_str(), code, "counter {counter}");
        }
    }

    #[test]
    fn values_of_rfc_4226_appendix_d() {
        check(
            b"12345678901234567890",
            0,
            "755224 287082 359152 969429 338314 254676 287922 162583 399871 520489",
        );
    }

    /// RFC 4226 appendix D lists the truncated values in full; ten digits show all of them.
    #[test]
    fn long_and_short_values_are_cuts_of_the_same_number() {
        let seed = b"12345678901234567890";
        assert_eq!(hotp(seed, 10).code(0).as_str(), "1284755224");
        assert_eq!(hotp(seed, 10).code(7).as_str(), "0082162583");
        assert_eq!(hotp(seed, 9).code(0).as_str(), "284755224");
        assert_eq!(hotp(seed, 4).code(0).as_str(), "5224");
    }

    #[test]
    fn values_of_the_reference() {
        let seed = |hex: &str| HEXUPPER.decode(hex.as_bytes()).unwrap();
        let demo = seed("AD8EABE235FC57C815B26CEF3709075580B44738");
        check(
            &demo,
            0,
            "870581 793334 088491 013126 818771 454594 217219 250710 478893 517407 341582 058477",
        );
        check(&demo, 35, "732866 920079 328973 719818 204809 957690");
        check(&seed("4132333435363738393031323334353637383930"), 0, "297991 212756 338869 135861");
        check(&seed("5132333435363738393031323334353637383930"), 0, "841650 850446 352919 483464");
        check(
            &seed("12341234123412341234123412341234"),
            0,
            "819132 301156 586172 720026 062511 598723 770725 596337 647211 294016 161051 886458",
        );
    }

    #[test]
    fn search_finds_the_value_inside_the_range_only() {
        let hotp = hotp(b"12345678901234567890", 6);
        let find = |otp, range| hotp.find(otp, range);
        assert_eq!(find("969429", 0..10), Some(3));
        assert_eq!(find("969429", 3..4), Some(3));
        assert_eq!(find("969429", 0..3), None, "just above the range");
        assert_eq!(find("969429", 4..10), None, "just below the range");
        assert_eq!(find("969428", 0..10), None, "one digit off");
        assert_eq!(find("96942", 0..10), None, "too short");
        assert_eq!(find("0969429", 0..10), None, "too long");
        assert_eq!(find("", 0..10), None, "empty");
        assert_eq!(find("９69429", 0..10), None, "full-width digit");
        assert_eq!(find("755224", 0..0), None, "empty range");
    }

    #[test]
    fn search_ends_at_the_last_counter() {
        let hotp = hotp(b"12345678901234567890", 6);
        let last = hotp.code(u64::MAX - 1);
        assert_eq!(hotp.find(last.as_str(), u64::MAX - 5..u64::MAX), Some(u64::MAX - 1));
    }

    #[test]
    fn first_of_several_counters_with_the_same_value_is_found() {
        let hotp = hotp(b"12345678901234567890", 4);
        let code = hotp.code(0);
        let again = hotp.find(code.as_str(), 1..WINDOW_MAX).unwrap();
        assert!(again > 0);
        assert_eq!(hotp.find(code.as_str(), 0..again + 1), Some(0));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for digits in [0, 3, 11, u32::MAX] {
            assert_eq!(Hotp::new(b"x", HashAlgorithm::Sha1, digits).err(), Some(UnsupportedDigits(digits)));
        }
    }

    #[test]
    fn debug_output_shows_neither_seed_nor_value() {
        let hotp = hotp(b"12345678901234567890", 6);
        assert_eq!(format!("{hotp:?} {:?}", hotp.code(0)), "Hotp(6 digits) Code");
    }
}
