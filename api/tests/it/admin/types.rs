//! Enrolment and login with every token type over HTTP (reference http-api 9.2, 9.3, tokens 4.5).

use serde_json::{Value, json};

use crate::server::{OTPS, SEED, Server};

fn members(detail: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = detail.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn detail_of_an_enrolment_is_the_references() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "").await;
    let key = "9163508031b20d2fbb1868954e041729";
    let with_url = ["enrollment_url", "googleurl", "otpkey", "serial"];
    let table: [(String, &[&str]); 8] = [
        (format!("type=motp&otppin=1234&otpkey={SEED}"), &with_url),
        ("type=pw&otpkey=geheim".to_owned(), &["otpkey", "serial"]),
        ("type=spass&pin=1234".to_owned(), &["otpkey", "serial"]),
        ("type=dpw&otpkey=text".to_owned(), &["otpkey", "serial"]),
        (format!("type=yubikey&otpkey={key}"), &["otpkey", "serial"]),
        ("type=yubico&yubico.tokenid=vvincredible".to_owned(), &["serial"]),
        ("type=forward&forward.serial=H1".to_owned(), &["serial"]),
        (format!("type=ocra2&otpkey={SEED}&ocrasuite=OCRA-1:HOTP-SHA1-6:QN08"), &["otpkey", "serial"]),
    ];
    for (form, expected) in table {
        let answer = admin.post("/admin/init", &form).await;
        assert_eq!(answer.value(), true, "{form}");
        let detail = &answer.json()["detail"];
        assert_eq!(members(detail), expected, "{form}");
    }
    let pw = admin.post("/admin/init", "type=pw&otpkey=geheim").await.json();
    assert_eq!(pw["detail"]["otpkey"]["value"], "seed://geheim", "shown once");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_is_missing() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for (form, code, text) in [
        ("type=pw", 905, "otpkey"),
        ("type=dpw&genkey=1", 905, "otpkey"),
        ("type=motp&genkey=1", 905, "otppin"),
        ("type=yubikey&otpkey=00", -311, "32 hexadecimal digits"),
        ("type=yubico&yubico.tokenid=short", -311, "12 characters"),
        ("type=forward&forward.serial=nothing", -311, "no token with this serial"),
        ("type=ocra2&genkey=1&ocrasuite=OCRA-1:HOTP-MD5-6:QN08", -311, "SHA512"),
        ("type=ocra2&genkey=1&activationcode=X", 905, "serial"),
    ] {
        let (found, message, _) = admin.post("/admin/init", form).await.error();
        assert_eq!(found, code, "{form}: {message}");
        assert!(message.contains(text), "{form}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_each_type_log_in() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    let own = "user=alice&pin=pin";
    let check = async |serial: &str, pass: &str| {
        server.post("/validate/check_s", &format!("serial={serial}&pass={pass}")).await.value()
    };
    let init = async |form: &str| {
        let answer = admin.post("/admin/init", &format!("{form}&{own}")).await;
        assert_eq!(answer.value(), true, "{form}");
    };
    init("type=pw&serial=P&otpkey=geheim&onetime=1").await;
    assert_eq!(check("P", "pinfalsch").await, false);
    assert_eq!(check("P", "pingeheim").await, true);
    assert_eq!(check("P", "pingeheim").await, false, "once");
    init("type=spass&serial=S").await;
    assert_eq!((check("S", "nip").await, check("S", "pin").await), (json!(false), json!(true)));
    init("type=yubikey&serial=UBAM01382015_1&otpkey=9163508031b20d2fbb1868954e041729").await;
    let otp = "pinecebeeejedecebegfcniufvgvjturjgvinhebbbertjnihit";
    let yubikey = server.post("/validate/check_yubikey", &format!("pass={otp}")).await;
    assert_eq!(yubikey.value(), true);
    assert_eq!(yubikey.json()["detail"], json!({"user": "alice", "realm": "myrealm"}));
    assert_eq!(server.post("/validate/check_yubikey", &format!("pass={otp}")).await.value(), false);
    admin.enroll("H1", "").await;
    init("type=forward&serial=F&forward.serial=H1").await;
    assert_eq!(check("F", &format!("pin{}", OTPS[0])).await, true);
    assert_eq!(check("H1", OTPS[0]).await, false, "used up");
    assert_eq!(check("H1", OTPS[1]).await, true);
}

/// The device PIN decides about a mOTP token, and `setPin` changes it. The clock is real, hence the value is computed
/// as `printf '%s%s%s' SLOT SEED PIN | md5sum` would.
#[tokio::test(flavor = "multi_thread")]
async fn device_pin_of_motp_can_be_changed() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let form = "type=motp&serial=M&otppin=1234&otpkey=0123456789abcdef&pin=pin";
    assert_eq!(admin.post("/admin/init", form).await.value(), true);
    let answer = admin.post("/admin/setPin", "serial=M&userpin=6666").await;
    assert_eq!(answer.value(), json!({"set userpin": 1}));
    let slot = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 10;
    for (device_pin, accepted) in [(b"1234", false), (b"6666", true), (b"6666", false)] {
        let motp = tessera_core::algo::motp::Motp::new(b"0123456789abcdef", device_pin, 6).unwrap();
        let form = format!("serial=M&pass=pin{}", motp.code(slot));
        assert_eq!(server.post("/validate/check_s", &form).await.value(), accepted);
    }
}

/// Reference http-api 10.12.
#[tokio::test(flavor = "multi_thread")]
async fn lost_token_is_replaced_by_a_password() {
    let server = Server::start().await;
    let admin = server.admin().await;
    server.realm(&admin).await;
    admin.enroll("H1", "user=alice&pin=pin").await;
    let answer = admin.post("/admin/losttoken", "serial=H1").await;
    let mut value = answer.value();
    let members = value.as_object_mut().unwrap();
    let (password, end) = (members.remove("password").unwrap(), members.remove("end_date").unwrap());
    assert_eq!((password.as_str().unwrap().len(), end.as_str().unwrap().len()), (10, 14));
    assert!(end.as_str().unwrap().ends_with(" 23:59"), "{end}");
    assert_eq!(
        value,
        json!({"serial": "lostH1", "init": true, "user": 1, "pin": 1, "valid_to": "xxxx",
            "token_typ": "pw", "disable": 1})
    );
    let form = format!("user=alice&pass=pin{}", password.as_str().unwrap());
    assert_eq!(server.post("/validate/check", &form).await.value(), true);
    let (code, message, _) = admin.post("/admin/losttoken", "").await.error();
    assert_eq!(code, -311, "{message}");
}
