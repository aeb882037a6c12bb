//! Settings of a client.

use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;

use crate::client::Client;
use crate::error::ClientError;
use crate::session::Session;
use crate::tls;
use crate::transport::Transport;

/// A connection attempt is given up after this time, so that a dead node costs little.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// A request is given up after this time. It is longer than a cluster needs to elect a leader.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are closed before the server does it (Apache: after 5 seconds): a request sent just then would break,
/// and a check with an unknown outcome is not repeated.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// How the next base URL is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UrlChoice {
    /// Every request goes to the next base URL.
    #[default]
    RoundRobin,
    /// Requests stay with one base URL until it cannot be reached. For servers that do not share their sessions, such
    /// as several original LinOTP servers.
    Pinned,
}

/// Builds a [`Client`].
#[derive(Debug, Default)]
pub struct ClientBuilder {
    urls: Vec<String>,
    choice: UrlChoice,
    connect_timeout: Option<Duration>,
    timeout: Option<Duration>,
    ca_pem: Option<Vec<u8>>,
    insecure: bool,
    session: Option<Session>,
}

impl ClientBuilder {
    /// Adds a base URL, for example `https://otp1.example.com`; a path prefix is allowed.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// Adds several base URLs.
    #[must_use]
    pub fn urls<T: Into<String>>(mut self, urls: impl IntoIterator<Item = T>) -> Self {
        self.urls.extend(urls.into_iter().map(Into::into));
        self
    }

    /// How the next base URL is chosen; round robin unless said otherwise.
    #[must_use]
    pub fn url_choice(mut self, choice: UrlChoice) -> Self {
        self.choice = choice;
        self
    }

    /// Time limit of one request to one node, with the reply; 10 seconds unless said otherwise.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Time limit for making a connection; 500 milliseconds unless said otherwise.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Trusts these certification authorities (PEM text) *instead of* the public ones.
    #[must_use]
    pub fn ca_certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// Accepts every server certificate. Passwords and OTPs can then be read by anyone in between.
    #[must_use]
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// Goes on with a session that was kept from an earlier run.
    #[must_use]
    pub fn session(mut self, session: Session) -> Self {
        self.session = Some(session);
        self
    }

    /// Builds the client. Nothing is sent yet.
    ///
    /// Proxies of the environment are ignored and redirects are not followed, so that an OTP goes to the given URLs
    /// and nowhere else.
    ///
    /// # Errors
    /// [`ClientError::NoUrls`], [`ClientError::InvalidUrl`], [`ClientError::InvalidCaCertificate`] and failures to
    /// set up TLS.
    pub fn build(self) -> Result<Client, ClientError> {
        if self.urls.is_empty() {
            return Err(ClientError::NoUrls);
        }
        let urls = self
            .urls
            .iter()
            .enumerate()
            .map(|(position, url)| base_url(position, url))
            .collect::<Result<Vec<_>, _>>()?;
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls::tls_config(self.ca_pem.as_deref(), self.insecure)?)
            .connect_timeout(self.connect_timeout.unwrap_or(CONNECT_TIMEOUT))
            .timeout(self.timeout.unwrap_or(REQUEST_TIMEOUT))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("tessera-client/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::Setup(error.without_url()))?;
        Ok(Client::new(Transport::new(http, urls, self.choice, self.session)))
    }
}

/// A base URL without a trailing slash.
fn base_url(position: usize, text: &str) -> Result<String, ClientError> {
    let invalid = |reason| ClientError::InvalidUrl { position, reason };
    let url = Url::parse(text.trim()).map_err(|_| invalid("not an absolute URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("a URL must not contain a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("a base URL has neither query nor fragment"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_needs_usable_urls() {
        assert!(matches!(ClientBuilder::default().build(), Err(ClientError::NoUrls)));
        let bad = ["", "otp.example.com", "ftp://a", "http://u:geheim@a", "http://a/?x=1", "http://a/#f"];
        for url in bad {
            let error = ClientBuilder::default().url("http://ok").url(url).build().map(|_| ()).unwrap_err();
            assert!(matches!(error, ClientError::InvalidUrl { position: 1, .. }), "{url:?}: {error}");
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
        }
    }

    #[test]
    fn a_path_prefix_is_kept_and_slashes_are_not_doubled() {
        assert_eq!(base_url(0, "https://a:8443/linotp/").unwrap(), "https://a:8443/linotp");
        assert_eq!(base_url(0, " http://a ").unwrap(), "http://a");
    }
}
