//! What is answered to a user without any token, and to one whom another server decides about (reference policies 11.0
//! steps 4 and 6).

use super::Context;
use super::login::detail;
use super::policies::{Who, is_on, is_set, value};
use super::user::{KnownUser, resolver_ref};
use super::validate::{Verdict, passed};
use crate::decision::Stop;
use crate::facts::Question;
use crate::policy::catalogue::authentication::{
    FORWARD_ON_NO_TOKEN, FORWARD_SERVER, PASS_ON_NO_TOKEN, PASSTHRU,
};
use crate::secret::SecretText;

/// The answer for a user whose logins another server decides, whatever tokens there are here. Asking that server is
/// still to come; deciding here instead would let in whom it would refuse.
pub(super) fn forwarded(cx: &mut Context<'_>, user: &KnownUser) -> Result<Option<Verdict>, Stop> {
    if value(cx, &FORWARD_SERVER, Who::user(user))?.is_none()
        || is_on(cx, &FORWARD_ON_NO_TOKEN, Who::user(user))?
    {
        return Ok(None);
    }
    Ok(Some(not_forwarded(cx)))
}

fn not_forwarded(cx: &mut Context<'_>) -> Verdict {
    detail(cx, "forward_server is not supported yet");
    Verdict::default()
}

/// The answer for a user who has no token at all. The first rule that applies decides alone.
pub(super) fn without_tokens(
    cx: &mut Context<'_>,
    user: &KnownUser,
    submitted: Option<&SecretText>,
) -> Result<Verdict, Stop> {
    let who = Who::user(user);
    if cx.view.configuration().settings.passes_users_without_token() {
        return Ok(passed(cx, "authenticated by PassOnUserNoToken"));
    }
    if is_set(cx, &PASSTHRU, who)? {
        if is_password(cx, user, submitted)? {
            return Ok(passed(cx, "authenticated by passthru"));
        }
        detail(cx, "wrong user password -1");
        return Ok(Verdict::default());
    }
    if is_on(cx, &PASS_ON_NO_TOKEN, who)? {
        return Ok(passed(cx, "authenticated by passOnNoToken"));
    }
    if value(cx, &FORWARD_SERVER, who)?.is_some() {
        return Ok(not_forwarded(cx));
    }
    detail(cx, "User has no tokens assigned");
    Ok(Verdict::default())
}

/// Whether this is the user's password. An empty one is never: directories take it for an anonymous request.
fn is_password(cx: &mut Context<'_>, user: &KnownUser, submitted: Option<&SecretText>) -> Result<bool, Stop> {
    let Some(password) = submitted.filter(|password| !password.expose().is_empty()) else { return Ok(false) };
    let Some(resolver) = resolver_ref(cx, &user.owner.resolver) else { return Ok(false) };
    let (user_id, password) = (user.owner.user_id.clone(), password.clone());
    cx.ask_verdict(Question::CheckPassword { resolver, user_id, password })
}
