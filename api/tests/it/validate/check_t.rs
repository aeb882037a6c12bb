//! `/validate/check_t` and `/validate/check_status` (reference http-api 7.4, 7.5), with an OCRA token. The key and the
//! values are those of RFC 6287 appendix C.1.

use serde_json::{Value, json};

use crate::server::{SEED, Server};

async fn ocra(server: &Server) {
    let admin = server.admin().await;
    server.realm(&admin).await;
    let form = format!(
        "type=ocra2&serial=O1&otpkey={SEED}&ocrasuite=OCRA-1:HOTP-SHA1-6:QN08&user=alice&pin=pin&description=blue"
    );
    assert_eq!(admin.post("/admin/init", &form).await.value(), true);
}

#[tokio::test(flavor = "multi_thread")]
async fn challenge_is_posed_answered_and_watched() {
    let server = Server::start().await;
    ocra(&server).await;
    let posed = server.post("/validate/check", "user=alice&pass=pin&data=11111111").await;
    assert_eq!(posed.value(), false);
    let detail = posed.json()["detail"].clone();
    let transaction = detail["transactionid"].as_str().unwrap().to_owned();
    assert_eq!((&detail["challenge"], &detail["request"]), (&json!("11111111"), &json!("11111111")));
    assert_eq!((&detail["linotp_tokenserial"], &detail["linotp_tokentype"]), (&json!("O1"), &json!("ocra2")));
    assert_eq!(detail["linotp_tokendescription"], "blue");
    let url = detail["message"].as_str().unwrap();
    assert!(url.starts_with(&format!("lseqr://req?tr={transaction}&ch=11111111&me=11111111&si=")), "{url}");
    assert_eq!(detail["ocraurl"]["value"], url);
    assert!(detail["ocraurl"]["img"].as_str().unwrap().starts_with("<img id=\"challenge_qrcode\""));

    let wrong = server.post("/validate/check_t", &format!("transactionid={transaction}&pass=000000")).await;
    assert_eq!(wrong.value(), json!({"value": false, "failcount": 1}));
    let status = |form: &str| format!("transactionid={transaction}&{form}");
    let watched = server.post("/validate/check_status", &status("user=alice&pass=pin")).await;
    assert_eq!(watched.value(), true);
    let open = json!({"received_count": 1, "received_tan": true, "valid_tan": false, "message": url,
        "status": "open", "token": {"serial": "O1", "type": "ocra2"}});
    assert_eq!(watched.json()["detail"], json!({"transactions": {transaction.clone(): open}}));
    assert_eq!(server.post("/validate/check_status", &status("pass=nip")).await.value(), false);
    assert_eq!(server.post("/validate/check_status", "pass=pin").await.value(), false);

    let right = server.get(&format!("/validate/check_t?state={transaction}&pass=243178")).await;
    assert_eq!(right.value(), json!({"value": true, "failcount": 0}));
    assert_eq!(
        right.json()["detail"],
        json!({"value": true, "failcount": 0, "token_type": "ocra2", "serial": "O1"})
    );
    assert_eq!(right.json()["id"], 1);
    let again = server.post("/validate/check_t", &format!("transactionid={transaction}&pass=243178")).await;
    assert_eq!(again.value()["value"], false);
    let closed = server.post("/validate/check_status", &status("pass=pin")).await;
    let shown = &closed.json()["detail"]["transactions"][&transaction];
    assert_eq!((&shown["status"], &shown["valid_tan"]), (&json!("closed"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_transactions_and_missing_parameters() {
    let server = Server::start().await;
    let unknown = server.post("/validate/check_t", "transactionid=12345678901234567&pass=1").await;
    assert_eq!(unknown.value(), json!({"value": false, "failcount": 0}));
    let failure = "No challenge for transaction '12345678901234567' found";
    assert_eq!(unknown.json()["detail"], json!({"value": false, "failure": failure}));
    for form in ["", "pass=1", "transactionid=12345678901234567"] {
        let answer = server.post("/validate/check_t", form).await;
        assert_eq!((answer.value(), &answer.json()["id"]), (Value::Bool(false), &json!(0)), "{form}");
    }
}

/// Reference http-api 7.3, 2.7: by serial no PIN is needed; the challenge can be had as a picture.
#[tokio::test(flavor = "multi_thread")]
async fn challenge_by_serial_without_pin() {
    let server = Server::start().await;
    ocra(&server).await;
    let posed = server.post("/validate/check_s", "serial=O1&data=22222222").await;
    assert_eq!((posed.value(), &posed.json()["detail"]["challenge"]), (json!(false), &json!("22222222")));
    let transaction = posed.json()["detail"]["transactionid"].as_str().unwrap().to_owned();
    let answer = server.post("/validate/check", &format!("user=alice&pass=653583&state={transaction}")).await;
    assert_eq!(answer.value(), true);
    let picture = server.post("/validate/check_s", "serial=O1&data=22222222&qr=png").await;
    assert!(picture.body.starts_with(b"\x89PNG"));
    let smiley = server.post("/validate/simplecheck", "user=alice&pass=pin&data=33333333").await;
    assert!(smiley.text().starts_with(":-( "), "{}", smiley.text());
    let none = server.post("/validate/check_s", "serial=O1").await.json();
    assert_eq!(none["result"], json!({"status": false, "value": false}));
}

/// Reference tokens 10.2.
#[tokio::test(flavor = "multi_thread")]
async fn roll_out_shows_secret_then_nonce() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    let begun =
        admin.post("/admin/init", "type=ocra2&serial=R1&genkey=1&sharedsecret=1&user=alice").await.json();
    let detail = &begun["detail"];
    let secret = detail["sharedsecret"].as_str().unwrap();
    let import = format!("lseqr://init?sh={secret}&os=OCRA-1%3AHOTP-SHA256-6%3AC-QA64&se=R1");
    assert_eq!((&detail["app_import"], &detail["ocraurl"]["value"]), (&json!(import), &json!(import)));
    assert_eq!(detail["ocraurl"]["order"], "0");
    assert!(detail.get("otpkey").is_none());
    let form = "type=ocra2&serial=R1&genkey=1&activationcode=GEZDGNBVGY3TQOJQ01&message=Test&user=alice";
    let active = admin.post("/admin/init", form).await.json();
    let text = |name: &str| active["detail"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!((text("nonce").len(), text("transactionid").len(), text("signature").len()), (128, 17, 64));
    assert!(text("challenge").starts_with("Test0000"));
    assert!(text("app_import").starts_with("lseqr://nonce?se=R1&no="));
    let shown = admin.get("/admin/show?serial=R1").await.text();
    assert!(!shown.contains(secret), "the shared secret is sealed");
}
