//! Password verification for `crypt(3)` hashes as found in password files.
//!
//! Accepted are the five schemes of reference users-and-providers 3, recognised in this order: md5-crypt (`$1$`),
//! DES crypt (13 characters), sha1-crypt (`$sha1$`), sha256-crypt (`$5$`) and sha512-crypt (`$6$`). A hash that
//! cannot be checked is never an error and never a success: the verdict says why, so that it can be logged.
//!
//! The arithmetic of the SHA-2 schemes comes from the `sha-crypt` crate. The crates found for the three older
//! schemes pull in a second generation of `hmac`, `sha1` or `md-5`, so those are written here.

mod crypt64;
mod des_crypt;
mod md5_crypt;
mod sha1_crypt;
mod sha2_crypt;

use std::fmt;

use subtle::ConstantTimeEq;

/// Most rounds a stored hash may ask for.
///
/// A hostile or mistyped hash would otherwise occupy a thread for minutes. The defaults of the tools that write
/// such hashes lie below (passlib: 656,000 for sha512-crypt, 480,000 for sha1-crypt; glibc: 5,000).
pub const ROUNDS_MAX: u32 = 1_000_000;

/// Longest submitted password in bytes, the limit of `crypt(3)` (`CRYPT_MAX_PASSPHRASE_SIZE`).
///
/// The cost of the SHA-2 schemes grows with the length of the password; anything longer does not match.
pub const PASSWORD_BYTES_MAX: usize = 512;

/// What comparing a submitted password with a stored hash came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordVerdict {
    /// The password belongs to the hash.
    Match,
    /// The password does not belong to the hash, or there is no hash.
    Mismatch,
    /// The stored hash cannot be checked; counts as a mismatch and deserves a log line.
    Unusable(UnusableHash),
}

impl PasswordVerdict {
    /// True only for [`PasswordVerdict::Match`].
    #[must_use]
    pub const fn is_match(self) -> bool {
        matches!(self, Self::Match)
    }
}

/// Why a stored hash cannot be checked; the `Display` text is meant for the log and never contains the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnusableHash {
    /// `x` or `*`: the hash is kept in a shadow file, which is not supported.
    Shadowed,
    /// The marker is none of the accepted schemes.
    UnsupportedScheme,
    /// The marker is known but what follows is not well-formed.
    Malformed,
    /// The hash asks for more than [`ROUNDS_MAX`] rounds.
    TooManyRounds,
}

impl fmt::Display for UnusableHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shadowed => "shadow passwords are not supported",
            Self::UnsupportedScheme => "unsupported hash scheme",
            Self::Malformed => "malformed password hash",
            Self::TooManyRounds => "password hash asks for too many rounds",
        })
    }
}

/// Checks `submitted` against `stored`, the second field of a password file line.
///
/// An empty hash matches nothing, and neither does a password that is longer than [`PASSWORD_BYTES_MAX`] or that
/// contains a NUL byte (`crypt(3)` takes C strings, so it would be cut off there). May take up to about a second
/// of processor time; call it outside the threads of an async runtime.
#[must_use]
pub fn check_password(stored: &str, submitted: &[u8]) -> PasswordVerdict {
    match stored {
        "" => return PasswordVerdict::Mismatch,
        "x" | "*" => return PasswordVerdict::Unusable(UnusableHash::Shadowed),
        _ => {}
    }
    if submitted.len() > PASSWORD_BYTES_MAX || submitted.contains(&0) {
        return PasswordVerdict::Mismatch;
    }
    match hash_like(stored, submitted) {
        Ok(computed) if bool::from(computed.as_bytes().ct_eq(stored.as_bytes())) => PasswordVerdict::Match,
        Ok(_) => PasswordVerdict::Mismatch,
        Err(reason) => PasswordVerdict::Unusable(reason),
    }
}

