//! What happens to a token that is met after it was used as often or as long as allowed (reference policies 11.16).

use super::Context;
use super::lifecycle::{change_token, remove_token};
use super::limits::Obstacle;
use super::policies::{Who, is_on};
use super::user::KnownUser;
use crate::decision::Stop;
use crate::policy::catalogue::Action;
use crate::policy::catalogue::authentication::{
    DELETE_ON_AUTHENTICATION_EXCEED, DISABLE_ON_AUTHENTICATION_EXCEED,
};
use crate::record::TokenV1;
use crate::user::Serial;

/// Disables or deletes a token in whose way one of these obstacles stands, if a policy says so; `true` if it is deleted.
/// The token is refused in any case. One that is deleted need not be disabled before (D33).
pub(super) fn retire(
    cx: &mut Context<'_>,
    user: Option<&KnownUser>,
    serial: &Serial,
    token: &TokenV1,
    obstacle: Obstacle,
) -> Result<bool, Stop> {
    match obstacle {
        Obstacle::CountExceeded | Obstacle::SuccessCountExceeded | Obstacle::Expired => {}
        Obstacle::RealmMismatch
        | Obstacle::Inactive
        | Obstacle::Locked
        | Obstacle::OutOfScope
        | Obstacle::NotYetValid => return Ok(false),
    }
    if applies(cx, &DELETE_ON_AUTHENTICATION_EXCEED, user, token)? {
        cx.note(&format!("token {serial} was deleted"));
        remove_token(cx, serial);
        return Ok(true);
    }
    if applies(cx, &DISABLE_ON_AUTHENTICATION_EXCEED, user, token)? {
        cx.note(&format!("token {serial} was disabled"));
        change_token(cx, serial, |token| token.active = false);
    }
    Ok(false)
}

/// Without a user any of the token's realms may carry the policy, or the default realm if it has none (D17).
fn applies(
    cx: &mut Context<'_>,
    action: &Action<bool>,
    user: Option<&KnownUser>,
    token: &TokenV1,
) -> Result<bool, Stop> {
    if let Some(user) = user {
        return is_on(cx, action, Who::user(user));
    }
    let mut realms = token.realms.clone();
    if realms.is_empty() {
        realms.extend(cx.view.configuration().settings.default_realm());
    }
    for realm in &realms {
        if is_on(cx, action, Who::realm(realm))? {
            return Ok(true);
        }
    }
    Ok(false)
}
