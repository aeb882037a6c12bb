//! `/validate/check`, `/validate/ok`, `/validate/fail` (reference http-api 7.1, 7.12).

use serde_json::{Value, json};

use crate::server::{OTPS, Server};

#[tokio::test(flavor = "multi_thread")]
async fn an_otp_is_accepted_once_and_the_reply_is_the_references() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice&pin=mypin").await;
    let first = server.post("/validate/check", &format!("user=alice&pass=mypin{}", OTPS[0])).await;
    let expected = "{\n   \"jsonrpc\": \"2.0802\",\n   \"result\": {\n      \"status\": true,\n      \
        \"value\": true\n   },\n   \"version\": \"LinOTP 4.0.0 (Tessera 0.1.0)\",\n   \
        \"versionNumber\": \"4.0.0\",\n   \"id\": 0\n}";
    assert_eq!(first.text(), expected);
    let again = server.post("/validate/check", &format!("user=alice&pass=mypin{}", OTPS[0])).await;
    assert_eq!(again.value(), false);
    let by_get = server.get(&format!("/validate/check?user=alice@myrealm&pass=mypin{}", OTPS[1])).await;
    assert_eq!(by_get.value(), true);
    let info = format!("user=alice&pass=mypin{}&auth_info=true", OTPS[2]);
    let answer = server.post("/validate/check", &info).await;
    assert_eq!(answer.value(), true);
    assert_eq!(answer.json()["detail"], json!({"auth_info": [["pin_length", 5], ["otp_length", 6]]}));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_a_plain_no() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice&pin=mypin").await;
    for form in [
        "",
        "user=alice",
        "user=alice&pass=",
        "user=alice&pass=mypin000000",
        "user=alice&pass=wrong755224",
        "user=nobody&pass=mypin755224",
        "user=alice&realm=other&pass=mypin755224",
        "user=bob&pass=mypin755224",
        "user=alice&pass=%ff%fe",
        "user=alice&pass=x&httperror=500",
    ] {
        let answer = server.post("/validate/check", form).await;
        assert_eq!((answer.value(), &answer.json()["id"]), (Value::Bool(false), &json!(0)), "{form}");
        assert!(answer.json().get("detail").is_none(), "{form}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn constant_answers() {
    let server = Server::start().await;
    assert_eq!(server.get("/validate/ok").await.value(), true);
    assert_eq!(server.post("/validate/fail", "").await.value(), false);
}
