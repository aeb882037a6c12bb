//! The members of the cluster. More than one node is tried with real processes, by the chaos tests.

mod backup;
mod keys;

use http::StatusCode;
use serde_json::json;

use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn every_call_needs_an_administrator_and_the_csrf_value() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for path in ["token", "remove", "leave", "transfer", "snapshot"] {
        let path = format!("/cluster/{path}");
        assert_eq!(server.post(&path, "node=1").await.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(admin.get(&path).await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let mut without = server.admin().await;
        without.csrf = "wrong".to_owned();
        assert_eq!(without.post(&path, "node=1").await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_given_once_and_tokens_shown_once() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let first = admin.post("/cluster/token", "").await.value();
    let second = admin.post("/cluster/token", "lifetime=60&replaces=1").await.value();
    assert_eq!((&first["node"], &second["node"]), (&json!(2), &json!(3)));
    assert_eq!((&first["replaces"], &second["replaces"]), (&json!(null), &json!(1)));
    let lifetime = first["expires"].as_u64().unwrap() - second["expires"].as_u64().unwrap();
    assert!((3500..=3540).contains(&lifetime), "{lifetime}");
    let token = first["token"].as_str().unwrap();
    assert!(token.starts_with("2-") && token.len() == 34, "{token}");
    let status = admin.get("/cluster/status").await;
    assert_eq!(status.value()["invited"], json!([2, 3]));
    assert!(!status.text().contains(&token[2..]));
    let (code, message, _) = admin.post("/cluster/token", "replaces=7").await.error();
    assert_eq!((code, message.as_str()), (-311, "node 7 cannot be replaced: the members are 1"));
    let (_, message, _) = admin.post("/cluster/token", "lifetime=0").await.error();
    assert!(message.contains("1 to 604800 seconds"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_moves_are_refused_in_a_sentence() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for (path, form, expected) in [
        ("/cluster/remove", "", "Missing parameter: 'node'"),
        ("/cluster/remove", "node=two", "whole number"),
        ("/cluster/remove", "node=7", "there is no node 7 to remove: the members are 1"),
        ("/cluster/remove", "node=1", "node 1 is the only node with a vote and cannot be removed"),
        ("/cluster/leave", "", "node 1 is the only node with a vote and cannot be removed"),
        ("/cluster/transfer", "node=7", "node 7 has no vote and cannot lead: 1 can"),
    ] {
        let (_, message, _) = admin.post(path, form).await.error();
        assert!(message.contains(expected), "{path} {form}: {message}");
    }
    assert_eq!(admin.post("/cluster/transfer", "node=1").await.value()["leader"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_made_on_request() {
    let server = Server::start().await;
    let admin = server.admin().await;
    assert_eq!(admin.post("/cluster/snapshot", "").await.value(), json!([{ "node": 1, "problem": null }]));
    let begun = admin.post("/cluster/snapshot", "node=4").await.value();
    assert_eq!(begun[0]["problem"], "node 4 is not a member");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while admin.get("/cluster/status").await.value()["nodes"][0]["snapshot"] == json!(0) {
        assert!(std::time::Instant::now() < deadline, "there is no snapshot");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_how_many_may_fail() {
    let server = Server::start().await;
    let status = server.admin().await.get("/cluster/status").await.value();
    assert_eq!((&status["tolerates"], &status["expected"]), (&json!(0), &json!([])));
    let node = &status["nodes"][0];
    assert_eq!((&node["voter"], &node["condition"]), (&json!(true), &json!("settled")));
}
