//! Splitting what was submitted into PIN and OTP, and checking the PIN (reference tokens 5).

use super::Context;
use super::policies::{Who, value};
use super::user::{KnownUser, resolver_ref};
use crate::decision::{Refusal, Stop};
use crate::facts::Question;
use crate::policy::catalogue::authentication::OTPPIN;
use crate::policy::items::Written;
use crate::policy::value::{ActionValue, Kind};
use crate::record::{Pin, TokenV1};
use crate::secret::{Purpose, SealError, Sealed, SecretText, equal};
use crate::user::{RealmName, Serial};

/// What stands in front of (or behind) the OTP (reference tokens 5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtpPinMode {
    /// The token's PIN.
    #[default]
    TokenPin,
    /// The password of the user store.
    Password,
    /// Nothing: everything submitted is the OTP.
    OnlyOtp,
    /// Anything.
    IgnorePin,
}

impl ActionValue for OtpPinMode {
    const KIND: Kind = Kind::Set;

    /// A value that is not known stands for the token's PIN, as in the original.
    fn read(written: &Written) -> Option<Self> {
        let text = match written {
            Written::On => "1",
            Written::Off => "0",
            Written::Text(text) => text.trim(),
        };
        Some(match text {
            "1" | "password" => Self::Password,
            "2" | "only_otp" => Self::OnlyOtp,
            "3" | "ignore_pin" => Self::IgnorePin,
            _ => Self::TokenPin,
        })
    }
}

/// The mode for a user, or for tokens that are checked without one: the one place that knows where it comes from.
///
/// The self-service calls have modes of their own, everything else follows the policy of the user's realm, or of the
/// tokens' one realm, or of the default realm (reference policies 3.5).
///
/// # Errors
/// To ask a user store; a refusal if a token that nobody owns is in several realms.
pub fn otp_pin_mode(
    cx: &mut Context<'_>,
    user: Option<&KnownUser>,
    serials: &[Serial],
) -> Result<OtpPinMode, Stop> {
    match cx.facts.caller.action.as_str() {
        "userservice/login" => return Ok(OtpPinMode::Password),
        "userservice/verify" => return Ok(OtpPinMode::IgnorePin),
        _ => {}
    }
    if let Some(user) = user {
        return Ok(value(cx, &OTPPIN, Who::user(user))?.unwrap_or_default());
    }
    for serial in serials {
        let Some(token) = cx.view.token(serial) else { continue };
        if token.owner.is_none() && token.realms.len() > 1 {
            let text = format!("token {serial} is in several realms, but one dedicated realm is required");
            return Err(Refusal::Other(text).into());
        }
    }
    let mut modes = Vec::new();
    for realm in &realms_concerned(cx, serials) {
        modes.push(value(cx, &OTPPIN, Who::realm(realm))?.unwrap_or_default());
    }
    match modes.split_first() {
        Some((mode, others)) if others.iter().all(|other| other == mode) => Ok(*mode),
        None => Ok(OtpPinMode::default()),
        Some(_) => {
            Err(Refusal::Other("the token's realms have different policies for the PIN".to_owned()).into())
        }
    }
}

/// The realms whose policies count for tokens that are checked without a user: the tokens', or else the default realm.
pub(super) fn realms_concerned(cx: &mut Context<'_>, serials: &[Serial]) -> Vec<RealmName> {
    let mut realms: Vec<RealmName> = Vec::new();
    for serial in serials {
        let Some(token) = cx.view.token(serial) else { continue };
        let new = token.realms.iter().filter(|realm| !realms.contains(realm)).cloned().collect::<Vec<_>>();
        realms.extend(new);
    }
    if realms.is_empty() {
        realms.extend(cx.view.configuration().settings.default_realm());
    }
    realms
}

/// What was submitted, split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split<'p> {
    /// The PIN part.
    pub pin: &'p str,
    /// The OTP part.
    pub otp: &'p str,
    /// Whether the PIN stands in front.
    pub pin_first: bool,
    /// Whether there is no OTP at all, as with `spass`.
    pub pin_only: bool,
}

