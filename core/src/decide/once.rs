//! Checks that a client may send again without knowing what became of the first attempt: `Idempotency-Key`.
//!
//! A node that dies between commit and reply leaves its client without an answer; asked again, another node would refuse
//! the OTP as a replay. So the answer is a record of the same transaction that advances the counter (DESIGN section 2),
//! and the repeated request gets it back. It is given only to the same client address for the same request, password
//! included, and only for [`KEPT_SECONDS`].

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::user::UserParams;
use super::validate::{Attribute, ChallengeReply, ChallengedToken, Check, CheckSerial, Verdict};
use super::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::record::{ChallengeAttributeV1, ChallengedV1, Key, Record, ReplyV1, TokenType};
use crate::secret::SecretText;

/// How long an answer is kept: longer than clients retry, and no longer, because whoever has seen the request could ask
/// for its answer as well.
pub const KEPT_SECONDS: u32 = 60;

/// A check, and the key under which its answer is kept, if the client gave one.
#[derive(Clone, Debug, Default)]
pub struct Once<R> {
    /// The client's key: short text, chosen at random by it.
    pub key: Option<String>,
    /// The check.
    pub request: R,
}

/// A request with an exact text form.
pub trait Fingerprint {
    /// All that the answer depends on, secrets included, unambiguously.
    fn fingerprint(&self) -> SecretText;
}

impl Fingerprint for Check {
    fn fingerprint(&self) -> SecretText {
        text_of(
            &self.user,
            [
                Some("check"),
                self.serial.as_deref(),
                self.token_type.as_deref(),
                self.transaction_id.as_deref(),
                self.pass.as_ref().map(SecretText::expose),
                self.auth_info.then_some("auth_info"),
            ],
            &self.options,
        )
    }
}

impl Fingerprint for CheckSerial {
    fn fingerprint(&self) -> SecretText {
        text_of(
            &self.user,
            [
                Some("check_s"),
                self.serial.as_deref(),
                self.token_type.as_deref(),
                self.transaction_id.as_deref(),
                self.pass.as_ref().map(SecretText::expose),
                self.auth_info.then_some("auth_info"),
            ],
            &self.options,
        )
    }
}

/// Every part with its length before it, so that no two lists of parts have the same text.
fn text_of(
    user: &UserParams,
    parts: [Option<&str>; 6],
    options: &std::collections::BTreeMap<String, String>,
) -> SecretText {
    let user = [Some(user.user.as_str()), user.realm.as_deref(), user.res_conf.as_deref()];
    let options = options.iter().flat_map(|(name, value)| [Some(name.as_str()), Some(value.as_str())]);
    let mut text = String::new();
    for part in user.into_iter().chain(parts).chain(options) {
        match part {
            Some(part) => {
                text.push_str(&part.len().to_string());
                text.push(':');
                text.push_str(part);
            }
            None => text.push('-'),
        }
    }
    SecretText::new(text)
}

impl<R: Request<Reply = Verdict> + Fingerprint> Request for Once<R> {
    type Reply = Verdict;

    const AUDITED: bool = R::AUDITED;
    const LISTS: bool = R::LISTS;

    fn lane(&self) -> Option<String> {
        self.request.lane()
    }

    fn decide(&self, cx: &mut Context<'_>) -> Result<Verdict, Stop> {
        let Some(key) = &self.key else { return self.request.decide(cx) };
        let key = place(&cx.facts.caller.client, key);
        let request = self.request.fingerprint();
        if let Some(Record::Reply(known)) = cx.view.get(&key)
            && known.expires_at > cx.facts.now
        {
            if !cx.facts.keyring.verify_pin(&known.request, request.expose())? {
                return Err(Refusal::KeyReused(KEPT_SECONDS).into());
            }
            cx.audit.success = known.accepted;
            cx.note("repeated request, answered as before");
            return Ok(recall(&known));
        }
        let verdict = self.request.decide(cx)?;
        let salt = cx.random.bytes();
        let request = cx.facts.keyring.hash_pin(request.expose(), salt)?;
        let expires_at = cx.facts.now.plus_seconds(u64::from(KEPT_SECONDS));
        if let Some(reply) = remember(&verdict, request, expires_at) {
            cx.view.put(key, Record::Reply(Arc::new(reply)));
        }
        Ok(verdict)
    }
}

