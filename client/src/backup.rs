//! Taking a backup: our own endpoint, unknown to an original server.

use reqwest::{Method, Response};

use crate::client::Client;
use crate::error::ClientError;
use crate::reply;
use crate::transport::{self, Access, Payload, RawReply, Repeat, Request};

const PATH: &str = "/cluster/backup";

/// A reply that is read piece by piece.
#[derive(Debug)]
pub struct Download {
    url: String,
    response: Response,
}

impl Download {
    /// The base URL of the node that sends it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next piece; `None` at the end. Whether it is the end the sender meant is for the reader of the content to tell.
    ///
    /// # Errors
    /// When the connection breaks, or nothing comes for a minute.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        transport::next_piece(&self.url, &mut self.response).await
    }
}

impl Client {
    /// Asks one node for the whole state of the cluster (`/cluster/backup`); needs an administrator's session.
    ///
    /// # Errors
    /// Transport failures, missing session, and what the node refuses.
    pub async fn backup(&self) -> Result<Download, ClientError> {
        let request = Request {
            method: Method::POST,
            path: PATH,
            payload: Payload::Parameters(&[]),
            access: Access::Session,
            repeat: Repeat::OnlyIfUnsent,
            idempotency_key: None,
        };
        let (url, response) = self.transport().begin(&request).await?;
        let headers = response.headers().clone();
        let is_archive = headers
            .get(reqwest::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/vnd.tessera.archive"));
        let status = response.status().as_u16();
        if status == 200 && is_archive {
            return Ok(Download { url, response });
        }
        // Everything else is short: an error envelope, or nothing.
        let body = transport::read_body(&url, PATH, response).await?;
        let raw = RawReply { url, status, headers, body };
        reply::any_json(PATH, &raw)?;
        Err(ClientError::bad_reply(PATH, "not a backup"))
    }
}
