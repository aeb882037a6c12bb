//! `spass`: the PIN alone is the credential (reference tokens 8.5).

use super::pw::set_once;
use super::{Attempt, Draft, Modes, Proof, TokenFault, TokenRules, Verification};
use crate::decide::Context;
use crate::decide::enroll::Init;
use crate::decide::pin::{OtpPinMode, Split};
use crate::decision::Stop;
use crate::record::TokenV1;
use crate::seed;

/// The type.
pub(super) struct Spass;

/// A seed is generated and shown as for other types, because clients expect one; nothing uses it.
const SEED_BYTES: usize = 20;

impl TokenRules for Spass {
    fn name(&self) -> &'static str {
        "spass"
    }

    fn stored_name(&self) -> &'static str {
        "spass"
    }

    fn serial_prefix(&self) -> &'static str {
        "LSSP"
    }

    fn modes(&self) -> Modes {
        Modes::Authenticate
    }

    fn enroll(&self, cx: &mut Context<'_>, request: &Init, draft: &mut Draft) -> Result<(), Stop> {
        let seed = match &request.seed.given {
            Some(given) => given.clone(),
            None => seed::generate(&mut cx.random, SEED_BYTES),
        };
        draft.set_shown_seed(seed);
        set_once(request, draft);
        Ok(())
    }

    /// All of it is the PIN, whatever the mode.
    fn split<'p>(&self, _: &TokenV1, _: OtpPinMode, _: bool, submitted: &'p str) -> Split<'p> {
        Split::pin_only(submitted)
    }

    /// There is no OTP that could be wrong.
    fn verify(&self, _: &Attempt<'_>) -> Result<Verification, TokenFault> {
        Ok(Verification::Accepted(Proof::UNCOUNTED))
    }

    fn always_checks_pin(&self) -> bool {
        true
    }
}