/// Hashes `submitted` with the scheme, salt and rounds of `stored`; equal passwords give equal text.
fn hash_like(stored: &str, submitted: &[u8]) -> Result<String, UnusableHash> {
    if let Some(rest) = stored.strip_prefix(md5_crypt::MARKER) {
        md5_crypt::hash_like(rest, submitted)
    } else if des_crypt::recognises(stored) {
        des_crypt::hash_like(stored, submitted)
    } else if let Some(rest) = stored.strip_prefix(sha1_crypt::MARKER) {
        sha1_crypt::hash_like(rest, submitted)
    } else if let Some(rest) = stored.strip_prefix(sha2_crypt::MARKER_256) {
        sha2_crypt::hash_like_256(rest, submitted)
    } else if let Some(rest) = stored.strip_prefix(sha2_crypt::MARKER_512) {
        sha2_crypt::hash_like_512(rest, submitted)
    } else {
        Err(UnusableHash::UnsupportedScheme)
    }
}

/// Reads a round count: decimal digits without a leading zero or sign, as `crypt(3)` writes it.
fn parse_rounds(text: &str) -> Result<u32, UnusableHash> {
    if text.is_empty() || text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UnusableHash::Malformed);
    }
    match text.parse() {
        Ok(rounds) if rounds <= ROUNDS_MAX => Ok(rounds),
        _ => Err(UnusableHash::TooManyRounds),
    }
}

