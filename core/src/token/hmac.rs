//! `hmac`: event-based OTP, RFC 4226 (reference tokens 8.1).

use super::{
    Attempt, Draft, Memory, Modes, OTP_PROMPT, OtpPair, Proof, TokenFault, TokenRules, UriNames,
    Verification, seed_text,
};
use crate::algo::hotp::Hotp;
use crate::algo::otpauth::{self, Moving, Otpauth};
use crate::decide::Context;
use crate::decide::enroll::Init;
use crate::decision::{Refusal, Stop};
use crate::record::{AutoResync, HashAlgorithm, InfoValue, TokenV1};
use crate::secret::SecretText;
use crate::seed;
use crate::settings::Settings;
use crate::token_info;

/// The type.
pub(super) struct Hmac;

impl TokenRules for Hmac {
    fn name(&self) -> &'static str {
        "hmac"
    }

    fn stored_name(&self) -> &'static str {
        "HMAC"
    }

    fn serial_prefix(&self) -> &'static str {
        "OATH"
    }

    fn modes(&self) -> Modes {
        Modes::Both
    }

    fn enroll(&self, cx: &mut Context<'_>, request: &Init, draft: &mut Draft) -> Result<(), Stop> {
        if request.seed.given.is_some() && request.seed.generate {
            return Err(Refusal::SeedGivenAndGenerated.into());
        }
        let hash_name = request.hashlib.as_deref().unwrap_or("sha1");
        let seed = match &request.seed.given {
            Some(typed) => typed_seed(typed)?,
            None if request.seed.generate => {
                seed::generate(&mut cx.random, seed_bytes(known_hash(hash_name).unwrap_or_default()))
            }
            None => return Err(Refusal::MissingParameter("otpkey").into()),
        };
        set_oath(request, draft, &cx.view.configuration().settings, hash_name);
        draft.set_shown_seed(seed);
        Ok(())
    }

    fn verify(&self, attempt: &Attempt<'_>) -> Result<Verification, TokenFault> {
        let hotp = hotp_of(attempt, attempt.settings.hotp_hash())?;
        let next = attempt.usage.next_counter;
        let end = next.saturating_add(attempt.token.count_window.into());
        if let Some(counter) = hotp.find(attempt.otp, next..end) {
            return Ok(Verification::Accepted(Proof::at(counter)));
        }
        if !attempt.settings.resyncs_automatically() {
            return Ok(Verification::Refused(Memory::Keep));
        }
        // The search goes on where the normal window ends; nothing in it was found before.
        let sync_end = end.saturating_add(attempt.token.sync_window.into());
        Ok(match hotp.find(attempt.otp, end..sync_end) {
            Some(counter) => auto_resync(attempt, counter),
            None => Verification::Refused(Memory::Keep),
        })
    }

    fn resync(&self, attempt: &Attempt<'_>, pair: OtpPair<'_>) -> Result<Option<Proof>, TokenFault> {
        let hotp = hotp_of(attempt, attempt.settings.hotp_hash())?;
        let next = attempt.usage.next_counter;
        let end = next.saturating_add(attempt.token.sync_window.into());
        let second = hotp.find(pair.first, next..end).and_then(|first| first.checked_add(1));
        Ok(second.filter(|counter| hotp.is_code(pair.second, *counter)).map(Proof::at))
    }

    fn resync_resets_failures(&self) -> bool {
        true
    }

    fn is_challenged_by_pin(&self) -> bool {
        true
    }

    fn prompt(&self) -> &'static str {
        OTP_PROMPT
    }

    fn otpauth_uri(
        &self,
        token: &TokenV1,
        seed: &SecretText,
        names: UriNames<'_>,
    ) -> Result<Option<SecretText>, Refusal> {
        oath_uri(token, seed, names, Moving::Counter).map(Some)
    }
}

