//! mOTP, "Mobile-OTP": the first hex digits of an MD5 over time slot, seed text and device PIN (reference tokens 8.3).

use std::ops::Range;

use data_encoding::HEXLOWER;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::hotp::first_of;

/// Length of a time slot in seconds.
pub const SLOT_SECONDS: u64 = 10;

/// The longest value: all hex digits of an MD5.
pub const LENGTH_MAX: u32 = 32;

/// A length outside of 1 to [`LENGTH_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("otp length {0} is not between 1 and {LENGTH_MAX}")]
pub struct UnsupportedLength(pub u32);

/// Seed and PIN of a device, ready to produce values.
#[derive(Clone, Copy)]
pub struct Motp<'a> {
    seed: &'a [u8],
    pin: &'a [u8],
    len: usize,
}

impl std::fmt::Debug for Motp<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Motp({} characters)", self.len)
    }
}

impl<'a> Motp<'a> {
    /// Prepares a device. The seed is the text as it was typed, not the bytes behind it.
    ///
    /// # Errors
    /// When the length is impossible.
    pub fn new(seed: &'a [u8], pin: &'a [u8], length: u32) -> Result<Self, UnsupportedLength> {
        match usize::try_from(length) {
            Ok(len) if (1..=LENGTH_MAX).contains(&length) => Ok(Self { seed, pin, len }),
            _ => Err(UnsupportedLength(length)),
        }
    }

    /// The value in a time slot, lower case.
    #[must_use]
    pub fn code(&self, slot: u64) -> String {
        let digest = Md5::new()
            .chain_update(slot.to_string())
            .chain_update(self.seed)
            .chain_update(self.pin)
            .finalize();
        let mut code = HEXLOWER.encode(&digest);
        code.truncate(self.len);
        code
    }

    /// The first slot of a range with this value. The time depends on the range only; of a range wider than
    /// [`WINDOW_MAX`](super::hotp::WINDOW_MAX) the beginning is searched.
    #[must_use]
    pub fn find(&self, otp: &str, range: Range<u64>) -> Option<u64> {
        if otp.len() != self.len {
            return None;
        }
        first_of(range, |slot| self.code(slot).as_bytes().ct_eq(otp.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference tokens 14.4; each is `printf '%s%s%s' SLOT SEED PIN | md5sum | cut -c1-6`.
    #[test]
    fn values_of_the_reference() {
        for (slot, seed, pin, otp) in [
            (129_612_120, "0123456789abcdef", "6666", "6ed4e4"),
            (129_612_130, "0123456789abcdef", "6666", "502a59"),
            (0, "0123456789abcdef", "1", "bd94a4"),
            (4, "0123456789abcdef", "1", "fb596e"),
            (129_612_244, "0123456789abcdef", "77777777", "7abf75"),
            (129_612_253, "0123456789abcdef", "77777777", "4d4ac4"),
            (126_753_370, "1234567890123456", "1234", "7215e7"),
            (154_461_672, "1234567890123456", "1234", "488ccf"),
        ] {
            let motp = Motp::new(seed.as_bytes(), pin.as_bytes(), 6).unwrap();
            assert_eq!(motp.code(slot), otp, "slot {slot}");
        }
    }

    #[test]
    fn search_finds_the_value_inside_the_range_only() {
        let motp = Motp::new(b"0123456789abcdef", b"6666", 6).unwrap();
        let slot = 129_612_120;
        assert_eq!(motp.find("6ed4e4", slot - 3..slot + 1), Some(slot));
        assert_eq!(motp.find("6ed4e4", slot - 3..slot), None, "just above the range");
        assert_eq!(motp.find("6ed4e4", slot + 1..slot + 20), None, "just below the range");
        for wrong in ["6ed4e5", "6ed4e", "6ed4e44", "", "6ED4E4"] {
            assert_eq!(motp.find(wrong, slot - 3..slot + 3), None, "{wrong}");
        }
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for length in [0, 33, u32::MAX] {
            assert_eq!(Motp::new(b"", b"", length).err(), Some(UnsupportedLength(length)));
        }
    }
}
