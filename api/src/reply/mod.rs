//! Replies: LinOTP's envelopes and the few forms beside them (reference http-api 2).

mod csv;
mod html;
mod json;
mod qr;
mod stream;
mod xml;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

pub(crate) use csv::token_table;
pub(crate) use html::{error_page, escape, plain_page};
pub(crate) use qr::{QrForm, image_tag, qr_reply};
pub(crate) use stream::Page;
pub(crate) use xml::{xml_failure, xml_value};

/// The product and version as replies name them. Clients test for `LinOTP <digits>.` (reference clients 4.2).
pub const PRODUCT: &str = concat!("LinOTP 4.0.0 (Tessera ", env!("CARGO_PKG_VERSION"), ")");
/// The version of the LinOTP interface that is spoken.
pub const VERSION_NUMBER: &str = "4.0.0";

const API_VERSION: &str = "2.0802";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// How a request ended, as metrics and the access log tell it. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Processed, with a positive or neutral answer.
    Ok,
    /// Processed, with the answer no (a failed authentication, a failed login).
    Rejected,
    /// Refused with an error number, or not understood.
    Refused,
    /// The cluster could not serve it.
    Unavailable,
}

/// A finished reply.
#[derive(Debug)]
pub struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) ending: Ending,
    /// In the place of `body`, for what is too long to be held in memory.
    stream: Option<Body>,
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.stream.unwrap_or_else(|| Body::from(self.body)));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

impl Reply {
    pub(crate) fn new(content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, content_type);
        Self { status: StatusCode::OK, headers, body: body.into(), ending: Ending::Ok, stream: None }
    }

    /// A body that is produced while it is sent.
    pub(crate) fn streamed<B>(content_type: HeaderValue, body: B) -> Self
    where
        B: hyper::body::Body<Data = Bytes, Error = std::io::Error> + Send + 'static,
    {
        Self { stream: Some(Body::new(body)), ..Self::new(content_type, Bytes::new()) }
    }

    /// HTML text with status 200.
    pub(crate) fn html(body: impl Into<Bytes>) -> Self {
        Self::new(HTML, body)
    }

    /// JSON without an envelope, on one line.
    pub(crate) fn bare_json<T: Serialize>(value: &T) -> Self {
        Self::new(JSON, json::one_line(value))
    }

    /// Nothing but a status.
    pub(crate) fn empty(status: StatusCode, ending: Ending) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new(), ending, stream: None }
    }

    /// 503 with an empty body: the request was not, or not knowably, carried out. It is never turned into a "no".
    pub(crate) fn unavailable() -> Self {
        Self::empty(StatusCode::SERVICE_UNAVAILABLE, Ending::Unavailable)
    }

    /// 503 of a node that has too much to do; the client should come back a moment later.
    pub(crate) fn busy() -> Self {
        Self::unavailable().header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    #[must_use]
    pub(crate) const fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    #[must_use]
    pub(crate) const fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

#[derive(Serialize)]
struct Envelope<R, D> {
    jsonrpc: &'static str,
    result: R,
    version: &'static str,
    #[serde(rename = "versionNumber")]
    version_number: &'static str,
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<D>,
}

#[derive(Serialize)]
struct Success<V> {
    status: bool,
    value: V,
}

#[derive(Serialize)]
struct Failed<'a> {
    status: bool,
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: i32,
    message: &'a str,
}

/// The type of a detail that is not there.
pub(crate) const NO_DETAIL: Option<()> = None;

fn envelope<R: Serialize, D: Serialize>(result: R, id: u64, detail: Option<D>) -> Reply {
    let envelope = Envelope {
        jsonrpc: API_VERSION,
        result,
        version: PRODUCT,
        version_number: VERSION_NUMBER,
        id,
        detail,
    };
    Reply::new(JSON, json::pretty(&envelope))
}

/// The success envelope (reference http-api 2.1). `detail` must be `None` when there is nothing to say.
pub(crate) fn success<V: Serialize, D: Serialize>(value: V, id: u64, detail: Option<D>) -> Reply {
    envelope(Success { status: true, value }, id, detail)
}

/// The success envelope with `id` 1 and no detail, as most calls answer.
pub(crate) fn value<V: Serialize>(value: V) -> Reply {
    success(value, 1, NO_DETAIL)
}

/// The error envelope (reference http-api 2.2) with the complete message.
pub(crate) fn failure(code: i32, message: &str, id: u64) -> Reply {
    envelope(Failed { status: false, error: ErrorBody { code, message } }, id, NO_DETAIL)
        .ending(Ending::Refused)
}

/// An object with members in this order.
#[derive(Clone, Debug)]
pub(crate) struct Members<V>(pub(crate) Vec<(String, V)>);

impl<V: Serialize> Serialize for Members<V> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The third shape (reference http-api 2.2): neither a success nor an error object.
pub(crate) fn third_shape() -> Reply {
    envelope(Success { status: false, value: false }, 0, NO_DETAIL).ending(Ending::Rejected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: &Reply) -> &str {
        std::str::from_utf8(&reply.body).unwrap()
    }

    #[test]
    fn success_envelope_is_the_references() {
        let reply = success(true, 0, NO_DETAIL);
        assert_eq!(reply.headers.get(CONTENT_TYPE).unwrap(), "application/json");
        let expected = "{\n   \"jsonrpc\": \"2.0802\",\n   \"result\": {\n      \"status\": true,\n      \
            \"value\": true\n   },\n   \"version\": \"LinOTP 4.0.0 (Tessera 0.1.0)\",\n   \
            \"versionNumber\": \"4.0.0\",\n   \"id\": 0\n}";
        assert_eq!(text(&reply), expected);
    }

    #[test]
    fn detail_follows_the_id() {
        let reply = success(1, 1, Some(serde_json::json!({"message": "Gr\u{fc}\u{df}e \u{1f600}"})));
        assert!(text(&reply).ends_with(
            "   \"id\": 1,\n   \"detail\": {\n      \"message\": \"Gr\\u00fc\\u00dfe \\ud83d\\ude00\"\n   }\n}"
        ));
    }

    #[test]
    fn error_envelope_has_neither_value_nor_detail() {
        let reply = failure(905, "ERR905: Missing parameter: 'serial'", 1);
        let expected = "{\n   \"jsonrpc\": \"2.0802\",\n   \"result\": {\n      \"status\": false,\n      \
            \"error\": {\n         \"code\": 905,\n         \
            \"message\": \"ERR905: Missing parameter: 'serial'\"\n      }\n   },\n   \
            \"version\": \"LinOTP 4.0.0 (Tessera 0.1.0)\",\n   \"versionNumber\": \"4.0.0\",\n   \"id\": 1\n}";
        assert_eq!((reply.status, text(&reply)), (StatusCode::OK, expected));
    }

    #[test]
    fn third_shape_has_no_error_object() {
        let value: serde_json::Value = serde_json::from_slice(&third_shape().body).unwrap();
        assert_eq!(value["result"], serde_json::json!({"status": false, "value": false}));
        assert_eq!(value["id"], 0);
    }
}
