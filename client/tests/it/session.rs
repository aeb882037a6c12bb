//! Login, cookies, CSRF (reference http-api 4).

use tessera_client::{CheckRequest, Client, ClientError, Session, TokenSelector};

use crate::server::{Answer, Received, Server, error, ok, status, value};

const CLEARED: &str = "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/";

fn cookies(body: &str, generation: u32) -> Answer {
    Answer::Reply {
        status: 200,
        headers: vec![
            (
                "Set-Cookie",
                format!("access_token_cookie=jwt-{generation}; HttpOnly; Path=/; Max-Age=31540000"),
            ),
            ("Set-Cookie", format!("csrf_access_token=csrf-{generation}; Path=/; Max-Age=31540000")),
        ],
        body: body.to_owned(),
    }
}

const LOGGED_IN: &str = r#"{"jsonrpc": "2.0802", "result": {"status": true, "value": true}, "version": "LinOTP 4.0.0.dev0", "versionNumber": "4.0.0.dev0", "id": 1, "detail": {"message": "Login successful for user admin"}}"#;
const REFUSED: &str = r#"{"jsonrpc": "2.0802", "result": {"status": true, "value": false}, "version": "LinOTP 4.0.0.dev0", "versionNumber": "4.0.0.dev0", "id": 1, "detail": {"message": "Bad username or password"}}"#;

/// Every reply to `admin/show` carries the cookies of generation 2, as near the end of a session.
fn server(request: &Received) -> Answer {
    match request.path() {
        "/admin/login" if request.body == "username=admin&password=geheim+%26+mehr" => cookies(LOGGED_IN, 1),
        "/admin/login" => status(401, REFUSED),
        "/admin/show" => cookies(
            r#"{"result": {"status": true, "value": {"data": [], "resultset": {"pages": 1, "page": 1}}}, "id": 1}"#,
            2,
        ),
        "/admin/logout" => Answer::Reply {
            status: 200,
            headers: vec![
                ("Set-Cookie", format!("access_token_cookie=; {CLEARED}")),
                ("Set-Cookie", format!("csrf_access_token=; {CLEARED}")),
            ],
            body: LOGGED_IN.to_owned(),
        },
        _ => value("1"),
    }
}

fn cookie_of(request: &Received) -> (Option<&str>, Option<&str>) {
    (request.header("cookie"), request.header("x-csrf-token"))
}

const FIRST: &str = "access_token_cookie=jwt-1; csrf_access_token=csrf-1";
const SECOND: &str = "access_token_cookie=jwt-2; csrf_access_token=csrf-2";

#[tokio::test]
async fn the_session_is_sent_with_a_csrf_value_on_post_only_and_refreshed_by_any_reply() {
    let server = Server::start(server).await;
    let client = Client::builder().url(&server.url).build().unwrap();
    client.login("admin", "geheim & mehr").await.unwrap();
    client.disable_tokens(&TokenSelector::serial("A1")).await.unwrap();
    client.show_tokens(&tessera_client::ShowRequest::default()).await.unwrap();
    client.disable_tokens(&TokenSelector::serial("A1")).await.unwrap();
    let received = server.received();
    let [login, post, get, after] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!(cookie_of(login), (None, None));
    assert_eq!((post.method.as_str(), cookie_of(post)), ("POST", (Some(FIRST), Some("csrf-1"))));
    assert_eq!((get.method.as_str(), cookie_of(get)), ("GET", (Some(FIRST), None)));
    assert_eq!(cookie_of(after), (Some(SECOND), Some("csrf-2")));
}

#[tokio::test]
async fn a_refused_login_is_an_error_without_the_password() {
    let server = Server::start(server).await;
    let client = Client::builder().url(&server.url).build().unwrap();
    let error = client.login("admin", "falsch").await.unwrap_err();
    assert!(
        matches!(&error, ClientError::NotAuthenticated { message } if message == "Bad username or password")
    );
    assert!(!format!("{error:?}").contains("falsch"));
    assert!(client.session().is_none());
}

#[tokio::test]
async fn a_session_goes_on_in_another_client_and_at_another_node() {
    let (first, second) = (Server::start(server).await, Server::start(server).await);
    let session =
        Client::builder().url(&first.url).build().unwrap().login("admin", "geheim & mehr").await.unwrap();
    let stored = serde_json::to_string(&session).unwrap();
    let session: Session = serde_json::from_str(&stored).unwrap();
    let client = Client::builder().url(&second.url).session(session).build().unwrap();
    client.disable_tokens(&TokenSelector::serial("A1")).await.unwrap();
    assert_eq!(cookie_of(&second.received()[0]), (Some(FIRST), Some("csrf-1")));
}

#[tokio::test]
async fn the_session_is_not_sent_to_validate() {
    let server = Server::start(|request| match request.path() {
        "/validate/check" => ok(LOGGED_IN),
        _ => server(request),
    })
    .await;
    let client = Client::builder().url(&server.url).build().unwrap();
    client.login("admin", "geheim & mehr").await.unwrap();
    client.check(&CheckRequest::user("alice", "755224")).await.unwrap();
    assert_eq!(cookie_of(&server.received()[1]), (None, None));
}

#[tokio::test]
async fn logout_forgets_the_session() {
    let server = Server::start(server).await;
    let client = Client::builder().url(&server.url).build().unwrap();
    client.login("admin", "geheim & mehr").await.unwrap();
    client.logout().await.unwrap();
    assert!(client.session().is_none());
    client.disable_tokens(&TokenSelector::serial("A1")).await.unwrap();
    let received = server.received();
    assert_eq!(cookie_of(&received[1]), (Some(FIRST), Some("csrf-1")));
    assert_eq!(cookie_of(&received[2]), (None, None));
}

#[tokio::test]
async fn an_expired_session_is_reported_as_not_authenticated() {
    let server = Server::start(|_| status(401, &error(-311, "Not authenticated"))).await;
    let client = Client::builder().url(&server.url).build().unwrap();
    let error = client.list_realms().await.unwrap_err();
    assert!(matches!(error, ClientError::NotAuthenticated { message } if message == "Not authenticated"));
}
