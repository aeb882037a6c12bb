//! `/validate`: authentication of end users (reference http-api 7).

use std::collections::BTreeMap;
use std::fmt;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::error::ClientError;
use crate::lenient;
use crate::reply::{self, Reply};
use crate::transport::{Access, Parameters, Payload, Repeat, Request};

/// The parameters of a check. Absent ones are not sent.
#[derive(Clone, Default)]
pub struct CheckRequest {
    /// Login name, possibly with `@realm`.
    pub user: Option<String>,
    /// Realm of the user.
    pub realm: Option<String>,
    /// Resolver of the user (`resConf`).
    pub resolver: Option<String>,
    /// Check only this token.
    pub serial: Option<String>,
    /// PIN and OTP, PIN alone, or the answer to a challenge.
    pub pass: Option<String>,
    /// Id of the challenge that is answered.
    pub transaction_id: Option<String>,
    /// Text for the challenge.
    pub data: Option<String>,
    /// Address of the machine the user logs in to (`client`; used if the server trusts the caller).
    pub client: Option<String>,
    /// Makes a repetition harmless on servers that know the header; see the crate documentation. Unique per attempt.
    pub idempotency_key: Option<String>,
    /// Further parameters.
    pub extra: Vec<(String, String)>,
}

impl CheckRequest {
    /// A check of a user.
    pub fn user(user: impl Into<String>, pass: impl Into<String>) -> Self {
        Self { user: Some(user.into()), pass: Some(pass.into()), ..Self::default() }
    }

    /// A check of one token.
    pub fn serial(serial: impl Into<String>, pass: impl Into<String>) -> Self {
        Self { serial: Some(serial.into()), pass: Some(pass.into()), ..Self::default() }
    }

    /// The answer to a challenge.
    #[must_use]
    pub fn answering(mut self, transaction_id: impl Into<String>) -> Self {
        self.transaction_id = Some(transaction_id.into());
        self
    }

    fn parameters(&self) -> Vec<(&str, &str)> {
        let named = [
            ("user", &self.user),
            ("realm", &self.realm),
            ("resConf", &self.resolver),
            ("serial", &self.serial),
            ("pass", &self.pass),
            ("transactionid", &self.transaction_id),
            ("data", &self.data),
            ("client", &self.client),
        ];
        let extra = self.extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        named.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).chain(extra).collect()
    }
}

impl fmt::Debug for CheckRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckRequest")
            .field("user", &self.user)
            .field("realm", &self.realm)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

/// The server's answer to a check.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// Authenticated.
    Accepted {
        /// `detail` of the reply, if there is one.
        detail: Option<Value>,
    },
    /// Refused, for whatever reason.
    Rejected {
        /// `detail.error`, if the policy `detail_on_fail` sends it.
        reason: Option<String>,
    },
    /// Not decided yet: a challenge was triggered.
    Challenge(Challenge),
    /// The server could not process the check (third shape of reference http-api 2.2, or `:-/`).
    Failed,
}

impl Verdict {
    /// True if the user is authenticated.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }
}

/// A triggered challenge; with several tokens, [`Challenge::tokens`] has one per token.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Challenge {
    /// Id to be answered.
    #[serde(rename = "transactionid", default, deserialize_with = "lenient::text")]
    pub transaction_id: String,
    /// Prompt for the user.
    #[serde(default, deserialize_with = "lenient::text")]
    pub message: String,
    /// Serial of the challenged token.
    #[serde(rename = "linotp_tokenserial", default, deserialize_with = "lenient::text")]
    pub serial: String,
    /// Type of the challenged token.
    #[serde(rename = "linotp_tokentype", default, deserialize_with = "lenient::text")]
    pub token_type: String,
    /// Description of the challenged token.
    #[serde(rename = "linotp_tokendescription", default, deserialize_with = "lenient::text")]
    pub description: String,
    /// The challenges of the single tokens by serial, if several were triggered.
    #[serde(rename = "challenges", default)]
    pub tokens: BTreeMap<String, Challenge>,
    /// What belongs to the token type (`signrequest`, `ocraurl`, ...).
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A challenge as seen by `/validate/check_status`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct TransactionStatus {
    /// `open` or `closed`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub status: String,
    /// True if a right answer arrived.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub valid_tan: bool,
    /// True if any answer arrived.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub received_tan: bool,
    /// Number of answers.
    #[serde(default, deserialize_with = "lenient::integer")]
    pub received_count: i64,
    /// True if the user confirmed in an app.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub accept: bool,
    /// True if the user refused in an app.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub reject: bool,
}

impl TransactionStatus {
    /// True if the authentication is complete.
    pub fn is_accepted(&self) -> bool {
        self.status == "closed" && self.valid_tan
    }
}

impl Client {
    /// Checks PIN and OTP of a user (`/validate/check`).
    ///
    /// # Errors
    /// Transport failures. After one with [`ClientError::outcome_is_unknown`] the OTP must be treated as used.
    pub async fn check(&self, request: &CheckRequest) -> Result<Verdict, ClientError> {
        self.check_at("/validate/check", request).await
    }

