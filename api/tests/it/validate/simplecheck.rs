//! `/validate/simplecheck` (reference http-api 7.7).

use http::header::CONTENT_TYPE;

use crate::server::{OTPS, Server};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_smileys() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice&pin=mypin").await;
    // The PAM module always sends all five fields (reference http-api 25.1).
    let form = |pass: &str| format!("realm=&resConf=&user=alice&pass={pass}&state=");
    let answer = server.post("/validate/simplecheck", &form(&format!("mypin{}", OTPS[0]))).await;
    assert_eq!(answer.text(), ":-)");
    assert!(answer.headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    assert_eq!(server.post("/validate/simplecheck", &form("wrong")).await.text(), ":-(");
    assert_eq!(server.get("/validate/simplecheck").await.text(), ":-(");
}
