//! DES crypt, the traditional scheme of `crypt(3)`: two characters of salt, eleven of checksum.
//!
//! The cipher is DES (FIPS 46-3) with one change: the salt exchanges bits of the expansion. A zero block is
//! encrypted 25 times under the password. Bits are numbered as in the standard, 1 being the most significant.

use super::{UnusableHash, crypt64};

const SALT_LENGTH: usize = 2;
const HASH_LENGTH: usize = 13;
const PASSWORD_CHARACTERS: usize = 8;
const ENCRYPTIONS: usize = 25;

const INITIAL_PERMUTATION: [u8; 64] = [
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48,
    40, 32, 24, 16, 8, 57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61, 53, 45, 37, 29, 21,
    13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
];
const FINAL_PERMUTATION: [u8; 64] = [
    40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31, 38, 6, 46, 14, 54, 22, 62, 30, 37, 5, 45,
    13, 53, 21, 61, 29, 36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27, 34, 2, 42, 10, 50, 18,
    58, 26, 33, 1, 41, 9, 49, 17, 57, 25,
];
const EXPANSION: [u8; 48] = [
    32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17, 16, 17, 18, 19, 20,
    21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1,
];
const ROUND_PERMUTATION: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6,
    22, 11, 4, 25,
];
const KEY_CHOICE_1: [u8; 56] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44,
    36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20,
    12, 4,
];
const KEY_CHOICE_2: [u8; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37,
    47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];
const KEY_SHIFTS: [u32; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

/// The eight selection functions, each four rows of sixteen.
const SELECTION: [[u8; 64]; 8] = [
    [
        14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5,
        3, 8, 4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14,
        10, 0, 6, 13,
    ],
    [
        15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9,
        11, 5, 0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12,
        0, 5, 14, 9,
    ],
    [
        10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11,
        15, 1, 13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3,
        11, 5, 2, 12,
    ],
    [
        7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10,
        14, 9, 10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11,
        12, 7, 2, 14,
    ],
    [
        2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9,
        8, 6, 4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9,
        10, 4, 5, 3,
    ],
    [
        12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11,
        3, 8, 9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7,
        6, 0, 8, 13,
    ],
    [
        4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15,
        8, 6, 1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15,
        14, 2, 3, 12,
    ],
    [
        13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14,
        9, 2, 7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0,
        3, 5, 6, 11,
    ],
];

/// Tells whether `stored` has the shape of this scheme: 13 digits of the `crypt(3)` alphabet.
pub(super) fn recognises(stored: &str) -> bool {
    stored.len() == HASH_LENGTH && stored.bytes().all(crypt64::is_digit)
}

/// Hashes `password` with the salt at the start of `stored`.
pub(super) fn hash_like(stored: &str, password: &[u8]) -> Result<String, UnusableHash> {
    let salt = stored.get(..SALT_LENGTH).ok_or(UnusableHash::Malformed)?;
    let exchange = salt_mask(salt).ok_or(UnusableHash::Malformed)?;
    let round_keys = round_keys(password);
    let block = (0..ENCRYPTIONS).fold(0, |block, _| encrypt(block, &round_keys, exchange));
    let mut text = salt.to_owned();
    text.extend((0..10).map(|index| crypt64::digit(block >> (58 - 6 * index))));
    // Four bits are left for the last digit.
    text.push(crypt64::digit(block << 2));
    Ok(text)
}

/// The bits of the upper half of the expansion that the salt exchanges with the lower half: bit `k` of the salt,
/// counted from the lowest bit of its first character, stands for bit `k + 1` of the expansion.
fn salt_mask(salt: &str) -> Option<u64> {
    let number = salt.bytes().rev().try_fold(0_u64, |number, digit| {
        crypt64::value(digit).map(|value| (number << 6) | u64::from(value))
    })?;
    Some((0..24).fold(0, |mask, bit| (mask << 1) | ((number >> bit) & 1)))
}

/// The sixteen 48-bit keys: seven bits of each of the first eight characters.
fn round_keys(password: &[u8]) -> [u64; 16] {
    let padded = password.iter().copied().chain(std::iter::repeat(0)).take(PASSWORD_CHARACTERS);
    let key = padded.fold(0, |key, byte| (key << 8) | u64::from(byte << 1));
    let chosen = permute(key, 64, &KEY_CHOICE_1);
    let (mut left, mut right) = (chosen >> 28, chosen & 0x0fff_ffff);
    KEY_SHIFTS.map(|shift| {
        left = rotate_28(left, shift);
        right = rotate_28(right, shift);
        permute((left << 28) | right, 56, &KEY_CHOICE_2)
    })
}

/// One DES encryption with salted expansion.
fn encrypt(block: u64, round_keys: &[u64; 16], exchange: u64) -> u64 {
    let permuted = permute(block, 64, &INITIAL_PERMUTATION);
    let (left, right) =
        round_keys.iter().fold((permuted >> 32, permuted & 0xffff_ffff), |(left, right), &key| {
            (right, left ^ round_function(right, key, exchange))
        });
    permute((right << 32) | left, 64, &FINAL_PERMUTATION)
}

fn round_function(half: u64, key: u64, exchange: u64) -> u64 {
    let expanded = permute(half, 32, &EXPANSION);
    let differing = ((expanded >> 24) ^ expanded) & exchange;
    let mixed = expanded ^ differing ^ (differing << 24) ^ key;
    let selected = SELECTION
        .iter()
        .enumerate()
        .fold(0, |selected, (index, table)| (selected << 4) | select(table, mixed >> (42 - 6 * index)));
    permute(selected, 32, &ROUND_PERMUTATION)
}

/// Looks six bits up: the outer two are the row, the inner four the column.
fn select(table: &[u8; 64], bits: u64) -> u64 {
    let row = ((bits >> 4) & 2) | (bits & 1);
    let column = (bits >> 1) & 0xf;
    let index = usize::try_from(row * 16 + column).unwrap_or_default();
    u64::from(table.get(index).copied().unwrap_or_default())
}

/// Picks bits of the `width` bits wide `input` in the order of `table`.
fn permute(input: u64, width: u8, table: &[u8]) -> u64 {
    table.iter().fold(0, |output, &position| (output << 1) | ((input >> (width - position)) & 1))
}

fn rotate_28(half: u64, shift: u32) -> u64 {
    ((half << shift) | (half >> (28 - shift))) & 0x0fff_ffff
}