    /// Checks one token by its serial (`/validate/check_s`).
    ///
    /// # Errors
    /// Those of [`Client::check`].
    pub async fn check_s(&self, request: &CheckRequest) -> Result<Verdict, ClientError> {
        self.check_at("/validate/check_s", request).await
    }

    /// Answers a challenge without naming the user (`/validate/check_t`).
    ///
    /// # Errors
    /// Those of [`Client::check`].
    pub async fn check_t(&self, request: &CheckRequest) -> Result<Verdict, ClientError> {
        self.check_at("/validate/check_t", request).await
    }

    /// The check with the plain text reply (`/validate/simplecheck`).
    ///
    /// # Errors
    /// Those of [`Client::check`].
    pub async fn simplecheck(&self, request: &CheckRequest) -> Result<Verdict, ClientError> {
        let path = "/validate/simplecheck";
        let raw = self.validate(path, &request.parameters(), request.idempotency_key.as_deref()).await?;
        reply::check_status(&raw)?;
        let text = std::str::from_utf8(&raw.body).map_err(|_| ClientError::bad_reply(path, "not UTF-8"))?;
        simple_verdict(text).ok_or_else(|| ClientError::bad_reply(path, "not one of the smileys"))
    }

    /// The challenges of a transaction (`/validate/check_status`), by id; empty if the server shows none.
    ///
    /// # Errors
    /// Transport failures and unreadable replies.
    pub async fn check_status(
        &self,
        transaction_id: &str,
        pass: &str,
        user: Option<&str>,
    ) -> Result<BTreeMap<String, TransactionStatus>, ClientError> {
        #[derive(Deserialize, Default)]
        struct Detail {
            #[serde(default)]
            transactions: BTreeMap<String, TransactionStatus>,
        }
        let path = "/validate/check_status";
        let mut parameters = vec![("transactionid", transaction_id), ("pass", pass)];
        parameters.extend(user.map(|user| ("user", user)));
        let raw = self.validate(path, &parameters, None).await?;
        let reply = Reply::parse(path, &raw)?;
        let detail: Detail = reply
            .detail
            .clone()
            .map_or(Ok(Detail::default()), serde_json::from_value)
            .map_err(|_| reply.bad("unexpected `detail`"))?;
        Ok(detail.transactions)
    }

    async fn check_at(&self, path: &str, request: &CheckRequest) -> Result<Verdict, ClientError> {
        let raw = self.validate(path, &request.parameters(), request.idempotency_key.as_deref()).await?;
        verdict(Reply::parse(path, &raw)?)
    }

    /// The administrator's session is not sent: `/validate` has no use for it.
    async fn validate(
        &self,
        path: &str,
        parameters: &Parameters<'_>,
        idempotency_key: Option<&str>,
    ) -> Result<crate::transport::RawReply, ClientError> {
        let request = Request {
            method: Method::POST,
            path,
            payload: Payload::Parameters(parameters),
            access: Access::Public,
            repeat: Repeat::OnlyIfUnsent,
            idempotency_key,
        };
        self.transport().send(&request).await
    }
}

fn verdict(reply: Reply) -> Result<Verdict, ClientError> {
    if !reply.processed {
        return Ok(Verdict::Failed);
    }
    // `check_t` answers with an object that has the verdict inside.
    let accepted = match reply.value.get("value") {
        Some(inner) => inner.as_bool(),
        None => reply.value.as_bool(),
    };
    match accepted {
        Some(true) => Ok(Verdict::Accepted { detail: reply.detail }),
        Some(false) => refused(&reply),
        None => Err(reply.bad("`result.value` is not a truth value")),
    }
}

fn refused(reply: &Reply) -> Result<Verdict, ClientError> {
    let Some(detail) = reply.detail.clone() else { return Ok(Verdict::Rejected { reason: None }) };
    if detail.get("transactionid").is_some() {
        let challenge = serde_json::from_value(detail).map_err(|_| reply.bad("unexpected challenge"))?;
        return Ok(Verdict::Challenge(challenge));
    }
    Ok(Verdict::Rejected { reason: detail.get("error").map(lenient::text_of) })
}

/// The bodies of reference http-api 7.7.
fn simple_verdict(text: &str) -> Option<Verdict> {
    match text.trim_end() {
        ":-)" => Some(Verdict::Accepted { detail: None }),
        ":-(" => Some(Verdict::Rejected { reason: None }),
        ":-/" => Some(Verdict::Failed),
        other => {
            let rest = other.strip_prefix(":-( ")?;
            let (transaction_id, message) = rest.split_once(' ').unwrap_or((rest, ""));
            Some(Verdict::Challenge(Challenge {
                transaction_id: transaction_id.to_owned(),
                message: message.to_owned(),
                ..Challenge::default()
            }))
        }
    }
}
