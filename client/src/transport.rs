//! Sending one request to one of several nodes: choice of the node, failover, cookies.
//!
//! The rules for a second attempt are in the crate documentation and all of them are in [`Transport::send`].

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue};
use reqwest::{Method, Response};

use crate::builder::UrlChoice;
use crate::error::ClientError;
use crate::session::Session;

/// A reply longer than this is refused.
const REPLY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// A node that could not be reached is tried last for this time.
const AVOID_FOR: Duration = Duration::from_secs(3);
/// A stream that takes longer than this is given up.
const STREAM_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// How long the beginning of a stream, or its next piece, may take.
const STREAM_PATIENCE: Duration = Duration::from_secs(60);
const FORM: &str = "application/x-www-form-urlencoded";

/// Names and values of the parameters of a request.
pub(crate) type Parameters<'a> = [(&'a str, &'a str)];

/// Whether a request may be sent again although it may have been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It only reads, or it carries an idempotency key.
    Harmless,
    /// It changes something.
    OnlyIfUnsent,
}

/// Whether the session is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// No cookies are sent and none are picked up.
    Public,
    /// The session is sent if there is one, and refreshed cookies are picked up.
    Session,
}

/// What is sent in the body.
pub(crate) enum Payload<'a> {
    /// Parameters: in the query string of a GET, as a form otherwise.
    Parameters(&'a Parameters<'a>),
    /// A ready-made body.
    Body { content_type: &'a str, bytes: &'a [u8] },
}

/// One request, whichever node it goes to.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) payload: Payload<'a>,
    pub(crate) access: Access,
    pub(crate) repeat: Repeat,
    pub(crate) idempotency_key: Option<&'a str>,
}

/// A complete reply.
pub(crate) struct RawReply {
    /// The base URL that answered.
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

struct Node {
    url: String,
    /// Milliseconds since `Transport::started` until which the node is tried last.
    avoid_until: AtomicU64,
}

/// The connections to all nodes, and the session they share.
pub(crate) struct Transport {
    http: reqwest::Client,
    nodes: Vec<Node>,
    choice: UrlChoice,
    next: AtomicUsize,
    started: Instant,
    session: Mutex<Option<Session>>,
}

impl Transport {
    pub(crate) fn new(
        http: reqwest::Client,
        urls: Vec<String>,
        choice: UrlChoice,
        session: Option<Session>,
    ) -> Self {
        let pinned = session.as_ref().and_then(|session| urls.iter().position(|url| *url == session.url));
        Self {
            http,
            nodes: urls.into_iter().map(|url| Node { url, avoid_until: AtomicU64::new(0) }).collect(),
            choice,
            next: AtomicUsize::new(pinned.unwrap_or(0)),
            started: Instant::now(),
            session: Mutex::new(session),
        }
    }

    pub(crate) fn urls(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.url.as_str())
    }

