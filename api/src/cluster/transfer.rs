//! `POST /cluster/transfer`: hands leadership over to the member `node`. For administrators.

use std::time::Instant;

use serde::Serialize;
use tessera_core::decide::membership::Ordered;

use super::{named, refused};
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Reply};

#[derive(Serialize)]
struct Leader {
    leader: u64,
    /// How long it took, without the checks before.
    milliseconds: u64,
}

pub(crate) async fn transfer(call: Call) -> Result<Reply, Failure> {
    let node = named(&call)?;
    call.shared.node.may_lead(node).await.map_err(refused)?;
    call.run(Ordered { what: format!("leadership handed over to node {node}") }).await?;
    let begun = Instant::now();
    call.shared.node.store().hand_over_to(node).await.map_err(refused)?;
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(reply::value(Leader { leader: node, milliseconds }))
}
