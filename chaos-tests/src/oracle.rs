//! OTPs computed here, from the RFCs, without any code of the product.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use crate::environment::Choices;

/// Digits of every OTP used here.
pub const DIGITS: u32 = 6;

/// Length of a TOTP time step in seconds, the default of RFC 6238 section 4.1 and of `/admin/init`.
pub const TIME_STEP: u64 = 30;

/// Counters, or time steps around now, among which the OTPs of a token do not recur.
const DISTINCT: u64 = 200;

/// Distance below which an OTP must not recur: more than the look-ahead of a login ([`crate::cluster::COUNT_WINDOW`]),
/// and than the twenty time steps a TOTP is looked for in.
const DISTINCT_WITHIN: usize = 60;

/// How far around the expected counter a wrong OTP must be wrong.
const WRONG_WITHIN: u64 = 2_000;

/// What an OTP is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RFC 4226: a counter of uses.
    Hotp,
    /// RFC 6238: the number of the time step.
    Totp,
}

/// A token as its owner holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Serial number.
    pub serial: String,
    /// Kind of token.
    pub kind: Kind,
    key: [u8; 20],
}

impl Token {
    /// A token with a random seed whose OTPs do not recur within a window. With six digits one seed in some hundred has
    /// an OTP that is also one of the next few: sent again it is rightly accepted again, which looks like a replay.
    pub fn new(serial: impl Into<String>, kind: Kind, choices: &mut Choices) -> Self {
        let serial = serial.into();
        loop {
            let mut key = [0; 20];
            for chunk in key.chunks_mut(8) {
                for (byte, random) in chunk.iter_mut().zip(choices.bits().to_be_bytes()) {
                    *byte = random;
                }
            }
            if !recurs(&key, kind) {
                return Self { serial, kind, key };
            }
        }
    }

    /// Some tokens with numbered serials.
    pub fn several(prefix: &str, count: usize, kind: Kind, choices: &mut Choices) -> Vec<Self> {
        (0..count).map(|number| Self::new(format!("{prefix}{number:05}"), kind, choices)).collect()
    }

    /// The seed as `/admin/init` takes it.
    pub fn seed_hex(&self) -> String {
        self.key.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The OTP of a counter, or of a time step.
    pub fn otp(&self, counter: u64) -> String {
        format!("{:0width$}", hotp(&self.key, counter), width = usize::try_from(DIGITS).unwrap_or(6))
    }

    /// Digits that are no OTP of this token anywhere near a counter.
    pub fn wrong(&self, near: u64) -> String {
        let first = near.saturating_sub(WRONG_WITHIN);
        let right: std::collections::BTreeSet<u32> =
            (first..near.saturating_add(WRONG_WITHIN)).map(|counter| hotp(&self.key, counter)).collect();
        let wrong = (0..10_u32.pow(DIGITS)).find(|digits| !right.contains(digits)).unwrap_or_default();
        format!("{wrong:0width$}", width = usize::try_from(DIGITS).unwrap_or(6))
    }
}

/// The number of the current time step by this machine's clock.
pub fn time_step() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / TIME_STEP
}

/// Whether an OTP of this seed is also one of the next few.
fn recurs(key: &[u8], kind: Kind) -> bool {
    let first = match kind {
        Kind::Hotp => 0,
        Kind::Totp => time_step().saturating_sub(DISTINCT / 2),
    };
    let values: Vec<u32> =
        (first..first.saturating_add(DISTINCT)).map(|counter| hotp(key, counter)).collect();
    values
        .iter()
        .enumerate()
        .any(|(at, value)| values.iter().skip(at + 1).take(DISTINCT_WITHIN).any(|next| next == value))
}

/// RFC 4226 section 5.3, as a number.
fn hotp(key: &[u8], counter: u64) -> u32 {
    // HMAC takes keys of every length (RFC 2104 section 3), so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else { return 0 };
    mac.update(&counter.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let offset = usize::from(digest.last().copied().unwrap_or_default() & 0x0f);
    let four: [u8; 4] = digest
        .get(offset..offset.saturating_add(4))
        .and_then(|four| four.try_into().ok())
        .unwrap_or_default();
    (u32::from_be_bytes(four) & 0x7fff_ffff) % 10_u32.pow(DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc_token() -> Token {
        Token { serial: "RFC".into(), kind: Kind::Hotp, key: *b"12345678901234567890" }
    }

    /// RFC 4226 appendix D.
    #[test]
    fn hotp_follows_the_rfc() {
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        for (counter, otp) in (0..).zip(expected) {
            assert_eq!(rfc_token().otp(counter), otp, "counter {counter}");
        }
    }

    /// RFC 6238 appendix B, the SHA-1 rows, cut to the last six digits as section 1.2 derives them.
    #[test]
    fn totp_follows_the_rfc() {
        for (time, otp) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(rfc_token().otp(time / TIME_STEP), otp, "at {time}");
        }
    }

    #[test]
    fn a_wrong_otp_is_wrong_for_every_counter_around() {
        let wrong = rfc_token().wrong(5);
        assert_eq!(wrong.len(), 6);
        assert!((0..2_000).all(|counter| rfc_token().otp(counter) != wrong));
    }

    /// Regression: tokens in runs of a thousand had the same OTP at two counters of a window (4 and 5 with the first
    /// seed, 6 and 53 with the second), which was reported as a replay.
    #[test]
    fn no_otp_recurs_within_a_window() {
        let window = usize::try_from(crate::cluster::COUNT_WINDOW).unwrap();
        for seed in [1_777_598_801, 1_335_620_352] {
            let mut choices = Choices::new(seed);
            // What the ports of the cluster took.
            for _ in 0..2 {
                choices.bits();
            }
            for token in Token::several("T", 1_000, Kind::Hotp, &mut choices) {
                let otps: Vec<String> = (0..100).map(|counter| token.otp(counter)).collect();
                for (at, otp) in otps.iter().enumerate() {
                    let next = &otps[at + 1..];
                    assert!(
                        !next.iter().take(window + 1).any(|next| next == otp),
                        "{} at {at}",
                        token.serial
                    );
                }
            }
        }
    }

    #[test]
    fn tokens_have_seeds_and_serials_of_their_own() {
        let tokens = Token::several("T", 3, Kind::Hotp, &mut Choices::new(9));
        assert_eq!(tokens[2].serial, "T00002");
        assert_ne!(tokens[0].seed_hex(), tokens[1].seed_hex());
        assert_eq!(rfc_token().seed_hex(), "3132333435363738393031323334353637383930");
    }
}