    /// The session. It is never locked across an await.
    pub(crate) fn session(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request to one node after the other, as far as the rules for a second attempt allow it.
    ///
    /// # Errors
    /// What the last node tried led to; a failure that left the outcome open is preferred to "cannot connect".
    pub(crate) async fn send(&self, request: &Request<'_>) -> Result<RawReply, ClientError> {
        let repeatable = request.repeat == Repeat::Harmless || request.idempotency_key.is_some();
        let mut failure = ClientError::NoUrls;
        for index in self.order() {
            let Some(node) = self.nodes.get(index) else { continue };
            match self.attempt(&node.url, request).await {
                Ok(reply) if reply.status == 503 && repeatable => failure = ClientError::Status { code: 503 },
                Ok(reply) => {
                    self.stay_with(index);
                    return Ok(reply);
                }
                Err(error @ ClientError::Connect { .. }) => {
                    self.avoid(node);
                    if !failure.outcome_is_unknown() {
                        failure = error;
                    }
                }
                Err(error @ ClientError::Broken { .. }) if repeatable => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    /// Sends a request to one node, once.
    pub(crate) async fn attempt(&self, url: &str, request: &Request<'_>) -> Result<RawReply, ClientError> {
        let session = match request.access {
            Access::Session => self.session().clone(),
            Access::Public => None,
        };
        let response = self
            .prepare(url, request, session.as_ref())
            .send()
            .await
            .map_err(|error| transport_error(url, error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if let Some(sent) = session {
            self.pick_up_cookies(&sent, &headers);
        }
        let body = read_body(url, request.path, response).await?;
        Ok(RawReply { url: url.to_owned(), status, headers, body })
    }

    /// Begins a request to one node whose reply is read piece by piece. The time limit is that of the head and of each
    /// piece, not of the whole reply. Tried at the next node only if no connection could be made.
    pub(crate) async fn begin(&self, request: &Request<'_>) -> Result<(String, Response), ClientError> {
        let mut failure = ClientError::NoUrls;
        for index in self.order() {
            let Some(node) = self.nodes.get(index) else { continue };
            let session = self.session().clone();
            // Longer than any stream takes; what limits it is the wait for the next piece.
            let prepared = self.prepare(&node.url, request, session.as_ref()).timeout(STREAM_LIMIT);
            let answered = tokio::time::timeout(STREAM_PATIENCE, prepared.send()).await;
            let url = node.url.clone();
            match answered {
                Ok(Ok(response)) => return Ok((url, response)),
                Ok(Err(error)) => {
                    let error = transport_error(&url, error);
                    if !matches!(error, ClientError::Connect { .. }) {
                        return Err(error);
                    }
                    self.avoid(node);
                    failure = error;
                }
                Err(_) => return Err(ClientError::Timeout { url }),
            }
        }
        Err(failure)
    }

    fn prepare(
        &self,
        url: &str,
        request: &Request<'_>,
        session: Option<&Session>,
    ) -> reqwest::RequestBuilder {
        let mut target = format!("{url}{}", request.path);
        let mut body = None;
        match request.payload {
            Payload::Parameters(parameters) => {
                let encoded =
                    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
                if request.method != Method::GET {
                    body = Some((FORM, encoded.into_bytes()));
                } else if !encoded.is_empty() {
                    target.push('?');
                    target.push_str(&encoded);
                }
            }
            Payload::Body { content_type, bytes } => body = Some((content_type, bytes.to_vec())),
        }
        let mut builder = self.http.request(request.method.clone(), target);
        if let Some((content_type, bytes)) = body {
            builder = builder.header(CONTENT_TYPE, content_type).body(bytes);
        }
        if let Some(key) = request.idempotency_key {
            builder = builder.header("Idempotency-Key", key);
        }
        if let Some(session) = session {
            builder = builder.header(COOKIE, sensitive(session.cookie_header().expose()));
            if request.method != Method::GET {
                builder = builder.header("X-CSRF-TOKEN", sensitive(session.csrf_header()));
            }
        }
        builder
    }

    /// Takes over refreshed cookies, unless the session was replaced while the request was under way.
    fn pick_up_cookies(&self, sent: &Session, headers: &HeaderMap) {
        let mut session = self.session();
        if let Some(session) = session.as_mut().filter(|session| session.is_same(sent)) {
            session.refresh(headers);
        }
    }

    /// The nodes in the order in which they are to be tried.
    fn order(&self) -> Vec<usize> {
        let first = match self.choice {
            UrlChoice::RoundRobin => self.next.fetch_add(1, Ordering::Relaxed),
            UrlChoice::Pinned => self.next.load(Ordering::Relaxed),
        };
        let count = self.nodes.len().max(1);
        let now = self.milliseconds();
        let mut order: Vec<usize> =
            (0..self.nodes.len()).map(|step| (first % count).saturating_add(step) % count).collect();
        order.sort_by_key(|index| {
            self.nodes.get(*index).is_some_and(|node| node.avoid_until.load(Ordering::Relaxed) > now)
        });
        order
    }

    fn stay_with(&self, index: usize) {
        if self.choice == UrlChoice::Pinned {
            self.next.store(index, Ordering::Relaxed);
        }
    }

    fn avoid(&self, node: &Node) {
        let until = self.milliseconds().saturating_add(u64::try_from(AVOID_FOR.as_millis()).unwrap_or(0));
        node.avoid_until.store(until, Ordering::Relaxed);
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A header value that `Debug` does not show; text that is no header value becomes an empty one.
fn sensitive(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// The next piece of a stream; `None` at its end.
pub(crate) async fn next_piece(url: &str, response: &mut Response) -> Result<Option<Vec<u8>>, ClientError> {
    match tokio::time::timeout(STREAM_PATIENCE, response.chunk()).await {
        Ok(Ok(piece)) => Ok(piece.map(|bytes| bytes.to_vec())),
        Ok(Err(error)) => Err(transport_error(url, error)),
        Err(_) => Err(ClientError::Timeout { url: url.to_owned() }),
    }
}

pub(crate) async fn read_body(url: &str, path: &str, mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport_error(url, error))? {
        if body.len().saturating_add(chunk.len()) > REPLY_BYTES_MAX {
            return Err(ClientError::bad_reply(path, "longer than 256 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The order matters: a connection that was not made in time is both "connect" and "timeout", and nothing was sent.
fn transport_error(url: &str, error: reqwest::Error) -> ClientError {
    let url = url.to_owned();
    let source = error.without_url();
    if source.is_connect() {
        ClientError::Connect { url, source }
    } else if source.is_timeout() {
        ClientError::Timeout { url }
    } else {
        ClientError::Broken { url, source }
    }
}