impl<'p> Split<'p> {
    /// Splits as most token types do.
    #[must_use]
    pub fn by_mode(submitted: &'p str, mode: OtpPinMode, digits: u32, prepend_pin: bool) -> Self {
        match mode {
            OtpPinMode::OnlyOtp => Self { pin: "", otp: submitted, pin_first: true, pin_only: false },
            OtpPinMode::TokenPin | OtpPinMode::Password | OtpPinMode::IgnorePin => {
                Self::by_digits(submitted, digits, prepend_pin)
            }
        }
    }

    /// The OTP is the last (or first) `digits` characters; all of it if there are not more (reference tokens 5.2).
    #[must_use]
    pub fn by_digits(submitted: &'p str, digits: u32, prepend_pin: bool) -> Self {
        let digits = usize::try_from(digits).unwrap_or(usize::MAX);
        let (pin, otp) = if prepend_pin {
            let behind =
                submitted.char_indices().rev().take(digits).last().map_or(submitted.len(), |(at, _)| at);
            submitted.split_at_checked(behind).unwrap_or_default()
        } else {
            let behind = submitted.char_indices().nth(digits).map_or(submitted.len(), |(at, _)| at);
            let (otp, pin) = submitted.split_at_checked(behind).unwrap_or_default();
            (pin, otp)
        };
        Self { pin, otp, pin_first: prepend_pin, pin_only: false }
    }

    /// Everything is the PIN.
    #[must_use]
    pub const fn pin_only(submitted: &'p str) -> Self {
        Self { pin: submitted, otp: "", pin_first: true, pin_only: true }
    }

    /// The lengths of the parts in characters, in the order they were sent: `detail.auth_info`.
    #[must_use]
    pub fn lengths(&self) -> Vec<(String, u32)> {
        let length = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let mut lengths = vec![("pin_length".to_owned(), length(self.pin))];
        if !self.pin_only {
            lengths.push(("otp_length".to_owned(), length(self.otp)));
        }
        if !self.pin_first {
            lengths.reverse();
        }
        lengths
    }
}

/// Whether this is the token's PIN, in constant time.
///
/// # Errors
/// When the stored PIN cannot be opened.
pub fn is_token_pin(
    cx: &Context<'_>,
    serial: &Serial,
    token: &TokenV1,
    pin: &str,
) -> Result<bool, SealError> {
    match &token.pin {
        Pin::Unset => Ok(pin.is_empty()),
        Pin::Hashed(hash) => cx.facts.keyring.verify_pin(hash, pin),
        Pin::Reversible(sealed) => {
            let stored = cx.facts.keyring.open(Purpose::UserPin, serial.as_str(), sealed)?;
            Ok(equal(&stored, pin.as_bytes()))
        }
    }
}

/// A PIN as it is stored: hashed, or sealed so that it can be read again.
///
/// # Errors
/// When this node lacks the active cluster key.
pub fn store_pin(
    cx: &mut Context<'_>,
    serial: &Serial,
    pin: &str,
    reversible: bool,
) -> Result<Pin, SealError> {
    if reversible {
        let nonce = cx.random.bytes();
        let sealed = cx.facts.keyring.seal(Purpose::UserPin, serial.as_str(), pin.as_bytes(), nonce)?;
        return Ok(Pin::Reversible(sealed));
    }
    let salt = cx.random.bytes();
    Ok(Pin::Hashed(cx.facts.keyring.hash_pin(pin, salt)?))
}

/// A device PIN as it is stored: sealed, because the algorithms need the PIN itself.
///
/// # Errors
/// When this node lacks the active cluster key.
pub fn store_device_pin(
    cx: &mut Context<'_>,
    serial: &Serial,
    pin: &SecretText,
) -> Result<Sealed, SealError> {
    let nonce = cx.random.bytes();
    cx.facts.keyring.seal(Purpose::UserPin, serial.as_str(), pin.expose().as_bytes(), nonce)
}

/// The PIN checks of one request.
#[derive(Debug)]
pub struct PinCheck<'a> {
    mode: OtpPinMode,
    user: Option<&'a KnownUser>,
    matched: Option<SecretText>,
}

impl<'a> PinCheck<'a> {
    /// Checks PINs in this mode for this user.
    #[must_use]
    pub const fn new(mode: OtpPinMode, user: Option<&'a KnownUser>) -> Self {
        Self { mode, user, matched: None }
    }

