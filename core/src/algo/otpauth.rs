//! The `otpauth://` URI that authenticator apps read from a QR code (reference tokens 4.6).

use std::fmt::Write;

use data_encoding::BASE32_NOPAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};

use crate::record::HashAlgorithm;
use crate::secret::SecretText;

/// The longest URI; the label is cut to keep it.
pub const LENGTH_MAX: usize = 400;

/// What the placeholders in issuer and label stand for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Placeholders<'a> {
    /// `<u>`: the owner's login.
    pub login: &'a str,
    /// `<r>`: the owner's realm.
    pub realm: &'a str,
    /// `<s>`: the serial.
    pub serial: &'a str,
    /// `<d>`: the description.
    pub description: &'a str,
}

impl Placeholders<'_> {
    /// Fills a template. What is filled in is not looked at for placeholders again.
    #[must_use]
    pub fn fill(&self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len() + 32);
        let mut rest = template;
        while let Some((before, behind)) = rest.split_once('<') {
            filled.push_str(before);
            let known =
                [("u>", self.login), ("r>", self.realm), ("s>", self.serial), ("d>", self.description)];
            let found =
                known.iter().find_map(|(name, value)| behind.strip_prefix(name).map(|rest| (rest, *value)));
            rest = match found {
                Some((behind, value)) => {
                    filled.push_str(value);
                    behind
                }
                None => {
                    filled.push('<');
                    behind
                }
            };
        }
        filled.push_str(rest);
        filled
    }
}

/// A value as forms encode it: blanks become `+`.
#[must_use]
pub fn form_encoded(text: &str) -> String {
    text.split(' ').map(|word| utf8_percent_encode(word, VALUE).to_string()).collect::<Vec<_>>().join("+")
}

/// Everything but the unreserved characters of RFC 3986.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In the label `/` stays literal as well.
const LABEL: &AsciiSet = &VALUE.remove(b'/');

/// What moves the value on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moving {
    /// `hotp`: an event counter that starts at 0.
    Counter,
    /// `totp`: a time step of this many seconds.
    Period(u64),
    /// `motp`: time slots of fixed length.
    Slot,
}

/// What a URI says.
#[derive(Clone, Copy, Debug)]
pub struct Otpauth<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Number of digits.
    pub digits: u32,
    /// The hash.
    pub hash: HashAlgorithm,
    /// Counter or time.
    pub moving: Moving,
    /// Who issued the token.
    pub issuer: &'a str,
    /// What the app shows beside the issuer: login or serial.
    pub account: &'a str,
}

/// Writes the URI. It contains the seed.
#[must_use]
pub fn uri(content: &Otpauth<'_>) -> SecretText {
    let kind = match content.moving {
        Moving::Counter => "hotp",
        Moving::Period(_) => "totp",
        Moving::Slot => "motp",
    };
    let query = query(content);
    let fixed = "otpauth://".len() + kind.len() + "/".len() + "?".len() + query.expose().len();
    let label = label(content.issuer, content.account, LENGTH_MAX.saturating_sub(fixed));
    let mut uri = String::with_capacity(fixed + label.len());
    uri.push_str("otpauth://");
    uri.push_str(kind);
    uri.push('/');
    uri.push_str(&label);
    uri.push('?');
    uri.push_str(query.expose());
    SecretText::new(uri)
}

/// The parameters in their fixed order; what is the apps' default is left out, except the counter.
fn query(content: &Otpauth<'_>) -> SecretText {
    // Large enough that the growing text does not leave copies of the seed behind.
    let mut query = String::with_capacity(content.key.len() * 2 + content.issuer.len() * 3 + 100);
    query.push_str("secret=");
    BASE32_NOPAD.encode_append(content.key, &mut query);
    let mut parameter = |name: &str, value: &dyn std::fmt::Display| {
        // Writing to a string cannot fail.
        let _ = write!(query, "&{name}={value}");
    };
    if content.digits != 6 {
        parameter("digits", &content.digits);
    }
    match content.hash {
        HashAlgorithm::Sha1 => {}
        HashAlgorithm::Sha256 => parameter("algorithm", &"SHA256"),
        HashAlgorithm::Sha512 => parameter("algorithm", &"SHA512"),
    }
    match content.moving {
        Moving::Counter => parameter("counter", &0),
        Moving::Period(30) | Moving::Slot => {}
        Moving::Period(seconds) => parameter("period", &seconds),
    }
    parameter("issuer", &utf8_percent_encode(content.issuer, VALUE));
    SecretText::new(query)
}

