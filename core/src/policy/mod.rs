//! Policies: what administrators lay down about logins, enrolment, self-service and their own rights (reference
//! policies).
//!
//! A policy names a scope, actions with values, and the realms, users, client addresses and times it holds for. It is
//! compiled when the configuration is loaded, not per request. One file per grammar: [`items`] for actions,
//! [`condition`] for the rest. [`catalogue`] knows every action. [`query`] is the only way to ask what applies to a
//! request; nothing outside of this module compares action names.
//!
//! Start reading at [`PolicySet`], then [`query`].

pub mod catalogue;
pub mod condition;
pub mod exchange;
pub mod forward;
pub mod items;
pub mod query;
#[cfg(test)]
mod sample;
mod scope;
mod set;
pub mod validate;
pub mod value;
pub mod zone;

pub use query::{Directory, Identity, Subject};
pub use scope::Scope;
pub use set::{Fields, Policy, PolicySet};
