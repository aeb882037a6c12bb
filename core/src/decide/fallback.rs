//! What is answered to a user without any token (reference policies 11.0 step 6).

use super::Context;
use super::autoassign;
use super::forward::forwarded_without_token;
use super::login::detail;
use super::policies::{Who, is_on, is_set};
use super::user::{KnownUser, resolver_ref};
use super::validate::{Check, Verdict, passed};
use crate::decision::Stop;
use crate::facts::Question;
use crate::policy::catalogue::authentication::{PASS_ON_NO_TOKEN, PASSTHRU};
use crate::secret::SecretText;

/// The answer for a user who has no token at all. The first rule that applies decides alone.
pub(super) fn without_tokens(cx: &mut Context<'_>, user: &KnownUser, check: &Check) -> Result<Verdict, Stop> {
    let who = Who::user(user);
    if let Some(verdict) = autoassign::by_password(cx, user, check)? {
        return Ok(verdict);
    }
    if cx.view.configuration().settings.passes_users_without_token() {
        return Ok(passed(cx, "authenticated by PassOnUserNoToken"));
    }
    if is_set(cx, &PASSTHRU, who)? {
        if is_password(cx, user, check.pass.as_ref())? {
            return Ok(passed(cx, "authenticated by passthru"));
        }
        detail(cx, "wrong user password -1");
        return Ok(Verdict::default());
    }
    if is_on(cx, &PASS_ON_NO_TOKEN, who)? {
        return Ok(passed(cx, "authenticated by passOnNoToken"));
    }
    if let Some(verdict) = forwarded_without_token(cx, user, check)? {
        return Ok(verdict);
    }
    detail(cx, "User has no tokens assigned");
    Ok(Verdict::default())
}

/// Whether this is the user's password. An empty one is never: directories take it for an anonymous request.
pub(super) fn is_password(
    cx: &mut Context<'_>,
    user: &KnownUser,
    submitted: Option<&SecretText>,
) -> Result<bool, Stop> {
    let Some(password) = submitted.filter(|password| !password.expose().is_empty()) else { return Ok(false) };
    let Some(resolver) = resolver_ref(cx, &user.owner.resolver) else { return Ok(false) };
    let (user_id, password) = (user.owner.user_id.clone(), password.clone());
    cx.ask_verdict(Question::CheckPassword { resolver, user_id, password })
}