    /// The mode.
    #[must_use]
    pub const fn mode(&self) -> OtpPinMode {
        self.mode
    }

    /// Whether the PIN part is right.
    ///
    /// # Errors
    /// To ask the user store; a defect if the stored PIN cannot be opened.
    pub fn accepts(
        &mut self,
        cx: &mut Context<'_>,
        serial: &Serial,
        token: &TokenV1,
        pin: &str,
    ) -> Result<bool, Stop> {
        match self.mode {
            OtpPinMode::TokenPin => Ok(is_token_pin(cx, serial, token, pin)?),
            OtpPinMode::Password => self.is_password(cx, pin),
            // Without this a token whose PIN is all there is would let in everybody (D25).
            OtpPinMode::OnlyOtp | OtpPinMode::IgnorePin if token.token_type.rules().always_checks_pin() => {
                Ok(is_token_pin(cx, serial, token, pin)?)
            }
            OtpPinMode::OnlyOtp => Ok(pin.is_empty()),
            OtpPinMode::IgnorePin => Ok(true),
        }
    }

    /// Once one password was right, any other one in the same request is wrong without asking: a user with several
    /// tokens costs one question.
    fn is_password(&mut self, cx: &mut Context<'_>, password: &str) -> Result<bool, Stop> {
        let Some(user) = self.user else { return Ok(false) };
        let password = SecretText::from(password);
        if let Some(matched) = &self.matched {
            return Ok(*matched == password);
        }
        let Some(resolver) = resolver_ref(cx, &user.owner.resolver) else { return Ok(false) };
        let user_id = user.owner.user_id.clone();
        let right =
            cx.ask_verdict(Question::CheckPassword { resolver, user_id, password: password.clone() })?;
        if right {
            self.matched = Some(password);
        }
        Ok(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(submitted: &str, prepend_pin: bool, pin: &str, otp: &str) {
        let split = Split::by_digits(submitted, 6, prepend_pin);
        assert_eq!((split.pin, split.otp, split.pin_first), (pin, otp, prepend_pin));
    }

    #[test]
    fn otp_is_the_last_characters_or_the_first() {
        check("pin123456", true, "pin", "123456");
        check("123456pin", false, "pin", "123456");
        check("123456", true, "", "123456");
        check("123456", false, "", "123456");
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        check("pïñ123456", true, "pïñ", "123456");
        check("äöüßéñ", true, "", "äöüßéñ");
        check("xäöüßéñ", true, "x", "äöüßéñ");
        check("äöüßéñx", false, "x", "äöüßéñ");
    }

    #[test]
    fn what_is_too_short_is_all_otp() {
        for prepend in [true, false] {
            check("12345", prepend, "", "12345");
            check("", prepend, "", "");
        }
    }

    #[test]
    fn impossible_lengths_do_not_panic() {
        let parts = |digits, prepend_pin| {
            let split = Split::by_digits("pin", digits, prepend_pin);
            (split.pin, split.otp)
        };
        assert_eq!((parts(0, true), parts(0, false)), (("pin", ""), ("pin", "")));
        assert_eq!(parts(u32::MAX, true), ("", "pin"));
    }

    #[test]
    fn lengths_are_told_in_the_order_sent() {
        let told = |split: Split<'_>| split.lengths();
        let pin = |n| ("pin_length".to_owned(), n);
        let otp = |n| ("otp_length".to_owned(), n);
        assert_eq!(told(Split::by_digits("pïn123456", 6, true)), [pin(3), otp(6)]);
        assert_eq!(told(Split::by_digits("123456pïn", 6, false)), [otp(6), pin(3)]);
        assert_eq!(told(Split::by_mode("x123456", OtpPinMode::OnlyOtp, 6, true)), [pin(0), otp(7)]);
        assert_eq!(told(Split::pin_only("pïn")), [pin(3)]);
    }

    #[test]
    fn only_the_mode_without_pin_takes_everything_as_otp() {
        for mode in [OtpPinMode::TokenPin, OtpPinMode::Password, OtpPinMode::IgnorePin] {
            assert_eq!(Split::by_mode("pin123456", mode, 6, true).otp, "123456", "{mode:?}");
        }
        assert_eq!(Split::by_mode("pin123456", OtpPinMode::OnlyOtp, 6, true).otp, "pin123456");
    }
}
