//! `forward`: a token whose OTPs are those of another token (reference tokens 8.15).
//!
//! What a login does to the target is in [`crate::decide::login`].

use super::{Attempt, Draft, Modes, Posed, Proof, TokenFault, TokenRules, Trigger, Verification};
use crate::decide::Context;
use crate::decide::enroll::Init;
use crate::decide::login::target::{FORWARD_SERIAL, Target, find};
use crate::decide::validate::Attribute;
use crate::decision::{Refusal, Stop};
use crate::record::{InfoValue, TokenType, UsageV1};
use crate::user::Serial;

/// The type.
pub(super) struct Forward;

impl TokenRules for Forward {
    fn name(&self) -> &'static str {
        "forward"
    }

    fn stored_name(&self) -> &'static str {
        "forward"
    }

    fn serial_prefix(&self) -> &'static str {
        "LSFW"
    }

    /// Those of the target, which a login asks for them.
    fn modes(&self) -> Modes {
        Modes::Both
    }

    fn enroll(&self, cx: &mut Context<'_>, request: &Init, draft: &mut Draft) -> Result<(), Stop> {
        let invalid = |problem: &str| {
            Stop::from(Refusal::InvalidParameter {
                name: FORWARD_SERIAL.to_owned(),
                problem: problem.to_owned(),
            })
        };
        let wanted = request.forward_serial.as_deref().filter(|serial| !serial.is_empty());
        let serial = Serial::from(wanted.ok_or(Refusal::MissingParameter(FORWARD_SERIAL))?);
        let target = cx.view.token(&serial).ok_or_else(|| invalid("there is no token with this serial"))?;
        if target.token_type == TokenType::Forward {
            return Err(invalid("a forward token cannot be the target of another one"));
        }
        draft.token.digits = target.digits;
        draft.token.info.insert(FORWARD_SERIAL.into(), InfoValue::Text(serial.as_str().into()));
        Ok(())
    }

    fn verify(&self, _: &Attempt<'_>) -> Result<Verification, TokenFault> {
        Err(TokenFault::Unusable("a forward token has no OTPs of its own"))
    }

    /// Its own counter only mirrors the target's.
    fn advance(&self, usage: &mut UsageV1, proof: Proof) {
        usage.next_counter = usage.next_counter.max(proof.counter.saturating_add(1));
    }

    fn is_challenged_by_pin(&self) -> bool {
        true
    }

    /// The target's challenge, with the target named beside it.
    fn pose(&self, cx: &mut Context<'_>, trigger: &Trigger<'_>) -> Result<Posed, Stop> {
        let refuse = |fault: TokenFault| Stop::from(Refusal::Other(fault.to_string()));
        let Some(Target { serial, token, .. }) = find(cx, trigger.token).map_err(refuse)? else {
            return Err(refuse(TokenFault::Unusable("not a forward token")));
        };
        let rules = token.token_type.rules();
        let mut posed = rules.pose(cx, &Trigger { serial: &serial, token: &token, ..*trigger })?;
        posed.attributes.extend([
            ("linotp_forward_tokenserial", Attribute::Text(serial.to_string())),
            ("linotp_forward_tokentype", Attribute::Text(rules.stored_name().to_owned())),
            ("linotp_forward_tokendescription", Attribute::Text(token.description.to_string())),
        ]);
        Ok(posed)
    }
}
