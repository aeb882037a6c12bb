//! Servers of others that check OTPs.

pub(crate) mod forward;
mod radius;
pub(crate) mod yubico;
