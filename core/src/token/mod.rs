//! Token types: one file each, and the registry.
//!
//! A type says what differs from the others, by implementing [`TokenRules`]; the flow of enrolment, login and
//! resynchronisation is in [`crate::decide`]. To add a type: a file here, a variant at the end of
//! [`TokenType`], a line in `token_types!` below.

mod dpw;
mod forward;
mod hmac;
mod motp;
mod ocra2;
mod pw;
mod spass;
mod totp;
mod yubico;
mod yubikey;

pub(crate) use ocra2::{SHARED_SECRET, shared_secret_place};

use std::collections::BTreeMap;

use crate::algo::hotp::UnsupportedDigits;
use crate::algo::motp::UnsupportedLength;
use crate::decide::Context;
use crate::decide::enroll::{Init, Shown};
use crate::decide::pin::{OtpPinMode, Split};
use crate::decide::validate::Attribute;
use crate::decision::{Refusal, Stop};
use crate::facts::{Answer, Question};
use crate::record::{AutoResync, InfoValue, TokenType, TokenV1, UsageV1};
use crate::secret::{Keyring, Purpose, SealError, SecretText};
use crate::seed::SeedError;
use crate::settings::Settings;
use crate::time::UnixMillis;
use crate::token_info::InfoFault;
use crate::user::{Serial, TransactionId};

/// How a type takes part in a login (reference tokens 2, 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modes {
    /// PIN and OTP in one request.
    Authenticate,
    /// A challenge has to be triggered first.
    Challenge,
    /// Either; which one is a matter of policy.
    Both,
}

/// One attempt to log in with a token, PIN already split off.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The token.
    pub serial: &'a Serial,
    /// Its definition.
    pub token: &'a TokenV1,
    /// Its usage so far.
    pub usage: &'a UsageV1,
    /// The OTP part of what was submitted.
    pub otp: &'a str,
    /// The challenge that is answered, if there is one.
    pub challenge: Option<Answered<'a>>,
    /// The answer to the type's question.
    pub answer: Option<&'a Answer>,
    /// Cluster time.
    pub now: UnixMillis,
    /// The system configuration.
    pub settings: &'a Settings,
    /// The keys the seed is sealed under.
    pub keyring: &'a Keyring,
}

/// A challenge that an attempt answers.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// What the type stored with it.
    pub data: &'a str,
    /// Whether the answer names the transaction.
    pub by_transaction: bool,
}

/// Two consecutive OTPs for a resynchronisation.
#[derive(Clone, Copy, Debug)]
pub struct OtpPair<'a> {
    /// The first one.
    pub first: &'a str,
    /// The one the device showed next.
    pub second: &'a str,
    /// The data of the challenges they answer, for types that need one.
    pub challenges: Option<(&'a str, &'a str)>,
}

/// A token that is to be challenged.
#[derive(Clone, Copy, Debug)]
pub struct Trigger<'a> {
    /// The token.
    pub serial: &'a Serial,
    /// Its definition.
    pub token: &'a TokenV1,
    /// The parameters of the request.
    pub options: &'a BTreeMap<String, String>,
    /// The id of the challenge.
    pub transaction_id: &'a TransactionId,
}

/// A challenge as a type words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posed {
    /// The prompt or URL returned to the client.
    pub message: String,
    /// What the type needs when it is answered, JSON text.
    pub data: String,
    /// What the client is told besides.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// How a type knows that something submitted answers a challenge (reference tokens 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// The request names the transaction; all of what was submitted is the OTP.
    ByTransaction,
    /// Whatever is not the PIN alone, while there is a challenge; PIN and OTP together as well.
    WheneverOpen,
}

/// What becomes of the memory of an automatic resynchronisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// It stays.
    #[default]
    Keep,
    /// It is replaced.
    Remember(AutoResync),
    /// It is cleared.
    Forget,
}

/// Something about the device that its first accepted OTP tells; kept in the usage's information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// LinOTP's key of it.
    pub key: &'static str,
    /// What was learnt.
    pub value: InfoValue,
}

