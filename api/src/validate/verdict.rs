//! The reply to a check: the verdict, and the details beside it.

use std::collections::BTreeMap;

use serde::Serialize;
use tessera_core::decide::validate::{Attribute, ChallengeReply, ChallengedToken, Verdict};

use super::detail;
use crate::params::Params;
use crate::reply::{self, Ending, Members, NO_DETAIL, QrForm, Reply, image_tag, qr_reply};

/// The message over several challenges (reference http-api 2.8).
pub(super) const SEVERAL: &str = "Multiple challenges submitted.";

/// A challenged token as clients know it (reference http-api 7.1).
#[derive(Serialize)]
struct Challenge<'a> {
    transactionid: &'a str,
    message: &'a str,
    linotp_tokenserial: &'a str,
    linotp_tokentype: &'a str,
    linotp_tokendescription: &'a str,
    #[serde(flatten)]
    attributes: Members<Member<'a>>,
}

/// What a type tells besides.
#[derive(Serialize)]
#[serde(untagged)]
enum Member<'a> {
    Text(&'a str),
    Code { value: &'a str, img: String },
}

/// Width of the image beside a URL, in pixels.
const URL_WIDTH: u32 = 250;

impl<'a> From<&'a Attribute> for Member<'a> {
    fn from(attribute: &'a Attribute) -> Self {
        match attribute {
            Attribute::Text(text) => Self::Text(text),
            Attribute::Code(url) => Self::Code { value: url, img: image_tag(url, Some(URL_WIDTH), None) },
        }
    }
}

impl<'a> From<&'a ChallengedToken> for Challenge<'a> {
    fn from(token: &'a ChallengedToken) -> Self {
        Self {
            transactionid: token.transaction_id.as_str(),
            message: &token.message,
            linotp_tokenserial: token.serial.as_str(),
            linotp_tokentype: token.token_type,
            linotp_tokendescription: &token.description,
            attributes: Members(
                token.attributes.iter().map(|(name, shown)| (name.clone(), shown.into())).collect(),
            ),
        }
    }
}

#[derive(Serialize)]
struct Challenges<'a> {
    challenges: BTreeMap<&'a str, Challenge<'a>>,
    transactionid: &'a str,
    message: &'static str,
}

#[derive(Serialize)]
struct AuthInfo<'a> {
    auth_info: &'a [(String, u32)],
}

/// Transaction and prompt of a challenge reply.
pub(super) fn prompt(challenge: &ChallengeReply) -> (&str, &str) {
    match challenge {
        ChallengeReply::One(token) => (token.transaction_id.as_str(), &token.message),
        ChallengeReply::Several { transaction_id, .. } => (transaction_id.as_str(), SEVERAL),
    }
}

/// The wish to get a challenge as QR code (reference http-api 2.7).
pub(super) struct QrWish {
    form: QrForm,
    width: Option<u32>,
    alt: Option<String>,
}

impl QrWish {
    /// Reads `qr`, `width` and `alt`; an empty `qr` is none.
    pub(super) fn read(params: &Params) -> Option<Self> {
        let form = QrForm::parse(params.filled("qr")?);
        Some(Self { form, width: params.number("width").unwrap_or(None), alt: params.owned("alt") })
    }

    fn reply(&self, challenge: &ChallengeReply) -> Option<Reply> {
        let (transaction, message) = prompt(challenge);
        if message.is_empty() {
            return None;
        }
        let mut details = vec![
            ("transactionid".to_owned(), transaction.to_owned()),
            ("message".to_owned(), message.to_owned()),
        ];
        if let ChallengeReply::One(token) = challenge {
            details.push(("linotp_tokenserial".to_owned(), token.serial.to_string()));
            details.push(("linotp_tokentype".to_owned(), token.token_type.to_owned()));
            details.push(("linotp_tokendescription".to_owned(), token.description.clone()));
        }
        let alt = self.alt.as_deref().or(Some(message));
        Some(qr_reply(self.form, message, self.width, alt, &details))
    }
}

/// The answer no, without a reason.
pub(super) fn no() -> Reply {
    reply::success(false, 0, NO_DETAIL).ending(Ending::Rejected)
}

/// The JSON (or QR) reply to a verdict.
pub(super) fn render(verdict: &Verdict, qr: Option<&QrWish>) -> Reply {
    let ending = if verdict.accepted { Ending::Ok } else { Ending::Rejected };
    let accepted = verdict.accepted;
    match (&verdict.challenge, &verdict.auth_info) {
        (Some(challenge), _) => qr
            .and_then(|qr| qr.reply(challenge))
            .unwrap_or_else(|| challenged(accepted, challenge))
            .ending(ending),
        (None, _) if verdict.detail.is_some() => {
            reply::success(accepted, 0, detail::members(verdict)).ending(ending)
        }
        (None, Some(auth_info)) => reply::success(accepted, 0, Some(AuthInfo { auth_info })).ending(ending),
        (None, None) => reply::success(accepted, 0, NO_DETAIL).ending(ending),
    }
}

