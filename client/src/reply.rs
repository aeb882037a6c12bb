//! The reply envelope of reference http-api chapter 2.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ClientError;
use crate::lenient;
use crate::transport::RawReply;

/// A reply that is not an error.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The path called, for messages.
    path: String,
    /// False only in the third shape of reference http-api 2.2: failed, but without an error object.
    pub(crate) processed: bool,
    pub(crate) value: Value,
    pub(crate) detail: Option<Value>,
    pub(crate) queried: Option<i64>,
    pub(crate) page: Option<i64>,
}

#[derive(Deserialize)]
struct Envelope {
    result: Option<ResultMember>,
    detail: Option<Value>,
}

#[derive(Deserialize)]
struct ResultMember {
    #[serde(default, deserialize_with = "lenient::flag")]
    status: bool,
    #[serde(default)]
    value: Value,
    error: Option<ErrorMember>,
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    queried: Option<i64>,
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    page: Option<i64>,
}

#[derive(Deserialize)]
struct ErrorMember {
    #[serde(default, deserialize_with = "lenient::integer")]
    code: i64,
    #[serde(default, deserialize_with = "lenient::text")]
    message: String,
}

impl Reply {
    /// Reads the envelope.
    ///
    /// # Errors
    /// The error the reply reports, or [`ClientError::BadReply`] if it is not an envelope.
    pub(crate) fn parse(path: &str, raw: &RawReply) -> Result<Self, ClientError> {
        check_status(raw)?;
        let envelope: Envelope = serde_json::from_slice(&raw.body)
            .map_err(|_| ClientError::bad_reply(path, "not the JSON envelope"))?;
        let result = envelope.result.ok_or_else(|| ClientError::bad_reply(path, "no member `result`"))?;
        if let (false, Some(error)) = (result.status, result.error) {
            return Err(ClientError::Api { code: error.code, message: error.message });
        }
        Ok(Self {
            path: path.to_owned(),
            processed: result.status,
            value: result.value,
            detail: envelope.detail,
            queried: result.queried,
            page: result.page,
        })
    }

    /// The reply itself, unless the server refused without a reason.
    pub(crate) fn checked(self) -> Result<Self, ClientError> {
        if self.processed { Ok(self) } else { Err(ClientError::Refused { path: self.path }) }
    }

    /// `result.value` as a type.
    pub(crate) fn into_value<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        serde_json::from_value(self.value)
            .map_err(|_| ClientError::bad_reply(&self.path, "unexpected `result.value`"))
    }

    /// `result.value` as a truth value.
    pub(crate) fn flag(&self) -> Result<bool, ClientError> {
        self.value.as_bool().ok_or_else(|| self.bad("`result.value` is not a truth value"))
    }

    /// `result.value` as a number of tokens.
    pub(crate) fn count(&self) -> Result<u64, ClientError> {
        self.value.as_u64().ok_or_else(|| self.bad("`result.value` is not a number"))
    }

    pub(crate) fn bad(&self, reason: &'static str) -> ClientError {
        ClientError::bad_reply(&self.path, reason)
    }
}

/// Checks the HTTP status and, if there is an error envelope, uses what it says.
///
/// # Errors
/// Everything but status 200 is an error.
pub(crate) fn check_status(raw: &RawReply) -> Result<(), ClientError> {
    if raw.status == 200 {
        return Ok(());
    }
    let envelope = serde_json::from_slice::<Envelope>(&raw.body).ok();
    let detail_message = envelope
        .as_ref()
        .and_then(|envelope| envelope.detail.as_ref()?.get("message"))
        .map(lenient::text_of)
        .unwrap_or_default();
    let error = envelope.and_then(|envelope| envelope.result?.error);
    match (raw.status, error) {
        (401, Some(error)) => Err(ClientError::NotAuthenticated { message: error.message }),
        (401, None) => Err(ClientError::NotAuthenticated { message: detail_message }),
        (_, Some(error)) => Err(ClientError::Api { code: error.code, message: error.message }),
        (code, None) => Err(ClientError::Status { code }),
    }
}

/// The body as JSON of any shape; an error envelope is still an error.
pub(crate) fn any_json(path: &str, raw: &RawReply) -> Result<Value, ClientError> {
    check_status(raw)?;
    let value: Value =
        serde_json::from_slice(&raw.body).map_err(|_| ClientError::bad_reply(path, "not JSON"))?;
    if value.pointer("/result/status") == Some(&Value::Bool(false)) {
        Reply::parse(path, raw)?.checked()?;
    }
    Ok(value)
}
