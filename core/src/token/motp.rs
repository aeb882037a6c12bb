//! `motp`: Mobile-OTP, time-based with a PIN typed into the device (reference tokens 8.3).

use data_encoding::HEXUPPER;
use zeroize::Zeroizing;

use super::hmac::{set_oath, typed_seed};
use super::{
    Attempt, Draft, Memory, Modes, OTP_PROMPT, Proof, Spent, TokenFault, TokenRules, UriNames, Verification,
    device_pin, seed_text,
};
use crate::algo::motp::{Motp as Device, SLOT_SECONDS};
use crate::algo::otpauth::{self, Moving, Otpauth};
use crate::algo::totp::around;
use crate::decide::Context;
use crate::decide::enroll::Init;
use crate::decision::{Refusal, Stop};
use crate::record::{HashAlgorithm, TokenV1, UsageV1};
use crate::secret::SecretText;

/// The type.
pub(super) struct Motp;

/// Bytes of a generated seed, which is written as twice as many upper-case hex digits.
const SEED_BYTES: usize = 8;

impl TokenRules for Motp {
    fn name(&self) -> &'static str {
        "motp"
    }

    fn stored_name(&self) -> &'static str {
        "mOTP"
    }

    fn serial_prefix(&self) -> &'static str {
        "LSMO"
    }

    fn modes(&self) -> Modes {
        Modes::Both
    }

    fn enroll(&self, cx: &mut Context<'_>, request: &Init, draft: &mut Draft) -> Result<(), Stop> {
        // As for `totp`, a seed that is to be generated wins over one that was sent.
        let seed = match &request.seed.given {
            _ if request.seed.generate => {
                let key = Zeroizing::new(cx.random.bytes::<SEED_BYTES>());
                SecretText::new(HEXUPPER.encode(&*key))
            }
            Some(typed) => typed_seed(typed)?,
            None => return Err(Refusal::MissingParameter("otpkey").into()),
        };
        let pin = request.device_pin.clone().filter(|pin| !pin.expose().is_empty());
        draft.device_pin = Some(pin.ok_or(Refusal::MissingParameter("otppin"))?);
        set_oath(request, draft, &cx.view.configuration().settings, "sha1");
        draft.set_shown_seed(seed);
        Ok(())
    }

    /// The stored counter is the last slot used, not the next one: a slot has to be greater.
    fn verify(&self, attempt: &Attempt<'_>) -> Result<Verification, TokenFault> {
        let seed = seed_text(attempt.keyring, attempt.serial, attempt.token)?;
        let pin = device_pin(attempt.keyring, attempt.serial, attempt.token)?;
        let device = Device::new(&seed, &pin, attempt.token.digits)?;
        let now = attempt.now.seconds() / SLOT_SECONDS;
        let window = u64::from(attempt.token.count_window).saturating_mul(2);
        let slot = device.find(attempt.otp, around(now, window, window));
        Ok(
            match slot.filter(|slot| *slot > attempt.usage.next_counter).and_then(|slot| slot.checked_sub(1))
            {
                Some(before) => Verification::Accepted(Proof::at(before)),
                None => Verification::Refused(Memory::Keep),
            },
        )
    }

    fn give_up(&self, _: &TokenV1, usage: &mut UsageV1, spent: Spent<'_>) -> Result<(), TokenFault> {
        usage.next_counter = usage.next_counter.max(spent.now.seconds() / SLOT_SECONDS);
        Ok(())
    }

    fn is_challenged_by_pin(&self) -> bool {
        true
    }

    fn prompt(&self) -> &'static str {
        OTP_PROMPT
    }

    fn has_device_pin(&self) -> bool {
        true
    }

    fn otpauth_uri(
        &self,
        token: &TokenV1,
        seed: &SecretText,
        names: UriNames<'_>,
    ) -> Result<Option<SecretText>, Refusal> {
        super::hmac::check_uri_digits(token)?;
        Ok(Some(otpauth::uri(&Otpauth {
            // The text of the seed, not the bytes behind it: that is what the device hashes.
            key: seed.expose().as_bytes(),
            digits: token.digits,
            hash: HashAlgorithm::Sha1,
            moving: Moving::Slot,
            issuer: names.issuer,
            account: names.account,
        })))
    }
}