/// An OTP behind the window: the first one is remembered, the one after it is accepted if it comes in time.
fn auto_resync(attempt: &Attempt<'_>, counter: u64) -> Verification {
    let now = attempt.now.seconds();
    match attempt.usage.auto_resync {
        None => {
            let timeout = attempt.settings.auto_resync_timeout_seconds();
            let due_at = Some(now.saturating_add(timeout.into()));
            Verification::Refused(Memory::Remember(AutoResync { counter, due_at }))
        }
        Some(first) if follows(first, counter) && first.due_at.is_some_and(|due_at| due_at > now) => {
            Verification::Accepted(Proof { memory: Memory::Forget, ..Proof::at(counter) })
        }
        Some(_) => Verification::Refused(Memory::Forget),
    }
}

fn follows(first: AutoResync, counter: u64) -> bool {
    first.counter.checked_add(1) == Some(counter)
}

/// The token's seed, ready to produce values; with this hash if the token names none.
pub(super) fn hotp_of(attempt: &Attempt<'_>, hash: &str) -> Result<Hotp, TokenFault> {
    let text = seed_text(attempt.keyring, attempt.serial, attempt.token)?;
    let key = seed::key_bytes(&text)?;
    Ok(Hotp::new(&key, hash_of(attempt.token, hash), attempt.token.digits)?)
}

/// The token's hash; an unknown name behaves as SHA-1 (reference tokens 8.1).
fn hash_of(token: &TokenV1, otherwise: &str) -> HashAlgorithm {
    known_hash(token_info::text(&token.info, "hashlib").unwrap_or(otherwise)).unwrap_or_default()
}

/// The hash with this name.
pub(super) fn known_hash(name: &str) -> Option<HashAlgorithm> {
    match name.trim().to_ascii_lowercase().as_str() {
        "sha1" => Some(HashAlgorithm::Sha1),
        "sha256" => Some(HashAlgorithm::Sha256),
        "sha512" => Some(HashAlgorithm::Sha512),
        _ => None,
    }
}

/// A generated seed is as long as the hash's output (RFC 6238 section 5.1).
pub(super) const fn seed_bytes(hash: HashAlgorithm) -> usize {
    match hash {
        HashAlgorithm::Sha1 => 20,
        HashAlgorithm::Sha256 => 32,
        HashAlgorithm::Sha512 => 64,
    }
}

/// The seed as typed, cleaned.
pub(super) fn typed_seed(typed: &SecretText) -> Result<SecretText, Refusal> {
    seed::clean_hex(typed).map_err(|problem| match problem {
        seed::SeedError::Empty => Refusal::MissingParameter("otpkey"),
        seed::SeedError::NotHex | seed::SeedError::OddLength | seed::SeedError::TooLong => {
            Refusal::Other(problem.to_string())
        }
    })
}

/// Digits and hash, which all OATH types have.
pub(super) fn set_oath(request: &Init, draft: &mut Draft, settings: &Settings, hash_name: &str) {
    draft.token.digits = request.otplen.unwrap_or_else(|| settings.default_digits());
    let name = match known_hash(hash_name) {
        Some(_) => hash_name.trim().to_ascii_lowercase(),
        None => hash_name.to_owned(),
    };
    draft.token.info.insert("hashlib".into(), InfoValue::Text(name.into()));
}

/// Apps know 6 and 8 digits only; a token they cannot represent is not enrolled.
pub(super) fn check_uri_digits(token: &TokenV1) -> Result<(), Refusal> {
    if matches!(token.digits, 6 | 8) {
        return Ok(());
    }
    Err(Refusal::InvalidParameter {
        name: "otplen".to_owned(),
        problem: format!("{} is neither 6 nor 8", token.digits),
    })
}

/// The URI of an OATH token.
pub(super) fn oath_uri(
    token: &TokenV1,
    seed: &SecretText,
    names: UriNames<'_>,
    moving: Moving,
) -> Result<SecretText, Refusal> {
    check_uri_digits(token)?;
    let key =
        seed::key_bytes(seed.expose().as_bytes()).map_err(|problem| Refusal::Other(problem.to_string()))?;
    Ok(otpauth::uri(&Otpauth {
        key: &key,
        digits: token.digits,
        hash: hash_of(token, "sha1"),
        moving,
        issuer: names.issuer,
        account: names.account,
    }))
}
