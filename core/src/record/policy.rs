//! A policy as it is stored.

use serde::{Deserialize, Serialize};

/// A policy: seven texts as the administrator wrote them (reference policies 1.1).
///
/// Only secrets in `forward_server` are replaced by their sealed form (8.1). What the texts mean, and what an empty one stands for, is worked out when the
/// configuration is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyV1 {
    /// `true` in any case, or empty: active. Anything else is not.
    pub active: Box<str>,
    /// The part of the system it rules over.
    pub scope: Box<str>,
    /// What it lays down.
    pub action: Box<str>,
    /// The realms it holds in.
    pub realm: Box<str>,
    /// The users it holds for.
    pub user: Box<str>,
    /// The client addresses it holds for.
    pub client: Box<str>,
    /// When it holds.
    pub time: Box<str>,
}
