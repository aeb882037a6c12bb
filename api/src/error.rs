//! From refusals to what clients see: the one table of LinOTP's error numbers (reference http-api 3.1), and the
//! replies of failed requests (2.2, 3.2, 3.3).

use http::StatusCode;
use tessera_core::decision::Refusal;
use tessera_node::RunError;

use crate::params::Malformed;
use crate::reply::{self, Ending, Reply, error_page, plain_page};

/// The number of every failure without a number of its own.
pub(crate) const UNNUMBERED: i32 = -311;

/// The error number of a refusal.
#[must_use]
pub const fn code(refusal: &Refusal) -> i32 {
    match refusal {
        Refusal::InvalidParameter { .. }
        | Refusal::Unsupported { .. }
        | Refusal::KeyReused(_)
        | Refusal::Other(_) => UNNUMBERED,
        Refusal::TokenTypeMismatch { .. } => 10,
        Refusal::Usage(_) => 77,
        Refusal::SeedGivenAndGenerated => 344,
        Refusal::NotAllowed(_) => 410,
        Refusal::TooManyTokens(_) => 411,
        Refusal::TooManyTokensOfType(_) => 412,
        Refusal::MissingParameter(_) => 905,
        Refusal::AmbiguousSerial(_) => 1101,
        Refusal::UnknownSerial(_) => 1102,
        Refusal::UnknownOwner { .. } => 1112,
        Refusal::SeveralTokens => 1200,
        Refusal::UnknownUser(_) | Refusal::AmbiguousUser(_) => 1205,
        Refusal::NoSelection => 1212,
        Refusal::UnknownTokenType(_) => 1610,
        Refusal::PolicyName(_) => 8888,
    }
}

/// The message of a refusal: numbered ones carry their number.
#[must_use]
pub fn message(refusal: &Refusal) -> String {
    match code(refusal) {
        UNNUMBERED => refusal.to_string(),
        number => format!("ERR{number}: {refusal}"),
    }
}

/// Why a handler has no reply of its own.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The parameters were refused before anything was decided; still to be audited.
    Unread(Refusal),
    /// The request was decided, and refused.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The `id` of the reply.
        id: u64,
    },
    /// The node could not carry the request out.
    Run(RunError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Unread(refusal)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl Failure {
    /// The same failure with `id` 0, as a few calls answer it.
    pub(crate) fn with_id_0(self) -> Self {
        match self {
            Self::Refused { refusal, .. } => Self::Refused { refusal, id: 0 },
            other @ (Self::Unread(_) | Self::Run(_)) => other,
        }
    }
}

/// The reply to a request that was not carried out. Never a "no": the body of a 503 is empty.
pub(crate) fn run_error(error: &RunError) -> Reply {
    match error {
        RunError::Busy => Reply::busy(),
        RunError::Unavailable | RunError::OutcomeUnknown => Reply::unavailable(),
        RunError::Defect(_) => Reply::empty(StatusCode::INTERNAL_SERVER_ERROR, Ending::Unavailable),
    }
}

/// The page for a request whose parameters cannot be read.
pub(crate) fn malformed(problem: Malformed) -> Reply {
    let status = match problem {
        Malformed::Json | Malformed::Multipart => StatusCode::BAD_REQUEST,
        Malformed::TooMany => StatusCode::PAYLOAD_TOO_LARGE,
    };
    plain_page(status, &problem.to_string())
}

/// What a request and the configuration say about HTTP statuses of errors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HttpErrors<'a> {
    /// Parameter `httperror`.
    pub(crate) wanted: Option<&'a str>,
    /// Configuration key `errors`: the codes it is limited to.
    pub(crate) limited_to: Option<&'a str>,
}