/// Splits `salt$checksum` and checks that both are made of the `crypt(3)` alphabet and of proper length.
fn split_salt(text: &str, salt_max: usize, checksum_length: usize) -> Result<(&str, &str), UnusableHash> {
    let (salt, checksum) = text.split_once('$').ok_or(UnusableHash::Malformed)?;
    let well_formed = salt.len() <= salt_max
        && checksum.len() == checksum_length
        && salt.bytes().chain(checksum.bytes()).all(crypt64::is_digit);
    if well_formed { Ok((salt, checksum)) } else { Err(UnusableHash::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UMLAUTS: &str = "Geheim-Wörter-äöü";

    #[track_caller]
    fn check(stored: &str, submitted: &str, expected: PasswordVerdict) {
        assert_eq!(check_password(stored, submitted.as_bytes()), expected, "{stored} {submitted:?}");
    }

    #[track_caller]
    fn matches_only(stored: &str, password: &str) {
        check(stored, password, PasswordVerdict::Match);
        check(stored, &format!("!{password}"), PasswordVerdict::Mismatch);
        let mut damaged = stored.to_owned();
        let last = damaged.pop().unwrap();
        damaged.push(if last == '.' { '0' } else { '.' });
        check(&damaged, password, PasswordVerdict::Mismatch);
    }

    /// Vectors from `openssl passwd -1 -salt …` and glibc's `crypt(3)`.
    #[test]
    fn md5_crypt_accepts_only_the_right_password() {
        matches_only("$1$abcdefgh$G//4keteveJp0qb8z2DxG/", "password");
        matches_only("$1$abcdefgh$M55TzYaaccxVGbptZWaxX/", "");
        matches_only("$1$abcdefgh$w8efuf/ipST06D/6ll0Jc0", UMLAUTS);
        matches_only("$1$abcdefgh$84E8/spazQHWrSgDJeC6U/", "aaaaaaaaa");
        matches_only("$1$abcdefgh$Osgr7x9dpgaPTEJNWhxBi1", &"x".repeat(130));
        matches_only("$1$s$86LMLBF75kT8k49Mbjn6l0", "password");
        matches_only("$1$$I2o9Z7NcvQAKp7wyCTlia0", "password");
    }

    /// Vectors from glibc's `crypt(3)`.
    #[test]
    fn des_crypt_accepts_only_the_right_password() {
        matches_only("abJnggxhB/yWI", "password");
        matches_only("abmF1QH4PEr.E", "");
        matches_only("ab6aKIykdvtlk", UMLAUTS);
        matches_only("./xZjzHv5vzVE", "password");
        matches_only("./Una9Fi.seRo", "");
        matches_only("zZDDIZ0NOlPzw", "password");
        matches_only("QxWDF46PFmEvU", "été");
    }

    /// Vector from glibc's `crypt(3)`: the scheme looks at eight characters only.
    #[test]
    fn des_crypt_ignores_everything_after_eight_characters() {
        check("abBUNZY4cR2mg", "aaaaaaaa", PasswordVerdict::Match);
        check("abBUNZY4cR2mg", "aaaaaaaaa", PasswordVerdict::Match);
        check("abBUNZY4cR2mg", "aaaaaaa", PasswordVerdict::Mismatch);
    }

    /// Vectors from the passlib documentation (40000 rounds) and from passlib 1.7.4.
    #[test]
    fn sha1_crypt_accepts_only_the_right_password() {
        matches_only("$sha1$40000$jtNX3nZ2$hBNaIXkt4wBI2o5rsi8KejSjNqIq", "password");
        matches_only("$sha1$1000$saltstring$FistISjrTWcPSLnAug9KFiCXb5Wx", "");
        matches_only("$sha1$1000$saltstring$4zRtpUd0Uum71B3qbS1qjvpbZP7V", UMLAUTS);
        matches_only("$sha1$1000$saltstring$99wxIxA3R0QKfJTwT9Qur3tbrnAv", &"x".repeat(130));
        matches_only("$sha1$1$$DHQjV2WRIIwSz6DbaJ3Nk6GLxuQI", "password");
        let longest_salt = format!("$sha1$12${}$OzJT0aQklID50pokMCdhResuxZL3", "a".repeat(64));
        matches_only(&longest_salt, UMLAUTS);
    }

    /// Vectors from `openssl passwd -5 -salt …` and glibc's `crypt(3)`.
    #[test]
    fn sha256_crypt_accepts_only_the_right_password() {
        matches_only("$5$saltsalt$gOjOtoMpVhru2uyjeJSEc/JaLQWOXMNmlOnj6T4AtC.", "password");
        matches_only("$5$saltsalt$09agN5RZ2meWdEdnEusqsq5G7RwwghB8jCKoWWADxW/", "");
        matches_only("$5$saltsalt$QEfisszIf8OljVuLk/JLizSAgYKKl.AQOBdsbDg6Fk0", &"x".repeat(130));
        matches_only("$5$rounds=1000$saltsalt$SWuINtOVoR351hh31PztrqdhAyf.Zk0yAGBtoTSWpf7", UMLAUTS);
        matches_only("$5$0123456789abcdef$PX3YLE5zr/sP/9ZVvgTCBM3Fki2Fw9JDaXBHrVMrrj2", UMLAUTS);
        matches_only("$5$$CLGZSctXDzltsSzuX0KLDSrRFT56bf20ioi5f8Johv8", UMLAUTS);
    }

    /// Vectors from `openssl passwd -6 -salt …` and glibc's `crypt(3)`.
    #[test]
    fn sha512_crypt_accepts_only_the_right_password() {
        matches_only(
            "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/",
            "password",
        );
        matches_only(
            "$6$saltsalt$qkTgsCrWMTAS9gBGcf9W60sFfH.hU0oTCAOJjhbz5tSp/sU3/xXZK4OFwCtq8lIIdpJ6CatVdOTSHKp97TPkt/",
            "",
        );
        matches_only(
            "$6$saltsalt$yn/TfUr7jeCZCBNjprELMkLG6d/sZaOzU2NMDU.Bek1kXTYEO65IxWn3/mQ.z0oiOKMxFvZABOBCGerQ84LFv/",
            &"x".repeat(130),
        );
        matches_only(
            "$6$rounds=1000$s$yex4Y4IL0I0cAIky9gP/Gjkpxi5941Fr6J4ENQTB/yOnygcZRqPDQ0MsPsjBzJgiu2ofwtfevzu2WEpXeKzPq0",
            UMLAUTS,
        );
        matches_only(
            "$6$0123456789abcdef$gwrV2pD0Hn17lT.eV3hYWa61zbmNCUDpvpLdcTIzyoL/6ZmAd4XuS1kuXi9Ey1Yv7.bhJfn0PVFhXgFLYflbo.",
            UMLAUTS,
        );
    }

    #[test]
    fn hashes_that_cannot_be_checked_say_why() {
        use UnusableHash::{Malformed, Shadowed, UnsupportedScheme};
        let checksum = "I2o9Z7NcvQAKp7wyCTlia0";
        for (stored, reason) in [
            ("x", Shadowed),
            ("*", Shadowed),
            ("!", UnsupportedScheme),
            ("*LK*", UnsupportedScheme),
            ("$2b$04$x3WCD8JiCDkgqvUdpJmJ4.bEvL4yZNhDW8v2fx4gaPJDsjmjqKVDq", UnsupportedScheme),
            ("{SSHA}abcdef", UnsupportedScheme),
            ("abJnggxhB/yW", UnsupportedScheme),
            ("abJnggxhB/yWI!", UnsupportedScheme),
            ("abJnggxhB/yW!", UnsupportedScheme),
            ("$1$", Malformed),
            ("$1$abcdefgh", Malformed),
            (&format!("$1$abcdefghi${checksum}"), Malformed),
            (&format!("$1$abc efg${checksum}"), Malformed),
            (&format!("$1$abcdefgh${checksum}0"), Malformed),
            ("$sha1$x", Malformed),
            ("$sha1$0$salt$hBNaIXkt4wBI2o5rsi8KejSjNqIq", Malformed),
            ("$sha1$+1$salt$hBNaIXkt4wBI2o5rsi8KejSjNqIq", Malformed),
            ("$5$rounds=999$s$nEGbtphtlxsTfsWNST5XxNk7CJhitu6Lbujs0YxwBn4", Malformed),
            ("$5$rounds=01000$s$nEGbtphtlxsTfsWNST5XxNk7CJhitu6Lbujs0YxwBn4", Malformed),
            ("$5$rounds=1000", Malformed),
            ("$6$", Malformed),
            ("$6$saltsalt$tooshort", Malformed),
        ] {
            check(stored, "password", PasswordVerdict::Unusable(reason));
        }
    }

    /// The last row is a correct glibc hash, so nothing but the limit refuses it.
    #[test]
    fn more_rounds_than_the_limit_are_refused_without_hashing() {
        for stored in [
            "$sha1$4294967295$jtNX3nZ2$hBNaIXkt4wBI2o5rsi8KejSjNqIq",
            "$sha1$99999999999999999999$jtNX3nZ2$hBNaIXkt4wBI2o5rsi8KejSjNqIq",
            "$5$rounds=999999999$s$nEGbtphtlxsTfsWNST5XxNk7CJhitu6Lbujs0YxwBn4",
            "$6$rounds=1000001$abcdefgh$kO5QXlCzir.j5T6RBIJC.2csKa1z.yisyfDhYivi6J7beOUP0NpqUkIgHqwvJyjRJIjfeyzqhH7IzIRSUa7Yl/",
        ] {
            check(stored, UMLAUTS, PasswordVerdict::Unusable(UnusableHash::TooManyRounds));
        }
    }

    #[test]
    fn an_empty_hash_matches_nothing() {
        check("", "", PasswordVerdict::Mismatch);
        check("", "password", PasswordVerdict::Mismatch);
    }

    #[test]
    fn passwords_crypt_cannot_take_do_not_match() {
        check("abJnggxhB/yWI", "password\0", PasswordVerdict::Mismatch);
        check("abBUNZY4cR2mg", &"a".repeat(PASSWORD_BYTES_MAX), PasswordVerdict::Match);
        check("abBUNZY4cR2mg", &"a".repeat(PASSWORD_BYTES_MAX + 1), PasswordVerdict::Mismatch);
    }
}
