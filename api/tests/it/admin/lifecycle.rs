//! The life cycle of tokens (reference http-api 10.1 to 10.5, 10.9).

use serde_json::json;

use crate::server::{OTPS, Server};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_removed() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    for (serial, user) in [("H1", "alice"), ("H2", "bob"), ("H3", "bob")] {
        admin.enroll(serial, &format!("user={user}")).await;
    }
    assert_eq!(admin.post("/admin/remove", "").await.error().0, 905);
    assert_eq!(admin.post("/admin/remove", "serial=NOPE").await.error().0, 1102);
    assert_eq!(admin.post("/admin/remove", "serial[]=H1&serial[]=NOPE").await.error().0, 1102);
    assert_eq!(admin.post("/admin/remove", "serial[]=H1&user=bob").await.value(), 3);
    let none = admin.post("/admin/remove", "user=bob").await;
    assert_eq!(none.value(), 0);
    assert!(none.json()["detail"]["message"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_disabled_and_enabled() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice").await;
    admin.enroll("H2", "user=alice").await;
    assert_eq!(admin.post("/admin/disable", "serial=H*").await.value(), 2);
    assert_eq!(admin.post("/admin/disable", "serial=H1&user=alice").await.value(), 2);
    assert_eq!(server.post("/validate/check", &format!("user=alice&pass={}", OTPS[0])).await.value(), false);
    assert_eq!(admin.post("/admin/enable", "user=alice").await.value(), 2);
    assert_eq!(admin.post("/admin/enable", "serial=NOPE").await.error().0, 1102);
    let none = admin.post("/admin/disable", "serial=NOPE").await;
    assert_eq!(none.value(), 0);
    assert!(none.json()["detail"]["message"].is_string());
    let nothing = admin.post("/admin/disable", "").await;
    assert_eq!((nothing.value(), nothing.json().get("detail")), (json!(0), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_assigned_and_unassigned() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "").await;
    admin.enroll("H2", "").await;
    let answer = admin.post("/admin/assign", "serial[]=H1&serial[]=H2&user=alice&pin=p").await;
    assert_eq!((answer.value(), &answer.json()["id"]), (json!(true), &json!(2)));
    // Both have the same seed: one of them has to be named.
    let login = format!("user=alice&serial=H1&pass=p{}", OTPS[0]);
    assert_eq!(server.post("/validate/check", &login).await.value(), true);
    let (code, _, id) = admin.post("/admin/assign", "serial=NOPE&user=alice").await.error();
    assert_eq!((code, id), (1102, 0));
    let (code, _, id) = admin.post("/admin/assign", "serial=H1&user=nobody").await.error();
    assert_eq!((code, id), (1112, 0));
    let nothing = admin.post("/admin/assign", "user=alice").await;
    assert_eq!((nothing.value(), &nothing.json()["id"]), (json!(true), &json!(0)));
    assert_eq!(admin.post("/admin/unassign", "").await.error().0, 905);
    assert_eq!(admin.post("/admin/unassign", "serial=NOPE").await.error().0, 1102);
    assert_eq!(admin.post("/admin/unassign", "serial=H1").await.value(), true);
}

#[tokio::test(flavor = "multi_thread")]
async fn fail_counters_are_reset() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice").await;
    server.post("/validate/check", "user=alice&pass=000000").await;
    let fails = async || {
        let shown = admin.get("/admin/show?serial=H1").await.value();
        shown["data"][0]["LinOtp.FailCount"].clone()
    };
    assert_eq!(fails().await, 1);
    assert_eq!(admin.post("/admin/reset", "serial=H1").await.value(), 1);
    assert_eq!(fails().await, 0);
    assert_eq!(admin.post("/admin/reset", "").await.value(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_resynchronised() {
    let server = Server::start().await;
    let admin = server.admin().await;
    admin.enroll("H1", "").await;
    assert_eq!(admin.post("/admin/resync", "serial=H1&otp1=1").await.error().0, 905);
    let form = format!("serial=H1&otp1={}&otp2={}", OTPS[2], OTPS[3]);
    assert_eq!(admin.post("/admin/resync", &form).await.value(), true);
    assert_eq!(admin.post("/admin/resync", &form).await.value(), false);
    assert_eq!(admin.post("/admin/resync", "serial=NOPE&otp1=1&otp2=2").await.value(), false);
}
