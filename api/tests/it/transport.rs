//! Methods, paths, bodies and connections (reference http-api 1.1 to 1.3).

use axum::body::Body;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use tessera_api::{BODY_BYTES_MAX, Serving, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::server::{Server, request};

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_and_paths_get_an_html_page() {
    let server = Server::start().await;
    for (method, path, status) in [
        (Method::PUT, "/validate/check", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/admin/init", StatusCode::METHOD_NOT_ALLOWED),
        (Method::HEAD, "/admin/init", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/validate/check/", StatusCode::NOT_FOUND),
        (Method::GET, "/validate/Check", StatusCode::NOT_FOUND),
        (Method::GET, "/validate/check_url", StatusCode::NOT_FOUND),
        (Method::GET, "/", StatusCode::NOT_FOUND),
    ] {
        let answer = server.send(request(method.clone(), path)).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.headers[CONTENT_TYPE], "text/html; charset=utf-8", "{method} {path}");
    }
    let options = server.send(request(Method::OPTIONS, "/validate/check")).await;
    assert_eq!((options.status, options.body.len()), (StatusCode::OK, 0));
    assert_eq!(options.headers[ALLOW], "GET, HEAD, OPTIONS, POST");
    let head = server.send(request(Method::HEAD, "/validate/ok")).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_checked() {
    let server = Server::start().await;
    let post = |kind: &'static str, body: Vec<u8>| {
        let request = Request::post("/validate/check").header(CONTENT_TYPE, kind);
        server.send(request.body(Body::from(body)).unwrap())
    };
    let broken = post("application/json", b"{\"user\":".to_vec()).await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    assert!(broken.text().starts_with("<!DOCTYPE html>"));
    let large = post("application/x-www-form-urlencoded", vec![b'a'; BODY_BYTES_MAX + 1]).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    let largest = post("application/x-www-form-urlencoded", vec![b'a'; BODY_BYTES_MAX]).await;
    assert_eq!(largest.value(), false);
}

async fn exchange(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&reply).ends_with('}') {
        let length = stream.read(&mut buffer).await.unwrap();
        assert_ne!(length, 0, "closed after {}", String::from_utf8_lossy(&reply));
        reply.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8(reply).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_until_the_server_stops() {
    let server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (phase, phases) = watch::channel(Serving::Normal);
    let serving = tokio::spawn(serve(listener, None, server.router.clone(), phases));
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        let reply = exchange(&mut stream, "GET /validate/ok HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    }
    phase.send_replace(Serving::Stopped);
    serving.await.unwrap();
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_leaving_serves_everybody_and_sends_them_away() {
    const REQUEST: &str = "GET /validate/ok HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (phase, phases) = watch::channel(Serving::Normal);
    let serving = tokio::spawn(serve(listener, None, server.router.clone(), phases));
    let mut kept = TcpStream::connect(address).await.unwrap();
    let mut silent = TcpStream::connect(address).await.unwrap();
    let reply = exchange(&mut kept, REQUEST).await;
    assert!(!reply.to_lowercase().contains("connection: close"), "{reply}");

    phase.send_replace(Serving::Leaving);
    let mut new = TcpStream::connect(address).await.unwrap();
    for stream in [&mut kept, &mut new] {
        let reply = exchange(stream, REQUEST).await;
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(reply.to_lowercase().contains("connection: close"), "{reply}");
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "closed after the reply");
    }

    phase.send_replace(Serving::Stopped);
    let reply = exchange(&mut silent, REQUEST).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "a request that is on its way is answered: {reply}");
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

/// A client writes all of its request before it reads the reply; closing the connection earlier would lose the reply.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_ten_megabytes_gets_its_answer() {
    let server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_phase, phases) = watch::channel(Serving::Normal);
    let _serving = tokio::spawn(serve(listener, None, server.router.clone(), phases));
    let head = "POST /validate/check HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n";

    let mut sender = TcpStream::connect(address).await.unwrap();
    sender.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    sender.write_all(&vec![b'a'; 10_000_000]).await.unwrap();
    let mut reply = [0; 12];
    sender.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"HTTP/1.1 413");

    let mut asker = TcpStream::connect(address).await.unwrap();
    asker.write_all(format!("{head}Expect: 100-continue\r\n\r\n").as_bytes()).await.unwrap();
    asker.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"HTTP/1.1 413", "without having sent the body");
}
