//! `pw`: a fixed password, the type of lost-token replacements (reference tokens 8.4, 12.1).
//!
//! The password itself is not kept: what is sealed in the place of the seed is its salted, keyed hash.

use data_encoding::HEXLOWER;

use super::{
    Attempt, Draft, Memory, Modes, OTP_PROMPT, Proof, TokenFault, TokenRules, Verification, seed_text,
};
use crate::decide::Context;
use crate::decide::enroll::Init;
use crate::decision::{Refusal, Stop};
use crate::record::InfoValue;
use crate::secret::{KeyId, PinHash, SecretText};

/// The type.
pub(super) struct Pw;

/// The longest password, in characters. The length of a login is bounded elsewhere; this bounds what is enrolled.
const LENGTH_MAX: u32 = 255;

/// Marks the stored form; another one would be another version of it.
const FORM: &str = "pin-hash-1";

impl TokenRules for Pw {
    fn name(&self) -> &'static str {
        "pw"
    }

    fn stored_name(&self) -> &'static str {
        "pw"
    }

    fn serial_prefix(&self) -> &'static str {
        "KIPW"
    }

    fn modes(&self) -> Modes {
        Modes::Both
    }

    fn enroll(&self, cx: &mut Context<'_>, request: &Init, draft: &mut Draft) -> Result<(), Stop> {
        if request.seed.generate {
            return Err(Refusal::InvalidParameter {
                name: "genkey".to_owned(),
                problem: "a password cannot be generated, send it as 'otpkey'".to_owned(),
            }
            .into());
        }
        let password = request.seed.given.as_ref().ok_or(Refusal::MissingParameter("otpkey"))?;
        draft.token.digits = length(password)?;
        let salt = cx.random.bytes();
        draft.seed = Some(stored_form(&cx.facts.keyring.hash_pin(password.expose(), salt)?));
        draft.shown_seed = Some(password.clone());
        set_once(request, draft);
        Ok(())
    }

    fn verify(&self, attempt: &Attempt<'_>) -> Result<Verification, TokenFault> {
        let stored = seed_text(attempt.keyring, attempt.serial, attempt.token)?;
        let hash =
            parse_stored(&stored).ok_or(TokenFault::Unusable("the stored password hash is malformed"))?;
        Ok(match attempt.keyring.verify_pin(&hash, attempt.otp)? {
            true => Verification::Accepted(Proof::UNCOUNTED),
            false => Verification::Refused(Memory::Keep),
        })
    }

    fn is_challenged_by_pin(&self) -> bool {
        true
    }

    fn prompt(&self) -> &'static str {
        OTP_PROMPT
    }
}

/// `onetime`: one successful login, counted from now.
pub(super) fn set_once(request: &Init, draft: &mut Draft) {
    if request.once {
        draft.token.info.insert("count_auth_success_max".into(), InfoValue::Integer(1));
        draft.usage.count_auth_success = None;
    }
}

/// The number of characters, by which a login is split.
fn length(password: &SecretText) -> Result<u32, Refusal> {
    let length = u32::try_from(password.expose().chars().count()).unwrap_or(u32::MAX);
    match length {
        0 => Err(Refusal::MissingParameter("otpkey")),
        1..=LENGTH_MAX => Ok(length),
        _ => Err(Refusal::InvalidParameter {
            name: "otpkey".to_owned(),
            problem: format!("a password has at most {LENGTH_MAX} characters"),
        }),
    }
}

fn stored_form(hash: &PinHash) -> SecretText {
    let (salt, mac) = (HEXLOWER.encode(&hash.salt), HEXLOWER.encode(&hash.mac));
    SecretText::new(format!("{FORM}:{}:{salt}:{mac}", hash.key.0))
}

fn parse_stored(stored: &[u8]) -> Option<PinHash> {
    let mut parts = std::str::from_utf8(stored).ok()?.split(':');
    if parts.next()? != FORM {
        return None;
    }
    let key = KeyId(parts.next()?.parse().ok()?);
    let salt = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?.try_into().ok()?;
    let mac = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?.try_into().ok()?;
    parts.next().is_none().then_some(PinHash { key, salt, mac })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_form_is_read_back_and_nothing_else_is() {
        let hash = PinHash { key: KeyId(7), salt: [1; 16], mac: [2; 32] };
        let text = stored_form(&hash);
        assert_eq!(parse_stored(text.expose().as_bytes()), Some(hash));
        let bad = [
            "",
            "secret",
            "pin-hash-1",
            "pin-hash-2:7:00:00",
            "pin-hash-1:x:00:00",
            &format!("{}:", text.expose()),
            &text.expose()[..text.expose().len() - 2],
        ];
        for other in bad {
            assert_eq!(parse_stored(other.as_bytes()), None, "{other}");
        }
    }
}
