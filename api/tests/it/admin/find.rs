//! `/admin/getSerialByOtp`, `/admin/check_serial`, `/admin/totp_lookup`, `/admin/copyTokenPin`, `/admin/copyTokenUser`
//! (reference http-api 10.11, 11.2, 11.3, 11.5).

use serde_json::json;

use crate::server::{OTPS, Server};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_found_by_an_otp() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice").await;
    let path = format!("/admin/getSerialByOtp?otp={}", OTPS[1]);
    assert_eq!(
        admin.get(&path).await.value(),
        json!({"success": true, "serial": "H1", "user_login": "alice",
               "user_resolver": "useridresolver.PasswdIdResolver.IdResolver.pwres"})
    );
    let nothing = json!({"success": true, "serial": "", "user_login": "", "user_resolver": ""});
    assert_eq!(admin.get(&format!("{path}&assigned=0")).await.value(), nothing);
    assert_eq!(admin.get("/admin/getSerialByOtp").await.error().0, 905);
    admin.enroll("H2", "").await;
    assert_eq!(admin.get(&path).await.error().0, 1200);
    // Nothing was used up.
    let check = format!("/validate/check_s?serial=H1&pass={}", OTPS[0]);
    assert_eq!(server.get(&check).await.value(), true);
}

#[tokio::test(flavor = "multi_thread")]
async fn free_serials_are_proposed() {
    let server = Server::start().await;
    let admin = server.admin().await;
    admin.enroll("H1", "").await;
    assert_eq!(
        admin.get("/admin/check_serial?serial=H2").await.value(),
        json!({"unique": true, "new_serial": "H2"})
    );
    assert_eq!(
        admin.get("/admin/check_serial?serial=H1").await.value(),
        json!({"unique": false, "new_serial": "H1_01"})
    );
    assert_eq!(admin.get("/admin/check_serial").await.error().0, 905);
}

#[tokio::test(flavor = "multi_thread")]
async fn look_ups_of_other_types_and_tokens_have_their_answers() {
    let server = Server::start().await;
    let admin = server.admin().await;
    admin.enroll("H1", "").await;
    let answer = admin.get("/admin/totp_lookup?serial=H1&otp=755224").await;
    assert_eq!((answer.value(), answer.json().get("detail")), (json!(false), None));
    let (code, _, id) = admin.get("/admin/totp_lookup?serial=H9&otp=755224").await.error();
    assert_eq!((code, id), (1102, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn pin_and_owner_are_copied() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice&pin=geheim").await;
    admin.enroll("H2", "").await;
    assert_eq!(admin.post("/admin/copyTokenUser", "from=H1&to=H2").await.value(), true);
    assert_eq!(admin.post("/admin/copyTokenPin", "from=H1&to=H2").await.value(), true);
    let rows = admin.get("/admin/show?serial=H2").await.value();
    assert_eq!(rows["data"][0]["User.username"], "alice");
    assert_eq!(rows["data"][0]["LinOtp.RealmNames"], json!(["myrealm"]));
    let check = |pin: &str| format!("/validate/check_s?serial=H2&pass={pin}{}", OTPS[0]);
    assert_eq!(server.get(&check("falsch")).await.value(), false);
    assert_eq!(server.get(&check("geheim")).await.value(), true);
    assert_eq!(admin.post("/admin/copyTokenPin", "from=H1&to=H9").await.error().0, 1102);
    assert_eq!(admin.post("/admin/copyTokenUser", "from=H1").await.error().0, 905);
}