/// That an OTP is right, and how far it moves the token. Has no effect until [`TokenRules::advance`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The counter or time step of the OTP.
    pub counter: u64,
    /// The drift of the device's clock in seconds, where there is one.
    pub time_shift: Option<i64>,
    /// The memory of an automatic resynchronisation afterwards.
    pub memory: Memory,
    /// What the OTP told about the device.
    pub learned: Option<Learned>,
}

impl Proof {
    /// The OTP of this counter.
    #[must_use]
    pub const fn at(counter: u64) -> Self {
        Self { counter, time_shift: None, memory: Memory::Keep, learned: None }
    }

    /// What a type without counter returns.
    pub const UNCOUNTED: Self = Self::at(0);
}

/// The result of looking at an OTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It is right.
    Accepted(Proof),
    /// It is wrong, or not yet enough.
    Refused(Memory),
}

/// Why a token cannot be used at all. Concerns this token only; a login goes on with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// The sealed seed does not open.
    #[error("{0}")]
    Seal(#[from] SealError),
    /// The seed is missing.
    #[error("the token has no seed")]
    NoSeed,
    /// The seed is not what the algorithm needs.
    #[error("{0}")]
    Seed(#[from] SeedError),
    /// The number of digits is not possible.
    #[error("{0}")]
    Digits(#[from] UnsupportedDigits),
    /// The length of a mOTP value is not possible.
    #[error("{0}")]
    Length(#[from] UnsupportedLength),
    /// The token information is not what the type needs.
    #[error("{0}")]
    Info(#[from] InfoFault),
    /// What is stored cannot be used for another reason, which the text names.
    #[error("{0}")]
    Unusable(&'static str),
}

/// A token being set up, before its secrets are sealed.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The token.
    pub serial: Serial,
    /// The definition; a new one with the defaults, or the stored one.
    pub token: TokenV1,
    /// The usage; a new one, or the stored one.
    pub usage: UsageV1,
    /// The new seed, as it will be stored. Setting one resets the counters.
    pub seed: Option<SecretText>,
    /// The new device PIN.
    pub device_pin: Option<SecretText>,
    /// The seed as the reply shows it; `None` for types whose seed does not leave the server.
    pub shown_seed: Option<SecretText>,
    /// What the reply tells besides, by its name there.
    pub detail: Vec<(&'static str, Shown)>,
}

impl Draft {
    /// Sets a seed that the reply shows as it is stored.
    pub fn set_shown_seed(&mut self, seed: SecretText) {
        self.shown_seed = Some(seed.clone());
        self.seed = Some(seed);
    }
}

/// The names in an `otpauth` URI.
#[derive(Clone, Copy, Debug)]
pub struct UriNames<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// The account: login or serial.
    pub account: &'a str,
}

/// What may have been used between a backup and now.
#[derive(Clone, Copy, Debug)]
pub struct Spent<'a> {
    /// This many OTPs of a token that counts uses.
    pub counters: u64,
    /// All OTPs up to now of a token that counts time.
    pub now: UnixMillis,
    /// The system configuration.
    pub settings: &'a Settings,
}

/// What a token type does its own way. Everything with a default is what most types do.
pub trait TokenRules: Sync {
    /// The value of the `type` parameter, lower case.
    fn name(&self) -> &'static str;

    /// The type as clients see it in listings; their scripts compare it.
    fn stored_name(&self) -> &'static str;

    /// The prefix of generated serials, upper case (reference tokens 2).
    fn serial_prefix(&self) -> &'static str;

    /// How the type takes part in a login.
    fn modes(&self) -> Modes;

    /// Sets up the type's part of a token: seed, digits, information.
    ///
    /// # Errors
    /// When a parameter is missing or cannot be used.
    fn enroll(&self, cx: &mut Context<'_>, request: &Init, draft: &mut Draft) -> Result<(), Stop>;

    /// The token an enrolment without serial is meant for, if it is not a new one.
    ///
    /// # Errors
    /// When there is no such token, or several.
    fn find_serial(&self, cx: &mut Context<'_>, request: &Init) -> Result<Option<Serial>, Stop> {
        let _ = (cx, request);
        Ok(None)
    }

    /// Splits what was submitted into PIN and OTP.
    fn split<'p>(
        &self,
        token: &TokenV1,
        mode: OtpPinMode,
        prepend_pin: bool,
        submitted: &'p str,
    ) -> Split<'p> {
        Split::by_mode(submitted, mode, token.digits, prepend_pin)
    }

    /// Looks at an OTP. Reads only.
    ///
    /// # Errors
    /// When the token cannot be used at all.
    fn verify(&self, attempt: &Attempt<'_>) -> Result<Verification, TokenFault>;

    /// Moves the token past an accepted OTP: the only writer of counters besides enrolment. A counter never goes back.
    fn advance(&self, usage: &mut UsageV1, proof: Proof) {
        usage.next_counter = usage.next_counter.max(proof.counter.saturating_add(1));
        if let Some(shift) = proof.time_shift {
            usage.time_shift = shift;
        }
        remember(usage, proof.memory);
        if let Some(Learned { key, value }) = proof.learned {
            usage.info.insert(key.into(), value);
        }
    }

    /// Gives up the OTPs that may have been used after a backup was taken, for a cluster that is restored from it. Types
    /// that count time give up everything up to now.
    ///
    /// # Errors
    /// When the token cannot be used at all.
    fn give_up(&self, token: &TokenV1, usage: &mut UsageV1, spent: Spent<'_>) -> Result<(), TokenFault> {
        let _ = token;
        usage.next_counter = usage.next_counter.saturating_add(spent.counters);
        usage.auto_resync = None;
        Ok(())
    }

    /// Told about every failed login that counts against the token.
    fn on_failed(&self, usage: &mut UsageV1) {
        let _ = usage;
    }

    /// Looks for two consecutive OTPs; the proof is that of the second one. Reads only; `otp` of the attempt is not
    /// used. `None` if they are not found.
    ///
    /// # Errors
    /// When the token cannot be used at all.
    fn resync(&self, attempt: &Attempt<'_>, pair: OtpPair<'_>) -> Result<Option<Proof>, TokenFault> {
        let _ = (attempt, pair);
        Ok(None)
    }

    /// Whether a token of this type can be told by an OTP alone. Not so where somebody else has to be asked, where the
    /// values depend on a challenge, and where they are chosen by people.
    fn is_found_by_otp(&self) -> bool {
        false
    }

    /// The time step before the present one that an OTP belongs to, at most so many seconds ago, and the length of a step.
    /// `None` if there is none, and for types that have no time steps.
    ///
    /// # Errors
    /// When the token cannot be used at all.
    fn shown_before(&self, attempt: &Attempt<'_>, seconds: u64) -> Result<Option<(u64, u64)>, TokenFault> {
        let _ = (attempt, seconds);
        Ok(None)
    }

    /// Whether a resynchronisation needs the challenges that the two OTPs answer.
    fn resync_answers_challenges(&self) -> bool {
        false
    }

    /// Whether a resynchronisation may reset the fail counter (setting `DefaultResetFailCount`).
    fn resync_resets_failures(&self) -> bool {
        false
    }

    /// What has to be asked of the outside world before an OTP can be looked at.
    ///
    /// # Errors
    /// When the token cannot be used at all.
    fn question(&self, attempt: &Attempt<'_>) -> Result<Option<Question>, TokenFault> {
        let _ = attempt;
        Ok(None)
    }

    /// Whether the PIN alone triggers a challenge. Otherwise the request must contain `data` or `challenge` as well.
    fn is_challenged_by_pin(&self) -> bool {
        false
    }

    /// Whether a request with `data` or `challenge` triggers a challenge without any PIN, by serial.
    fn is_challenged_without_pin(&self) -> bool {
        false
    }

    /// How an answer to a challenge is recognised.
    fn answering(&self) -> Answering {
        Answering::ByTransaction
    }

    /// Whether a challenge may still be answered that was answered wrongly so often.
    fn may_answer(&self, settings: &Settings, wrong_answers: u32) -> bool {
        let _ = (settings, wrong_answers);
        true
    }

    /// Whether a wrong answer counts only in the challenges of its transaction.
    fn binds_transactions(&self) -> bool {
        false
    }

    /// The data of a challenge that is posed and answered by one request, without having been stored.
    fn posed_by_client(&self, token: &TokenV1, options: &BTreeMap<String, String>) -> Option<String> {
        let _ = (token, options);
        None
    }

    /// The prompt of a challenge, unless the configuration has another one.
    fn prompt(&self) -> &'static str {
        "Otp:"
    }

    /// Words a challenge (reference tokens 7.3).
    ///
    /// # Errors
    /// When the token cannot be challenged.
    fn pose(&self, cx: &mut Context<'_>, trigger: &Trigger<'_>) -> Result<Posed, Stop> {
        let configuration = cx.view.configuration();
        let key = format!("{}_CHALLENGE_PROMPT", self.stored_name().to_uppercase());
        let message = configuration.settings.text(&key).unwrap_or(self.prompt()).to_owned();
        let data = serde_json::json!({ "serial": trigger.serial.as_str() }).to_string();
        Ok(Posed { message, data, attributes: Vec::new() })
    }

    /// The definition after a success, if that changes it.
    fn accepted(&self, token: &TokenV1) -> Option<TokenV1> {
        let _ = token;
        None
    }

    /// The definition after a wrong answer, if that changes it; `wrong_answers` is the highest count of a challenge.
    fn refused(&self, token: &TokenV1, settings: &Settings, wrong_answers: u32) -> Option<TokenV1> {
        let _ = (token, settings, wrong_answers);
        None
    }

    /// Changes the length of the time step in seconds so that the replay bar keeps its place in time.
    ///
    /// # Errors
    /// When the type has no time step, or not this one.
    fn change_time_step(
        &self,
        token: &mut TokenV1,
        usage: &mut UsageV1,
        seconds: u64,
    ) -> Result<(), Refusal> {
        let _ = (token, usage, seconds);
        Err(Refusal::Unsupported { operation: "timeStep", token_type: self.name() })
    }

    /// Whether the token's PIN is checked even where the policy lets anything stand in front of the OTP
    /// (reference tokens 5.1, mode 3).
    fn always_checks_pin(&self) -> bool {
        false
    }

    /// Whether the type has a device PIN, which `admin/setPin` changes.
    fn has_device_pin(&self) -> bool {
        false
    }

    /// The `otpauth` URI for the reply to an enrolment; `None` for types without one.
    ///
    /// # Errors
    /// When the token is one that authenticator apps cannot represent; the enrolment fails then.
    fn otpauth_uri(
        &self,
        token: &TokenV1,
        seed: &SecretText,
        names: UriNames<'_>,
    ) -> Result<Option<SecretText>, Refusal> {
        let _ = (token, seed, names);
        Ok(None)
    }
}

/// The prompt of the types whose values people read off a device.
const OTP_PROMPT: &str = "Please enter your otp value: ";

/// Applies a change of the automatic resynchronisation's memory.
pub fn remember(usage: &mut UsageV1, memory: Memory) {
    match memory {
        Memory::Keep => {}
        Memory::Remember(seen) => usage.auto_resync = Some(seen),
        Memory::Forget => usage.auto_resync = None,
    }
}

/// Opens a token's seed: the text as it was typed.
///
/// # Errors
/// When there is none, or it does not open.
pub fn seed_text(
    keyring: &Keyring,
    serial: &Serial,
    token: &TokenV1,
) -> Result<zeroize::Zeroizing<Vec<u8>>, TokenFault> {
    let sealed = token.seed.as_ref().ok_or(TokenFault::NoSeed)?;
    Ok(keyring.open(Purpose::Seed, serial.as_str(), sealed)?)
}

/// Opens a token's device PIN; empty if it has none.
///
/// # Errors
/// When it does not open.
pub fn device_pin(
    keyring: &Keyring,
    serial: &Serial,
    token: &TokenV1,
) -> Result<zeroize::Zeroizing<Vec<u8>>, TokenFault> {
    match &token.user_pin {
        Some(sealed) => Ok(keyring.open(Purpose::UserPin, serial.as_str(), sealed)?),
        None => Ok(zeroize::Zeroizing::new(Vec::new())),
    }
}

/// The registry: every type's variant and rules.
macro_rules! token_types {
    ($($variant:ident => $rules:path;)*) => {
        impl TokenType {
            /// All types, in the order in which they were added.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// What the type does its own way.
            #[must_use]
            pub fn rules(self) -> &'static dyn TokenRules {
                match self {
                    $(Self::$variant => &$rules,)*
                }
            }
        }
    };
}

token_types! {
    Hmac => hmac::Hmac;
    Totp => totp::Totp;
    Pw => pw::Pw;
    Spass => spass::Spass;
    Motp => motp::Motp;
    Dpw => dpw::Dpw;
    Yubikey => yubikey::Yubikey;
    Ocra2 => ocra2::Ocra2;
    Forward => forward::Forward;
    Yubico => yubico::Yubico;
}

impl TokenType {
    /// The type with this name in any case, as parameter or as stored.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.rules().name().eq_ignore_ascii_case(name))
    }

    /// The value of the `type` parameter, lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.rules().name()
    }

    /// The type as clients see it in listings.
    #[must_use]
    pub fn stored_name(self) -> &'static str {
        self.rules().stored_name()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A file without a registry line, or the other way round, is noticed here.
    #[test]
    fn every_file_of_the_folder_is_a_registered_type() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/token");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "mod.rs")
            .map(|name| name.trim_end_matches(".rs").to_owned())
            .collect();
        let registered: BTreeSet<String> =
            TokenType::ALL.iter().map(|known| known.name().to_owned()).collect();
        assert_eq!(files, registered);
        assert_eq!(registered.len(), TokenType::ALL.len(), "two types have the same name");
    }

    /// The stored form of a type is its position in the enum.
    #[test]
    fn registry_follows_the_stored_order() {
        assert!(TokenType::ALL.is_sorted());
    }

    /// Reference tokens 2.
    #[test]
    fn names_are_those_clients_know() {
        let row = |known: TokenType| {
            (
                known.rules().name(),
                known.rules().stored_name(),
                known.rules().serial_prefix(),
                known.rules().modes(),
            )
        };
        assert_eq!(row(TokenType::Hmac), ("hmac", "HMAC", "OATH", Modes::Both));
        assert_eq!(row(TokenType::Totp), ("totp", "TOTP", "TOTP", Modes::Both));
        assert_eq!(row(TokenType::Pw), ("pw", "pw", "KIPW", Modes::Both));
        assert_eq!(row(TokenType::Spass), ("spass", "spass", "LSSP", Modes::Authenticate));
        assert_eq!(row(TokenType::Motp), ("motp", "mOTP", "LSMO", Modes::Both));
        assert_eq!(row(TokenType::Dpw), ("dpw", "DPW", "DOTP", Modes::Both));
        assert_eq!(row(TokenType::Yubikey), ("yubikey", "yubikey", "UBAM", Modes::Both));
        assert_eq!(row(TokenType::Ocra2), ("ocra2", "ocra2", "LSO2", Modes::Challenge));
        assert_eq!(row(TokenType::Forward), ("forward", "forward", "LSFW", Modes::Both));
        assert_eq!(row(TokenType::Yubico), ("yubico", "yubico", "UBCM", Modes::Both));
    }

    #[test]
    fn types_are_found_in_any_case() {
        for name in ["hmac", "HMAC", "Hmac"] {
            assert_eq!(TokenType::find(name), Some(TokenType::Hmac), "{name}");
        }
        for name in ["", "hotp", "hmac ", "hmacx"] {
            assert_eq!(TokenType::find(name), None, "{name}");
        }
    }

    #[test]
    fn counter_does_not_go_back_and_does_not_overflow() {
        let rules = TokenType::Hmac.rules();
        let mut usage = UsageV1 { next_counter: 7, ..UsageV1::default() };
        rules.advance(&mut usage, Proof::at(3));
        assert_eq!(usage.next_counter, 7);
        rules.advance(&mut usage, Proof::at(7));
        assert_eq!(usage.next_counter, 8);
        rules.advance(&mut usage, Proof::at(u64::MAX));
        assert_eq!(usage.next_counter, u64::MAX);
    }
}
