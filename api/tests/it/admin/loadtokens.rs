//! `/admin/loadtokens` (reference http-api 11.8, 2.6).

use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::server::{Admin, Answer, OTPS, SEED, Server};

const BOUNDARY: &str = "xyz";

/// A multipart form with parameters and, uploaded, a file.
fn form(parameters: &[(&str, &str)], file: Option<&[u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parameters {
        let part =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    if let Some(content) = file {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a<b.csv\"\r\n\
             Content-Type: text/csv\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

async fn upload(
    server: &Server,
    admin: Option<&Admin<'_>>,
    parameters: &[(&str, &str)],
    file: Option<&[u8]>,
) -> Answer {
    let mut request = Request::post("/admin/loadtokens")
        .header(CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"));
    if let Some(admin) = admin {
        request = request.header(COOKIE, admin.cookie()).header("X-CSRF-TOKEN", &admin.csrf);
    }
    server.send(request.body(Body::from(form(parameters, file))).unwrap()).await
}

async fn serials(admin: &Admin<'_>) -> Vec<String> {
    let value = admin.get("/admin/show?sortby=TokenSerialnumber").await.value();
    let rows = value["data"].as_array().unwrap();
    rows.iter().map(|row| row["LinOtp.TokenSerialnumber"].as_str().unwrap().to_owned()).collect()
}

fn oath_csv() -> String {
    format!("A1,{SEED}\nA2, {SEED}, totp, 8\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_file_is_answered_in_xml_and_its_tokens_work() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    let parameters = [("type", "oathcsv"), ("realm", "MyRealm")];
    let answer = upload(&server, Some(&admin), &parameters, Some(oath_csv().as_bytes())).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/xml"));
    let text = answer.text();
    assert!(
        text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<jsonrpc version=\"2.0\">"),
        "{text}"
    );
    assert!(text.contains("<status>True</status>"), "{text}");
    assert!(text.contains("<options><imported>2</imported></options>"), "{text}");
    assert!(text.contains("a&lt;b.csv") && !text.contains("a<b"), "the name of the file is escaped: {text}");

    let rows = admin.get("/admin/show?serial=A1").await.value();
    let row = &rows["data"][0];
    assert_eq!(row["LinOtp.TokenDesc"], "imported");
    assert_eq!(row["LinOtp.RealmNames"], json!(["myrealm"]));
    let check = format!("/validate/check_s?serial=A1&pass={}", OTPS[0]);
    assert_eq!(server.get(&check).await.value(), true);

    // Again: the counter of a token that is there already stays where it is.
    let again = upload(&server, Some(&admin), &parameters, Some(oath_csv().as_bytes())).await;
    assert!(again.text().contains("<imported>2</imported>"), "{}", again.text());
    assert_eq!(serials(&admin).await, ["A1", "A2"]);
    assert_eq!(server.get(&check).await.value(), false, "a replay after a repeated import");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_stops_everything_unless_it_may_not() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let file = format!("A1,{SEED}\nA2,{SEED},hotp,six\nA3,nothex\n");
    let answer = upload(&server, Some(&admin), &[("type", "oathcsv")], Some(file.as_bytes())).await;
    let text = answer.text();
    assert!(
        text.contains("<jsonrpc version=\"2.0802\">") && text.contains("<status>False</status>"),
        "{text}"
    );
    assert!(text.contains("<code>-311</code>"), "{text}");
    assert!(text.contains("line 2: the otp length is not a number"), "{text}");
    let file_without = format!("A1,{SEED}\nA3,nothex\n");
    let answer = upload(&server, Some(&admin), &[("type", "oathcsv")], Some(file_without.as_bytes())).await;
    assert!(answer.text().contains("line 2:") && !answer.text().contains("nothex"), "{}", answer.text());
    assert_eq!(serials(&admin).await, Vec::<String>::new());

    let parameters = [("type", "oathcsv"), ("strict", "false")];
    let text = upload(&server, Some(&admin), &parameters, Some(file.as_bytes())).await.text();
    assert!(text.contains("<imported>1</imported><failed>2</failed>"), "{text}");
    assert_eq!(serials(&admin).await, ["A1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_and_a_report_has_a_line_for_each_batch() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let parameters = [("type", "oathcsv"), ("dryrun", "true"), ("report", "lines"), ("strict", "false")];
    let file = format!("{}A3,nothex\nA4\n", oath_csv());
    let answer = upload(&server, Some(&admin), &parameters, Some(file.as_bytes())).await;
    assert_eq!(answer.headers[CONTENT_TYPE], "application/x-ndjson");
    let text = answer.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["total"], 3);
    assert_eq!(lines[0]["skipped"], json!([{"line": 4, "reason": "no key"}]));
    let outcomes: Vec<&Value> =
        lines[1]["rows"].as_array().unwrap().iter().map(|row| &row["outcome"]).collect();
    assert_eq!(outcomes, ["created", "created", "failed"]);
    assert_eq!(lines.last().unwrap(), &json!({"done": true}));
    assert_eq!(serials(&admin).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_field_is_answered_in_json() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let file = format!("A1%2C{SEED}");
    let answer = admin.post("/admin/loadtokens", &format!("type=oathcsv&file={file}")).await;
    assert_eq!(answer.json()["detail"]["imported"], 1, "{}", answer.text());
    assert_eq!(serials(&admin).await, ["A1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_in_the_references_form() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let file = oath_csv();
    // Missing parameters: JSON, whatever was uploaded.
    for (parameters, file) in [
        (&[("type", "oathcsv")][..], None),
        (&[][..], Some(file.as_bytes())),
        (&[("type", "pskc"), ("pskc_type", "plain"), ("pskc_password", "")][..], Some(file.as_bytes())),
    ] {
        let (code, message, _) = upload(&server, Some(&admin), parameters, file).await.error();
        assert_eq!(code, -311, "{message}");
    }
    // The rest: XML.
    for (parameters, file, expected) in [
        (&[("type", "vasco")][..], file.as_bytes(), "Unknown file type: vasco"),
        (&[("type", "oathcsv")][..], b"", "Error loading tokens. File or Type empty!"),
        (&[("type", "oathcsv")][..], b"A1,\xff\xfe", "UTF-8"),
        (
            &[("type", "pskc"), ("pskc_type", "x"), ("pskc_password", ""), ("pskc_preshared", "")][..],
            b"<a/>",
            "plain, key",
        ),
        (&[("type", "aladdin-xml")][..], b"<a/>", "No toplevel element Tokens"),
        (
            &[("type", "oathcsv"), ("realm", "nowhere")][..],
            file.as_bytes(),
            "target realm could not be assigned",
        ),
    ] {
        let text = upload(&server, Some(&admin), parameters, Some(file)).await.text();
        assert!(text.contains("<status>False</status>") && text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(serials(&admin).await, Vec::<String>::new());
}

/// More than an ordinary request may have, for administrators only.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_needs_a_session() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let file = "#\n".repeat(1_000_000);
    let parameters = [("type", "oathcsv")];
    let answer = upload(&server, Some(&admin), &parameters, Some(file.as_bytes())).await;
    assert!(answer.text().contains("<imported>0</imported>"), "{}", answer.text());
    let answer = upload(&server, None, &parameters, Some(file.as_bytes())).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let answer = upload(&server, None, &parameters, Some(b"A1,3132")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
