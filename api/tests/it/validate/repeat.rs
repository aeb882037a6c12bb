//! `Idempotency-Key`: a login that is sent again gets the answer it had.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};

use crate::server::{Answer, OTPS, Server};

async fn send(server: &Server, path: &str, key: &str, form: &str) -> Answer {
    let request = Request::post(path)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("Idempotency-Key", key)
        .body(Body::from(form.to_owned()));
    server.send(request.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_gets_the_same_answer_from_every_call() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice&pin=mypin").await;
    for (number, (path, target)) in [
        ("/validate/check", "user=alice&pass=mypin"),
        ("/validate/check_s", "serial=H1&pass=mypin"),
        ("/validate/simplecheck", "user=alice&pass=mypin"),
    ]
    .into_iter()
    .enumerate()
    {
        let (key, form) = (format!("key-{number}"), format!("{target}{}", OTPS[number]));
        let first = send(&server, path, &key, &form).await;
        let again = send(&server, path, &key, &form).await;
        assert!(first.text().contains("true") || first.text() == ":-)", "{}", first.text());
        assert_eq!(first.body, again.body);
        let replayed = send(&server, path, "another", &form).await;
        assert_ne!(first.body, replayed.body, "under another key it is a replay");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_used_is_no_answer_about_the_otp() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice&pin=mypin").await;
    let form = format!("user=alice&pass=mypin{}", OTPS[0]);
    assert_eq!(send(&server, "/validate/check", "k", &form).await.value(), true);
    let other = send(&server, "/validate/check", "k", "user=alice&pass=mypin000000").await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(other.text().contains("The Idempotency-Key") || other.text().contains("the Idempotency-Key"));
    for bad in ["", &"k".repeat(129), "k\u{e9}"] {
        let answer = send(&server, "/validate/check", bad, &form).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(answer.text().contains("1 to 128 visible ASCII"), "{}", answer.text());
    }
}