fn challenged(accepted: bool, challenge: &ChallengeReply) -> Reply {
    match challenge {
        ChallengeReply::One(token) => reply::success(accepted, 0, Some(Challenge::from(token))),
        ChallengeReply::Several { transaction_id, challenges } => {
            let challenges = challenges.iter().map(|token| (token.serial.as_str(), token.into())).collect();
            let detail = Challenges { challenges, transactionid: transaction_id.as_str(), message: SEVERAL };
            reply::success(accepted, 0, Some(detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tessera_core::user::{Serial, TransactionId};

    use super::*;
    use crate::params::{BodyKind, decode};

    fn token(serial: &str, transaction: &str) -> ChallengedToken {
        ChallengedToken {
            transaction_id: TransactionId::from(transaction),
            message: "Please enter your otp value: ".to_owned(),
            serial: Serial::from(serial),
            token_type: "HMAC",
            description: String::new(),
            attributes: Vec::new(),
        }
    }

    fn json_of(verdict: &Verdict) -> Value {
        serde_json::from_slice(&render(verdict, None).body).unwrap()
    }

    #[test]
    fn plain_verdicts_have_no_detail() {
        for accepted in [true, false] {
            let value = json_of(&Verdict { accepted, ..Verdict::default() });
            assert_eq!(value["result"], json!({"status": true, "value": accepted}));
            assert_eq!((&value["id"], value.get("detail")), (&json!(0), None));
        }
    }

    #[test]
    fn auth_info_is_a_list_of_pairs() {
        let auth_info = Some(vec![("pin_length".to_owned(), 3), ("otp_length".to_owned(), 6)]);
        let value = json_of(&Verdict { accepted: true, auth_info, ..Verdict::default() });
        assert_eq!(value["detail"], json!({"auth_info": [["pin_length", 3], ["otp_length", 6]]}));
    }

    #[test]
    fn challenge_objects_are_the_references() {
        let challenge = Some(ChallengeReply::One(token("HA", "18318002572596029")));
        let value = json_of(&Verdict { challenge, ..Verdict::default() });
        assert_eq!(
            value["detail"],
            json!({"transactionid": "18318002572596029", "message": "Please enter your otp value: ",
                "linotp_tokenserial": "HA", "linotp_tokentype": "HMAC", "linotp_tokendescription": ""})
        );
        let attributes = vec![
            ("request".to_owned(), Attribute::Text("10 EUR".to_owned())),
            ("ocraurl".to_owned(), Attribute::Code("lseqr://req?tr=1".to_owned())),
        ];
        let ocra2 = ChallengedToken { attributes, ..token("O", "1") };
        let challenge = Some(ChallengeReply::One(ocra2));
        let value = json_of(&Verdict { challenge, ..Verdict::default() });
        assert_eq!(value["detail"]["request"], "10 EUR");
        let img = image_tag("lseqr://req?tr=1", Some(250), None);
        assert_eq!(value["detail"]["ocraurl"], json!({"value": "lseqr://req?tr=1", "img": img}));
        let challenges = vec![token("HB", "72357964811218.01"), token("HA", "72357964811218.02")];
        let transaction_id = TransactionId::from("72357964811218");
        let challenge = Some(ChallengeReply::Several { transaction_id, challenges });
        let value = json_of(&Verdict { challenge, ..Verdict::default() });
        assert_eq!(value["detail"]["transactionid"], "72357964811218");
        assert_eq!(value["detail"]["message"], "Multiple challenges submitted.");
        assert_eq!(value["detail"]["challenges"]["HB"]["transactionid"], "72357964811218.01");
        assert_eq!(value["detail"]["challenges"]["HA"]["linotp_tokenserial"], "HA");
    }

    #[test]
    fn qr_form_needs_a_value_and_a_challenge() {
        let params = |query: &str| decode(Some(query), BodyKind::None, b"").unwrap();
        assert!(QrWish::read(&params("qr=")).is_none());
        let wish = QrWish::read(&params("qr=img&width=99")).unwrap();
        let plain = render(&Verdict::default(), Some(&wish));
        assert!(plain.body.starts_with(b"{"));
        let challenge = Some(ChallengeReply::One(token("HA", "1")));
        let image = render(&Verdict { challenge, ..Verdict::default() }, Some(&wish));
        let text = std::str::from_utf8(&image.body).unwrap();
        assert!(
            text.starts_with(
                "<img id=\"challenge_qrcode\" alt=\"Please enter your otp value: \" width=99 src="
            )
        );
    }
}
