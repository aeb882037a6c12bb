//! `POST /admin/copyTokenPin`, `POST /admin/copyTokenUser` (reference http-api 10.11).

use tessera_core::decide::copy::{CopyPin, CopyUser, FromTo};

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Reply};

fn from_to(call: &Call) -> FromTo {
    FromTo { from: call.params.owned("from"), to: call.params.owned("to") }
}

pub(crate) async fn copy_token_pin(call: Call) -> Result<Reply, Failure> {
    call.run(CopyPin(from_to(&call))).await?;
    Ok(reply::value(true))
}

pub(crate) async fn copy_token_user(call: Call) -> Result<Reply, Failure> {
    call.run(CopyUser(from_to(&call))).await?;
    Ok(reply::value(true))
}
