//! The token behind a `forward` token (reference tokens 8.15).
//!
//! PIN, lock, validity and owner are those of the forward token; OTP and counter are the target's. A target may take part
//! in the same login on its own account, hence its usage is changed last, on top of what was written for it before.

use std::sync::Arc;

use super::{Candidate, Context, Place};
use crate::decide::pin::realms_concerned;
use crate::decide::policies::{Who, is_set};
use crate::decide::user::KnownUser;
use crate::decision::Stop;
use crate::policy::catalogue::authentication::NO_FAILCOUNTER_FORWARDING;
use crate::record::{Key, Record, TokenType, TokenV1, UsageV1};
use crate::token::{Memory, TokenFault, remember};
use crate::token_info;
use crate::user::Serial;

/// LinOTP's key of the target.
pub(crate) const FORWARD_SERIAL: &str = "forward.serial";

/// The token behind a forward token.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) serial: Serial,
    pub(crate) token: Arc<TokenV1>,
    pub(crate) usage: Arc<UsageV1>,
    /// What a refused OTP leaves in its memory.
    pub(super) memory: Memory,
}

/// The target of a token; `None` for a token that is not of this type.
///
/// # Errors
/// When the target does not exist.
pub(crate) fn find(cx: &mut Context<'_>, token: &TokenV1) -> Result<Option<Target>, TokenFault> {
    if token.token_type != TokenType::Forward {
        return Ok(None);
    }
    let missing = TokenFault::Unusable("the token it forwards to does not exist");
    let serial = token_info::text(&token.info, FORWARD_SERIAL).map(Serial::from).ok_or(missing)?;
    let token = cx.view.token(&serial).ok_or(missing)?;
    if token.token_type == TokenType::Forward {
        return Err(TokenFault::Unusable("the token it forwards to is a forward token itself"));
    }
    let usage = cx.view.usage(&serial);
    Ok(Some(Target { serial, token, usage, memory: Memory::Keep }))
}

/// What a login does to a target.
pub(super) enum Change {
    /// Its OTP was right; only a login that succeeded clears its failures.
    Accepted {
        /// Whether the login succeeded.
        alone: bool,
    },
    /// Its OTP was wrong and the forward token was blamed.
    Blamed,
    /// Nothing but what a resynchronisation remembers.
    Seen,
}

/// Changes the target of a candidate, if it has one.
///
/// # Errors
/// As a policy look-up.
pub(super) fn settle(
    cx: &mut Context<'_>,
    user: Option<&KnownUser>,
    candidate: &Candidate,
    change: &Change,
) -> Result<(), Stop> {
    let Some(target) = &candidate.target else { return Ok(()) };
    let spares_failures = leaves_failures(cx, user, candidate)?;
    let rules = target.token.token_type.rules();
    let before = cx.view.usage(&target.serial);
    let mut usage = UsageV1::clone(&before);
    match (change, &candidate.place) {
        (Change::Accepted { alone }, Place::Valid { proof, .. }) => {
            rules.advance(&mut usage, proof.clone());
            if *alone {
                usage.fail_count = if spares_failures { usage.fail_count } else { 0 };
                if let Some(changed) = rules.accepted(&target.token) {
                    cx.view.put_token(&target.serial, changed);
                }
            }
        }
        (Change::Blamed, _) => {
            usage.fail_count = usage.fail_count.saturating_add(u32::from(!spares_failures));
            remember(&mut usage, target.memory);
            rules.on_failed(&mut usage);
        }
        (Change::Seen | Change::Accepted { .. }, _) => remember(&mut usage, target.memory),
    }
    if usage != *before {
        cx.view.put(Key::Usage(target.serial.clone()), Record::Usage(Arc::new(usage)));
    }
    Ok(())
}

/// Whether a policy keeps the target's fail counter where it is: one for the user, or for a realm of the forward token.
fn leaves_failures(
    cx: &mut Context<'_>,
    user: Option<&KnownUser>,
    candidate: &Candidate,
) -> Result<bool, Stop> {
    if let Some(user) = user {
        return is_set(cx, &NO_FAILCOUNTER_FORWARDING, Who::user(user));
    }
    for realm in realms_concerned(cx, std::slice::from_ref(&candidate.serial)) {
        if is_set(cx, &NO_FAILCOUNTER_FORWARDING, Who::realm(&realm))? {
            return Ok(true);
        }
    }
    Ok(false)
}
