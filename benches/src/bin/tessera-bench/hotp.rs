//! HOTP (RFC 4226), independent of the server's implementation.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// Length of the generated seeds in bytes (RFC 4226 section 4, R6 recommends 160 bits).
pub(crate) const SEED_BYTES: usize = 20;
const MODULUS: u32 = 1_000_000;

/// A seed with its HMAC key schedule done.
#[derive(Clone)]
pub(crate) struct Hotp(Hmac<Sha1>);

impl Hotp {
    /// Prepares a seed; every length is a valid HMAC key, so `None` does not happen.
    pub(crate) fn new(seed: &[u8]) -> Option<Self> {
        Hmac::<Sha1>::new_from_slice(seed).ok().map(Self)
    }

    /// The six-digit OTP of a counter as a number (RFC 4226 section 5.3).
    pub(crate) fn number(&self, counter: u64) -> u32 {
        let mut mac = self.0.clone();
        mac.update(&counter.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        let offset = usize::from(digest.last().copied().unwrap_or_default() & 0x0f);
        let bytes = digest
            .get(offset..offset.saturating_add(4))
            .and_then(|slice| <[u8; 4]>::try_from(slice).ok())
            .unwrap_or_default();
        (u32::from_be_bytes(bytes) & 0x7fff_ffff) % MODULUS
    }

    /// The six-digit OTP of a counter.
    #[cfg(test)]
    pub(crate) fn otp(&self, counter: u64) -> String {
        digits(self.number(counter))
    }
}

/// An OTP number with its leading zeros.
pub(crate) fn digits(number: u32) -> String {
    format!("{:06}", number % MODULUS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4226 appendix D.
    #[test]
    fn the_values_of_the_rfc_are_computed() {
        let hotp = Hotp::new(b"12345678901234567890").unwrap();
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        for (counter, expected) in (0..).zip(expected) {
            assert_eq!(hotp.otp(counter), expected, "counter {counter}");
        }
    }

    #[test]
    fn leading_zeros_are_kept() {
        assert_eq!(digits(42), "000042");
    }
}
