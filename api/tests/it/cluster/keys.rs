//! `/cluster/keys` and `/cluster/keys/rotate`.

use http::StatusCode;
use serde_json::json;
use tessera_node::keys::ClusterKeys;

use crate::server::{OTPS, Server};

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_are_for_administrators() {
    let server = Server::start().await;
    assert_eq!(server.get("/cluster/keys").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.post("/cluster/keys/rotate", "").await.status, StatusCode::UNAUTHORIZED);
    let admin = server.admin().await;
    assert_eq!(admin.get("/cluster/keys/rotate").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let status = admin.get("/cluster/keys").await.value();
    assert_eq!((&status["current"], &status["stale"]), (&json!(1), &json!(0)));
    assert_eq!(status["keys"][0]["needed"], true);
    let text = admin.get("/cluster/keys").await.text();
    let file = std::fs::read_to_string(server.folder.path().join("cluster.key")).unwrap();
    let key = file.lines().find_map(|line| line.strip_prefix("key 1 ")).unwrap();
    assert!(!text.contains(key) && !text.contains(&key[..16]), "the key itself must never be shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_current_when_it_is_held() {
    let server = Server::start().await;
    let admin = server.admin().await;
    admin.enroll("H1", "pin=1234").await;
    let (code, message, _) = admin.post("/cluster/keys/rotate", "key=2").await.error();
    assert_eq!(code, -311);
    assert!(message.contains("does not hold key 2"), "{message}");
    assert_eq!(admin.post("/cluster/keys/rotate", "key=two").await.error().0, -311);

    let path = server.folder.path().join("cluster.key");
    let mut keys = ClusterKeys::load(&path).unwrap();
    keys.add().unwrap();
    keys.replace(&path).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while admin.get("/cluster/keys").await.value()["nodes"][0]["keys"] != json!([1, 2]) {
        assert!(std::time::Instant::now() < deadline, "the new key was not noticed");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(admin.post("/cluster/keys/rotate", "").await.value(), json!({ "from": 1, "to": 2 }));
    while admin.get("/cluster/keys").await.value()["stale"] != 0 {
        assert!(std::time::Instant::now() < deadline, "nothing was sealed again");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let pass = format!("serial=H1&pass=1234{}", OTPS[0]);
    assert_eq!(server.post("/validate/check_s", &pass).await.value(), true);
    assert_eq!(admin.post("/cluster/keys/rotate", "key=2").await.value(), json!({ "from": 2, "to": 2 }));
}
