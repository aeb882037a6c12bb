//! One HTTP/1.1 connection, directly on hyper: a load generator must not need the cores it measures.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::plan::Outcome;
use crate::verdict;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const REPLY_BYTES_MAX: usize = 1024 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

/// A node.
pub(crate) struct Target {
    pub(crate) url: String,
    host: String,
    port: u16,
    /// Value of the `Host` header.
    authority: String,
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Target {
    pub(crate) fn parse(url: &str, tls: &rustls::ClientConfig) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        let authority = uri.authority().with_context(|| format!("{url} has no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let (port, tls) = match uri.scheme_str() {
            Some("http") => (80, None),
            Some("https") => {
                let name = ServerName::try_from(host.clone()).context("not a host name")?;
                (443, Some((TlsConnector::from(Arc::new(tls.clone())), name)))
            }
            _ => bail!("{url} is neither http nor https"),
        };
        Ok(Self {
            url: url.to_owned(),
            host,
            port: authority.port_u16().unwrap_or(port),
            authority: authority.as_str().to_owned(),
            path: format!("{}/validate/check", uri.path().trim_end_matches('/')),
            tls,
        })
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => handshake(stream).await,
            Some((connector, name)) => handshake(connector.connect(name.clone(), stream).await?).await,
        }
    }
}

async fn handshake<S>(stream: S) -> anyhow::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // A failure of the connection reaches the request that waits on it.
    tokio::spawn(connection);
    Ok(sender)
}

/// A connection to one node, made again when it is lost.
#[derive(Default)]
pub(crate) struct Connection(Option<SendRequest<Full<Bytes>>>);

impl Connection {
    /// Sends a check and waits for the verdict.
    pub(crate) async fn check(&mut self, target: &Target, body: String, limit: Duration) -> Outcome {
        let Some(sender) = self.ready(target).await else { return Outcome::Unsent };
        let request = Request::post(target.path.as_str())
            .header(HOST, target.authority.as_str())
            .header(CONTENT_TYPE, FORM)
            .body(Full::new(Bytes::from(body)));
        let Ok(request) = request else { return Outcome::Unsent };
        let outcome = timeout(limit, exchange(sender, request)).await.unwrap_or(None);
        if outcome.is_none() {
            // A late reply on this connection would be taken for that of the next request.
            self.0 = None;
        }
        outcome.unwrap_or(Outcome::Unknown)
    }

    async fn ready(&mut self, target: &Target) -> Option<&mut SendRequest<Full<Bytes>>> {
        let usable = match &mut self.0 {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.0 = timeout(CONNECT_TIMEOUT, target.connect()).await.ok().and_then(Result::ok);
        }
        self.0.as_mut()
    }
}

/// `None` if the connection cannot be used any more.
async fn exchange(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Option<Outcome> {
    let response = sender.send_request(request).await.ok()?;
    let status = response.status();
    let body = Limited::new(response.into_body(), REPLY_BYTES_MAX).collect().await.ok()?.to_bytes();
    Some(if status == StatusCode::OK { Outcome::Verdict(verdict::parse(&body)) } else { Outcome::Unknown })
}
