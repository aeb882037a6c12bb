//! How this node's web API behaves; filled from the node's configuration file by the program (reference http-api 24).

use std::time::Duration;

use crate::auth::client::Network;
use crate::auth::cookie::CookieRules;
use crate::auth::session::Lifetime;

/// The largest body of an ordinary call, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Settings of the web API.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Proxies whose `X-Forwarded-For` is believed (`TRUSTED_PROXIES`).
    pub trusted_proxies: Vec<Network>,
    /// Whether parameter `client` may replace the address for the callers named in `mayOverwriteClient`
    /// (`GET_CLIENT_ADDRESS_FROM_POST_DATA`).
    pub client_from_parameter: bool,
    /// Whether cookies are only sent over HTTPS (`SESSION_COOKIE_SECURE`).
    pub cookie_secure: bool,
    /// Whether cookies end with the browser session (`JWT_SESSION_COOKIE`).
    pub cookie_session: bool,
    /// How long a session is valid (`JWT_ACCESS_TOKEN_EXPIRES`); zero for ever.
    pub session_lifetime: Duration,
    /// A session with less than this left is renewed (`JWT_ACCESS_TOKEN_REFRESH`); zero never.
    pub session_refresh: Duration,
    /// Whether a form field may carry the CSRF value (`JWT_CSRF_CHECK_FORM`).
    pub csrf_from_form: bool,
    /// Where `/` leads (`SITE_ROOT_REDIRECT`); nowhere if empty.
    pub root_redirect: String,
    /// The longest a request may take before it is answered with 503. Longer than the node's own patience, so that the
    /// node's answer comes first.
    pub request_timeout: Duration,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            client_from_parameter: true,
            cookie_secure: true,
            cookie_session: false,
            session_lifetime: Duration::from_secs(1800),
            session_refresh: Duration::from_secs(300),
            csrf_from_form: true,
            root_redirect: String::new(),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl ApiSettings {
    pub(crate) const fn cookies(&self) -> CookieRules {
        CookieRules { secure: self.cookie_secure, session: self.cookie_session }
    }

    pub(crate) const fn lifetime(&self) -> Lifetime {
        Lifetime { expires: self.session_lifetime.as_secs(), refresh: self.session_refresh.as_secs() }
    }
}
