//! Whether this node lives and whether it can serve (reference http-api 18.3, code-style 14).

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderValue;
use serde::Serialize;

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{Ending, Reply, VERSION_NUMBER};

#[derive(Serialize)]
struct Status {
    status: &'static str,
    /// Seconds since the API was started, to a tenth.
    uptime: serde_json::Number,
    version: &'static str,
}

/// `GET /healthcheck/status`: alive, without touching the store.
pub(crate) async fn status(call: Call) -> Result<Reply, Failure> {
    let tenths = call.shared.started.elapsed().as_millis() / 100;
    let text = format!("{}.{}", tenths / 10, tenths % 10);
    let uptime = text.parse().unwrap_or_else(|_| serde_json::Number::from(0));
    Ok(Reply::bare_json(&Status { status: "alive", uptime, version: VERSION_NUMBER }))
}

/// `GET /healthz`: the process runs.
pub(crate) async fn alive(_: Call) -> Result<Reply, Failure> {
    Ok(plain("alive\n"))
}

/// `GET /readyz`: this node can serve requests. The reason it cannot is the body of the 503.
pub(crate) async fn ready(call: Call) -> Result<Reply, Failure> {
    Ok(match call.shared.node.readiness() {
        Ok(()) => plain("ready\n"),
        Err(problem) => {
            plain(format!("{problem}\n")).status(StatusCode::SERVICE_UNAVAILABLE).ending(Ending::Unavailable)
        }
    })
}

fn plain(text: impl Into<Bytes>) -> Reply {
    Reply::new(HeaderValue::from_static("text/plain; charset=utf-8"), text)
}
