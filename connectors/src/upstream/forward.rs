//! Servers that decide about logins instead of this one (reference policies 8.2).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tessera_core::facts::{ForwardedLogin, RemoteReply, RemoteServer};

use super::radius::{self, RadiusError, Request};

/// Time limit of all servers together; the node waits 4 s for the answer as a whole.
const TIMEOUT: Duration = Duration::from_millis(3600);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
/// The largest reply that is read, in bytes.
const REPLY_MAX: usize = 64 * 1024;

/// Why no server has decided. The texts contain no password and no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
    #[error("forward_server contains something that is no URL")]
    Url,
    #[error("the server replied with HTTP status {0}")]
    Status(u16),
    #[error("the server's reply is no text of reasonable length")]
    Reply,
    #[error("the server did not reply in time")]
    Cut,
    #[error("RADIUS server")]
    Radius(#[from] RadiusError),
    #[error("no server can be reached")]
    Silent,
}

/// The HTTP clients, made at the first question.
#[derive(Debug, Default)]
pub(crate) struct ForwardServers {
    verifying: Mutex<Option<reqwest::Client>>,
    trusting: Mutex<Option<reqwest::Client>>,
}

impl ForwardServers {
    /// Asks the servers in their order until one can be reached; what that one says counts.
    ///
    /// # Errors
    /// When none can be reached, or one replies with an error.
    pub(crate) async fn ask(
        &self,
        servers: &[RemoteServer],
        login: &ForwardedLogin,
    ) -> Result<RemoteReply, ForwardError> {
        let share = TIMEOUT / u32::try_from(servers.len().max(1)).unwrap_or(u32::MAX);
        for server in servers {
            let reply = match server {
                RemoteServer::Http { url, verifies } => self.post(url, *verifies, login, share).await?,
                RemoteServer::Radius { host, port, secret, nas_identifier } => {
                    let request = Request {
                        user: &login.user,
                        password: &login.pass,
                        state: login.transaction.as_deref(),
                        nas_identifier,
                    };
                    radius::ask((host, *port), secret, &request, share).await?
                }
            };
            if let Some(reply) = reply {
                return Ok(reply);
            }
        }
        Err(ForwardError::Silent)
    }

    /// `None` if the server cannot be reached.
    async fn post(
        &self,
        url: &str,
        verifies: bool,
        login: &ForwardedLogin,
        limit: Duration,
    ) -> Result<Option<RemoteReply>, ForwardError> {
        let url = Url::parse(url).map_err(|_| ForwardError::Url)?;
        let own = [("user", login.user.as_str()), ("pass", login.pass.expose())];
        let others = login.parameters.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let form: Vec<(&str, &str)> = own.into_iter().chain(others).collect();
        let sent = self.client(verifies)?.post(url).timeout(limit).form(&form).send().await;
        match sent {
            Ok(response) => read(response).await.map(|body| Some(RemoteReply::Http(body))),
            Err(error) if error.is_connect() => Ok(None),
            Err(_) => Err(ForwardError::Cut),
        }
    }

    fn client(&self, verifies: bool) -> Result<reqwest::Client, ForwardError> {
        let place = if verifies { &self.verifying } else { &self.trusting };
        let mut kept = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*kept {
            return Ok(client.clone());
        }
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls_config(verifies)?)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("tessera/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ForwardError::Client(error.without_url()))?;
        *kept = Some(client.clone());
        Ok(client)
    }
}

async fn read(mut response: reqwest::Response) -> Result<String, ForwardError> {
    if response.status().as_u16() != 200 {
        return Err(ForwardError::Status(response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| ForwardError::Cut)? {
        body.extend_from_slice(&chunk);
        if body.len() > REPLY_MAX {
            return Err(ForwardError::Reply);
        }
    }
    String::from_utf8(body).map_err(|_| ForwardError::Reply)
}

fn tls_config(verifies: bool) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    if verifies {
        let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    }
    let trusting = Arc::new(TrustsEverybody(provider));
    Ok(builder.dangerous().with_custom_certificate_verifier(trusting).with_no_client_auth())
}

/// Accepts every certificate: for a server whose policy says `verify_ssl_certificate=false`.
#[derive(Debug)]
struct TrustsEverybody(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsEverybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
