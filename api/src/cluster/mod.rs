//! `/cluster`: the members of the cluster. Ours; an original server has nothing of it.
//!
//! All calls are for administrators, with session and CSRF value as everywhere. None of them waits until a change of the
//! members is complete: the leader carries it out, and `/cluster/status` shows how far it is.

pub(crate) mod backup;
pub(crate) mod keys;
pub(crate) mod remove;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod transfer;

use tessera_core::decision::Refusal;

use crate::call::Call;
use crate::error::Failure;

/// The node a request names in its parameter `node`.
fn named(call: &Call) -> Result<u64, Failure> {
    Ok(call.params.number("node")?.ok_or(Refusal::MissingParameter("node"))?)
}

/// A refusal in a sentence, which is written to the audit trail.
fn refused(reason: impl std::fmt::Display) -> Failure {
    Refusal::Other(reason.to_string()).into()
}
