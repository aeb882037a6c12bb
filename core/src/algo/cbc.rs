//! AES in CBC mode, as seed files use it (NIST SP 800-38A section 6.2).

use aes::cipher::{BlockCipherDecrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256, Block};
use zeroize::Zeroizing;

/// Why a ciphertext cannot be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCipher {
    /// AES has keys of 16, 24 and 32 bytes.
    #[error("the key does not have 16, 24 or 32 bytes")]
    Key,
    /// It is an initialisation vector and whole blocks, at least one.
    #[error("the encrypted value is not made of whole blocks")]
    Length,
}

/// Decrypts `IV || ciphertext`. Padding stays.
///
/// # Errors
/// When a length is impossible.
pub fn decrypt(key: &[u8], data: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadCipher> {
    match key.len() {
        16 => chain(&Aes128::new_from_slice(key).map_err(|_| BadCipher::Key)?, data),
        24 => chain(&Aes192::new_from_slice(key).map_err(|_| BadCipher::Key)?, data),
        32 => chain(&Aes256::new_from_slice(key).map_err(|_| BadCipher::Key)?, data),
        _ => Err(BadCipher::Key),
    }
}

fn chain<C>(cipher: &C, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadCipher>
where
    C: BlockCipherDecrypt<BlockSize = aes::cipher::consts::U16>,
{
    let (blocks, rest) = data.as_chunks::<16>();
    let Some((first, blocks)) =
        blocks.split_first().filter(|(_, blocks)| rest.is_empty() && !blocks.is_empty())
    else {
        return Err(BadCipher::Length);
    };
    let mut plain = Zeroizing::new(Vec::with_capacity(data.len()));
    let mut before = *first;
    for encrypted in blocks {
        let mut block = Block::from(*encrypted);
        cipher.decrypt_block(&mut block);
        plain.extend(block.iter().zip(before).map(|(byte, mask)| byte ^ mask));
        before = *encrypted;
    }
    Ok(plain)
}

/// The text without PKCS#7 padding, if there is consistent padding (reference tokens 13.4).
#[must_use]
pub fn unpadded(plain: &[u8]) -> &[u8] {
    let Some(&last) = plain.last() else { return plain };
    let Some((head, tail)) = plain.len().checked_sub(last.into()).and_then(|at| plain.split_at_checked(at))
    else {
        return plain;
    };
    if (1..=16).contains(&last) && tail.iter().all(|byte| *byte == last) { head } else { plain }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    /// NIST SP 800-38A F.2.2, F.2.4 and F.2.6, the first two blocks.
    #[test]
    fn values_of_sp_800_38a() {
        let iv = "000102030405060708090a0b0c0d0e0f";
        let plain = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";
        for (key, cipher) in [
            (
                "2b7e151628aed2a6abf7158809cf4f3c",
                "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
            ),
            (
                "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
                "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a",
            ),
            (
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
            ),
        ] {
            let data = hex(&format!("{iv}{cipher}"));
            assert_eq!(decrypt(&hex(key), &data).unwrap().as_slice(), hex(plain));
        }
    }

    #[test]
    fn lengths_are_checked() {
        for (key, data, problem) in [
            (16, 16, BadCipher::Length),
            (16, 0, BadCipher::Length),
            (16, 40, BadCipher::Length),
            (15, 32, BadCipher::Key),
            (0, 32, BadCipher::Key),
        ] {
            assert_eq!(decrypt(&vec![0; key], &vec![0; data]), Err(problem), "{key} {data}");
        }
    }

    #[test]
    fn only_consistent_padding_is_removed() {
        for (padded, plain) in [
            (&b"abc\x02\x02"[..], &b"abc"[..]),
            (b"abc\x01", b"abc"),
            (b"abc\x01\x02", b"abc\x01\x02"),
            (b"abc\x00", b"abc\x00"),
            (b"\x03\x03\x03", b""),
            (b"\x04\x04\x04", b"\x04\x04\x04"),
            (&[16; 16], b""),
            (&[17; 32], &[17; 32]),
            (b"", b""),
        ] {
            assert_eq!(unpadded(padded), plain, "{padded:?}");
        }
    }
}
