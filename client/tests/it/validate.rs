//! Verdicts (reference http-api 7).

use tessera_client::{CheckRequest, Client, ClientError, Verdict};

use crate::server::{Answer, Server, ok, status};

async fn asked(answer: Answer) -> (Server, Client) {
    let server = Server::start(move |_| answer.clone()).await;
    let client = Client::builder().url(&server.url).build().unwrap();
    (server, client)
}

async fn check(body: &str) -> Result<Verdict, ClientError> {
    let (_server, client) = asked(ok(body)).await;
    client.check(&CheckRequest::user("alice", "755224")).await
}

async fn simplecheck(body: &str) -> Result<Verdict, ClientError> {
    let (_server, client) = asked(ok(body)).await;
    client.simplecheck(&CheckRequest::user("alice", "755224")).await
}

#[tokio::test]
async fn true_and_false_are_told_apart_and_the_detail_is_kept() {
    let accepted =
        check(r#"{"result": {"status": true, "value": true}, "detail": {"serial": "HA"}, "id": 0}"#);
    let Verdict::Accepted { detail: Some(detail) } = accepted.await.unwrap() else { panic!() };
    assert_eq!(detail["serial"], "HA");
    assert_eq!(
        check(r#"{"result": {"status": true, "value": false}, "id": 0}"#).await.unwrap(),
        Verdict::Rejected { reason: None }
    );
    let with_reason =
        r#"{"result": {"status": true, "value": false}, "detail": {"error": "wrong otp pin -1"}, "id": 0}"#;
    assert_eq!(
        check(with_reason).await.unwrap(),
        Verdict::Rejected { reason: Some("wrong otp pin -1".to_owned()) }
    );
}

/// The example of reference http-api 7.1.
#[tokio::test]
async fn a_challenge_is_read() {
    let body = r#"{"result": {"status": true, "value": false}, "id": 0, "detail": {
        "transactionid": "18318002572596029", "message": "Please enter your otp value: ",
        "linotp_tokenserial": "HA", "linotp_tokentype": "HMAC", "linotp_tokendescription": ""}}"#;
    let Verdict::Challenge(challenge) = check(body).await.unwrap() else { panic!() };
    assert_eq!(challenge.transaction_id, "18318002572596029");
    assert_eq!(challenge.message, "Please enter your otp value: ");
    assert_eq!((challenge.serial.as_str(), challenge.token_type.as_str()), ("HA", "HMAC"));
    assert!(challenge.tokens.is_empty());
}

#[tokio::test]
async fn several_challenges_are_read() {
    let body = r#"{"result": {"status": true, "value": false}, "id": 0, "detail": {"challenges": {
        "HB": {"transactionid": "72357964811218.01", "message": "x", "linotp_tokenserial": "HB"},
        "HA": {"transactionid": "72357964811218.02", "signrequest": {"appId": "https://a"}}},
        "transactionid": "72357964811218", "message": "Multiple challenges submitted."}}"#;
    let Verdict::Challenge(challenge) = check(body).await.unwrap() else { panic!() };
    assert_eq!(challenge.transaction_id, "72357964811218");
    assert_eq!(challenge.tokens["HB"].transaction_id, "72357964811218.01");
    assert_eq!(challenge.tokens["HA"].extra["signrequest"]["appId"], "https://a");
}

