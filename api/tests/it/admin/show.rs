//! `/admin/show` and `/admin/userlist` (reference http-api 8.1, 11.6).

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde_json::json;

use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_listed_in_pages() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    for serial in ["H1", "H2", "H3"] {
        admin.enroll(serial, "user=alice").await;
    }
    let all = admin.post("/admin/show", "sortby=TokenSerialnumber&sortdir=desc").await.value();
    assert_eq!(all["resultset"], json!({"pages": 1, "pagesize": 3, "tokens": 3, "page": 1}));
    assert_eq!(all["data"][0]["LinOtp.TokenSerialnumber"], "H3");
    assert_eq!(all["data"][0]["LinOtp.TokenType"], "HMAC");
    assert_eq!(all["data"][0]["User.username"], "alice");
    assert_eq!(all["data"][0]["LinOtp.RealmNames"], json!(["myrealm"]));
    let page = admin.get("/admin/show?page=2&pagesize=2").await.value();
    assert_eq!(page["resultset"], json!({"pages": 2, "pagesize": 2, "tokens": 3, "page": 2}));
    assert_eq!(admin.get("/admin/show?page=3&pagesize=2").await.error().0, -311);
    assert_eq!(admin.get("/admin/show?sortby=Shoe").await.error().0, -311);
    let none = admin.get("/admin/show?user=nobody").await.value();
    assert_eq!(none["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_listed_as_csv() {
    let server = Server::start().await;
    let admin = server.admin().await;
    admin.enroll("H1", "").await;
    let answer = admin.get("/admin/show?outform=csv").await;
    assert_eq!(answer.headers[CONTENT_TYPE], "application/force-download");
    assert_eq!(answer.headers[CONTENT_DISPOSITION], "attachment; filename=linotp-tokendata.csv");
    assert!(answer.text().starts_with("'LinOtp.TokenId'; "));
    assert_eq!(answer.text().lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_listed_on_one_line() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    let answer = admin.get("/admin/userlist?username=*&realm=myrealm").await;
    let text = answer.text();
    assert!(
        text.starts_with("{\"jsonrpc\": \"2.0802\", \"result\": {\"status\": true, \"value\": [ {"),
        "{text}"
    );
    let json = answer.json();
    assert_eq!(json["result"]["queried"], 2);
    assert!(json.get("versionNumber").is_none() && json["result"].get("page").is_none());
    let alice = &json["result"]["value"][0];
    assert_eq!((&alice["username"], &alice["userid"]), (&json!("alice"), &json!("1001")));
    assert_eq!(alice["resolver"], "useridresolver.PasswdIdResolver.IdResolver.pwres");
    assert!(alice.get("cryptpass").is_none());
    let bob = admin.get("/admin/userlist?username=b*&realm=myrealm&page=0&session=x").await.json();
    assert_eq!((&bob["result"]["value"][0]["username"], &bob["result"]["page"]), (&json!("bob"), &json!(0)));
    assert_eq!(admin.get("/admin/userlist?page=x").await.json()["result"]["error"]["code"], 9876);
    assert_eq!(admin.get("/admin/userlist?page=1&rp=x").await.error().0, -311);
    let unknown = admin.get("/admin/userlist?realm=nowhere&username=*").await.json();
    assert_eq!(unknown["result"]["value"], json!([]));
}
