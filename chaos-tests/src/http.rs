//! One plain HTTP/1.1 request over one connection, for what the typed client does not show: the body of an error, and
//! whether a process answers at all.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// Time from the first byte sent to the last one received.
    pub elapsed: Duration,
}

/// Sends a GET, or a POST with a form, and reads the answer to its end.
///
/// # Errors
/// No connection, no answer within `limit`, or something that is not HTTP.
pub async fn request(url: &str, path: &str, form: Option<&str>, limit: Duration) -> Result<Answer> {
    tokio::time::timeout(limit, exchange(url, path, form))
        .await
        .with_context(|| format!("no answer from {url}{path} within {} ms", limit.as_millis()))?
}

async fn exchange(url: &str, path: &str, form: Option<&str>) -> Result<Answer> {
    let host = url.strip_prefix("http://").context("only plain HTTP is spoken here")?;
    let started = Instant::now();
    let mut stream = TcpStream::connect(host).await.with_context(|| format!("cannot connect to {host}"))?;
    let message = match form {
        None => format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        Some(form) => format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        ),
    };
    stream.write_all(message.as_bytes()).await.context("the connection broke while sending")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.context("the connection broke before the answer")?;
    let (status, body) = split(&bytes)?;
    Ok(Answer { status, body, elapsed: started.elapsed() })
}

/// Status and body. Chunked bodies are not decoded: it matters here only whether there is one.
fn split(bytes: &[u8]) -> Result<(u16, Vec<u8>)> {
    let end =
        bytes.windows(4).position(|four| four == b"\r\n\r\n").context("the answer has no end of header")?;
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
    let Some(status) = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()) else {
        bail!("the answer does not begin like HTTP");
    };
    Ok((status, bytes.get(end.saturating_add(4)..).unwrap_or_default().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_told_apart() {
        let empty = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(split(empty).unwrap(), (503, Vec::new()));
        assert_eq!(split(b"HTTP/1.1 200 OK\r\n\r\nready\n").unwrap(), (200, b"ready\n".to_vec()));
        assert!(split(b"HTTP/1.1 200 OK\r\n").is_err());
        assert!(split(b"no\r\n\r\n").is_err());
    }
}