impl HttpErrors<'_> {
    /// The status for an error with this code; `None` leaves it at 200 with JSON.
    fn status(self, code: i32) -> Option<StatusCode> {
        let wanted = self.wanted?;
        if let Some(codes) = self.limited_to.filter(|codes| !codes.trim().is_empty()) {
            let listed = codes.split(',').any(|listed| listed.trim().parse() == Ok(code));
            if !listed {
                return None;
            }
        }
        // A status below 200 would not be a final reply (RFC 9110 section 15.2).
        let number = wanted.trim().parse::<u16>().ok().filter(|number| *number >= 200);
        let status = number.and_then(|number| StatusCode::from_u16(number).ok());
        Some(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// The reply to an error: the envelope, or the page the client asked for. A status the endpoint forces wins over
    /// the one asked for.
    pub(crate) fn reply(self, code: i32, message: &str, id: u64, forced: Option<StatusCode>) -> Reply {
        match self.status(code) {
            Some(shown) => error_page(forced.unwrap_or(shown), shown, code, message),
            None => reply::failure(code, message, id).status(forced.unwrap_or(StatusCode::OK)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of reference http-api 3.1 and of the endpoints' own sections.
    #[test]
    fn refusals_have_the_references_numbers() {
        let text = String::new;
        for (refusal, number) in [
            (Refusal::MissingParameter("serial"), 905),
            (Refusal::InvalidParameter { name: text(), problem: text() }, -311),
            (Refusal::Usage("pin"), 77),
            (Refusal::SeedGivenAndGenerated, 344),
            (Refusal::UnknownSerial(text()), 1102),
            (Refusal::AmbiguousSerial(text()), 1101),
            (Refusal::SeveralTokens, 1200),
            (Refusal::UnknownTokenType(text()), 1610),
            (Refusal::TokenTypeMismatch { serial: text(), stored: text(), wanted: text() }, 10),
            (Refusal::UnknownOwner { login: text(), realm: text() }, 1112),
            (Refusal::UnknownUser(text()), 1205),
            (Refusal::AmbiguousUser(text()), 1205),
            (Refusal::NoSelection, 1212),
            (Refusal::Unsupported { operation: "setPin", token_type: "HMAC" }, -311),
            (Refusal::KeyReused(60), -311),
            (Refusal::Other(text()), -311),
            (Refusal::NotAllowed(text()), 410),
            (Refusal::TooManyTokens(text()), 411),
            (Refusal::TooManyTokensOfType(text()), 412),
            (Refusal::PolicyName(text()), 8888),
        ] {
            assert_eq!(code(&refusal), number, "{refusal:?}");
        }
    }

    #[test]
    fn only_numbered_messages_carry_a_prefix() {
        assert_eq!(message(&Refusal::MissingParameter("serial")), "ERR905: Missing parameter: 'serial'");
        assert_eq!(message(&Refusal::Other("no".to_owned())), "no");
    }

    #[test]
    fn httperror_table() {
        let status =
            |wanted, limited_to, code| HttpErrors { wanted, limited_to }.status(code).map(|s| s.as_u16());
        for (wanted, limited_to, code, expected) in [
            (None, None, 905, None),
            (Some("403"), None, 905, Some(403)),
            (Some("418"), None, -311, Some(418)),
            (Some(""), None, 905, Some(500)),
            (Some("many"), None, 905, Some(500)),
            (Some("100"), None, 905, Some(500)),
            (Some("-1"), None, 905, Some(500)),
            (Some("99999"), None, 905, Some(500)),
            (Some("403"), Some("233,567"), 905, None),
            (Some("403"), Some("233, 905"), 905, Some(403)),
            (Some("403"), Some("-311"), -311, Some(403)),
            (Some("403"), Some(""), 905, Some(403)),
        ] {
            assert_eq!(status(wanted, limited_to, code), expected, "{wanted:?} {limited_to:?} {code}");
        }
    }

    #[test]
    fn a_forced_status_wins_over_the_one_asked_for() {
        let unauthorized = Some(StatusCode::UNAUTHORIZED);
        let errors = HttpErrors { wanted: Some("403"), limited_to: None };
        let page = errors.reply(-311, "Not authenticated", 1, unauthorized);
        assert_eq!(page.status, StatusCode::UNAUTHORIZED);
        assert!(String::from_utf8_lossy(&page.body).contains("403 403 Forbidden"));
        let json = HttpErrors::default().reply(-311, "Not authenticated", 1, unauthorized);
        assert_eq!(json.status, StatusCode::UNAUTHORIZED);
        assert!(json.body.starts_with(b"{"));
    }
}
