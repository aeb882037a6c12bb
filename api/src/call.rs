//! The way of every request through this crate: read it, find out who calls, let the handler run it on the node,
//! render what came out. Handlers see a [`Call`] and know nothing of cookies, statuses and metrics.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody as _};
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::header::{ALLOW, CONTENT_TYPE, EXPECT, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tessera_core::configuration::Configuration;
use tessera_core::decide;
use tessera_core::decide::rejected::Rejected;
use tessera_core::decide::selection::Selection;
use tessera_core::decide::user::UserParams;
use tessera_core::decision::Refusal;
use tessera_core::facts::Caller;
use tessera_node::Node;
use tracing::Instrument as _;

use crate::auth::client::Evidence;
use crate::auth::jwt::Claims;
use crate::auth::session::{self, Presented};
use crate::error::{self, Failure, HttpErrors, UNNUMBERED};
use crate::metrics::{EndpointMetrics, Metrics};
use crate::params::{BodyKind, Params, decode, invalid};
use crate::reply::{Ending, Reply, plain_page};
use crate::request_id::{self, RequestId};
use crate::settings::{ApiSettings, BODY_BYTES_MAX};

/// The message of every 401 on administrative calls (reference http-api 2.8).
const NOT_AUTHENTICATED: &str = "Not authenticated";

/// How much of a body that is too large is read and thrown away before the reply.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest `Idempotency-Key` in bytes.
const REPEAT_KEY_MAX: usize = 128;
const UNUSABLE_REPEAT_KEY: &str = "The Idempotency-Key header must be 1 to 128 visible ASCII characters.";

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) node: Node,
    pub(crate) settings: ApiSettings,
    pub(crate) metrics: Metrics,
    pub(crate) started: Instant,
}

/// Which methods an endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Methods {
    /// GET and HEAD.
    Get,
    /// POST.
    Post,
    /// GET, HEAD and POST.
    Any,
}

impl Methods {
    fn allow(self, method: &Method) -> bool {
        match *method {
            Method::GET | Method::HEAD => self != Self::Post,
            Method::POST => self != Self::Get,
            _ => false,
        }
    }

    const fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Get => "GET, HEAD, OPTIONS",
            Self::Post => "OPTIONS, POST",
            Self::Any => "GET, HEAD, OPTIONS, POST",
        })
    }
}

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Open,
    /// Administrators; logouts on other nodes are known because the state is brought up to date first.
    Admin,
    /// Administrators, also while the cluster cannot decide anything: the session is checked on what this node knows.
    AdminLocal,
}

/// One line of the route table.
pub(crate) struct Endpoint {
    pub(crate) methods: Methods,
    pub(crate) access: Access,
    pub(crate) metrics: EndpointMetrics,
}

/// A request on its way through a handler.
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) params: Params,
    pub(crate) caller: Caller,
    /// The session, on calls of administrators.
    pub(crate) claims: Option<Claims>,
    /// `Idempotency-Key`: the client may send the same request again.
    pub(crate) repeat_key: Option<String>,
}

impl Call {
    /// Runs a request on the node.
    pub(crate) async fn run<R: decide::Request>(&self, request: R) -> Result<R::Reply, Failure> {
        match self.shared.node.run(request, self.caller.clone()).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(refusal)) => Err(Failure::Refused { refusal, id: 1 }),
            Err(error) => Err(Failure::Run(error)),
        }
    }

    /// The user the request names.
    pub(crate) fn user(&self) -> UserParams {
        user_of(&self.params)
    }

    /// The tokens the request names.
    pub(crate) fn selection(&self) -> Selection {
        Selection { serial: self.params.owned("serial"), user: self.user() }
    }
}

/// The user parameters, also of requests whose names are lower-cased.
fn user_of(params: &Params) -> UserParams {
    UserParams {
        user: params.text("user").unwrap_or_default().to_owned(),
        realm: params.owned("realm"),
        res_conf: params.owned("resConf").or_else(|| params.owned("resconf")),
    }
}

