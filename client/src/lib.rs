//! A typed, asynchronous client of the LinOTP-compatible web API, for one server or a whole cluster.
//!
//! It is used by the command line, the PAM module, the chaos tests and the load generator. It shares no type with
//! the server on purpose: it must also talk to an original LinOTP server, and shared types would hide
//! incompatibilities. Replies are read leniently: unknown fields are ignored, missing ones have defaults.
//!
//! # Several base URLs
//!
//! Every node of a cluster answers every request, so requests go round robin over the base URLs (or stay with one,
//! see [`UrlChoice`]). A request is sent to another node only if nothing can go wrong by doing so:
//!
//! * The **connection could not be made**: nothing was sent, the next node is tried for every kind of request.
//! * The reply was **503**, or the **connection broke** before the reply: the node knows of no leader, or the fate of
//!   the request is unknown. Requests that only read are sent to the next node. Requests that change something are
//!   not: a second `/validate/check` with the same OTP would be a second attempt. If the first one had been
//!   committed, the second is a replay, is refused, and counts against the user; the caller would be told
//!   "rejected" about a login that was accepted. The error is handed to the caller instead
//!   ([`ClientError::outcome_is_unknown`]).
//! * If the caller gave an **idempotency key** ([`CheckRequest::idempotency_key`], header `Idempotency-Key`), a server
//!   that knows the header gives a repeated request the reply of the first one, so the request is repeated like
//!   one that reads. An original LinOTP server ignores the header: do not set a key when talking to one.
//!
//! A request that ran into its **timeout** is never repeated: the caller's patience is used up.
//!
//! # Where to start reading
//!
//! [`ClientBuilder`] and [`Client`], then `transport.rs` for the rules above, then one file per part of the API.

#![forbid(unsafe_code)]

mod backup;
mod builder;
mod client;
mod cluster;
mod config;
mod consistency;
mod error;
mod import;
mod keys;
mod lenient;
mod policy;
mod realm;
mod reply;
mod resolver;
mod secret;
mod session;
mod tls;
mod token;
mod transport;
mod user;
mod validate;

pub use backup::Download;
pub use builder::{ClientBuilder, UrlChoice};
pub use client::{Client, Method};
pub use cluster::{ClusterStatus, JoinToken, NodeHealth, NodeStatus, SnapshotBegun};
pub use consistency::{ChainFault, ChainPlace, ComparedState, HistoryCheck, StateComparison};
pub use error::ClientError;
pub use import::{ImportLine, ImportRow};
pub use keys::{KeyHolder, KeyState, KeyStatus, KeySwitch};
pub use policy::{ExplainedPolicy, Policy, PolicyAnswer, PolicyFilter, PolicyQuestion};
pub use realm::Realm;
pub use resolver::{Resolver, ResolverDetail, passwd_resolver_spec};
pub use secret::Secret;
pub use session::Session;
pub use tls::tls_config;
pub use token::{InitRequest, InitResult, LostToken, ShowRequest, TokenPage, TokenRow, TokenSelector};
pub use user::{UserPage, UserQuery, UserRef, UserRow};
pub use validate::{Challenge, CheckRequest, TransactionStatus, Verdict};
