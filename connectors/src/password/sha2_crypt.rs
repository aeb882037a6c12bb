//! sha256-crypt (`$5$`) and sha512-crypt (`$6$`): `[rounds=N$]salt$checksum`.

use sha_crypt::Params;

use super::{UnusableHash, crypt64, parse_rounds, split_salt};

/// What a sha256-crypt hash starts with.
pub(super) const MARKER_256: &str = "$5$";
/// What a sha512-crypt hash starts with.
pub(super) const MARKER_512: &str = "$6$";

const SALT_MAX: usize = 16;
const CHECKSUM_LENGTH_256: usize = 43;
const CHECKSUM_LENGTH_512: usize = 86;
const ROUNDS_PREFIX: &str = "rounds=";

const DIGEST_ORDER_256: [&[usize]; 11] = [
    &[0, 10, 20],
    &[21, 1, 11],
    &[12, 22, 2],
    &[3, 13, 23],
    &[24, 4, 14],
    &[15, 25, 5],
    &[6, 16, 26],
    &[27, 7, 17],
    &[18, 28, 8],
    &[9, 19, 29],
    &[31, 30],
];

const DIGEST_ORDER_512: [&[usize]; 22] = [
    &[0, 21, 42],
    &[22, 43, 1],
    &[44, 2, 23],
    &[3, 24, 45],
    &[25, 46, 4],
    &[47, 5, 26],
    &[6, 27, 48],
    &[28, 49, 7],
    &[50, 8, 29],
    &[9, 30, 51],
    &[31, 52, 10],
    &[53, 11, 32],
    &[12, 33, 54],
    &[34, 55, 13],
    &[56, 14, 35],
    &[15, 36, 57],
    &[37, 58, 16],
    &[59, 17, 38],
    &[18, 39, 60],
    &[40, 61, 19],
    &[62, 20, 41],
    &[63],
];

/// Hashes `password` with the rounds and salt of `rest`, the part of a sha256-crypt hash after the marker.
pub(super) fn hash_like_256(rest: &str, password: &[u8]) -> Result<String, UnusableHash> {
    let (params, salt) = parse(rest, CHECKSUM_LENGTH_256)?;
    let digest = sha_crypt::sha256_crypt(password, salt.as_bytes(), params);
    Ok(render(MARKER_256, rest, &digest, &DIGEST_ORDER_256))
}

/// Hashes `password` with the rounds and salt of `rest`, the part of a sha512-crypt hash after the marker.
pub(super) fn hash_like_512(rest: &str, password: &[u8]) -> Result<String, UnusableHash> {
    let (params, salt) = parse(rest, CHECKSUM_LENGTH_512)?;
    let digest = sha_crypt::sha512_crypt(password, salt.as_bytes(), params);
    Ok(render(MARKER_512, rest, &digest, &DIGEST_ORDER_512))
}

/// Reads rounds and salt. Fewer than 1000 rounds are malformed, as for glibc and passlib.
fn parse(rest: &str, checksum_length: usize) -> Result<(Params, &str), UnusableHash> {
    let (params, rest) = match rest.strip_prefix(ROUNDS_PREFIX) {
        None => (Params::default(), rest),
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$').ok_or(UnusableHash::Malformed)?;
            (Params::new(parse_rounds(rounds)?).map_err(|_| UnusableHash::Malformed)?, rest)
        }
    };
    let (salt, _) = split_salt(rest, SALT_MAX, checksum_length)?;
    Ok((params, salt))
}

/// Writes the hash with everything before the checksum exactly as it is stored.
fn render(marker: &str, rest: &str, digest: &[u8], order: &[&[usize]]) -> String {
    let (settings, _) = rest.rsplit_once('$').unwrap_or_default();
    let mut text = format!("{marker}{settings}$");
    crypt64::push_permuted(&mut text, digest, order);
    text
}
