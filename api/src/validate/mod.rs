//! `/validate`: authentication of users (reference http-api 7). A refusal inside the node never surfaces here; it is
//! the answer no. A request that could not be decided is 503, which is not an answer.

pub(crate) mod check;
pub(crate) mod check_s;
pub(crate) mod check_status;
pub(crate) mod check_t;
pub(crate) mod check_yubikey;
pub(crate) mod constant;
mod detail;
mod once;
pub(crate) mod simplecheck;
mod verdict;
