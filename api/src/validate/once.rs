//! Running a check that the client may repeat (`Idempotency-Key`).

use http::StatusCode;
use tessera_core::decide::Request;
use tessera_core::decide::once::{Fingerprint, Once};
use tessera_core::decide::validate::Verdict;
use tessera_core::decision::Refusal;

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{Reply, plain_page};

/// What a check came to.
pub(super) enum Checked {
    /// Decided.
    Verdict(Verdict),
    /// Refused, which these calls answer like a no.
    Refused,
    /// The client's mistake, which must not look like a no.
    Reply(Reply),
}

/// Runs a check on the node.
pub(super) async fn run<R>(call: &mut Call, request: R) -> Result<Checked, Failure>
where
    R: Request<Reply = Verdict> + Fingerprint,
{
    let key = call.repeat_key.take();
    match call.run(Once { key, request }).await {
        Ok(verdict) => Ok(Checked::Verdict(verdict)),
        Err(Failure::Refused { refusal: refusal @ Refusal::KeyReused(_), .. }) => {
            // The status the draft "The Idempotency-Key HTTP Header Field" gives to it.
            Ok(Checked::Reply(plain_page(StatusCode::UNPROCESSABLE_ENTITY, &format!("{refusal}."))))
        }
        Err(Failure::Refused { .. }) => Ok(Checked::Refused),
        Err(other) => Err(other),
    }
}
