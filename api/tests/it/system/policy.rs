//! Policies (reference http-api 13, policies 7).

use http::Method;
use serde_json::json;

use crate::server::{Admin, OTPS, Server, request};

const SET: &str = "name=otppin_vpn&scope=authentication&action=otppin%3D2&realm=MyRealm";

async fn upload(admin: &Admin<'_>, server: &Server, file: &str) -> crate::server::Answer {
    let body = format!(
        "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"policy.cfg\"\r\n\
         Content-Type: text/plain\r\n\r\n{file}\r\n--xyz--\r\n"
    );
    let mut upload = request(Method::POST, "/system/importPolicy");
    let headers = upload.headers_mut();
    headers.insert("content-type", "multipart/form-data; boundary=xyz".parse().unwrap());
    headers.insert("cookie", admin.cookie().parse().unwrap());
    headers.insert("x-csrf-token", admin.csrf.parse().unwrap());
    *upload.body_mut() = body.into();
    server.send(upload).await
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_set_shown_checked_and_deleted() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let fields = json!({"action": true, "scope": true, "realm": true, "user": true, "time": true, "client": true,
        "active": true});
    let set = admin.post("/system/setPolicy", SET).await.value();
    assert_eq!(set, json!({"setPolicy otppin_vpn": fields}));
    let shown = json!({"name": "otppin_vpn", "action": "otppin=2", "scope": "authentication", "realm": "myrealm",
        "user": "*", "client": "*", "time": "* * * * * *;", "active": "True"});
    for path in ["/system/getPolicy", "/system/getPolicy/policy.cfg", "/system/getPolicy?NAME=otppin_vpn&x=1"]
    {
        assert_eq!(admin.get(path).await.value(), json!({"otppin_vpn": shown}), "{path}");
    }
    assert_eq!(admin.get("/system/getPolicy?scope=admin").await.value(), json!({}));
    let check =
        admin.get("/system/checkPolicy?user=&realm=myrealm&scope=authentication&action=otppin&client=").await;
    assert_eq!(check.value(), json!({"allowed": true, "policy": {"otppin_vpn": shown}}));
    let check =
        admin.get("/system/checkPolicy?user=&realm=other&scope=authentication&action=otppin&client=").await;
    assert_eq!(check.value(), json!({"allowed": false, "policy": {}}));
    let open = admin.get("/system/checkPolicy?user=a&realm=&scope=admin&action=x&client=").await.value();
    assert!(open["allowed"] == true && open["policy"].is_string(), "{open}");
    assert_eq!(admin.get("/system/checkPolicy?user=a").await.error().0, 905);
    let flexi = admin.get("/system/policies_flexi?rp=1&page=1").await;
    assert_eq!(flexi.headers["content-type"], "text/html; charset=utf-8");
    let cell = json!([1, "otppin_vpn", "*", "authentication", "otppin=2", "myrealm", "*", "* * * * * *;"]);
    assert_eq!(flexi.json(), json!({"page": 1, "total": 1, "rows": [{"id": "otppin_vpn", "cell": cell}]}));
    let deleted = admin.post("/system/delPolicy", "name=otppin_vpn,nosuch").await.value();
    assert_eq!(deleted["delPolicy"]["result"].as_object().unwrap().len(), 7);
    assert_eq!(deleted["delPolicy"]["result"]["linotp.Policy.otppin_vpn.action"], true);
    assert_eq!(admin.get("/system/getPolicy").await.value(), json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_policies_are_refused_with_their_numbers() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for (form, code) in [
        ("scope=authentication&action=autosms&realm=*", 905),
        ("name=&scope=authentication&action=autosms&realm=*", -311),
        ("name=a&scope=authentication&realm=*", 905),
        ("name=a.b&scope=authentication&action=autosms&realm=*", -311),
        ("name=a&scope=authentication&action=nosuch&realm=*", -311),
        ("name=a&scope=nosuch&action=x&realm=*", -311),
        ("name=a&scope=authentication&action=autosms&realm=*&client=10.1", -311),
        ("name=a&scope=system&action=read&realm=*&user=admin", -311),
    ] {
        assert_eq!(admin.post("/system/setPolicy", form).await.error().0, code, "{form}");
    }
    assert_eq!(admin.post("/system/delPolicy", "").await.error().0, -311);
    assert_eq!(admin.post("/system/delPolicy", "name=a.b").await.error().0, 8888);
    assert_eq!(server.get("/system/getPolicy").await.status, 401);
    assert_eq!(server.post("/system/setPolicy", SET).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_without_the_right_get_410() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let form = "name=s&scope=system&action=*&realm=*&user=somebody_else";
    admin.post("/system/setPolicy", form).await.value();
    for path in ["/system/getPolicy", "/system/getConfig", "/system/getRealms", "/system/getPolicyDef"] {
        assert_eq!(admin.get(path).await.error().0, 410, "{path}");
    }
    assert_eq!(admin.post("/system/setPolicy", SET).await.error().0, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_go_through_a_file() {
    let server = Server::start().await;
    let admin = server.admin().await;
    admin.post("/system/setPolicy", &format!("{SET}&user=hans,eva&active=False")).await.value();
    assert_eq!(admin.get("/system/getPolicy?export=true").await.text(), "");
    let export = admin.get("/system/getPolicy?export=true&display_inactive=0").await;
    assert_eq!(export.headers["content-disposition"], "attachment; filename=policy.cfg");
    let file = export.text();
    assert!(file.contains("[otppin_vpn]\n") && file.contains("user = \"hans,eva\"\n"), "{file}");
    let before = admin.get("/system/getPolicy?display_inactive=1").await.value();
    admin.post("/system/delPolicy", "name=otppin_vpn").await.value();
    let imported = upload(&admin, &server, &file).await;
    assert_eq!(imported.headers["content-type"], "text/xml; charset=utf-8");
    assert!(imported.text().contains("<value>1</value>"), "{}", imported.text());
    assert_eq!(admin.get("/system/getPolicy?display_inactive=1").await.value(), before);
    let refused = upload(&admin, &server, "[a]\nscope = authentication\n").await.text();
    assert!(refused.contains("<code>-311</code>") && refused.contains("policy a has no action"), "{refused}");
    assert_eq!(admin.post("/system/importPolicy", "").await.error().0, 905);
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_have_type_description_and_values() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let all = admin.get("/system/getPolicyDef").await.value();
    let otppin = &all["authentication"]["otppin"];
    assert_eq!((&otppin["type"], &otppin["value"][0]), (&json!("set"), &json!(0)));
    assert!(otppin["desc"].as_str().unwrap().starts_with("What stands in front of the OTP"));
    assert_eq!(all["authentication"]["support_offline"]["range"], json!(["qr", "u2f", "forward", "fido2"]));
    let one = admin.get("/system/getPolicyDef?SCOPE=system").await.value();
    assert_eq!(one.as_object().unwrap().keys().collect::<Vec<_>>(), ["read", "write"]);
}

/// A policy counts for the next login, and `detail_on_fail` tells why one failed.
#[tokio::test(flavor = "multi_thread")]
async fn logins_follow_policies() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "&user=alice&pin=1234").await;
    let only_otp = format!("user=alice&pass={}", OTPS[0]);
    assert_eq!(server.post("/validate/check", &only_otp).await.value(), false);
    admin.post("/system/setPolicy", SET).await.value();
    let details = "name=d&scope=authorization&action=detail_on_success,detail_on_fail&realm=*";
    admin.post("/system/setPolicy", details).await.value();
    let accepted = server.post("/validate/check", &only_otp).await.json();
    assert_eq!(accepted["result"]["value"], true);
    assert_eq!(
        (&accepted["detail"]["serial"], &accepted["detail"]["realm"]),
        (&json!("H1"), &json!("myrealm"))
    );
    assert_eq!(accepted["detail"]["user"]["username"], "alice");
    let refused = server.post("/validate/check", &only_otp).await.json();
    assert_eq!(refused["detail"], json!({"error": "wrong otp value"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_explained() {
    let server = Server::start().await;
    let admin = server.admin().await;
    admin.post("/system/setPolicy", SET).await.value();
    admin.post("/system/setPolicy", "name=b&scope=authentication&action=otppin%3D1&realm=*").await.value();
    let path =
        "/system/explainPolicy?scope=authentication&action=otppin&user=alice&realm=myrealm&client=10.0.0.1";
    let explained = admin.get(path).await.value();
    assert_eq!((&explained[0]["policy"]["name"], &explained[0]["counts"]), (&json!("b"), &json!(false)));
    assert_eq!(explained[0]["reason"], "hidden: another policy is closer in its realm");
    assert_eq!((&explained[1]["counts"], &explained[1]["reason"]), (&json!(true), &json!("counts")));
    assert_eq!(admin.get("/system/explainPolicy?scope=authentication").await.error().0, 905);
}
