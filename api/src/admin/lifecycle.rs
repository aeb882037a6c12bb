//! The life cycle of tokens: `remove`, `enable`, `disable`, `assign`, `unassign`, `reset` (reference http-api 10.1 to
//! 10.5).

use tessera_core::decide::lifecycle::{Assign, Remove, Reset, SetActive, Unassign};
use tessera_core::decide::selection::{Count, Missing};

use super::Message;
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, NO_DETAIL, Reply};

/// The number of tokens, and why it is 0.
fn counted(count: Count) -> Reply {
    let detail = count.missing.map(|missing| {
        Message::new(match missing {
            Missing::Serial(serial) => format!("No token with serial {serial}"),
            Missing::User(user) => format!("No tokens for this user: {user}"),
        })
    });
    reply::success(count.tokens, 1, detail)
}

pub(crate) async fn remove(call: Call) -> Result<Reply, Failure> {
    let request = Remove { serials: call.params.list("serial"), user: call.user() };
    Ok(counted(call.run(request).await?))
}

pub(crate) async fn enable(call: Call) -> Result<Reply, Failure> {
    set_active(call, true).await
}

pub(crate) async fn disable(call: Call) -> Result<Reply, Failure> {
    set_active(call, false).await
}

async fn set_active(call: Call, active: bool) -> Result<Reply, Failure> {
    let request = SetActive { selection: call.selection(), active };
    Ok(counted(call.run(request).await?))
}

/// The `id` of the reply is the number of serials, on errors 0.
pub(crate) async fn assign(mut call: Call) -> Result<Reply, Failure> {
    let pin = call.params.take_secret("pin");
    let request = Assign { serials: call.params.list("serial"), user: call.user(), pin };
    let serials = call.run(request).await.map_err(Failure::with_id_0)?;
    Ok(reply::success(true, u64::from(serials), NO_DETAIL))
}

pub(crate) async fn unassign(mut call: Call) -> Result<Reply, Failure> {
    let pin = call.params.take_secret("pin");
    call.run(Unassign { serial: call.params.owned("serial"), pin }).await?;
    Ok(reply::value(true))
}

pub(crate) async fn reset(call: Call) -> Result<Reply, Failure> {
    let request = Reset { selection: call.selection() };
    Ok(counted(call.run(request).await?))
}