/// Serves one request of an endpoint.
pub(crate) async fn serve<H, F>(
    shared: Arc<Shared>,
    endpoint: Arc<Endpoint>,
    handler: H,
    mut request: Request<Body>,
) -> Response
where
    H: FnOnce(Call) -> F,
    F: Future<Output = Result<Reply, Failure>>,
{
    let id = RequestId::of(request.headers());
    if !endpoint.methods.allow(request.method()) {
        let reply = other_method(endpoint.methods, request.method());
        return reply.header(request_id::HEADER, id.header()).into_response();
    }
    // At the highest level, so that whatever is logged on the way carries the id.
    let span = tracing::error_span!("request", request.id = %id.0, endpoint = endpoint.metrics.path);
    let header = id.header();
    request.extensions_mut().insert(id);
    let (begin, _open) = (Instant::now(), shared.metrics.open());
    let limit = shared.settings.request_timeout;
    let answered = tokio::time::timeout(limit, answer(&shared, endpoint.access, handler, request));
    let reply = answered.instrument(span.clone()).await.unwrap_or_else(|_| {
        span.in_scope(|| tracing::warn!(limit_ms = limit.as_millis(), "the request took too long"));
        Reply::unavailable()
    });
    let duration = begin.elapsed();
    endpoint.metrics.observe(reply.ending, duration);
    span.in_scope(|| {
        tracing::debug!(
            status = reply.status.as_u16(),
            duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            "request answered"
        );
    });
    reply.header(NOSNIFF.0, NOSNIFF.1).header(request_id::HEADER, header).into_response()
}

const NOSNIFF: (HeaderName, HeaderValue) =
    (http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

/// The answer to a method the endpoint does not process.
fn other_method(methods: Methods, method: &Method) -> Reply {
    let reply = if *method == Method::OPTIONS {
        Reply::empty(StatusCode::OK, Ending::Ok)
    } else {
        plain_page(StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed for this URL.")
    };
    reply.header(ALLOW, methods.header())
}

async fn answer<H, F>(shared: &Arc<Shared>, access: Access, handler: H, request: Request<Body>) -> Reply
where
    H: FnOnce(Call) -> F,
    F: Future<Output = Result<Reply, Failure>>,
{
    let (parts, body) = request.into_parts();
    let body = match collect(body, &parts.headers).await {
        Ok(body) => body,
        Err(page) => return page,
    };
    let kind = BodyKind::of(parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()));
    let params = match decode(parts.uri.query(), kind, &body) {
        Ok(params) => params,
        Err(problem) => return error::malformed(problem),
    };
    let configuration = shared.node.configuration();
    let caller = caller(shared, &configuration, &parts, &params);
    let httperror = params.control().httperror.clone();
    let errors =
        HttpErrors { wanted: httperror.as_deref(), limited_to: configuration.settings.text("errors") };
    let Ok(repeat_key) = repeat_key(&parts) else {
        return plain_page(StatusCode::BAD_REQUEST, UNUSABLE_REPEAT_KEY);
    };
    let mut call = Call { shared: shared.clone(), params, caller, claims: None, repeat_key };
    if access != Access::Open
        && let Err(denied) = authenticate(&mut call, access, &parts).await
    {
        return match denied {
            Denied::NotAuthenticated => not_authenticated(&call, errors).await,
            Denied::Run(error) => error::run_error(&error),
        };
    }
    let claims = call.claims.clone();
    let audit = Audit::of(&call, access);
    let outcome = if access != Access::Open && call.params.is_damaged() {
        Err(Failure::Unread(invalid("request", "its text is not valid UTF-8")))
    } else {
        handler(call).await
    };
    let reply = match outcome {
        Ok(reply) => reply,
        Err(failure) => audit.failed(shared, failure, errors).await,
    };
    refresh(shared, claims.as_ref(), reply)
}

/// Reads the body up to the limit. What is beyond it is read and thrown away up to another limit, because a server that
/// closes a connection on which its client is still sending makes the client lose the reply. A client that asks first
/// (`Expect: 100-continue`) with a length that is too large is not sent on.
async fn collect(mut body: Body, headers: &HeaderMap) -> Result<Bytes, Reply> {
    let too_large = || plain_page(StatusCode::PAYLOAD_TOO_LARGE, "The request is larger than 1 MiB.");
    if headers.contains_key(EXPECT) && body.size_hint().lower() > to_u64(BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let mut kept = BytesMut::new();
    let mut discarded = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(plain_page(StatusCode::BAD_REQUEST, "The request could not be read."));
        };
        // Trailers say nothing that is needed here.
        let Ok(data) = frame.into_data() else { continue };
        if discarded > 0 || kept.len().saturating_add(data.len()) > BODY_BYTES_MAX {
            discarded = discarded.saturating_add(data.len());
            if discarded > DISCARDED_BYTES_MAX {
                return Err(too_large());
            }
        } else {
            kept.extend_from_slice(&data);
        }
    }
    if discarded > 0 { Err(too_large()) } else { Ok(kept.freeze()) }
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The client's `Idempotency-Key`, if there is one; an error if it cannot be used.
fn repeat_key(parts: &Parts) -> Result<Option<String>, ()> {
    let Some(value) = parts.headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().map_err(drop)?;
    if (1..=REPEAT_KEY_MAX).contains(&key.len()) { Ok(Some(key.to_owned())) } else { Err(()) }
}

fn caller(shared: &Shared, configuration: &Configuration, parts: &Parts, params: &Params) -> Caller {
    let peer = match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(address)) => address.ip(),
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let parameter = params.control().client.as_deref().filter(|_| shared.settings.client_from_parameter);
    let evidence = Evidence {
        peer,
        headers: &parts.headers,
        parameter,
        trusted: &shared.settings.trusted_proxies,
        settings: &configuration.settings,
    };
    Caller {
        client: evidence.address().to_string(),
        server: String::new(),
        action: parts.uri.path().trim_start_matches('/').to_owned(),
        administrator: None,
        request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
    }
}

