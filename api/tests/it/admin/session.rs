//! Login, logout and the session between them (reference http-api 4).

use std::time::Duration;

use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tessera_api::ApiSettings;

use crate::server::{ADMIN, Answer, Server};

#[track_caller]
fn assert_unauthenticated(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let expected = json!({"status": false, "error": {"code": -311, "message": "Not authenticated"}});
    assert_eq!(answer.json()["result"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_are_401_with_a_success_envelope() {
    let server = Server::start().await;
    for form in
        ["", "username=admin", "username=admin&password=wrong", "username=nobody&password=correct+horse"]
    {
        let answer = server.post("/admin/login", form).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{form}");
        assert_eq!(answer.json()["result"], json!({"status": true, "value": false}), "{form}");
        assert_eq!(answer.json()["detail"], json!({"message": "Bad username or password"}), "{form}");
        assert!(answer.headers.get(SET_COOKIE).is_none(), "{form}");
    }
    assert_eq!(server.get("/admin/login").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_by_json_sets_both_cookies() {
    let server = Server::start().await;
    let body = json!({"username": ADMIN, "password": "correct horse"}).to_string();
    let request = Request::post("/admin/login").header(CONTENT_TYPE, "application/json");
    let answer = server.send(request.body(Body::from(body)).unwrap()).await;
    assert_eq!(answer.value(), true);
    let lines: Vec<&str> =
        answer.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
    assert!(lines[0].starts_with("access_token_cookie=ey") && lines[0].contains("HttpOnly"), "{lines:?}");
    assert!(lines[1].starts_with("csrf_access_token=") && !lines[1].contains("HttpOnly"), "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("Path=/") && line.contains("Secure")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_need_the_csrf_value_and_gets_do_not() {
    let server = Server::start().await;
    let admin = server.admin().await;
    assert_eq!(admin.get("/admin/show").await.status, StatusCode::OK);
    let post = |csrf: Option<&str>, form: &str| {
        let mut request = Request::post("/admin/show")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(COOKIE, admin.cookie());
        if let Some(csrf) = csrf {
            request = request.header("X-CSRF-TOKEN", csrf);
        }
        server.send(request.body(Body::from(form.to_owned())).unwrap())
    };
    assert_unauthenticated(&post(None, "").await);
    assert_unauthenticated(&post(Some("wrong"), "").await);
    assert_eq!(post(Some(&admin.csrf), "").await.status, StatusCode::OK);
    assert_eq!(post(None, &format!("csrf_token={}", admin.csrf)).await.status, StatusCode::OK);
    assert_unauthenticated(&server.get("/admin/show").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn httperror_does_not_change_the_status_of_a_missing_session() {
    let server = Server::start().await;
    let answer = server.get("/system/getConfig?httperror=403").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.text().contains("<title>403 403 Forbidden</title>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_logout() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let other = server.admin().await;
    let answer = admin.get("/admin/logout").await;
    assert_eq!(answer.value(), true);
    assert!(answer.json()["detail"]["message"].is_string());
    assert_eq!(answer.cookie("access_token_cookie").as_deref(), Some(""));
    assert_eq!(answer.headers.get_all(SET_COOKIE).iter().count(), 4);
    assert_unauthenticated(&admin.get("/admin/logout").await);
    assert_unauthenticated(&admin.get("/admin/show").await);
    assert_eq!(other.get("/admin/show").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_near_its_end_is_renewed() {
    let settings = ApiSettings {
        session_lifetime: Duration::from_secs(100),
        session_refresh: Duration::from_secs(101),
        ..ApiSettings::default()
    };
    let server = Server::with(settings).await;
    let admin = server.admin().await;
    let answer = admin.get("/admin/show").await;
    let csrf = answer.cookie("csrf_access_token").unwrap();
    assert_ne!(csrf, admin.csrf);
    assert_ne!(answer.cookie("access_token_cookie").unwrap(), admin.token);
    let fresh = Server::start().await;
    let admin = fresh.admin().await;
    assert_eq!(admin.get("/admin/show").await.cookie("access_token_cookie"), None::<String>);
    assert_eq!(admin.get("/admin/show").await.json()["result"]["status"], Value::Bool(true));
}