/// Where an answer is kept. Clients cannot get at, or get in the way of, each other's.
fn place(client: &str, key: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update(client.as_bytes());
    hash.update([0]);
    hash.update(key.as_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Key::Reply(hex.into())
}

fn remember(
    verdict: &Verdict,
    request: crate::secret::PinHash,
    expires_at: crate::time::UnixMillis,
) -> Option<ReplyV1> {
    let (root, challenged) = match &verdict.challenge {
        None => (None, &[][..]),
        Some(ChallengeReply::One(token)) => (None, std::slice::from_ref(token)),
        Some(ChallengeReply::Several { transaction_id, challenges }) => {
            (Some(transaction_id.clone()), challenges.as_slice())
        }
    };
    let challenges: Option<Vec<ChallengedV1>> = challenged
        .iter()
        .map(|token| {
            Some(ChallengedV1 {
                transaction_id: token.transaction_id.clone(),
                message: token.message.as_str().into(),
                serial: token.serial.clone(),
                token_type: TokenType::find(token.token_type)?,
                description: token.description.as_str().into(),
                attributes: token.attributes.iter().map(kept).collect(),
            })
        })
        .collect();
    let auth_info = verdict.auth_info.as_ref();
    Some(ReplyV1 {
        request,
        expires_at,
        accepted: verdict.accepted,
        auth_info: auth_info
            .map(|all| all.iter().map(|(name, length)| (name.as_str().into(), *length)).collect()),
        root,
        challenges: challenges?,
        detail: match &verdict.detail {
            Some(detail) => Some(serde_json::to_string(detail).ok()?.into()),
            None => None,
        },
    })
}

fn kept((name, attribute): &(String, Attribute)) -> (Box<str>, ChallengeAttributeV1) {
    let attribute = match attribute {
        Attribute::Text(text) => ChallengeAttributeV1::Text(text.as_str().into()),
        Attribute::Code(text) => ChallengeAttributeV1::Code(text.as_str().into()),
    };
    (name.as_str().into(), attribute)
}

fn told((name, attribute): &(Box<str>, ChallengeAttributeV1)) -> (String, Attribute) {
    let attribute = match attribute {
        ChallengeAttributeV1::Text(text) => Attribute::Text(text.to_string()),
        ChallengeAttributeV1::Code(text) => Attribute::Code(text.to_string()),
    };
    (name.to_string(), attribute)
}

fn recall(known: &ReplyV1) -> Verdict {
    let mut challenges = known.challenges.iter().map(|token| ChallengedToken {
        transaction_id: token.transaction_id.clone(),
        message: token.message.to_string(),
        serial: token.serial.clone(),
        token_type: token.token_type.stored_name(),
        description: token.description.to_string(),
        attributes: token.attributes.iter().map(told).collect(),
    });
    let challenge = match &known.root {
        Some(root) => {
            Some(ChallengeReply::Several { transaction_id: root.clone(), challenges: challenges.collect() })
        }
        None => challenges.next().map(ChallengeReply::One),
    };
    let auth_info = known.auth_info.as_ref();
    Verdict {
        accepted: known.accepted,
        auth_info: auth_info
            .map(|all| all.iter().map(|(name, length)| (name.to_string(), *length)).collect()),
        challenge,
        detail: known.detail.as_deref().and_then(|text| serde_json::from_str(text).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::authorize::LoginDetail;
    use crate::user::{Serial, TransactionId};

    fn check(user: &str, pass: Option<&str>, serial: Option<&str>) -> Check {
        Check {
            user: UserParams { user: user.to_owned(), ..UserParams::default() },
            pass: pass.map(SecretText::from),
            serial: serial.map(str::to_owned),
            ..Check::default()
        }
    }

    #[test]
    fn requests_that_differ_have_different_texts() {
        let mut texts: Vec<String> = [
            check("alice", Some("1"), None),
            check("alice1", Some(""), None),
            check("alice", None, Some("1")),
            check("alice", None, None),
            check("alice", Some(""), None),
            check("", Some("alice"), Some("1")),
            Check { auth_info: true, ..check("alice", Some("1"), None) },
            Check { transaction_id: Some("1".to_owned()), ..check("alice", None, None) },
        ]
        .iter()
        .map(|check| check.fingerprint().expose().to_owned())
        .collect();
        let serial = CheckSerial { pass: Some("1".into()), ..CheckSerial::default() };
        texts.push(serial.fingerprint().expose().to_owned());
        texts.push(check("", Some("1"), None).fingerprint().expose().to_owned());
        let count = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), count);
    }

    #[test]
    fn challenges_come_back_as_they_were() {
        let token = |id: &str| ChallengedToken {
            transaction_id: TransactionId::from(id),
            message: "Please enter your otp value: ".to_owned(),
            serial: Serial::from("HA"),
            token_type: "HMAC",
            description: "blue".to_owned(),
            attributes: vec![
                ("request".to_owned(), Attribute::Text("10 EUR".to_owned())),
                ("ocraurl".to_owned(), Attribute::Code("lseqr://req".to_owned())),
            ],
        };
        let several = ChallengeReply::Several {
            transaction_id: TransactionId::from("12"),
            challenges: vec![token("12.01"), token("12.02")],
        };
        let auth_info = Some(vec![("pin_length".to_owned(), 4), ("otp_length".to_owned(), 6)]);
        for challenge in [None, Some(ChallengeReply::One(token("12"))), Some(several)] {
            let detail = Some(LoginDetail::Failure("wrong otp value".to_owned()));
            let verdict = Verdict { accepted: false, auth_info: auth_info.clone(), challenge, detail };
            let hash = crate::secret::PinHash { key: crate::secret::KeyId(1), salt: [0; 16], mac: [0; 32] };
            let kept = remember(&verdict, hash, crate::time::UnixMillis(1)).unwrap();
            assert_eq!(recall(&kept), verdict);
        }
    }
}
