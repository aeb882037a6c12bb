//! `/validate/check_s` (reference http-api 7.3).

use serde_json::json;

use crate::server::{OTPS, Server};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_checked_by_serial() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice&pin=mypin").await;
    let check = async |form: String| server.post("/validate/check_s", &form).await.json()["result"].clone();
    let plain = |status: bool, value: bool| json!({"status": status, "value": value});
    assert_eq!(check(format!("serial=H1&pass=mypin{}", OTPS[0])).await, plain(true, true));
    assert_eq!(check(format!("serial=H1&pass=mypin{}", OTPS[0])).await, plain(true, false));
    assert_eq!(check(format!("user=alice&pass=mypin{}", OTPS[1])).await, plain(true, true));
    assert_eq!(check("serial=NOPE&pass=1".to_owned()).await, plain(true, false));
    // The third shape.
    for form in ["serial=NOPE", "", "user=bob&pass=1"] {
        assert_eq!(check(form.to_owned()).await, plain(false, false), "{form}");
    }
}
