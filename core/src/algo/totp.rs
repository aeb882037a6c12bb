//! The time steps of RFC 6238: TOTP is [`super::hotp::Hotp`] at the number of the time step.

use std::ops::Range;

/// The time step an instant lies in, where the device's clock is `shift` seconds ahead of ours. Before 1970 it is
/// step 0. `None` if a step is not at least one second long.
#[must_use]
pub fn step_at(seconds: u64, shift: i64, step_seconds: u64) -> Option<u64> {
    seconds.saturating_add_signed(shift).checked_div(step_seconds)
}

/// The steps from `behind` before a centre up to, not including, `ahead` after it.
#[must_use]
pub fn around(centre: u64, behind: u64, ahead: u64) -> Range<u64> {
    centre.saturating_sub(behind)..centre.saturating_add(ahead)
}

/// How far the device's clock is ahead of ours, in seconds and a multiple of the step, if it shows `step` now.
#[must_use]
pub fn shift_of(step: u64, seconds: u64, step_seconds: u64) -> Option<i64> {
    let ours = seconds.checked_div(step_seconds)?;
    let ahead = i128::from(step).checked_sub(i128::from(ours))?;
    i64::try_from(ahead.checked_mul(i128::from(step_seconds))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algo::hotp::Hotp;
    use crate::record::HashAlgorithm::{Sha1, Sha256, Sha512};

    /// RFC 6238 appendix B, and reference tokens 14.2.
    #[test]
    fn values_of_rfc_6238_appendix_b() {
        let seed = |len: usize| b"1234567890".iter().copied().cycle().take(len).collect::<Vec<u8>>();
        let sha1 = Hotp::new(&seed(20), Sha1, 8).unwrap();
        let sha256 = Hotp::new(&seed(32), Sha256, 8).unwrap();
        let sha512 = Hotp::new(&seed(64), Sha512, 8).unwrap();
        for (time, one, two, five) in [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ] {
            let step = step_at(time, 0, 30).unwrap();
            assert_eq!(sha1.code(step).as_str(), one, "SHA-1 at {time}");
            assert_eq!(sha256.code(step).as_str(), two, "SHA-256 at {time}");
            assert_eq!(sha512.code(step).as_str(), five, "SHA-512 at {time}");
        }
    }

    #[test]
    fn steps_begin_at_multiples_of_their_length() {
        assert_eq!(step_at(59, 0, 30), Some(1));
        assert_eq!(step_at(60, 0, 30), Some(2));
        assert_eq!(step_at(60, -1, 30), Some(1));
        assert_eq!(step_at(60, 30, 30), Some(3));
        assert_eq!(step_at(10, -3600, 30), Some(0), "before 1970");
        assert_eq!(step_at(u64::MAX, i64::MAX, 1), Some(u64::MAX));
        assert_eq!(step_at(60, 0, 0), None);
    }

    #[test]
    fn windows_are_cut_at_both_ends_of_time() {
        assert_eq!(around(100, 10, 10), 90..110);
        assert_eq!(around(3, 10, 10), 0..13);
        assert_eq!(around(u64::MAX, 10, 10), u64::MAX - 10..u64::MAX);
    }

    #[test]
    fn shift_counts_whole_steps_from_the_unshifted_clock() {
        assert_eq!(shift_of(37_037_037, 1_111_111_109, 30), Some(30));
        assert_eq!(shift_of(37_037_036, 1_111_111_109, 30), Some(0));
        assert_eq!(shift_of(37_037_035, 1_111_111_109, 30), Some(-30));
        assert_eq!(shift_of(u64::MAX, 0, 60), None, "not representable");
        assert_eq!(shift_of(1, 1, 0), None);
    }
}
