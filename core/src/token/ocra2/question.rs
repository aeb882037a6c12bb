//! Making a challenge from what the client wants to have answered (reference tokens 10.3).

use crate::algo::ocra::{Format, Suite, digest_hex, hex_to_decimal};
use crate::decision::Refusal;
use crate::facts::Random;

/// So many zeros separate what the client sent from what is random.
const ZEROS: usize = 4;

/// A challenge for a suite. An empty input makes a random one.
///
/// # Errors
/// When the kind of challenge is not known.
pub(super) fn make(
    random: &mut Random,
    suite: &Suite,
    kind: Option<&str>,
    input: &str,
) -> Result<String, Refusal> {
    let length = suite.question_max;
    let mut challenge: String = match kind.unwrap_or("raw") {
        "raw" | "random" | "hash" if input.is_empty() => String::new(),
        "random" => String::new(),
        "raw" => {
            let fitting = input.chars().filter(|c| fits(suite.format, *c));
            fitting.chain(std::iter::repeat_n('0', ZEROS)).take(length).collect()
        }
        "hash" => return Ok(hashed(suite, input)),
        _ => return Err(invalid("challenge_type", "expected raw, random or hash")),
    };
    let alphabet = suite.format.alphabet().as_bytes();
    for _ in challenge.len()..length {
        let at = random.below(u32::try_from(alphabet.len()).unwrap_or(1));
        let letter = usize::try_from(at).ok().and_then(|at| alphabet.get(at)).copied().unwrap_or(b'0');
        challenge.push(char::from(letter));
    }
    Ok(challenge)
}

/// Of text only what every device can show goes into a challenge.
const fn fits(format: Format, c: char) -> bool {
    match format {
        Format::Alphanumeric => c.is_ascii_alphanumeric(),
        Format::Numeric => c.is_ascii_digit(),
        Format::Hexadecimal => c.is_ascii_hexdigit(),
    }
}

/// The digest of the input, as far as it fits.
fn hashed(suite: &Suite, input: &str) -> String {
    let length = suite.question_max;
    let hex = digest_hex(suite, input);
    let head: String = hex.chars().take(length).collect();
    match suite.format {
        Format::Alphanumeric | Format::Hexadecimal => head,
        Format::Numeric => hex_to_decimal(&head).chars().take(length).collect(),
    }
}

pub(super) fn invalid(name: &str, problem: &str) -> Refusal {
    Refusal::InvalidParameter { name: name.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(inputs: &str, kind: Option<&str>, input: &str) -> String {
        let suite = Suite::parse(&format!("OCRA-1:HOTP-SHA1-6:{inputs}")).unwrap();
        let challenge = make(&mut Random::new(&[5; 32]), &suite, kind, input).unwrap();
        assert!(suite.fits(&challenge), "{challenge}");
        challenge
    }

    #[test]
    fn raw_input_is_cleaned_and_filled_up() {
        let long = made("QA64", None, "abc def/g");
        assert!(long.starts_with("abcdefg0000") && long.len() == 64, "{long}");
        assert_eq!(made("QN08", Some("raw"), "12a34"), format!("12340000"));
        assert_eq!(made("QN08", None, "123456789"), "12345678");
        assert_eq!(made("QH08", None, "xyz1aF"), format!("1aF0000{}", &made("QH08", None, "xyz1aF")[7..]));
        assert_eq!(made("QA08", None, "äöü").get(..4), Some("0000"));
    }

    #[test]
    fn random_ones_are_of_full_length() {
        for (kind, input) in [(Some("random"), "abc"), (None, ""), (Some("hash"), "")] {
            let challenge = made("QA64", kind, input);
            assert!(challenge.len() == 64 && !challenge.starts_with("0000"), "{challenge}");
        }
        assert_eq!(made("QN08", Some("random"), "12345678").len(), 8);
    }

    /// `printf 'Transfer 10 EUR' | sha1sum` is 361d…; the decimal by `python3 -c 'print(int(hex, 16))'`.
    #[test]
    fn hashed_input_is_cut() {
        assert_eq!(made("QA40", Some("hash"), "Transfer 10 EUR"), SHA1);
        assert_eq!(made("QH08", Some("hash"), "Transfer 10 EUR"), SHA1[..8]);
        assert_eq!(made("QN08", Some("hash"), "Transfer 10 EUR"), DECIMAL);
    }

    #[test]
    fn unknown_kinds_are_refused() {
        let suite = Suite::parse("OCRA-1:HOTP-SHA1-6:QN08").unwrap();
        let refusal = make(&mut Random::new(&[5; 32]), &suite, Some("other"), "1");
        assert!(matches!(refusal, Err(Refusal::InvalidParameter { .. })));
    }

    const SHA1: &str = "361d8bcde82813e84d96632ff6bd9f2140380ca4";
    const DECIMAL: &str = "90790599";
}
