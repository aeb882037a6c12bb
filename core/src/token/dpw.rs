//! `dpw`: a password that changes every day (reference tokens 8.9).

use super::{Attempt, Draft, Memory, Modes, Proof, TokenFault, TokenRules, Verification, seed_text};
use crate::algo::dpw::{DIGITS, code};
use crate::calendar::DateTime;
use crate::decide::Context;
use crate::decide::enroll::Init;
use crate::decision::{Refusal, Stop};
use crate::secret::equal;

/// The type.
pub(super) struct Dpw;

impl TokenRules for Dpw {
    fn name(&self) -> &'static str {
        "dpw"
    }

    fn stored_name(&self) -> &'static str {
        "DPW"
    }

    fn serial_prefix(&self) -> &'static str {
        "DOTP"
    }

    fn modes(&self) -> Modes {
        Modes::Both
    }

    /// The seed is text and used as it is; it has to be printed into the list of passwords, so that generating one would
    /// help nobody.
    fn enroll(&self, cx: &mut Context<'_>, request: &Init, draft: &mut Draft) -> Result<(), Stop> {
        let seed = request.seed.given.clone().ok_or(Refusal::MissingParameter("otpkey"))?;
        let digits = request.otplen.unwrap_or_else(|| cx.view.configuration().settings.default_digits());
        if !DIGITS.contains(&digits) {
            return Err(Refusal::InvalidParameter {
                name: "otplen".to_owned(),
                problem: format!("{digits} is not between {} and {}", DIGITS.start(), DIGITS.end()),
            }
            .into());
        }
        draft.token.digits = digits;
        draft.set_shown_seed(seed);
        Ok(())
    }

    /// Today's password is good all day, as often as it is sent. The day begins at midnight UTC on every node.
    fn verify(&self, attempt: &Attempt<'_>) -> Result<Verification, TokenFault> {
        let seed = seed_text(attempt.keyring, attempt.serial, attempt.token)?;
        let today = code(&seed, DateTime::of(attempt.now), attempt.token.digits)
            .ok_or(TokenFault::Unusable("a day password cannot have that many digits"))?;
        Ok(if equal(today.as_bytes(), attempt.otp.as_bytes()) {
            Verification::Accepted(Proof::at(1))
        } else {
            Verification::Refused(Memory::Keep)
        })
    }
}
