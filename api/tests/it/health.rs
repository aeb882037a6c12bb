//! Health, metrics and the state of the cluster.

use http::StatusCode;
use serde_json::json;

use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_is_alive_and_ready() {
    let server = Server::start().await;
    let status = server.get("/healthcheck/status").await.json();
    assert_eq!((&status["status"], &status["version"]), (&json!("alive"), &json!("4.0.0")));
    assert!(status["uptime"].is_f64() && status.get("jsonrpc").is_none());
    assert_eq!(server.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    server.node.announce_shutdown();
    let answer = server.get("/readyz").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "the node is stopping\n")
    );
    assert_eq!(server.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted() {
    let server = Server::start().await;
    server.get("/validate/ok").await;
    let text = server.get("/metrics").await.text();
    for line in [
        "tessera_api_requests_total{endpoint=\"/validate/ok\",result=\"ok\"} 1",
        "tessera_raft_leader 1",
        "tessera_node_requests_total{result=\"committed\"}",
    ] {
        assert!(text.contains(line), "{line} not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_the_cluster_is_for_administrators() {
    let server = Server::start().await;
    assert_eq!(server.get("/cluster/status").await.status, StatusCode::UNAUTHORIZED);
    let status = server.admin().await.get("/cluster/status").await.value();
    assert_eq!((&status["node"], &status["leader"], &status["quorum"]), (&json!(1), &json!(1), &json!(true)));
    assert_eq!((&status["nodes"][0]["id"], &status["nodes"][0]["role"]), (&json!(1), &json!("leader")));
}
