//! Tokens that are only meant for the roll-out of others (reference tokens 12.7).

use super::Context;
use super::lifecycle::remove_token;
use super::limits::scope_paths;
use super::policies::{Who, is_on, known_owner};
use super::user::KnownUser;
use crate::decision::Stop;
use crate::policy::catalogue::enrollment::PURGE_ROLLOUT_TOKEN;
use crate::record::{IndexKey, InfoValue, Key, TokenV1};
use crate::user::Serial;

/// After a login with a token that is good everywhere the owner's roll-out tokens are deleted, if a policy says so.
///
/// # Errors
/// To ask a user store; a refusal if a policy cannot be read.
pub(super) fn purge(cx: &mut Context<'_>, user: Option<&KnownUser>, used: &TokenV1) -> Result<(), Stop> {
    let Some(owner) = used.owner.as_ref().filter(|_| !is_for_rollout(used)) else { return Ok(()) };
    let mut number = 0_usize;
    let mut spent = Vec::new();
    for key in cx.view.index(&IndexKey::TokensOfOwner(owner.clone())) {
        let Key::Token(serial) = key else { continue };
        number += 1;
        if cx.view.token(&serial).is_some_and(|token| is_for_rollout(&token)) {
            spent.push(serial);
        }
    }
    if number < 2 || spent.is_empty() {
        return Ok(());
    }
    let owner = match user {
        Some(_) => None,
        None => known_owner(cx, used)?,
    };
    let Some(owner) = user.or(owner.as_ref()) else { return Ok(()) };
    if is_on(cx, &PURGE_ROLLOUT_TOKEN, Who::user(owner))? {
        for serial in &spent {
            remove_token(cx, serial);
        }
        let names: Vec<&str> = spent.iter().map(Serial::as_str).collect();
        cx.note(&format!("purged rollout tokens:{}", names.join(", ")));
    }
    Ok(())
}

/// Whether a token is limited to the parts of the interface in which others are rolled out. A scope that cannot be read
/// is none.
fn is_for_rollout(token: &TokenV1) -> bool {
    let paths = match token.info.get("scope") {
        Some(InfoValue::Json(json) | InfoValue::Text(json)) if !json.is_empty() => scope_paths(json),
        _ => return false,
    };
    paths.is_ok_and(|paths| paths.iter().any(|path| matches!(path.as_str(), "userservice" | "validate")))
}
