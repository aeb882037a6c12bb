//! OCRA, the challenge-response algorithms of RFC 6287, and its suites.

mod suite;

use hmac::{Hmac, Mac};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

pub use suite::{BadSuite, Format, Suite};

use super::hotp::{Code, keyed, truncate};
use crate::record::HashAlgorithm;
use crate::secret::equal;

/// Bytes of the challenge in the data (RFC 6287 section 5.1).
const QUESTION_BYTES: usize = 128;

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadInput {
    /// A character does not belong to the challenge's format.
    #[error("the challenge contains characters that its format does not allow")]
    QuestionFormat,
    /// More than fits into the data, or nothing.
    #[error("the challenge is empty or too long")]
    QuestionLength,
    /// The session is longer than the suite says.
    #[error("the session information is too long")]
    SessionLength,
}

/// What goes into a value. What the suite does not ask for is ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Input<'a> {
    /// `C`: the counter.
    pub counter: u64,
    /// `Q`: the challenge; in mutual authentication both challenges, one behind the other.
    pub question: &'a str,
    /// `P`: the PIN in the clear.
    pub pin: &'a [u8],
    /// `S`: the session information.
    pub session: &'a str,
    /// `T`: the number of the time step.
    pub step: u64,
}

/// The value for an input (RFC 6287 section 5.2).
///
/// # Errors
/// When challenge or session do not fit the suite.
pub fn code(suite: &Suite, key: &[u8], input: &Input<'_>) -> Result<Code, BadInput> {
    let data = data(suite, input)?;
    let number = match suite.hash {
        HashAlgorithm::Sha1 => truncate(&mac::<Hmac<Sha1>>(key, &data)),
        HashAlgorithm::Sha256 => truncate(&mac::<Hmac<Sha256>>(key, &data)),
        HashAlgorithm::Sha512 => truncate(&mac::<Hmac<Sha512>>(key, &data)),
    };
    Ok(match suite.digits {
        0 => Code::whole(number),
        digits => Code::cut(number, digits),
    })
}

/// Whether this is the value for an input, in constant time; an input that does not fit has none.
#[must_use]
pub fn is_code(suite: &Suite, key: &[u8], input: &Input<'_>, otp: &str) -> bool {
    code(suite, key, input).is_ok_and(|code| equal(code.as_str().as_bytes(), otp.as_bytes()))
}

/// The HMAC of a text under the suite's hash, as the apps sign URLs with it (reference tokens 10.2).
#[must_use]
pub fn sign(suite: &Suite, key: &[u8], text: &str) -> Vec<u8> {
    match suite.hash {
        HashAlgorithm::Sha1 => mac::<Hmac<Sha1>>(key, text.as_bytes()),
        HashAlgorithm::Sha256 => mac::<Hmac<Sha256>>(key, text.as_bytes()),
        HashAlgorithm::Sha512 => mac::<Hmac<Sha512>>(key, text.as_bytes()),
    }
}

/// The digest of a text under the suite's hash, in lower-case hex.
#[must_use]
pub fn digest_hex(suite: &Suite, text: &str) -> String {
    data_encoding::HEXLOWER.encode(&digest(suite.hash, text.as_bytes()))
}

fn mac<M: Mac + hmac::KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mac: M = keyed(key);
    mac.chain_update(data).finalize().into_bytes().to_vec()
}

fn digest(hash: HashAlgorithm, data: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(match hash {
        HashAlgorithm::Sha1 => Sha1::digest(data).to_vec(),
        HashAlgorithm::Sha256 => Sha256::digest(data).to_vec(),
        HashAlgorithm::Sha512 => Sha512::digest(data).to_vec(),
    })
}

/// `DataInput = OCRASuite | 00 | C | Q | P | S | T` (RFC 6287 section 5.1).
fn data(suite: &Suite, input: &Input<'_>) -> Result<Zeroizing<Vec<u8>>, BadInput> {
    let session = suite.session.unwrap_or_default();
    let mut data = Zeroizing::new(Vec::with_capacity(suite.text().len() + QUESTION_BYTES + session + 100));
    data.extend_from_slice(suite.text().as_bytes());
    data.push(0);
    if suite.counter {
        data.extend_from_slice(&input.counter.to_be_bytes());
    }
    let question = question_bytes(suite.format, input.question)?;
    pad(&mut data, &question, QUESTION_BYTES).ok_or(BadInput::QuestionLength)?;
    if let Some(hash) = suite.pin {
        data.extend_from_slice(&digest(hash, input.pin));
    }
    if let Some(length) = suite.session {
        pad(&mut data, input.session.as_bytes(), length).ok_or(BadInput::SessionLength)?;
    }
    if suite.step_seconds.is_some() {
        data.extend_from_slice(&input.step.to_be_bytes());
    }
    Ok(data)
}

/// Appends bytes, filled up with zeros to a length. `None` if there are more.
fn pad(data: &mut Vec<u8>, bytes: &[u8], length: usize) -> Option<()> {
    let missing = length.checked_sub(bytes.len())?;
    data.extend_from_slice(bytes);
    data.resize(data.len() + missing, 0);
    Some(())
}

/// The challenge as bytes. Numbers become hex digits, and an odd number of hex digits gets a 0 behind it.
fn question_bytes(format: Format, question: &str) -> Result<Vec<u8>, BadInput> {
    if question.is_empty() {
        return Err(BadInput::QuestionLength);
    }
    if question.len() > 2 * QUESTION_BYTES {
        return Err(BadInput::QuestionLength);
    }
    if !question.chars().all(|c| format.allows(c)) {
        return Err(BadInput::QuestionFormat);
    }
    let nibbles = match format {
        Format::Alphanumeric => return Ok(question.as_bytes().to_vec()),
        Format::Numeric => convert(question, 10, 16),
        Format::Hexadecimal => question.chars().filter_map(|c| c.to_digit(16)).collect(),
    };
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).unwrap_or_default(),
        [high] => u8::try_from(high * 16).unwrap_or_default(),
        _ => 0,
    };
    Ok(nibbles.chunks(2).map(byte).collect())
}

/// The digits of a number in another base, most significant first and without leading zeros, but at least one digit.
/// Characters that are no digits count as 0.
fn convert(digits: &str, from: u32, to: u32) -> Vec<u32> {
    let mut result: Vec<u32> = vec![0];
    for digit in digits.chars().map(|c| c.to_digit(from).unwrap_or(0)) {
        let mut carry = digit;
        for place in &mut result {
            let value = *place * from + carry;
            *place = value.checked_rem(to).unwrap_or(0);
            carry = value.checked_div(to).unwrap_or(0);
        }
        while carry > 0 {
            result.push(carry.checked_rem(to).unwrap_or(0));
            carry = carry.checked_div(to).unwrap_or(0);
        }
    }
    result.reverse();
    result
}

/// The decimal digits of a hexadecimal number.
#[must_use]
pub fn hex_to_decimal(hex: &str) -> String {
    convert(hex, 16, 10).into_iter().filter_map(|digit| char::from_digit(digit, 10)).collect()
}

#[cfg(test)]
mod tests;