/// Why a call of an administrator does not reach its handler.
enum Denied {
    NotAuthenticated,
    Run(tessera_node::RunError),
}

async fn authenticate(call: &mut Call, access: Access, parts: &Parts) -> Result<(), Denied> {
    let node = &call.shared.node;
    let state = match access {
        Access::Admin => node.store().barrier().await.map_err(|error| Denied::Run(error.into()))?,
        Access::AdminLocal | Access::Open => node.store().view(),
    };
    let key = session::key(&*state, &node.keyring()).ok_or(Denied::NotAuthenticated)?;
    let form_csrf = call.params.control().csrf_token.as_deref();
    let presented = Presented {
        method: &parts.method,
        headers: &parts.headers,
        form_csrf: form_csrf.filter(|_| call.shared.settings.csrf_from_form),
    };
    let claims = presented.check(&*state, &key, node.store().now()).map_err(|_| Denied::NotAuthenticated)?;
    call.caller.administrator = Some(claims.administrator());
    call.claims = Some(claims);
    Ok(())
}

/// 401, which is written to the audit trail like every other call (reference http-api 4.3).
async fn not_authenticated(call: &Call, errors: HttpErrors<'_>) -> Reply {
    let refusal = Refusal::Other(NOT_AUTHENTICATED.to_owned());
    let serial = call.params.text("serial").unwrap_or_default().to_owned();
    match call.run(Rejected { refusal, serial, user: call.user() }).await {
        Err(Failure::Run(error)) => error::run_error(&error),
        Ok(_) | Err(Failure::Unread(_) | Failure::Refused { .. }) => {
            errors.reply(UNNUMBERED, NOT_AUTHENTICATED, 1, Some(StatusCode::UNAUTHORIZED))
        }
    }
}

/// What is needed to record a refusal after the handler has consumed the call.
struct Audit {
    caller: Caller,
    serial: String,
    user: UserParams,
}

impl Audit {
    /// Empty for calls whose parameters cannot be refused, which are the frequent ones.
    fn of(call: &Call, access: Access) -> Self {
        if access == Access::Open {
            return Self { caller: Caller::default(), serial: String::new(), user: UserParams::default() };
        }
        let serial = call.params.text("serial").unwrap_or_default().to_owned();
        Self { caller: call.caller.clone(), serial, user: call.user() }
    }

    /// The reply to a failure; one that never reached the node is audited first.
    async fn failed(self, shared: &Shared, failure: Failure, errors: HttpErrors<'_>) -> Reply {
        let (refusal, id) = match failure {
            Failure::Run(error) => return error::run_error(&error),
            Failure::Refused { refusal, id } => (refusal, id),
            Failure::Unread(refusal) => {
                let rejected = Rejected { refusal: refusal.clone(), serial: self.serial, user: self.user };
                if let Err(error) = shared.node.run(rejected, self.caller).await {
                    return error::run_error(&error);
                }
                (refusal, 1)
            }
        };
        errors.reply(error::code(&refusal), &error::message(&refusal), id, None)
    }
}

/// Renews a session that is near its end (reference http-api 4.4). A reply that sets cookies itself is left alone.
fn refresh(shared: &Shared, claims: Option<&Claims>, reply: Reply) -> Reply {
    let lifetime = shared.settings.lifetime();
    let now = shared.node.store().now();
    let Some(claims) = claims.filter(|claims| claims.due(now, lifetime)) else { return reply };
    if reply.headers.contains_key(SET_COOKIE) {
        return reply;
    }
    let Some(key) = session::key(&*shared.node.store().view(), &shared.node.keyring()) else { return reply };
    match session::issue(&claims.administrator(), &key, now, lifetime) {
        Ok(issued) => shared.settings.cookies().set(reply, &issued.token, &issued.csrf),
        Err(_) => reply,
    }
}
