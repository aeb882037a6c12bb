//! One node as a client sees it: requests to it, noted in the history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tessera_client::{
    CheckRequest, Client, ClientError, InitRequest, Secret, ShowRequest, TokenRow, Verdict,
};

use crate::history::{Attempt, Enrolment, History, Outcome, Reading, Sent};
use crate::oracle::{Kind, Token};
use crate::wait;

/// Longer than the server's commit timeout of 5 s, so that an answer which is late but comes is seen.
pub const PATIENCE: Duration = Duration::from_secs(12);

/// Between two attempts of a client that insists on an answer.
const PAUSE_BEFORE_REPEATING: Duration = Duration::from_millis(50);

/// What an administrator sees of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// `LinOtp.Count`: the next counter that is acceptable.
    pub next_counter: i64,
    /// `LinOtp.FailCount`.
    pub fail_count: i64,
}

impl From<&TokenRow> for Shown {
    fn from(row: &TokenRow) -> Self {
        Self { next_counter: row.next_counter, fail_count: row.fail_count }
    }
}

/// A list of tokens by serial.
pub type Listing = BTreeMap<String, Shown>;

/// A client of one node, or of all with one of them chosen for each request.
#[derive(Debug, Clone)]
pub struct Site {
    /// The node; `None` for all.
    pub node: Option<u64>,
    client: Client,
    history: Arc<History>,
}

impl Site {
    /// Connects nothing yet.
    ///
    /// # Errors
    /// If a URL is unusable.
    pub fn new(node: Option<u64>, urls: &[String], history: Arc<History>) -> Result<Self> {
        let client = Client::builder().urls(urls.iter().cloned()).timeout(PATIENCE).build()?;
        Ok(Self { node, client, history })
    }

    /// The typed client behind it, for requests that are not part of the history.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Enrols a token without a PIN. True if the server said that it is done.
    pub async fn enrol(&self, token: &Token) -> bool {
        let request = InitRequest {
            token_type: match token.kind {
                Kind::Hotp => "hmac".to_owned(),
                Kind::Totp => "totp".to_owned(),
            },
            serial: Some(token.serial.clone()),
            otpkey: Some(Secret::new(token.seed_hex())),
            otplen: Some(crate::oracle::DIGITS),
            ..InitRequest::default()
        };
        let acknowledged = self.client.init_token(&request).await.is_ok();
        self.history.enrolment(Enrolment { serial: token.serial.clone(), acknowledged });
        acknowledged
    }

    /// Sends the OTP of a counter.
    pub async fn login(&self, token: &Token, counter: u64) -> Outcome {
        self.check(token, Sent::Right(counter), token.otp(counter)).await
    }

    /// Sends the OTP of a counter, and again under the same `Idempotency-Key` until there is an answer.
    pub async fn insistent_login(&self, token: &Token, counter: u64) -> Outcome {
        let started = self.history.now();
        let request = CheckRequest {
            idempotency_key: Some(format!("{}-{counter}", token.serial)),
            ..CheckRequest::serial(token.serial.clone(), token.otp(counter))
        };
        let outcome = loop {
            let outcome = outcome(self.client.check_s(&request).await);
            let answered = matches!(outcome, Outcome::Accepted | Outcome::Refused | Outcome::Strange(_));
            if answered || self.history.now().saturating_sub(started) > PATIENCE {
                break outcome;
            }
            wait::pause(PAUSE_BEFORE_REPEATING).await;
        };
        let (serial, kind, node) = (token.serial.clone(), token.kind, self.node);
        let (sent, ended) = (Sent::Right(counter), self.history.now());
        self.history.attempt(Attempt { serial, kind, sent, node, started, ended, outcome: outcome.clone() });
        outcome
    }

    /// Sends digits that are no OTP.
    pub async fn wrong_login(&self, token: &Token, digits: &str) -> Outcome {
        self.check(token, Sent::Wrong, digits.to_owned()).await
    }

    async fn check(&self, token: &Token, sent: Sent, digits: String) -> Outcome {
        let started = self.history.now();
        let answer = self.client.check_s(&CheckRequest::serial(token.serial.clone(), digits)).await;
        let outcome = outcome(answer);
        let ended = self.history.now();
        let (serial, kind, node) = (token.serial.clone(), token.kind, self.node);
        self.history.attempt(Attempt { serial, kind, sent, node, started, ended, outcome: outcome.clone() });
        outcome
    }

    /// Looks at one token. True if the node has shown it.
    pub async fn look(&self, token: &Token) -> bool {
        let started = self.history.now();
        let request = ShowRequest { serial: Some(token.serial.clone()), ..ShowRequest::default() };
        let Ok(page) = self.client.show_tokens(&request).await else { return false };
        let ended = self.history.now();
        let Some(row) = page.rows.first() else { return false };
        let (serial, shown) = (token.serial.clone(), Shown::from(row));
        self.history.reading(Reading { serial, started, ended, shown });
        true
    }

    /// All tokens, as this node lists them.
    ///
    /// # Errors
    /// Those of the client.
    pub async fn tokens(&self) -> Result<Listing> {
        let page = self
            .client
            .show_tokens(&ShowRequest::default())
            .await
            .with_context(|| format!("node {:?} does not list its tokens", self.node))?;
        Ok(page.rows.iter().map(|row| (row.serial.clone(), Shown::from(row))).collect())
    }
}

fn outcome(answer: Result<Verdict, ClientError>) -> Outcome {
    match answer {
        Ok(Verdict::Accepted { .. }) => Outcome::Accepted,
        Ok(Verdict::Rejected { .. }) => Outcome::Refused,
        Err(ClientError::Status { code: 503 }) => Outcome::Unavailable,
        Err(ClientError::Connect { .. }) => Outcome::NotSent,
        Err(error @ (ClientError::Broken { .. } | ClientError::Timeout { .. })) => {
            Outcome::Unanswered(error.to_string())
        }
        Ok(other) => Outcome::Strange(format!("{other:?}")),
        Err(error) => Outcome::Strange(error.to_string()),
    }
}
