//! The client: login, logout and the generic call. The other calls are in the file of their part of the API.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::builder::ClientBuilder;
use crate::error::ClientError;
use crate::lenient;
use crate::reply::{self, Reply};
use crate::session::Session;
use crate::transport::{Access, Parameters, Payload, RawReply, Repeat, Request, Transport};

/// HTTP method of a generic call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Parameters travel in the query string.
    Get,
    /// Parameters travel as a form.
    Post,
}

/// GET calls below these paths only read; elsewhere a GET may change something (`/validate/check`).
const READING_PREFIXES: [&str; 8] =
    ["/admin/", "/system/", "/audit/", "/api/", "/monitoring/", "/reporting/", "/cluster/", "/manage/"];

/// A client of one server or of a cluster. Clones are cheap and share connections and session.
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<&str> = self.transport.urls().collect();
        f.debug_struct("Client").field("urls", &urls).finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport: Arc::new(transport) }
    }

    /// Starts the settings of a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Logs in as an administrator (`/admin/login`); the session is used by all later calls.
    ///
    /// # Errors
    /// [`ClientError::NotAuthenticated`] if the server refuses, without telling why.
    pub async fn login(&self, user: &str, password: &str) -> Result<Session, ClientError> {
        let path = "/admin/login";
        let parameters = [("username", user), ("password", password)];
        let raw = self.raw(path, &parameters, Access::Public, reqwest::Method::POST).await?;
        let reply = Reply::parse(path, &raw)?.checked()?;
        if !reply.flag()? {
            let message =
                reply.detail.as_ref().and_then(|detail| detail.get("message")).map(lenient::text_of);
            return Err(ClientError::NotAuthenticated { message: message.unwrap_or_default() });
        }
        let session = Session::from_login(user, &raw.url, &raw.headers)
            .ok_or_else(|| reply.bad("the login reply has no session cookies"))?;
        *self.transport.session() = Some(session.clone());
        Ok(session)
    }

    /// Logs out (`/admin/logout`) and forgets the session, also if the server cannot be reached.
    ///
    /// # Errors
    /// [`ClientError::NotAuthenticated`] if the session was not valid any more; transport failures.
    pub async fn logout(&self) -> Result<(), ClientError> {
        let outcome = self.post("/admin/logout", &[]).await;
        *self.transport.session() = None;
        outcome.map(|_| ())
    }

    /// The current session, with the cookies as last refreshed; to be kept for a later run.
    pub fn session(&self) -> Option<Session> {
        self.transport.session().clone()
    }

    /// Replaces the session.
    pub fn set_session(&self, session: Option<Session>) {
        *self.transport.session() = session;
    }

    /// Any call of the API; returns the whole JSON reply, whatever its shape.
    ///
    /// The session is sent if there is one. A GET below a path that only reads is repeated at another node on 503, all
    /// other calls are not.
    ///
    /// # Errors
    /// Those of the transport, and the error the reply reports.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Value, ClientError> {
        let path = normal_path(path);
        let method = match method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let raw = self.raw(&path, parameters, Access::Session, method).await?;
        reply::any_json(&path, &raw)
    }

    /// Any call of the API whose reply is a text (CSV lists, exported policies, metrics).
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn fetch_text(&self, path: &str, parameters: &[(&str, &str)]) -> Result<String, ClientError> {
        let path = normal_path(path);
        let raw = self.raw(&path, parameters, Access::Session, reqwest::Method::GET).await?;
        into_text(&path, raw)
    }

    /// Uploads a file as multipart form data with further parameters (`/admin/loadtokens`, `/system/importPolicy`).
    ///
    /// Returns the reply as it is; it is XML (reference http-api 2.6), or JSON if the call was refused.
    ///
    /// # Errors
    /// Those of the transport and HTTP statuses other than 200.
    pub async fn upload(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        file_name: &str,
        content: &[u8],
    ) -> Result<String, ClientError> {
        let path = normal_path(path);
        let (content_type, bytes) = upload_body(parameters, file_name, content)?;
        let request = Request {
            method: reqwest::Method::POST,
            path: &path,
            payload: Payload::Body { content_type: &content_type, bytes: &bytes },
            access: Access::Session,
            repeat: Repeat::OnlyIfUnsent,
            idempotency_key: None,
        };
        let raw = self.transport.send(&request).await?;
        into_text(&path, raw)
    }

    /// A call that only reads.
    pub(crate) async fn get(&self, path: &str, parameters: &Parameters<'_>) -> Result<Reply, ClientError> {
        let raw = self.raw(path, parameters, Access::Session, reqwest::Method::GET).await?;
        Reply::parse(path, &raw)?.checked()
    }

    /// A call that changes something.
    pub(crate) async fn post(&self, path: &str, parameters: &Parameters<'_>) -> Result<Reply, ClientError> {
        let raw = self.raw(path, parameters, Access::Session, reqwest::Method::POST).await?;
        Reply::parse(path, &raw)?.checked()
    }

    async fn raw(
        &self,
        path: &str,
        parameters: &Parameters<'_>,
        access: Access,
        method: reqwest::Method,
    ) -> Result<RawReply, ClientError> {
        let reads = method == reqwest::Method::GET
            && READING_PREFIXES.iter().any(|prefix| path.starts_with(prefix))
            && path != "/admin/logout";
        let repeat = if reads { Repeat::Harmless } else { Repeat::OnlyIfUnsent };
        let payload = Payload::Parameters(parameters);
        let request = Request { method, path, payload, access, repeat, idempotency_key: None };
        self.transport.send(&request).await
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }
}

fn normal_path(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn into_text(path: &str, raw: RawReply) -> Result<String, ClientError> {
    reply::check_status(&raw)?;
    String::from_utf8(raw.body).map_err(|_| ClientError::bad_reply(path, "not UTF-8"))
}

/// Type and bytes of a body with a file.
pub(crate) fn upload_body(
    parameters: &Parameters<'_>,
    file_name: &str,
    content: &[u8],
) -> Result<(String, Vec<u8>), ClientError> {
    let boundary = random_boundary()?;
    let bytes = multipart(&boundary, parameters, file_name, content);
    Ok((format!("multipart/form-data; boundary={boundary}"), bytes))
}

fn random_boundary() -> Result<String, ClientError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|_| ClientError::NoRandomness)?;
    Ok(format!("tessera-{:032x}", u128::from_be_bytes(bytes)))
}

/// Multipart form data (RFC 7578). Quotes and line ends in names are percent-encoded, as browsers do.
fn multipart(boundary: &str, parameters: &Parameters<'_>, file_name: &str, content: &[u8]) -> Vec<u8> {
    let quoted = |name: &str| name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let mut body = Vec::with_capacity(content.len().saturating_add(512));
    for (name, value) in parameters {
        let part = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n{value}\r\n",
            quoted(name)
        );
        body.extend_from_slice(part.as_bytes());
    }
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n",
        quoted(file_name)
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(content);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    body
}
