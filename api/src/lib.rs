//! The ways into a Tessera node: LinOTP's web API, administrators' sessions, health, metrics.
//!
//! This crate translates. It reads parameters, finds out who calls, lets the node run the request, and renders what
//! comes out; it decides nothing about tokens or users, keeps no state of its own and sends no request to another node.
//! All of LinOTP's peculiarities live in [`params`], [`reply`] and [`error`], so that the handlers do not know them.
//!
//! Start reading at `routes`, which has one line per endpoint, then `call`, the way of every request. The files of
//! handlers follow the URLs: `/admin/init` is `admin/init.rs`.

mod admin;
mod auth;
mod call;
mod cluster;
mod consistency;
pub mod error;
mod health;
mod metrics;
pub mod params;
pub mod reply;
mod request_id;
mod routes;
mod server;
mod settings;
mod system;
mod validate;

use std::sync::Arc;
use std::time::Instant;

pub use auth::client::{InvalidNetwork, Network};
pub use server::{Serving, Tls, TlsError, serve};
pub use settings::{ApiSettings, BODY_BYTES_MAX};

/// What the web API is made of.
#[derive(Debug)]
pub struct Api {
    /// The node that runs the requests.
    pub node: tessera_node::Node,
    /// How the API behaves.
    pub settings: ApiSettings,
}

/// The web API as a service. Connections should be served by [`serve`], which tells it the client's address.
///
/// # Errors
/// When two metrics have the same name, which a test excludes.
pub fn router(api: Api) -> Result<axum::Router, prometheus::Error> {
    let shared = call::Shared {
        node: api.node,
        settings: api.settings,
        metrics: metrics::Metrics::new()?,
        started: Instant::now(),
    };
    Ok(routes::routes(&Arc::new(shared)))
}