#[tokio::test]
async fn the_answer_to_a_challenge_names_it() {
    let (server, client) = asked(ok(r#"{"result": {"status": true, "value": true}, "id": 0}"#)).await;
    client.check(&CheckRequest::user("alice@bank", "a+b").answering("1831")).await.unwrap();
    let received = server.received();
    assert_eq!(received[0].target, "/validate/check");
    assert_eq!(received[0].body, "user=alice%40bank&pass=a%2Bb&transactionid=1831");
    assert_eq!(received[0].header("content-type"), Some("application/x-www-form-urlencoded"));
}

/// The third shape of reference http-api 2.2 is neither an acceptance nor a refusal.
#[tokio::test]
async fn a_check_that_was_not_processed_is_failed() {
    let (_server, client) = asked(ok(r#"{"result": {"status": false, "value": false}, "id": 0}"#)).await;
    assert_eq!(client.check_s(&CheckRequest::serial("HA", "1")).await.unwrap(), Verdict::Failed);
}

#[tokio::test]
async fn check_t_has_the_verdict_inside_an_object() {
    for (inner, expected) in [("true", true), ("false", false)] {
        let body = format!(
            r#"{{"result": {{"status": true, "value": {{"value": {inner}, "failcount": 2}}}}, "id": 1,
            "detail": {{"value": {inner}, "failcount": 2, "token_type": "HMAC", "serial": "HA"}}}}"#
        );
        let (_server, client) = asked(ok(&body)).await;
        let verdict = client.check_t(&CheckRequest::default().answering("1")).await.unwrap();
        assert_eq!(verdict.is_accepted(), expected);
    }
}

#[tokio::test]
async fn nothing_but_a_true_verdict_is_an_acceptance() {
    for body in [
        "",
        "true",
        "{}",
        r#"{"result": {}}"#,
        r#"{"result": {"value": true}}"#,
        r#"{"result": {"status": true}}"#,
        r#"{"result": {"status": true, "value": 1}}"#,
        r#"{"result": {"status": true, "value": "true"}}"#,
        r#"{"result": {"status": false, "value": true}}"#,
        r#"{"result": {"status": true, "value": true}"#,
        ":-)",
        "<html>200</html>",
    ] {
        let outcome = check(body).await;
        assert!(!outcome.is_ok_and(|verdict| verdict.is_accepted()), "{body}");
    }
    for code in [201, 204, 302, 400, 404, 500, 503] {
        let body = if code == 204 { "" } else { r#"{"result": {"status": true, "value": true}}"# };
        let (_server, client) = asked(status(code, body)).await;
        assert!(client.check(&CheckRequest::user("a", "1")).await.is_err(), "{code}");
    }
}

#[tokio::test]
async fn the_smileys_are_read() {
    assert!(simplecheck(":-)").await.unwrap().is_accepted());
    assert_eq!(simplecheck(":-(").await.unwrap(), Verdict::Rejected { reason: None });
    assert_eq!(simplecheck(":-/").await.unwrap(), Verdict::Failed);
    let Verdict::Challenge(challenge) = simplecheck(":-( 1831 sms submitted").await.unwrap() else {
        panic!()
    };
    assert_eq!((challenge.transaction_id.as_str(), challenge.message.as_str()), ("1831", "sms submitted"));
    for body in ["", ":-", ":-))", "<html>:-)</html>", " :-)"] {
        assert!(matches!(simplecheck(body).await, Err(ClientError::BadReply { .. })), "{body:?}");
    }
}

/// The example of reference http-api 7.5.
#[tokio::test]
async fn the_state_of_a_transaction_is_read() {
    let body = r#"{"result": {"status": true, "value": true}, "id": 0, "detail": {"transactions": {"18318002572596029": {
        "received_count": 2, "received_tan": true, "valid_tan": true, "message": "...", "status": "closed",
        "accept": true, "token": {"serial": "HA", "type": "HMAC"}}}}}"#;
    let (_server, client) = asked(ok(body)).await;
    let found = client.check_status("18318002572596029", "", None).await.unwrap();
    let status = &found["18318002572596029"];
    assert!(status.is_accepted() && status.accept && !status.reject);
    assert_eq!(status.received_count, 2);
    let (_server, client) = asked(ok(r#"{"result": {"status": true, "value": false}, "id": 0}"#)).await;
    assert!(client.check_status("1", "", None).await.unwrap().is_empty());
}

#[test]
fn debug_of_a_check_shows_no_otp() {
    let request = CheckRequest::user("alice", "geheim755224").answering("1831");
    assert!(!format!("{request:?}").contains("755224"));
}
