//! The base-64 notation of `crypt(3)`: alphabet `./0-9A-Za-z`, no padding.

/// The digits in the order of their values.
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Tells whether `byte` is one of the 64 digits.
pub(super) const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/')
}

/// Value of a digit, 0 to 63.
pub(super) fn value(digit: u8) -> Option<u8> {
    ALPHABET.iter().position(|&candidate| candidate == digit).and_then(|index| u8::try_from(index).ok())
}

/// The digit for the low six bits of `value`.
pub(super) fn digit(value: u64) -> char {
    let index = usize::try_from(value & 0x3f).unwrap_or_default();
    char::from(ALPHABET.get(index).copied().unwrap_or(b'.'))
}

/// Appends `value` as `count` digits, the low six bits first, as the `$…$` schemes do.
pub(super) fn push_little_endian(text: &mut String, mut value: u64, count: usize) {
    for _ in 0..count {
        text.push(digit(value));
        value >>= 6;
    }
}

/// Appends the bytes of `digest` in the order of `order`, three bytes to four digits.
///
/// Each row names the bytes of one group, most significant first; a shorter row at the end gives two or three
/// digits.
pub(super) fn push_permuted(text: &mut String, digest: &[u8], order: &[&[usize]]) {
    for row in order {
        let group = row.iter().fold(0_u64, |group, &index| {
            (group << 8) | u64::from(digest.get(index).copied().unwrap_or_default())
        });
        push_little_endian(text, group, row.len() + 1);
    }
}
