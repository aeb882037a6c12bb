//! `/system` (reference http-api 12).

mod policy;

use serde_json::json;

use crate::server::Server;

const PWRES: &str = "useridresolver.PasswdIdResolver.IdResolver.pwres";

#[tokio::test(flavor = "multi_thread")]
async fn configuration_is_set_read_and_deleted() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let set = admin.post("/system/setConfig", "key=hotp.hashlib&value=sha256&session=x").await;
    assert_eq!(set.value(), json!({"setConfig hotp.hashlib": true}));
    let one = admin.get("/system/getConfig?key=hotp.hashlib").await;
    assert_eq!(one.value(), json!({"getConfig hotp.hashlib": "sha256"}));
    let prefixed = admin.get("/system/getConfig?key=linotp.hotp.hashlib").await;
    assert_eq!(prefixed.value(), json!({"getConfig linotp.hotp.hashlib": "sha256"}));
    let all = admin.get("/system/getConfig?session=x").await.value();
    assert_eq!((&all["hotp.hashlib"], &all["DefaultOtpLen"]), (&json!("sha256"), &json!("6")));
    assert!(all.get("session").is_none());
    assert_eq!(admin.get("/system/getConfig?other=1").await.error().0, 905);
    assert_eq!(admin.post("/system/setConfig", "key=a").await.error().0, 905);
    let bulk = admin.post("/system/setConfig", "one=1&two=2").await;
    assert_eq!(bulk.value(), json!({"setConfig one:1": true, "setConfig two:2": true}));
    let deleted = admin.post("/system/delConfig", "key=hotp.hashlib").await;
    assert_eq!(deleted.value(), json!({"delConfig hotp.hashlib": true}));
    assert_eq!(admin.post("/system/delConfig", "key=hotp.hashlib").await.value(), deleted.value());
    assert_eq!(admin.post("/system/delConfig", "").await.error().0, 905);
    let none = admin.get("/system/getConfig?key=hotp.hashlib").await;
    assert_eq!(none.value(), json!({"getConfig hotp.hashlib": null}));
    let defaults = admin.post("/system/setDefault", "defaultotplen=8").await;
    assert_eq!(defaults.value(), json!({"set DefaultOtpLen": true}));
    assert_eq!(admin.post("/system/setDefault", "x=1").await.error().0, 77);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_errors_limits_httperror() {
    let server = Server::start().await;
    let admin = server.admin().await;
    assert_eq!(admin.post("/system/delConfig", "httperror=404").await.status, 404);
    admin.post("/system/setConfig", "key=errors&value=233,567").await.value();
    assert_eq!(admin.post("/system/delConfig", "httperror=404").await.error().0, 905);
    admin.post("/system/setConfig", "key=errors&value=233,905").await.value();
    assert_eq!(admin.post("/system/delConfig", "httperror=404").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn realms_are_listed_as_in_the_reference() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    let realms = admin.get("/system/getRealms").await.value();
    assert_eq!(
        realms["myrealm"],
        json!({"realmname": "myrealm", "entry": "linotp.useridresolver.group.myrealm",
            "useridresolver": [PWRES], "default": "true", "admin": false})
    );
    assert_eq!(realms["linotp_admins"]["admin"], true);
    assert!(realms["linotp_admins"].get("default").is_none());
    let default = admin.get("/system/getDefaultRealm").await.value();
    assert_eq!(default.as_object().unwrap().keys().collect::<Vec<_>>(), ["myrealm"]);
    assert_eq!(admin.get("/system/getRealms?realm=nowhere").await.value(), realms);
}

#[tokio::test(flavor = "multi_thread")]
async fn realms_are_changed_and_deleted() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    assert_eq!(admin.post("/system/setRealm", "realm=r").await.error().0, 905);
    assert_eq!(admin.post("/system/setRealm", "realm=r&resolvers=pwres").await.error().0, -311);
    assert_eq!(admin.post("/system/delRealm", "realm=linotp_admins").await.error().0, -311);
    assert_eq!(admin.post("/system/delRealm", "").await.error().0, 905);
    assert_eq!(
        admin.post("/system/delRealm", "realm=x").await.value(),
        json!({"delRealm": {"result": false}})
    );
    assert_eq!(admin.post("/system/setDefaultRealm", "realm=x").await.value(), false);
    assert_eq!(admin.post("/system/setDefaultRealm", "realm=").await.value(), false);
    let deleted = admin.post("/system/delRealm", "realm=MyRealm").await;
    assert_eq!(deleted.value(), json!({"delRealm": {"result": true}}));
}

#[tokio::test(flavor = "multi_thread")]
async fn resolvers_are_shown_and_deleted() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    let resolvers = admin.get("/system/getResolvers").await.value();
    assert_eq!(resolvers["pwres"]["spec"], PWRES);
    assert_eq!(
        (&resolvers["pwres"]["admin"], &resolvers["pwres"]["immutable"]),
        (&json!(false), &json!(false))
    );
    let local = &resolvers["LinOTP_local_admins"];
    assert_eq!((&local["admin"], &local["immutable"]), (&json!(true), &json!(true)));
    let shown = admin.get("/system/getResolver?resolver=pwres").await.value();
    assert_eq!((&shown["type"], &shown["resolver"]), (&json!("passwdresolver"), &json!("pwres")));
    assert!(shown["data"]["fileName"].as_str().unwrap().ends_with("/passwd"));
    let unknown = admin.get("/system/getResolver?resolver=nope").await.value();
    assert_eq!(unknown, json!({"type": null, "data": {}, "resolver": "nope"}));
    assert_eq!(admin.get("/system/getResolver").await.error().0, 905);
    assert_eq!(admin.get("/system/getResolver?resolver=").await.error().0, -311);
    assert_eq!(admin.post("/system/delResolver", "resolver=pwres").await.error().0, -311);
    admin.post("/system/delRealm", "realm=myrealm").await.value();
    assert_eq!(admin.post("/system/delResolver", "resolver=pwres").await.value(), true);
    assert_eq!(admin.post("/system/delResolver", "resolver=pwres").await.value(), false);
    assert_eq!(admin.post("/system/setResolver", "name=abcd&type=x").await.error().0, -311);
    assert_eq!(admin.post("/system/setResolver", "type=passwdresolver").await.error().0, 905);
}
