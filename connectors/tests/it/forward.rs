//! Logins forwarded to web interfaces, which are small HTTP servers on loopback here (reference policies 8.2). A whole
//! second server is asked in the tests of the web interface.

use std::path::PathBuf;

use tessera_connectors::Connectors;
use tessera_core::facts::{Answer, ForwardedLogin, Question, RemoteReply, RemoteServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server that answers one request and returns it.
async fn server(reply: String) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/validate/check", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        while !is_complete(&request) {
            let mut chunk = [0; 4096];
            let length = stream.read(&mut chunk).await.unwrap();
            assert!(length > 0, "the request ended early");
            request.push_str(std::str::from_utf8(chunk.get(..length).unwrap()).unwrap());
        }
        stream.write_all(reply.as_bytes()).await.unwrap();
        request
    });
    (url, task)
}

fn is_complete(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    length.is_none_or(|length| body.len() >= length.parse::<usize>().unwrap())
}

fn reply(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/validate/check", listener.local_addr().unwrap())
}

async fn ask(urls: Vec<String>) -> Answer {
    let servers = urls.into_iter().map(|url| RemoteServer::Http { url, verifies: true }).collect();
    let login = ForwardedLogin {
        user: "h+ns".to_owned(),
        pass: "a b&c=ü".into(),
        transaction: None,
        parameters: vec![("realm".to_owned(), "r1".to_owned()), ("data".to_owned(), "10 €".to_owned())],
    };
    Connectors::new(PathBuf::new()).answer(&Question::AskServer { servers, login }).await
}

#[tokio::test]
async fn the_login_is_posted_as_a_form_to_the_first_server_that_is_there() {
    let body = r#"{"result":{"status":true,"value":true}}"#;
    let (url, task) = server(reply("200 OK", body)).await;
    let answer = ask(vec![nobody().await, url]).await;
    assert_eq!(answer, Answer::Remote(RemoteReply::Http(body.to_owned())));
    let request = task.await.unwrap();
    assert!(request.starts_with("POST /validate/check HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/x-www-form-urlencoded"), "{request}");
    let (_, form) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(form, "user=h%2Bns&pass=a+b%26c%3D%C3%BC&realm=r1&data=10+%E2%82%AC");
}

/// A server that replied has decided, whatever it replied: the next one is not asked (D12).
#[tokio::test]
async fn replies_that_are_no_answer_are_told_without_the_password() {
    for (first, expected) in [
        (reply("500 Oops", ""), "the server replied with HTTP status 500"),
        (reply("302 Found", ""), "the server replied with HTTP status 302"),
        (reply("200 OK", &"x".repeat(70_000)), "the server's reply is no text of reasonable length"),
        ("nonsense\r\n\r\n".to_owned(), "the server did not reply in time"),
    ] {
        let (first, _task) = server(first).await;
        let (second, task) = server(reply("200 OK", "{}")).await;
        assert_eq!(ask(vec![first, second]).await, Answer::Unavailable(expected.to_owned()));
        task.abort();
    }
    assert_eq!(ask(vec![nobody().await]).await, Answer::Unavailable("no server can be reached".to_owned()));
    let unparsable = "forward_server contains something that is no URL".to_owned();
    assert_eq!(ask(vec!["http://[".to_owned()]).await, Answer::Unavailable(unparsable));
}
