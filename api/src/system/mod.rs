//! `/system`: configuration, realms and resolvers (reference http-api 12).

pub(crate) mod config;
pub(crate) mod realm;
pub(crate) mod resolver;
