//! `POST /admin/init`: enrolment (reference http-api 9).

use serde::Serialize;
use tessera_core::decide::callback::CallbackWish;
use tessera_core::decide::enroll::{Enrolled, Init, OcraParams, SeedSource, Shown};
use tessera_core::decision::Refusal;
use tessera_core::secret::SecretText;

use crate::call::Call;
use crate::error::Failure;
use crate::params::{Params, invalid};
use crate::reply::{self, Members, QrForm, Reply, image_tag, qr_reply, svg_uri};

/// Widths of the images beside seed and URL, in pixels.
const SEED_WIDTH: u32 = 200;
const URL_WIDTH: u32 = 250;

#[derive(Serialize)]
struct Displayed {
    order: &'static str,
    description: &'static str,
    value: String,
    img: String,
    /// The same code as data URI of an SVG, which the original does not have.
    svg: String,
}

#[derive(Serialize)]
struct Detail<'a> {
    serial: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    otpkey: Option<Displayed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrollment_url: Option<&'a Displayed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    googleurl: Option<&'a Displayed>,
    #[serde(flatten)]
    of_type: Members<Member<'a>>,
}

/// What a single token type tells.
#[derive(Serialize)]
#[serde(untagged)]
enum Member<'a> {
    Text(&'a str),
    Code(Displayed),
}

pub(crate) async fn init(mut call: Call) -> Result<Reply, Failure> {
    let request = read(&mut call)?;
    // An empty `qr` counts here as well.
    let qr = call.params.text("qr").map(QrForm::parse);
    let width = call.params.number("width")?;
    let alt = call.params.owned("alt");
    let enrolled = call.run(request).await?;
    Ok(match (qr, url_of(&enrolled)) {
        (Some(form), Some(url)) => {
            let details = [("serial".to_owned(), enrolled.serial.to_string())];
            qr_reply(form, url.expose(), width, alt.as_deref(), &details)
        }
        _ => json(&enrolled),
    })
}

fn json(enrolled: &Enrolled) -> Reply {
    let url = enrolled.otpauth_url.as_ref().map(|url| code("OTPAuth Url", url));
    let detail = Detail {
        serial: enrolled.serial.as_str(),
        otpkey: enrolled.seed_text.as_ref().map(seed),
        enrollment_url: url.as_ref(),
        googleurl: url.as_ref(),
        of_type: Members(
            enrolled.detail.iter().map(|(name, shown)| ((*name).to_owned(), member(shown))).collect(),
        ),
    };
    reply::success(true, 1, Some(detail))
}

fn member(shown: &Shown) -> Member<'_> {
    match shown {
        Shown::Text(text) => Member::Text(text.expose()),
        // Only roll-outs of `ocra2` show one.
        Shown::Code(url) => Member::Code(code("URL for OCRA2 token", url)),
    }
}

/// A URL with its QR code.
fn code(description: &'static str, url: &SecretText) -> Displayed {
    let img = image_tag(url.expose(), Some(URL_WIDTH), None);
    Displayed { order: "0", description, value: url.expose().to_owned(), img, svg: svg_uri(url.expose()) }
}

/// What the `qr` reply form encodes.
fn url_of(enrolled: &Enrolled) -> Option<&SecretText> {
    let code = enrolled.detail.iter().find_map(|(_, shown)| match shown {
        Shown::Code(url) => Some(url),
        Shown::Text(_) => None,
    });
    enrolled.otpauth_url.as_ref().or(code)
}

/// The seed; its image encodes it without the `seed://`.
fn seed(text: &SecretText) -> Displayed {
    let bare = text.expose().strip_prefix("seed://").unwrap_or(text.expose());
    Displayed {
        order: "1",
        description: "OTP seed",
        value: format!("seed://{bare}"),
        img: image_tag(bare, Some(SEED_WIDTH), None),
        svg: svg_uri(bare),
    }
}

fn read(call: &mut Call) -> Result<Init, Refusal> {
    let user = call.user();
    let given = call.params.take_secret("otpkey").filter(|seed| !seed.expose().is_empty());
    let pin = call.params.take_secret("pin");
    let device_pin = call.params.take_secret("otppin").or_else(|| call.params.take_secret("ocrapin"));
    let activation_code = call.params.take_secret("activationcode").filter(|code| !code.expose().is_empty());
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
        once: params.has("onetime"),
        device_pin,
        public_uid: params.owned("public_uid"),
        ocra: OcraParams {
            suite: params.owned("ocrasuite"),
            shared_secret: params.has("sharedsecret"),
            activation_code,
            message: params.owned("message"),
            callback: CallbackWish {
                suppressed: params.has("no_callback"),
                id: params.owned("callback.id"),
                user: params.owned("callback.user"),
                password: params.owned("callback.password").map(SecretText::new),
            },
        },
        forward_serial: params.owned("forward.serial"),
        yubico_id: params.owned("yubico.tokenid"),
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
            detail: Vec::new(),
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
        assert!(detail["googleurl"]["svg"].as_str().unwrap().starts_with("data:image/svg+xml;base64,"));
    }

    #[test]
    fn a_token_without_seed_shows_its_serial_only() {
        let value = body(&Enrolled {
            serial: Serial::from("S"),
            seed_text: None,
            otpauth_url: None,
            detail: Vec::new(),
        });
        assert_eq!(value["detail"], serde_json::json!({"serial": "S"}));
    }

    /// Reference tokens 4.5, 10.2.
    #[test]
    fn roll_out_shows_texts_and_a_code() {
        let url = "lseqr://init?sh=00&os=OCRA-1%3AHOTP-SHA256-6%3AC-QA64&se=S";
        let value = body(&Enrolled {
            serial: Serial::from("S"),
            seed_text: None,
            otpauth_url: None,
            detail: vec![("sharedsecret", Shown::Text("00".into())), ("ocraurl", Shown::Code(url.into()))],
        });
        assert_eq!(
            value["detail"],
            serde_json::json!({"serial": "S", "sharedsecret": "00", "ocraurl": {
                "order": "0", "description": "URL for OCRA2 token", "value": url,
                "img": image_tag(url, Some(250), None), "svg": svg_uri(url)}})
        );
    }

    #[test]
    fn genkey_is_0_or_1() {
        let wish = |query: &str| generate(&decode(Some(query), BodyKind::None, b"").unwrap());
        assert_eq!((wish(""), wish("genkey=0"), wish("genkey=1")), (Ok(false), Ok(false), Ok(true)));
        assert!(wish("genkey=2").is_err() && wish("genkey=true").is_err());
    }
}