/// `<issuer>:<account>`, encoded, at most `room` characters, cut between characters.
fn label(issuer: &str, account: &str, room: usize) -> String {
    let mut label = String::new();
    let mut buffer = [0; 4];
    let encoded = |c: char, label: &mut String, buffer: &mut [u8; 4]| {
        let piece = percent_encode(c.encode_utf8(buffer).as_bytes(), LABEL).to_string();
        let fits = label.len() + piece.len() <= room;
        if fits {
            label.push_str(&piece);
        }
        fits
    };
    if !issuer.chars().all(|c| encoded(c, &mut label, &mut buffer)) || label.len() == room {
        return label;
    }
    label.push(':');
    for c in account.chars() {
        if !encoded(c, &mut label, &mut buffer) {
            break;
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: Otpauth<'_> = Otpauth {
        key: b"12345678901234567890",
        digits: 6,
        hash: HashAlgorithm::Sha1,
        moving: Moving::Counter,
        issuer: "LinOTP",
        account: "alice",
    };

    #[track_caller]
    fn check(content: &Otpauth<'_>, expected: &str) {
        assert_eq!(uri(content).expose(), expected);
    }

    /// Reference tokens 14.8.
    #[test]
    fn uris_of_the_reference() {
        check(
            &EXAMPLE,
            "otpauth://hotp/LinOTP:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&counter=0&issuer=LinOTP",
        );
        let totp = Otpauth {
            digits: 8,
            hash: HashAlgorithm::Sha256,
            moving: Moving::Period(60),
            issuer: "ACME Corp",
            ..EXAMPLE
        };
        check(
            &totp,
            "otpauth://totp/ACME%20Corp:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &digits=8&algorithm=SHA256&period=60&issuer=ACME%20Corp",
        );
        let motp = Otpauth { key: b"DEADBEEFDEADBEEF", moving: Moving::Slot, ..EXAMPLE };
        check(&motp, "otpauth://motp/LinOTP:alice?secret=IRCUCRCCIVCUMRCFIFCEERKFIY&issuer=LinOTP");
    }

    #[test]
    fn defaults_of_the_apps_are_left_out() {
        let totp = Otpauth { moving: Moving::Period(30), ..EXAMPLE };
        check(&totp, "otpauth://totp/LinOTP:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=LinOTP");
    }

    #[test]
    fn slash_stays_in_the_label_and_is_encoded_in_values() {
        let slashed = Otpauth { issuer: "a/b", account: "c/d e:@ü", ..EXAMPLE };
        check(
            &slashed,
            "otpauth://hotp/a/b:c/d%20e%3A%40%C3%BC?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &counter=0&issuer=a%2Fb",
        );
    }

    /// Reference tokens 4.6.
    #[test]
    fn placeholders_are_filled_once() {
        let names = Placeholders { login: "alice<s>", realm: "corp", serial: "A1", description: "blue" };
        for (template, expected) in [
            ("<u>", "alice<s>"),
            ("<u>@<r> (<s>, <d>)", "alice<s>@corp (A1, blue)"),
            ("<x> < <U> <", "<x> < <U> <"),
            ("", ""),
            ("<<s>>", "<A1>"),
        ] {
            assert_eq!(names.fill(template), expected, "{template}");
        }
    }

    #[test]
    fn label_is_cut_to_keep_the_limit() {
        for account in ["a".repeat(500), "ü".repeat(500)] {
            let long = uri(&Otpauth { account: &account, ..EXAMPLE });
            let shorter_by = LENGTH_MAX - long.expose().len();
            let piece = if account.starts_with('a') { 1 } else { 6 };
            assert!(shorter_by < piece, "{shorter_by}");
            assert!(long.expose().ends_with("&issuer=LinOTP"));
            let (label, _) = long.expose().split_once('?').unwrap();
            assert!(label.ends_with(if piece == 1 { "aa" } else { "%C3%BC" }), "{label}");
        }
    }

    #[test]
    fn seed_too_long_for_any_label_leaves_it_empty() {
        let long = uri(&Otpauth { key: &[1; 300], ..EXAMPLE });
        assert!(long.expose().starts_with("otpauth://hotp/?secret="));
    }
}
