//! `/admin/set` and `/admin/setPin` (reference http-api 10.6, 10.7).

use serde_json::json;

use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn properties_are_set_by_names_in_any_case() {
    let server = Server::start().await;
    let admin = server.admin().await;
    admin.enroll("H1", "").await;
    let answer = admin.post("/admin/set", "SERIAL=H1&otplen=8&PIN=secret&description=d").await;
    assert_eq!(answer.value(), json!({"set pin": 1, "set description": 1, "set OtpLen": 1}));
    let shown = admin.get("/admin/show?serial=H1").await.value();
    assert_eq!(
        (&shown["data"][0]["LinOtp.OtpLen"], &shown["data"][0]["LinOtp.TokenDesc"]),
        (&json!(8), &json!("d"))
    );
    assert_eq!(admin.post("/admin/set", "serial=NOPE&otplen=8").await.value(), json!({"set OtpLen": 0}));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_references_numbers() {
    let server = Server::start().await;
    let admin = server.admin().await;
    admin.enroll("H1", "").await;
    assert_eq!(admin.post("/admin/set", "serial=H1").await.error().0, 77);
    let (code, message, _) = admin.post("/admin/set", "serial=H1&MaxFailCount=<many>").await.error();
    assert_eq!(code, -311);
    assert!(
        message.starts_with("[set] setting MaxFailCount failed: ") && !message.contains(['<', '\'', '"'])
    );
    for form in ["serial=H1", "userpin=1"] {
        let (code, _, id) = admin.post("/admin/setPin", form).await.error();
        assert_eq!((code, id), (905, 0), "{form}");
    }
    let (code, _, id) = admin.post("/admin/setPin", "serial=H1&userpin=1").await.error();
    assert_eq!((code, id), (-311, 0));
}
