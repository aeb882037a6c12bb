//! `yubikey`: a Yubikey in AES mode, checked with its own key (reference tokens 8.11).
//!
//! A Yubikey slot in OATH-HOTP mode is an ordinary `hmac` token; its serials begin with `UBOM`.

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::hmac::typed_seed;
use super::{
    Attempt, Draft, Learned, Memory, Modes, OtpPair, Proof, Spent, TokenFault, TokenRules, Verification,
    seed_text,
};
use crate::algo::yubikey::{OTP_CHARS, SESSION_COUNTS, Token, decrypt, is_modhex};
use crate::decide::Context;
use crate::decide::enroll::Init;
use crate::decision::{Refusal, Stop};
use crate::record::{InfoValue, TokenInfo, TokenV1, UsageV1};
use crate::secret::equal;
use crate::seed;
use crate::token_info;

/// The type.
pub(super) struct Yubikey;

/// LinOTP's key of the private identity, which the first accepted OTP tells.
const PRIVATE_ID: &str = "yubikey.tokenid";
/// LinOTP's key of the public identity, which stands before each OTP.
const PUBLIC_ID: &str = "public_uid";

/// Bytes of the AES key.
const KEY_BYTES: usize = 16;
/// The OTP of a key whose public identity is not known: the usual one has 16 characters.
const CHARS_DEFAULT: u32 = 48;
/// The longest public identity: 16 bytes.
const PUBLIC_ID_MAX: usize = 32;

impl TokenRules for Yubikey {
    fn name(&self) -> &'static str {
        "yubikey"
    }

    fn stored_name(&self) -> &'static str {
        "yubikey"
    }

    fn serial_prefix(&self) -> &'static str {
        "UBAM"
    }

    fn modes(&self) -> Modes {
        Modes::Both
    }

    fn enroll(&self, cx: &mut Context<'_>, request: &Init, draft: &mut Draft) -> Result<(), Stop> {
        if request.seed.given.is_some() && request.seed.generate {
            return Err(Refusal::SeedGivenAndGenerated.into());
        }
        let key = match &request.seed.given {
            Some(typed) => typed_seed(typed)?,
            None if request.seed.generate => seed::generate(&mut cx.random, KEY_BYTES),
            None => return Err(Refusal::MissingParameter("otpkey").into()),
        };
        if key.expose().len() != 2 * KEY_BYTES {
            return Err(invalid("otpkey", "an AES key has 32 hexadecimal digits").into());
        }
        // The key may be another one now: what was learnt about the old one is forgotten.
        draft.usage.info.remove(PRIVATE_ID);
        draft.token.info.remove(PRIVATE_ID);
        draft.token.info.remove(PUBLIC_ID);
        let public_id =
            request.public_uid.as_deref().map(str::to_ascii_lowercase).filter(|id| !id.is_empty());
        draft.token.digits = chars(request.otplen, public_id.as_deref())?;
        if let Some(id) = public_id {
            draft.token.info.insert(PUBLIC_ID.into(), InfoValue::Text(id.into()));
        }
        draft.set_shown_seed(key);
        Ok(())
    }

    fn verify(&self, attempt: &Attempt<'_>) -> Result<Verification, TokenFault> {
        let Some(token) = read(attempt, attempt.otp)? else {
            return Ok(Verification::Refused(Memory::Keep));
        };
        if token.counter < attempt.usage.next_counter {
            return Ok(Verification::Refused(Memory::Keep));
        }
        let value = InfoValue::Text(HEXLOWER.encode(&token.private_id).into());
        let learned = known_private_id(attempt).is_none().then_some(Learned { key: PRIVATE_ID, value });
        Ok(Verification::Accepted(Proof { learned, ..Proof::at(token.counter) }))
    }

    fn resync(&self, attempt: &Attempt<'_>, pair: OtpPair<'_>) -> Result<Option<Proof>, TokenFault> {
        let (Some(first), Some(second)) = (read(attempt, pair.first)?, read(attempt, pair.second)?) else {
            return Ok(None);
        };
        let consecutive = first.counter >= attempt.usage.next_counter
            && first.counter.checked_add(1) == Some(second.counter)
            && equal(&first.private_id, &second.private_id);
        Ok(consecutive.then(|| Proof::at(second.counter)))
    }

    /// Each OTP may have been the first one after the key was plugged in.
    fn give_up(&self, _: &TokenV1, usage: &mut UsageV1, spent: Spent<'_>) -> Result<(), TokenFault> {
        let given_up = spent.counters.saturating_mul(SESSION_COUNTS);
        usage.next_counter = usage.next_counter.saturating_add(given_up);
        Ok(())
    }

    fn is_challenged_by_pin(&self) -> bool {
        true
    }
}

/// The OTP, if it is one of this token's key and identity, whatever its counter.
fn read(attempt: &Attempt<'_>, otp: &str) -> Result<Option<Token>, TokenFault> {
    let otp = otp.to_ascii_lowercase();
    let long_enough = usize::try_from(attempt.token.digits).is_ok_and(|chars| otp.len() >= chars);
    let Some((public_id, encrypted)) =
        otp.len().checked_sub(OTP_CHARS).and_then(|at| otp.split_at_checked(at)).filter(|_| long_enough)
    else {
        return Ok(None);
    };
    if token_info::text(&attempt.token.info, PUBLIC_ID).is_some_and(|known| known != public_id) {
        return Ok(None);
    }
    let text = seed_text(attempt.keyring, attempt.serial, attempt.token)?;
    let key = seed::key_bytes(&text)?;
    let key: Zeroizing<[u8; KEY_BYTES]> = match key.as_slice().try_into() {
        Ok(key) => Zeroizing::new(key),
        Err(_) => return Err(TokenFault::Unusable("the AES key does not have 16 bytes")),
    };
    // A broken text and a wrong checksum are both just a wrong OTP.
    let Ok(token) = decrypt(&key, encrypted) else { return Ok(None) };
    let same_device = known_private_id(attempt)
        .is_none_or(|known| equal(known.as_bytes(), HEXLOWER.encode(&token.private_id).as_bytes()));
    Ok(same_device.then_some(token))
}

/// The private identity: learnt by a login, or set by an administrator or an import.
fn known_private_id<'a>(attempt: &Attempt<'a>) -> Option<&'a str> {
    let text = |info: &'a TokenInfo| token_info::text(info, PRIVATE_ID);
    text(&attempt.usage.info).or_else(|| text(&attempt.token.info))
}

/// The number of characters of an OTP.
fn chars(wanted: Option<u32>, public_id: Option<&str>) -> Result<u32, Refusal> {
    let Some(id) = public_id else {
        return match wanted.unwrap_or(CHARS_DEFAULT) {
            chars @ 32..=64 => Ok(chars),
            chars => Err(invalid("otplen", &format!("{chars} is not between 32 and 64"))),
        };
    };
    if !is_modhex(id) || id.len() > PUBLIC_ID_MAX {
        return Err(invalid(PUBLIC_ID, "expected at most 32 modhex characters (cbdefghijklnrtuv)"));
    }
    Ok(u32::try_from(OTP_CHARS + id.len()).unwrap_or(u32::MAX))
}

fn invalid(name: &str, problem: &str) -> Refusal {
    Refusal::InvalidParameter { name: name.to_owned(), problem: problem.to_owned() }
}
