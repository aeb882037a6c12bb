//! `POST /admin/init`: enrolment (reference http-api 9).

use serde::Serialize;
use tessera_core::decide::enroll::{Enrolled, Init, SeedSource};
use tessera_core::decision::Refusal;
use tessera_core::secret::SecretText;

use crate::call::Call;
use crate::error::Failure;
use crate::params::{Params, invalid};
use crate::reply::{self, QrForm, Reply, image_tag, qr_reply};

/// Widths of the images beside seed and URL, in pixels.
const SEED_WIDTH: u32 = 200;
const URL_WIDTH: u32 = 250;

#[derive(Serialize)]
struct Shown {
    order: &'static str,
    description: &'static str,
    value: String,
    img: String,
}

#[derive(Serialize)]
struct Detail<'a> {
    serial: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    otpkey: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrollment_url: Option<&'a Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    googleurl: Option<&'a Shown>,
}

pub(crate) async fn init(mut call: Call) -> Result<Reply, Failure> {
    let request = read(&mut call)?;
    // An empty `qr` counts here as well.
    let qr = call.params.text("qr").map(QrForm::parse);
    let width = call.params.number("width")?;
    let alt = call.params.owned("alt");
    let enrolled = call.run(request).await?;
    Ok(match (qr, &enrolled.otpauth_url) {
        (Some(form), Some(url)) => {
            let details = [("serial".to_owned(), enrolled.serial.to_string())];
            qr_reply(form, url.expose(), width, alt.as_deref(), &details)
        }
        _ => json(&enrolled),
    })
}

fn json(enrolled: &Enrolled) -> Reply {
    let url = enrolled.otpauth_url.as_ref().map(|url| Shown {
        order: "0",
        description: "OTPAuth Url",
        value: url.expose().to_owned(),
        img: image_tag(url.expose(), Some(URL_WIDTH), None),
    });
    let detail = Detail {
        serial: enrolled.serial.as_str(),
        otpkey: enrolled.seed_text.as_ref().map(seed),
        enrollment_url: url.as_ref(),
        googleurl: url.as_ref(),
    };
    reply::success(true, 1, Some(detail))
}

/// The seed; its image encodes it without the `seed://`.
fn seed(text: &SecretText) -> Shown {
    let bare = text.expose().strip_prefix("seed://").unwrap_or(text.expose());
    Shown {
        order: "1",
        description: "OTP seed",
        value: format!("seed://{bare}"),
        img: image_tag(bare, Some(SEED_WIDTH), None),
    }
}

fn read(call: &mut Call) -> Result<Init, Refusal> {
    let user = call.user();
    let given = call.params.take_secret("otpkey").filter(|seed| !seed.expose().is_empty());
    let pin = call.params.take_secret("pin");
    let params = &call.params;
    Ok(Init {
        token_type: params.owned("type"),
        serial: params.owned("serial"),
        prefix: params.owned("prefix"),
        seed: SeedSource { given, generate: generate(params)? },
        otplen: params.number("otplen")?,
        hashlib: params.owned("hashlib"),
        pin,
        encrypt_pin: params.is_set("encryptpin"),
        user,
        description: params.text("description").map(str::to_owned),
        enable: params.flag("enable")?,
        scope: params.owned("scope"),
        rollout: params.has("rollout"),
        time_step: params.number("timeStep")?,
        time_window: params.number("timeWindow")?,
        time_shift: params.number("timeShift")?,
    })
}

fn generate(params: &Params) -> Result<bool, Refusal> {
    match params.filled("genkey").map(str::trim) {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(invalid("genkey", "it can be 0 or 1")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tessera_core::user::Serial;

    use super::*;
    use crate::params::{BodyKind, decode};

    fn body(enrolled: &Enrolled) -> Value {
        serde_json::from_slice(&json(enrolled).body).unwrap()
    }

    #[test]
    fn seed_and_url_are_shown_with_images() {
        let url = "otpauth://hotp/LinOTP:A1?secret=GEZDGNBVGY3TQOJQ&counter=0&issuer=LinOTP";
        let value = body(&Enrolled {
            serial: Serial::from("A1"),
            seed_text: Some("seed://3132".into()),
            otpauth_url: Some(url.into()),
        });
        assert_eq!((&value["id"], &value["result"]["value"]), (&Value::from(1), &Value::from(true)));
        let detail = &value["detail"];
        assert_eq!(detail["serial"], "A1");
        assert_eq!(detail["otpkey"]["value"], "seed://3132");
        assert_eq!((&detail["otpkey"]["order"], &detail["googleurl"]["order"]), (&"1".into(), &"0".into()));
        assert_eq!(detail["otpkey"]["description"], "OTP seed");
        assert_eq!(detail["googleurl"]["description"], "OTPAuth Url");
        assert_eq!(detail["googleurl"]["value"], url);
        assert_eq!(detail["googleurl"], detail["enrollment_url"]);
        let img = |key: &str| detail[key]["img"].as_str().unwrap().to_owned();
        assert!(
            img("otpkey").starts_with("<img id=\"challenge_qrcode\" width=200 src=\"data:image/png;base64,")
        );
        assert!(img("googleurl").starts_with("<img id=\"challenge_qrcode\" width=250 src="));
        assert_eq!(img("otpkey"), image_tag("3132", Some(200), None));
    }

    #[test]
    fn a_token_without_seed_shows_its_serial_only() {
        let value = body(&Enrolled { serial: Serial::from("S"), seed_text: None, otpauth_url: None });
        assert_eq!(value["detail"], serde_json::json!({"serial": "S"}));
    }

    #[test]
    fn genkey_is_0_or_1() {
        let wish = |query: &str| generate(&decode(Some(query), BodyKind::None, b"").unwrap());
        assert_eq!((wish(""), wish("genkey=0"), wish("genkey=1")), (Ok(false), Ok(false), Ok(true)));
        assert!(wish("genkey=2").is_err() && wish("genkey=true").is_err());
    }
}
