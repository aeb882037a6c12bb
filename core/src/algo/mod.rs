//! OTP arithmetic, with the published test vectors beside it. No state, no policy.

pub mod hotp;
pub mod otpauth;
pub mod totp;
