//! OTP arithmetic, with the published test vectors beside it. No state, no policy.

pub mod cbc;
pub mod dpw;
pub mod hotp;
pub mod motp;
pub mod ocra;
pub mod otpauth;
pub mod pbkdf2;
pub mod totp;
pub mod yubikey;
