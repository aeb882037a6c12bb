//! A token: its definition, which administration changes, and its usage, which every login changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::secret::{PinHash, Sealed};
use crate::time::UnixMillis;
use crate::user::{Owner, RealmName};

/// The types of tokens. Appended to, never reordered: the position is the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TokenType {
    /// Event-based OTP, RFC 4226.
    Hmac,
    /// Time-based OTP, RFC 6238.
    Totp,
    /// A fixed password.
    Pw,
    /// The PIN alone.
    Spass,
    /// Mobile-OTP: time-based, with a PIN typed into the device.
    Motp,
    /// A password of the day.
    Dpw,
    /// A Yubikey in AES mode.
    Yubikey,
    /// Challenge-response, RFC 6287.
    Ocra2,
    /// The OTPs of another token.
    Forward,
    /// A Yubikey that Yubico's server checks.
    Yubico,
}

/// The hash below HMAC in OATH algorithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashAlgorithm {
    /// SHA-1, the default.
    #[default]
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// The OTP PIN of a token (reference tokens 1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pin {
    /// Never set: exactly the empty PIN matches.
    #[default]
    Unset,
    /// One-way.
    Hashed(PinHash),
    /// Reversible, on request of the administrator.
    Reversible(Sealed),
}

/// One value of the free-form token information.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InfoValue {
    /// A JSON string.
    Text(Box<str>),
    /// A JSON integer.
    Integer(i64),
    /// Any other JSON value, as validated JSON text.
    Json(Box<str>),
}

/// Free-form token information by LinOTP's keys (reference tokens 1.3). Unknown keys survive every update.
pub type TokenInfo = BTreeMap<Box<str>, InfoValue>;

/// A token's definition (reference tokens 1.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenV1 {
    /// The type.
    pub token_type: TokenType,
    /// The seed as typed at enrolment (hex text for the OATH types), sealed under [`crate::secret::Purpose::Seed`].
    pub seed: Option<Sealed>,
    /// The OTP PIN.
    pub pin: Pin,
    /// A device PIN (mOTP, OCRA), sealed.
    pub user_pin: Option<Sealed>,
    /// The owner, if assigned.
    pub owner: Option<Owner>,
    /// The realms, ordered by name.
    pub realms: Vec<RealmName>,
    /// Description, at most 80 characters.
    pub description: Box<str>,
    /// Number of characters of the OTP part.
    pub digits: u32,
    /// Look-ahead of a login, in counters or time steps.
    pub count_window: u32,
    /// Look-ahead of a resynchronisation.
    pub sync_window: u32,
    /// Number of failures after which the token is locked.
    pub fail_count_max: u32,
    /// Enabled.
    pub active: bool,
    /// When the token was created.
    pub created_at: UnixMillis,
    /// Everything else an administrator may set.
    pub info: TokenInfo,
}

/// The memory of an automatic resynchronisation (reference tokens 8.1, 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoResync {
    /// Counter or time step of the first of the two OTPs (`otp1c`).
    pub counter: u64,
    /// HOTP only: until when the second one has to arrive, in seconds (`dueDate`).
    pub due_at: Option<u64>,
}

/// A token's usage: what a login reads and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageV1 {
    /// The next acceptable counter or time step (`Count`); never goes back except by re-enrolment.
    pub next_counter: u64,
    /// Failures since the last success or reset.
    pub fail_count: u32,
    /// TOTP: drift of the device's clock in seconds (`timeShift`).
    pub time_shift: i64,
    /// Memory of an automatic resynchronisation.
    pub auto_resync: Option<AutoResync>,
    /// Number of authentications (`count_auth`); `None` until first counted.
    pub count_auth: Option<u32>,
    /// Number of successful authentications (`count_auth_success`); `None` until first counted.
    pub count_auth_success: Option<u32>,
    /// Last time the token took part in a login, if recorded (`LastAuthMatch`).
    pub last_match_at: Option<UnixMillis>,
    /// Last successful login, if recorded (`LastAuthSuccess`).
    pub last_success_at: Option<UnixMillis>,
    /// Information a login itself learns (later token types).
    pub info: TokenInfo,
}
