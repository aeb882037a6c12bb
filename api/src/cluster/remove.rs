//! `POST /cluster/remove` and `POST /cluster/leave`: a member goes, for ever. For administrators.

use serde::Serialize;
use tessera_core::decide::membership::Retire;

use super::{named, refused};
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Reply};

#[derive(Serialize)]
struct Leaving {
    node: u64,
    /// False when it had been removed before.
    begun: bool,
}

/// Removes the member `node`. Refused when a majority of nodes that answer would not be left. A leader hands over first.
pub(crate) async fn remove(call: Call) -> Result<Reply, Failure> {
    let node = named(&call)?;
    retire(call, node).await
}

/// Removes the node that is asked, which then stops.
pub(crate) async fn leave(call: Call) -> Result<Reply, Failure> {
    let node = call.shared.node.config().node.id;
    retire(call, node).await
}

async fn retire(call: Call, node: u64) -> Result<Reply, Failure> {
    call.shared.node.may_remove(node).await.map_err(refused)?;
    let begun = call.run(Retire { node }).await?;
    Ok(reply::value(Leaving { node, begun }))
}
