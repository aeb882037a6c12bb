//! What can go wrong with a request. No variant ever holds a password, PIN, OTP or cookie.

/// The reason why a request has no usable result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The client was built without a base URL.
    #[error("no server URL is configured")]
    NoUrls,
    /// A base URL cannot be used. It is named by its position (from 0), because it may contain a password.
    #[error("server URL number {position} is not usable: {reason}")]
    InvalidUrl {
        /// Position among the URLs given to the builder, from 0.
        position: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The CA file holds no usable certificate.
    #[error("the CA certificates are not usable: {reason}")]
    InvalidCaCertificate {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The TLS settings were refused by the TLS library.
    #[error("the TLS settings are not usable")]
    Tls(#[source] rustls::Error),
    /// The HTTP client could not be set up.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// No connection could be made; nothing was sent.
    #[error("cannot connect to {url}")]
    Connect {
        /// The base URL of the last node tried.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// No reply arrived in time; whether the request was carried out is unknown.
    #[error("no reply from {url} in time")]
    Timeout {
        /// The base URL asked.
        url: String,
    },
    /// The connection broke before the reply was complete; whether the request was carried out is unknown.
    #[error("the connection to {url} broke before the reply was complete")]
    Broken {
        /// The base URL asked.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// An HTTP status other than 200 without a readable error. 503: the outcome is unknown or there is no leader.
    #[error("the server answered with HTTP status {code}")]
    Status {
        /// The HTTP status.
        code: u16,
    },
    /// The server reported an error (reference http-api 2.2 and 3.1).
    #[error("the server reported error {code}: {message}")]
    Api {
        /// The LinOTP error number, -311 when the failure has none.
        code: i64,
        /// The server's text.
        message: String,
    },
    /// The server refused without giving a reason (the third shape of reference http-api 2.2).
    #[error("{path} failed without a reason")]
    Refused {
        /// The path called.
        path: String,
    },
    /// The session is missing, expired or revoked, or the login was refused.
    #[error("not authenticated: {message}")]
    NotAuthenticated {
        /// The server's text.
        message: String,
    },
    /// The reply is not what the API describes.
    #[error("unusable reply to {path}: {reason}")]
    BadReply {
        /// The path called.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

impl ClientError {
    /// True if the request may or may not have been carried out.
    ///
    /// An OTP sent with such a request must be treated as used.
    pub fn outcome_is_unknown(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Broken { .. } | Self::Status { code: 503 })
    }

    pub(crate) fn bad_reply(path: &str, reason: &'static str) -> Self {
        Self::BadReply { path: path.to_owned(), reason }
    }
}
