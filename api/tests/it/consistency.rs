//! Comparing states and verifying the audit trail.

use http::StatusCode;
use serde_json::json;
use tessera_core::txn::HistoryRow;

use crate::server::{Admin, Server};

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_may_check() {
    let server = Server::start().await;
    for path in ["/cluster/states", "/cluster/history"] {
        assert_eq!(server.get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(server.post(path, "").await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    assert_eq!(server.post("/cluster/compare", "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get("/cluster/compare").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_compared_at_a_new_checkpoint() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let compared = admin.post("/cluster/compare", "").await.value();
    assert_eq!(
        (&compared["equal"], &compared["complete"], &compared["node"]),
        (&json!(true), &json!(true), &json!(1))
    );
    let index = compared["nodes"][0]["index"].as_u64().unwrap();
    let digest = compared["nodes"][0]["digest"].as_str().unwrap().to_owned();
    assert_eq!(digest.len(), 64);
    let states = admin.get("/cluster/states").await.value();
    let known = states["checkpoints"].as_array().unwrap().last().unwrap();
    assert_eq!((&known["index"], &known["digest"]), (&json!(index), &json!(digest)));
    // Whatever is committed changes the digest.
    server.get("/validate/ok").await;
    let again = admin.post("/cluster/compare", "").await.value();
    assert_ne!(again["nodes"][0]["digest"], digest);
    let status = admin.get("/cluster/status").await.value();
    assert_eq!((&status["diverged"], &status["format_level"]), (&json!(false), &json!(1)));
    let node = &status["nodes"][0];
    assert_eq!((&node["diverged_from"], &node["supported_level"]), (&json!([]), &json!(1)));
    assert_eq!(node["checkpoint"], again["nodes"][0]["index"]);
}

async fn newest_row(server: &Server) -> u64 {
    server.node.store().view().history().number
}

async fn verified(admin: &Admin<'_>) -> serde_json::Value {
    let checked = admin.get("/cluster/history").await.value();
    assert_eq!((&checked["fault"], &checked["complete"]), (&json!(null), &json!(true)), "{checked}");
    assert_eq!(checked["verified"], checked["head"]);
    checked
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_is_verified_up_to_the_replicated_head() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for _ in 0..5 {
        server.get("/validate/ok").await;
    }
    let checked = verified(&admin).await;
    let head = checked["head"]["row"].as_u64().unwrap();
    assert!(head >= 5);
    let row = admin.get(&format!("/cluster/history?row={head}")).await.value();
    assert_eq!((&row["hash"], &row["row"]), (&checked["head"]["hash"], &json!(head)));
    let beyond = admin.get(&format!("/cluster/history?row={}", head + 1)).await.value();
    assert_eq!(beyond["hash"], json!(null));
    let (code, message, _) = admin.get("/cluster/history?from=first").await.error();
    assert_eq!(code, -311);
    assert!(message.contains("whole number"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_is_kept_to_its_limit_and_can_still_be_verified() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for _ in 0..30 {
        server.get("/validate/ok").await;
    }
    assert_eq!(server.node.trim_audit().await.unwrap(), 0, "no limit, nothing is removed");
    let refused = admin.post("/system/setConfig", "key=audit.retention_rows&value=-5").await;
    assert!(refused.error().1.contains("whole number"));
    let set = admin.post("/system/setConfig", "key=audit.retention_rows&value=10").await;
    assert_eq!(set.value()["setConfig audit.retention_rows"], true);
    let before = newest_row(&server).await;
    assert_eq!(server.node.trim_audit().await.unwrap(), before - 10);
    let checked = verified(&admin).await;
    assert_eq!(checked["anchor"]["row"], before - 10);
    assert_eq!(server.node.store().history().range(1, u64::MAX, 1000).unwrap()[0].number, before - 9);
    // The removal is a row itself, and is not removed at once again.
    server.node.store().flush_history().await.unwrap();
    let HistoryRow::Audit(row) = server.node.store().history().row(before + 1).unwrap().unwrap();
    assert_eq!(
        (&*row.action, &*row.info),
        ("audit/retention", &*format!("rows 1 to {} removed", before - 10))
    );
    assert_eq!(server.node.trim_audit().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_in_the_reply_and_in_the_audit_trail() {
    let server = Server::start().await;
    let send = async |id: Option<&str>| {
        let mut request = http::Request::get("/validate/ok");
        if let Some(id) = id {
            request = request.header("X-Request-Id", id);
        }
        let answer = server.send(request.body(axum::body::Body::empty()).unwrap()).await;
        let id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
        let head = server.node.store().view().history().number;
        // What was applied a moment ago may still be on its way to the disk.
        server.node.store().flush_history().await.unwrap();
        let HistoryRow::Audit(row) = server.node.store().history().row(head).unwrap().unwrap();
        assert_eq!((&*row.action, &*row.request_id), ("validate/ok", &*id));
        id
    };
    assert_eq!(send(Some("gateway-7.42")).await, "gateway-7.42");
    let (made, replaced) = (send(None).await, send(Some("two words")).await);
    assert!(made.len() == 16 && replaced.len() == 16 && made != replaced);
    for path in ["/nothing/here", "/healthz"] {
        assert!(server.get(path).await.headers.contains_key("x-request-id"), "{path}");
    }
}
