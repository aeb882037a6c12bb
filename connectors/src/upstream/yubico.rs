//! Validation servers of Yubico (validation protocol 2.0, reference tokens 8.12).
//!
//! Only the question is asked here; whether the signed reply says yes is for the core to find out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tessera_core::secret::SecretText;

/// Time limit of one server; the node waits 4 s for the answer as a whole.
const SERVER_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long a server that did not answer is passed over while there are others.
const BLOCKED_FOR: Duration = Duration::from_secs(30);
/// The largest reply that is read, in bytes; real ones have about 300.
const REPLY_MAX: usize = 8 * 1024;
/// Random bytes of a nonce, which is sent as twice as many hex digits.
const NONCE_BYTES: usize = 20;
/// Servers remembered as blocked; beyond it all are tried again.
const BLOCKED_MAX: usize = 100;

/// What a server was asked with and what it replied.
#[derive(Debug)]
pub(crate) struct YubicoReply {
    pub(crate) nonce: String,
    pub(crate) body: String,
}

/// Why there is no reply. The texts name no OTP.
#[derive(Debug, thiserror::Error)]
pub(crate) enum YubicoError {
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
    #[error("no random bytes")]
    Entropy,
    #[error("yubico.url contains something that is no URL")]
    Url,
    #[error("the validation server replied with HTTP status {0}")]
    Status(u16),
    #[error("the validation server's reply is no text of reasonable length")]
    Reply,
    #[error("no validation server answers")]
    Silent,
}

/// The client, made at the first question, and the servers that did not answer lately.
#[derive(Debug, Default)]
pub(crate) struct YubicoServers {
    client: Mutex<Option<reqwest::Client>>,
    blocked: Mutex<HashMap<String, Instant>>,
}

impl YubicoServers {
    /// Asks the servers in their order, in two rounds; in the first one those are passed over that did not answer lately.
    ///
    /// # Errors
    /// When none answers, or one answers with an error.
    pub(crate) async fn ask(
        &self,
        urls: &[String],
        client_id: &str,
        otp: &SecretText,
    ) -> Result<YubicoReply, YubicoError> {
        let client = self.client()?;
        let nonce = nonce()?;
        for round in 0..2 {
            for url in urls {
                if round == 0 && self.is_blocked(url) {
                    continue;
                }
                let query = [("nonce", nonce.as_str()), ("otp", otp.expose()), ("id", client_id)];
                let target = Url::parse_with_params(url, query).map_err(|_| YubicoError::Url)?;
                match client.get(target).send().await {
                    Ok(response) => return Ok(YubicoReply { nonce, body: read(response).await? }),
                    Err(_) => self.block(url),
                }
            }
        }
        Err(YubicoError::Silent)
    }

    fn client(&self) -> Result<reqwest::Client, YubicoError> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*kept {
            return Ok(client.clone());
        }
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls_config()?)
            .timeout(SERVER_TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("tessera/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| YubicoError::Client(error.without_url()))?;
        *kept = Some(client.clone());
        Ok(client)
    }

    fn is_blocked(&self, url: &str) -> bool {
        let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        blocked.get(url).is_some_and(|since| since.elapsed() < BLOCKED_FOR)
    }

    fn block(&self, url: &str) {
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        if blocked.len() >= BLOCKED_MAX {
            blocked.clear();
        }
        blocked.insert(url.to_owned(), Instant::now());
    }
}

async fn read(mut response: reqwest::Response) -> Result<String, YubicoError> {
    if !response.status().is_success() {
        return Err(YubicoError::Status(response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| YubicoError::Silent)? {
        body.extend_from_slice(&chunk);
        if body.len() > REPLY_MAX {
            return Err(YubicoError::Reply);
        }
    }
    String::from_utf8(body).map_err(|_| YubicoError::Reply)
}

fn nonce() -> Result<String, YubicoError> {
    let mut bytes = [0_u8; NONCE_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| YubicoError::Entropy)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn tls_config() -> Result<ClientConfig, YubicoError> {
    let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
