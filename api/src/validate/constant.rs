//! `ANY /validate/ok` and `/validate/fail`: constant answers for probes (reference http-api 7.12).

use tessera_core::decide::validate::Constant;

use super::verdict::render;
use crate::call::Call;
use crate::error::Failure;
use crate::reply::Reply;

pub(crate) async fn ok(call: Call) -> Result<Reply, Failure> {
    Ok(render(&call.run(Constant(true)).await?, None))
}

pub(crate) async fn fail(call: Call) -> Result<Reply, Failure> {
    Ok(render(&call.run(Constant(false)).await?, None))
}
