//! The OTP of a Yubikey in AES mode: modhex text around one AES block (reference tokens 8.11).

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, KeyInit};
use data_encoding::{Encoding, Specification};
use zeroize::Zeroizing;

/// Values of the session counter: how far the counter moves when the key is plugged in.
pub const SESSION_COUNTS: u64 = 256;
/// Characters of the encrypted part; what stands before it is the public identity.
pub const OTP_CHARS: usize = 32;

/// The residue of the CRC over a whole sound block.
const CRC_RESIDUE: u16 = 0xf0b8;

/// Why a text is not an OTP of this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnOtp {
    /// It is not 32 characters of modhex.
    #[error("not 32 modhex characters")]
    Text,
    /// The checksum is wrong: another key, or a typing error.
    #[error("wrong checksum")]
    Checksum,
}

/// What a Yubikey encrypted.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The private identity.
    pub private_id: [u8; 6],
    /// Power-ups (`usage`) times 256 plus OTPs since power-up (`session`).
    pub counter: u64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token(counter {})", self.counter)
    }
}

/// The keyboard-independent alphabet. Building it cannot fail: sixteen different ASCII characters.
fn modhex() -> Option<Encoding> {
    let mut alphabet = Specification::new();
    alphabet.symbols.push_str("cbdefghijklnrtuv");
    alphabet.encoding().ok()
}

/// Whether every character is one of the modhex alphabet.
#[must_use]
pub fn is_modhex(text: &str) -> bool {
    text.bytes().all(|byte| b"cbdefghijklnrtuv".contains(&byte))
}

/// The bytes behind modhex text, lower case.
#[must_use]
pub fn decode_modhex(text: &str) -> Option<Vec<u8>> {
    modhex()?.decode(text.as_bytes()).ok()
}

/// Decrypts the last 32 characters of an OTP, lower case.
///
/// # Errors
/// When it is not one, or not one of this key.
pub fn decrypt(key: &[u8; 16], otp: &str) -> Result<Token, NotAnOtp> {
    let cipher: [u8; 16] =
        decode_modhex(otp).and_then(|bytes| bytes.try_into().ok()).ok_or(NotAnOtp::Text)?;
    let mut block = aes::Block::from(cipher);
    Aes128::new(&(*key).into()).decrypt_block(&mut block);
    let plain: Zeroizing<[u8; 16]> = Zeroizing::new(block.into());
    if crc(&*plain) != CRC_RESIDUE {
        return Err(NotAnOtp::Checksum);
    }
    let [a, b, c, d, e, f, usage_low, usage_high, _, _, _, session, ..] = *plain;
    let usage = u16::from_le_bytes([usage_low, usage_high]);
    Ok(Token {
        private_id: [a, b, c, d, e, f],
        counter: u64::from(usage) * SESSION_COUNTS + u64::from(session),
    })
}

/// CRC-16 with initial value 0xFFFF and the reflected polynomial 0x8408 (ISO 13239).
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// Reference tokens 14.6: OTPs of the key 9163…1729 and their counters.
    pub(crate) const OTPS: [(&str, u64); 13] = [
        ("fcniufvgvjturjgvinhebbbertjnihit", 256),
        ("tbkfkdhnfjbjnkcbtbcckklhvgkljifu", 257),
        ("ktvkekfgufndgbfvctgfrrkinergbtdj", 258),
        ("jbefledlhkvjjcibvrdfcfetnjdjitrn", 259),
        ("druecevifbfufgdegglttghghhvhjcbh", 260),
        ("nvfnejvhkcililuvhntcrrulrfcrukll", 261),
        ("kttkktdergcenthdredlvbkiulrkftuk", 262),
        ("hutbgchjucnjnhlcnfijckbniegbglrt", 512),
        ("vneienejjnedbfnjnnrfhhjudjgghckl", 513),
        ("krgevltjnujcnuhtngjndbhbiiufbnki", 514),
        ("kehbefcrnlfejedfdulubuldfbhdlicc", 768),
        ("ljlhjbkejkctubnejrhuvljkvglvvlbk", 769),
        ("eihtnehtetluntirtirrvblfkttbjuih", 770),
    ];

    fn key() -> [u8; 16] {
        HEXLOWER.decode(b"9163508031b20d2fbb1868954e041729").unwrap().try_into().unwrap()
    }

    #[test]
    fn values_of_the_reference() {
        for (otp, counter) in OTPS {
            let token = decrypt(&key(), otp).unwrap();
            assert_eq!(HEXLOWER.encode(&token.private_id), "adb0ee7dd24a", "{otp}");
            assert_eq!(token.counter, counter, "{otp}");
        }
    }

    #[test]
    fn anything_else_is_no_otp() {
        let table = [
            ("fcniufvgvjturjgvinhebbvvvvvvvvvv", NotAnOtp::Checksum),
            ("fcniufvgvjturjgvinhebbbertjnihi", NotAnOtp::Text),
            ("fcniufvgvjturjgvinhebbbertjnihitc", NotAnOtp::Text),
            ("fcniufvgvjturjgvinhebbbertjnihia", NotAnOtp::Text),
            ("FCNIUFVGVJTURJGVINHEBBBERTJNIHIT", NotAnOtp::Text),
            ("", NotAnOtp::Text),
        ];
        for (otp, problem) in table {
            assert_eq!(decrypt(&key(), otp), Err(problem), "{otp}");
        }
        assert_eq!(decrypt(&[0; 16], OTPS[0].0), Err(NotAnOtp::Checksum), "another key");
    }

    /// Reference tokens 14.6: the prefix is the modhex form of ASCII digits.
    #[test]
    fn modhex_is_read() {
        assert_eq!(decode_modhex("ecebeeejedecebeg").as_deref(), Some(&b"01382015"[..]));
        assert!(is_modhex("cbdefghijklnrtuv") && is_modhex("") && !is_modhex("cba"));
        assert_eq!(decode_modhex("c"), None);
    }
}
