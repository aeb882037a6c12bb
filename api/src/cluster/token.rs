//! `POST /cluster/token`: an id and a one-time token for a node that shall join. For administrators.

use serde::Serialize;
use tessera_core::decide::membership::Invite;

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Reply};

#[derive(Serialize)]
struct Token {
    /// The id of the new node, which its certificate has to carry.
    node: u64,
    /// Shown this once.
    token: String,
    /// Seconds since 1970.
    expires: u64,
    replaces: Option<u64>,
}

/// Parameters: `replaces`, the member whose place the new node takes; `lifetime` of the token in seconds.
pub(crate) async fn token(call: Call) -> Result<Reply, Failure> {
    let replaces = call.params.number("replaces")?;
    let request = Invite { replaces, lifetime_seconds: call.params.number("lifetime")? };
    let invited = call.run(request).await?;
    Ok(reply::value(Token {
        node: invited.node,
        token: invited.token.expose().to_owned(),
        expires: invited.expires_at.seconds(),
        replaces,
    }))
}
