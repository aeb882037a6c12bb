//! Who calls: the administrator behind a session cookie (reference http-api 4) and the client's address (1.4).

pub(crate) mod client;
pub(crate) mod cookie;
pub(crate) mod jwt;
pub(crate) mod session;
