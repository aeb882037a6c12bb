//! The id of a request: in every line of the log that belongs to it, in the reply's header, in the audit trail.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// The header it arrives in and leaves with.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id taken over from a client.
const LENGTH_MAX: usize = 64;

/// The id of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(pub(crate) String);

impl RequestId {
    /// The client's id if it is one that can stand in a log, else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).and_then(|value| value.to_str().ok());
        given.filter(|text| is_sane(text)).map_or_else(Self::fresh, |text| Self(text.to_owned()))
    }

    /// 64 random bits: ids only have to differ from those of the same days.
    fn fresh() -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        // Version and variant of the UUID stand in different places of the two halves.
        Self(format!("{:016x}", high ^ low.rotate_left(32)))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static(""))
    }
}

fn is_sane(text: &str) -> bool {
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    !text.is_empty() && text.len() <= LENGTH_MAX && text.bytes().all(sane)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(value).unwrap());
        RequestId::of(&headers).0
    }

    #[test]
    fn a_sane_id_is_taken_over() {
        for id in ["a", "4bf92f3577b34da6a3ce929d0e0e4736", "web-01:7.x_Y", &"x".repeat(64)] {
            assert_eq!(of(id), id);
        }
    }

    #[test]
    fn any_other_is_replaced_by_a_new_one() {
        for id in ["", "a b", "a\"b", "a,b", "<x>", "a;b", &"x".repeat(65)] {
            let made = of(id);
            assert!(made.len() == 16 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}: {made}");
        }
        let (one, other) = (RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
        assert_ne!(one, other);
    }
}
