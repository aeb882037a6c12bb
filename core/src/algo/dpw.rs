//! The password of the day, "Tagespasswort" (reference tokens 8.9).

use data_encoding::HEXLOWER;
use md5::{Digest, Md5};

use crate::calendar::DateTime;

/// The number of digits a password can have; more than the hex digits of an MD5 there are not.
pub const DIGITS: std::ops::RangeInclusive<u32> = 1..=32;

/// The password of a day. `None` if it cannot have that many digits.
///
/// The last `digits` hex digits of the MD5 over key and date are read as a number, whose last `digits` decimals are the
/// password. A number with fewer decimals keeps only its last (`digits` less its length) ones, behind zeros: not what one
/// would design, but what the devices and the published values do.
#[must_use]
pub fn code(key: &[u8], date: DateTime, digits: u32) -> Option<String> {
    let digits = usize::try_from(digits).ok().filter(|_| DIGITS.contains(&digits))?;
    let date = format!("{:02}{:02}{:02}", date.day, date.month, date.year % 100);
    let hex = HEXLOWER.encode(&Md5::new().chain_update(key).chain_update(date).finalize());
    let number = u128::from_str_radix(hex.get(hex.len().checked_sub(digits)?..)?, 16).ok()?;
    let decimals = number.to_string();
    let kept = if decimals.len() < digits { digits - decimals.len() } else { digits };
    let tail = decimals.get(decimals.len().saturating_sub(kept)..)?;
    Some(format!("{tail:0>digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: u64, month: u64, day: u64) -> DateTime {
        DateTime { year, month, day, hour: 12, minute: 0, second: 0 }
    }

    /// Reference tokens 14.5; 84466, the fifth, is the short one.
    #[test]
    fn values_of_the_reference() {
        let key = b"12341234123412341234123412341234";
        let passwords = [
            "427701", "028193", "857788", "167074", "000006", "325819", "202690", "252315", "263973",
            "321965",
        ];
        for (date, password) in (16..).zip(passwords) {
            assert_eq!(code(key, day(2012, 5, date), 6).as_deref(), Some(password), "{date} May");
        }
    }

    /// `printf 'k210500' | md5sum` ends in 0bc5, which is 3013, and so on for every day of a month: the definition by
    /// arithmetic instead of text.
    #[test]
    fn short_numbers_keep_their_last_digits() {
        for date in 1..=31 {
            let hex = HEXLOWER.encode(&Md5::digest(format!("k{date:02}0500")));
            let number: u32 = u32::from_str_radix(&hex[28..], 16).unwrap();
            let expected = match number {
                0..=9 => number,
                10..=99 => number,
                100..=999 => number % 10,
                _ => number % 10_000,
            };
            assert_eq!(code(b"k", day(2000, 5, date), 4), Some(format!("{expected:04}")), "{number}");
        }
    }

    #[test]
    fn every_length_of_an_md5_is_possible() {
        for digits in DIGITS {
            let length = code(b"key", day(2026, 11, 22), digits).map(|code| code.len());
            assert_eq!(length, usize::try_from(digits).ok());
        }
        for digits in [0, 33, u32::MAX] {
            assert_eq!(code(b"key", day(2026, 11, 22), digits), None);
        }
    }
}
