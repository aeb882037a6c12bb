//! Servers of others that check OTPs.

pub(crate) mod yubico;
