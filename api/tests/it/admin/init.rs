//! `/admin/init` (reference http-api 9).

use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::server::{SEED, Server};

#[tokio::test(flavor = "multi_thread")]
async fn enrolment_shows_seed_and_url() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let answer = admin.post("/admin/init", &format!("serial=H1&otpkey={SEED}")).await;
    assert_eq!(answer.value(), true);
    let detail = &answer.json()["detail"];
    assert_eq!((&detail["serial"], &answer.json()["id"]), (&"H1".into(), &1.into()));
    assert_eq!(detail["otpkey"]["value"], format!("seed://{SEED}"));
    // base32 of the 20 bytes (RFC 4648): python3 -c "import base64; print(base64.b32encode(b'12345678901234567890'))"
    let url = detail["googleurl"]["value"].as_str().unwrap();
    assert!(url.starts_with("otpauth://hotp/"), "{url}");
    assert!(url.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&counter=0"), "{url}");
    assert_eq!(detail["enrollment_url"], detail["googleurl"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_tokens_get_a_serial_of_their_type() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let hotp = admin.post("/admin/init", "genkey=1").await.json();
    assert!(hotp["detail"]["serial"].as_str().unwrap().starts_with("OATH"), "{hotp}");
    let totp = admin.post("/admin/init", "type=TOTP&genkey=1").await.json();
    assert!(totp["detail"]["serial"].as_str().unwrap().starts_with("TOTP"), "{totp}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_references_numbers() {
    let server = Server::start().await;
    let admin = server.admin().await;
    admin.enroll("H1", "").await;
    for (form, code) in [
        ("type=hmac".to_owned(), 905),
        ("type=totp".to_owned(), 905),
        (format!("genkey=1&otpkey={SEED}"), 344),
        ("genkey=2".to_owned(), -311),
        ("otpkey=nothex".to_owned(), -311),
        (format!("otpkey={SEED}&otplen=six"), -311),
        ("type=ocra&genkey=1".to_owned(), 1610),
        (format!("type=totp&serial=H1&otpkey={SEED}"), 10),
        (format!("otpkey={SEED}&user=nobody&realm=nowhere"), 1112),
    ] {
        let (found, message, _) = admin.post("/admin/init", &form).await.error();
        assert_eq!(found, code, "{form}: {message}");
        assert_eq!(message.starts_with(&format!("ERR{code}: ")), code != -311, "{message}");
        assert!(!message.contains(SEED));
    }
    let answer = admin.post("/admin/init", "type=hmac&httperror=418").await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert!(answer.text().contains("905: ERR905: "));
    assert_eq!(admin.get("/admin/init?genkey=1").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn qr_parameter_changes_the_form() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for (qr, kind, start) in [
        ("png", "image/png", &b"\x89PNG"[..]),
        ("img", "text/html; charset=utf-8", &b"<img id=\"challenge_qrcode\""[..]),
        ("", "text/html; charset=utf-8", &b"<html><body><div><img "[..]),
    ] {
        let answer = admin.post("/admin/init", &format!("genkey=1&qr={qr}")).await;
        assert_eq!(answer.headers[CONTENT_TYPE], kind);
        assert!(answer.body.starts_with(start), "{qr}");
    }
}
