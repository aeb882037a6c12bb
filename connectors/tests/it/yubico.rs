//! Questions to validation servers of Yubico, answered by small HTTP servers on loopback.

use std::path::PathBuf;

use tessera_connectors::Connectors;
use tessera_core::facts::{Answer, Question};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server that answers one request and returns its first line.
async fn server(status: &'static str, body: String) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/wsapi/2.0/verify", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut chunk = [0; 1024];
            let length = stream.read(&mut chunk).await.unwrap();
            assert!(length > 0, "the request ended early");
            request.extend_from_slice(chunk.get(..length).unwrap());
        }
        let reply =
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        stream.write_all(reply.as_bytes()).await.unwrap();
        let request = String::from_utf8(request).unwrap();
        request.lines().next().unwrap_or_default().to_owned()
    });
    (url, task)
}

fn question(urls: Vec<String>) -> Question {
    Question::ValidateYubico { urls, client_id: "87".to_owned(), otp: "vvincredible+x".into() }
}

/// An address nobody listens on.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/verify", listener.local_addr().unwrap())
}

#[tokio::test]
async fn next_server_is_asked_when_one_does_not_answer() {
    let connectors = Connectors::new(PathBuf::new());
    let (url, task) = server("200 OK", "status=OK\r\n".to_owned()).await;
    let answer = connectors.answer(&question(vec![nobody().await, url])).await;
    let Answer::Yubico { nonce, body } = answer else { panic!("{answer:?}") };
    assert_eq!(body, "status=OK\r\n");
    assert!(nonce.len() == 40 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit()), "{nonce}");
    let line = task.await.unwrap();
    assert_eq!(line, format!("GET /wsapi/2.0/verify?nonce={nonce}&otp=vvincredible%2Bx&id=87 HTTP/1.1"));
}

#[tokio::test]
async fn errors_are_told_without_the_otp() {
    let connectors = Connectors::new(PathBuf::new());
    let (broken, _task) = server("500 Oops", String::new()).await;
    let (long, _task) = server("200 OK", "x".repeat(10_000)).await;
    for (urls, expected) in [
        (vec![broken], "HTTP status 500"),
        (vec![long], "reasonable length"),
        (vec![nobody().await], "no validation server answers"),
        (vec!["nonsense".to_owned()], "no URL"),
        (Vec::new(), "no validation server answers"),
    ] {
        match connectors.answer(&question(urls)).await {
            Answer::Unavailable(text) => {
                assert!(text.contains(expected) && !text.contains("vvincredible"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}
