//! `/system`: configuration, realms, resolvers and policies (reference http-api 12 and 13).

pub(crate) mod config;
pub(crate) mod policy;
pub(crate) mod realm;
pub(crate) mod resolver;
