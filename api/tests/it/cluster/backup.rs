//! `/cluster/backup`.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use crate::server::{Server, request};

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_handed_out_to_administrators_only() {
    let server = Server::start().await;
    assert_eq!(server.post("/cluster/backup", "").await.status, StatusCode::UNAUTHORIZED);
    let admin = server.admin().await;
    let status = admin.get("/cluster/backup").await.status;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "a GET has no CSRF protection");
    let mut without_csrf = request(Method::POST, "/cluster/backup");
    without_csrf.headers_mut().insert(http::header::COOKIE, admin.cookie().parse().unwrap());
    assert_eq!(server.send(without_csrf).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_stream_and_is_audited() {
    let server = Server::start().await;
    let admin = server.admin().await;
    admin.enroll("H1", "pin=1234").await;
    let rows = server.node.store().view().history().number;
    let answer = admin.post("/cluster/backup", "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/vnd.tessera.archive");
    // The envelope of an archive's header (raft/src/codec.rs): magic, version 1, kind 32, no flags.
    assert_eq!(answer.body[..4], [0x7e, 1, 32, 0]);
    let deadline = Instant::now() + Duration::from_secs(30);
    let text = loop {
        // Rows are written a moment after they are committed.
        let audited = server.node.store().history().range(rows + 1, rows + 1, 1).unwrap();
        if let Some(row) = audited.first() {
            break String::from_utf8_lossy(&row.bytes).into_owned();
        }
        assert!(Instant::now() < deadline, "no row in the audit trail");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(text.contains("cluster/backup") && text.contains("admin@"), "{text}");
    // The next one may begin when this one is finished.
    assert_eq!(admin.post("/cluster/backup", "").await.status, StatusCode::OK);
}
