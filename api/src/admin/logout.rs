//! `ANY /admin/logout` (reference http-api 4.4).

use tessera_core::decide::session::Revoke;
use tessera_core::time::UnixMillis;

use super::Message;
use crate::auth::cookie;
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Reply};

pub(crate) async fn logout(mut call: Call) -> Result<Reply, Failure> {
    if let Some(claims) = call.claims.take() {
        // A session without an end is remembered for ever.
        let expires_at = claims.exp.map_or(UnixMillis(u64::MAX), UnixMillis::from_seconds);
        call.run(Revoke { jti: claims.jti, expires_at }).await?;
    }
    Ok(cookie::clear(reply::success(true, 1, Some(Message::new("Logout successful")))))
}
