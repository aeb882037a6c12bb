//! Serving connections: HTTP/1.1 with keep-alive, in clear or over TLS, until told to stop.
//!
//! A slow client costs a task, never the accept loop: handshakes, heads and bodies have their own time limits.
//!
//! Stopping loses no request. A server that closes a kept connection may cross with the next request on it, and the
//! client cannot know whether that one was read. So every reply first asks its client to close ([`Serving::Leaving`]);
//! then nothing new is accepted, what waits in the accept queue is served, and only connections that have been silent
//! for a while after that are closed from this side.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use http::header::{CONNECTION, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may stay without a complete request head; longer than load balancers keep idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long open requests are waited for at the end; longer than a commit takes at most.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long connections that are silent may still send a request once nothing new is accepted.
const LINGER: Duration = Duration::from_millis(300);
/// Pause after a failed accept (too many open files), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const CONNECTIONS_MAX: usize = 16_384;
const HEADERS_MAX: usize = 100;
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Certificate chain and private key of the web API.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate chain is not PEM.
    #[error("the certificate chain is not in PEM form")]
    Certificate(#[source] rustls::pki_types::pem::Error),
    /// The private key is not PEM.
    #[error("the private key is not in PEM form")]
    Key(#[source] rustls::pki_types::pem::Error),
    /// They do not belong together, or are of an unknown kind.
    #[error("certificate and private key cannot be used")]
    Unusable(#[from] rustls::Error),
}

impl Tls {
    /// From a certificate chain and a private key in PEM form.
    ///
    /// # Errors
    /// When they cannot be read or do not belong together.
    pub fn from_pem(certificates: &[u8], private_key: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(private_key).map_err(TlsError::Key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

/// How connections are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// New connections are accepted, and connections are kept.
    Normal,
    /// New connections are accepted; each reply says that its connection is closed afterwards, so that clients go
    /// elsewhere.
    Leaving,
    /// Nothing new is accepted, open requests are finished.
    Stopped,
}

/// Serves connections until told to stop, then lets open requests finish. The sender going away means stop.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    serving: watch::Receiver<Serving>,
) {
    let (close, closing) = watch::channel(false);
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let start = |connections: &mut JoinSet<()>, (stream, peer, permit): Accepted| {
        let (tls, router) = (tls.clone(), router.clone());
        let phase = Phase { serving: serving.clone(), closing: closing.clone() };
        connections.spawn(async move {
            connection(stream, peer, tls, router, phase).await;
            drop(permit);
        });
    };
    let mut stopping = serving.clone();
    let mut stop = std::pin::pin!(async { drop(stopping.wait_for(|now| *now == Serving::Stopped).await) });
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &permits) => match accepted {
                Some(accepted) => start(&mut connections, accepted),
                None => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    for (stream, peer) in stop_listening(listener) {
        // A permit only bounds the memory of those that keep coming.
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            start(&mut connections, (stream, peer, permit));
        }
    }
    let mut drained = std::pin::pin!(async { while connections.join_next().await.is_some() {} });
    if tokio::time::timeout(LINGER, &mut drained).await.is_ok() {
        return;
    }
    close.send_replace(true);
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("requests were still open when the web API stopped");
    }
}

/// What a connection follows.
#[derive(Clone)]
struct Phase {
    serving: watch::Receiver<Serving>,
    closing: watch::Receiver<bool>,
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> Option<Accepted> {
    // The semaphore is never closed.
    let permit = permits.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            None
        }
    }
}

/// Stops listening, and returns the connections that wait in the accept queue: their clients believe to be connected,
/// and closing would cut them off.
fn stop_listening(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    refuse_handshakes(&listener);
    // The socket does not block: an error is the end of the queue.
    std::iter::from_fn(|| listener.accept().ok())
        .filter_map(|(stream, peer)| {
            stream.set_nonblocking(true).ok()?;
            Some((TcpStream::from_std(stream).ok()?, peer))
        })
        .collect()
}

/// Drops every packet that arrives at the listening socket, so that no handshake is completed between the last look at
/// the accept queue and the end. Such a client tries again after a moment and is told that nobody listens.
#[cfg(target_os = "linux")]
fn refuse_handshakes(listener: &std::net::TcpListener) {
    /// `BPF_RET | BPF_K` of `linux/bpf_common.h`: keep this many bytes of the packet.
    const RETURN: u16 = 0x06;
    let nothing = socket2::SockFilter::new(RETURN, 0, 0, 0);
    if let Err(error) = socket2::SockRef::from(listener).attach_filter(&[nothing]) {
        tracing::debug!(%error, "handshakes cannot be held off while the listener is closed");
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_handshakes(_listener: &std::net::TcpListener) {}

async fn connection(stream: TcpStream, peer: SocketAddr, tls: Option<Tls>, router: Router, phase: Phase) {
    // Replies are small and written at once; waiting for more would only delay them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match tls {
        None => http(stream, peer, router, phase).await,
        Some(Tls(acceptor)) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, peer, router, phase).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake timed out"),
        },
    }
}

async fn http<S>(stream: S, peer: SocketAddr, router: Router, phase: Phase)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Phase { serving, mut closing } = phase;
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let reply = router.clone().oneshot(request.map(axum::body::Body::new));
        let serving = serving.clone();
        async move {
            let mut reply = reply.await?;
            if *serving.borrow() != Serving::Normal {
                reply.headers_mut().insert(CONNECTION, CLOSE);
            }
            Ok::<_, Infallible>(reply)
        }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .pipeline_flush(true);
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = &mut connection => result,
        () = async { drop(closing.wait_for(|close| *close).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended early");
    }
}
