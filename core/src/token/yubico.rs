//! `yubico`: a Yubikey checked by the validation server of Yubico, or one's own (reference tokens 8.12).

use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::{Attempt, Draft, Memory, Modes, OtpPair, Proof, TokenFault, TokenRules, Verification};
use crate::algo::hotp::keyed;
use crate::decide::Context;
use crate::decide::enroll::Init;
use crate::decision::{Refusal, Stop};
use crate::facts::{Answer, Question};
use crate::record::InfoValue;
use crate::secret::{SecretText, equal};
use crate::settings::Settings;
use crate::token_info;

/// The type.
pub(super) struct Yubico;

/// LinOTP's key of the public identity.
const TOKEN_ID: &str = "yubico.tokenid";
/// Characters of a public identity.
const ID_CHARS: usize = 12;
/// Characters of an OTP with its identity.
const OTP_CHARS: u32 = 44;
/// The servers unless `yubico.url` names others.
const URLS: [&str; 5] = [
    "https://api.yubico.com/wsapi/2.0/verify",
    "https://api2.yubico.com/wsapi/2.0/verify",
    "https://api3.yubico.com/wsapi/2.0/verify",
    "https://api4.yubico.com/wsapi/2.0/verify",
    "https://api5.yubico.com/wsapi/2.0/verify",
];

impl TokenRules for Yubico {
    fn name(&self) -> &'static str {
        "yubico"
    }

    fn stored_name(&self) -> &'static str {
        "yubico"
    }

    fn serial_prefix(&self) -> &'static str {
        "UBCM"
    }

    fn modes(&self) -> Modes {
        Modes::Both
    }

    fn enroll(&self, _: &mut Context<'_>, request: &Init, draft: &mut Draft) -> Result<(), Stop> {
        let id: String = request.yubico_id.as_deref().unwrap_or_default().chars().take(ID_CHARS).collect();
        if id.chars().count() < ID_CHARS {
            return Err(Refusal::InvalidParameter {
                name: TOKEN_ID.to_owned(),
                problem: format!("expected the {ID_CHARS} characters in front of each OTP"),
            }
            .into());
        }
        draft.token.info.insert(TOKEN_ID.into(), InfoValue::Text(id.into()));
        draft.token.digits = OTP_CHARS;
        Ok(())
    }

    /// The server is asked about OTPs of this token only.
    fn question(&self, attempt: &Attempt<'_>) -> Result<Option<Question>, TokenFault> {
        if !is_own(attempt) {
            return Ok(None);
        }
        let client_id = attempt.settings.text("yubico.id").map(str::trim).filter(|id| !id.is_empty());
        let (Some(client_id), Some(_)) = (client_id, secret(attempt)?) else {
            return Err(TokenFault::Unusable("yubico.id and yubico.secret are not configured"));
        };
        Ok(Some(Question::ValidateYubico {
            urls: urls(attempt.settings)?,
            client_id: client_id.to_owned(),
            otp: SecretText::from(attempt.otp),
        }))
    }

    fn verify(&self, attempt: &Attempt<'_>) -> Result<Verification, TokenFault> {
        let refused = Ok(Verification::Refused(Memory::Keep));
        match (attempt.answer, secret(attempt)?) {
            (Some(Answer::Yubico { nonce, body }), Some(secret)) if is_own(attempt) => {
                if is_confirmed(body, attempt.otp, nonce, &secret) {
                    Ok(Verification::Accepted(Proof::at(1)))
                } else {
                    refused
                }
            }
            (Some(Answer::Unavailable(_)), _) => {
                Err(TokenFault::Unusable("no validation server of Yubico answers"))
            }
            _ => refused,
        }
    }

    fn resync(&self, _: &Attempt<'_>, _: OtpPair<'_>) -> Result<Option<Proof>, TokenFault> {
        Err(TokenFault::Unusable("tokens of type yubico cannot be resynchronised"))
    }
}

/// Whether the OTP begins with the token's identity.
fn is_own(attempt: &Attempt<'_>) -> bool {
    token_info::text(&attempt.token.info, TOKEN_ID)
        .is_some_and(|id| id.len() >= ID_CHARS && attempt.otp.starts_with(id))
}

/// The servers to ask. The OTP must not travel to Yubico in the clear, as it did with the oldest of them.
fn urls(settings: &Settings) -> Result<Vec<String>, TokenFault> {
    let configured = settings.text("yubico.url").filter(|urls| !urls.trim().is_empty());
    let Some(configured) = configured else { return Ok(URLS.iter().map(|url| (*url).to_owned()).collect()) };
    let urls: Vec<String> =
        configured.split(',').map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect();
    if urls.iter().any(|url| url.starts_with("http://") && url.contains("yubico.com")) {
        return Err(TokenFault::Unusable("yubico.url: Yubico's servers are asked by https only"));
    }
    Ok(urls)
}

/// The key shared with the server, decoded; `None` if it is not configured.
fn secret(attempt: &Attempt<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, TokenFault> {
    let Some(text) = attempt.settings.opened("yubico.secret", attempt.keyring)? else { return Ok(None) };
    let key = BASE64.decode(text.expose().trim().as_bytes()).map(Zeroizing::new);
    key.map(Some).map_err(|_| TokenFault::Unusable("yubico.secret is not base64"))
}

/// Whether a reply says yes, to this very question, and is signed (Yubico validation protocol 2.0).
fn is_confirmed(body: &str, otp: &str, nonce: &str, secret: &[u8]) -> bool {
    let mut lines: Vec<&str> = body.lines().map(str::trim).filter(|line| line.contains('=')).collect();
    let value = |lines: &[&str], name: &str| {
        lines
            .iter()
            .find_map(|line| line.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value.to_owned())
    };
    let signature =
        value(&lines, "h").and_then(|text| BASE64.decode(text.as_bytes()).ok()).unwrap_or_default();
    lines.retain(|line| !line.starts_with("h="));
    lines.sort_unstable();
    let mac: Hmac<Sha1> = keyed(secret);
    let expected = mac.chain_update(lines.join("&")).finalize().into_bytes();
    let signed = equal(&expected, &signature);
    signed
        && value(&lines, "status").as_deref() == Some("OK")
        && value(&lines, "nonce").as_deref() == Some(nonce)
        && value(&lines, "otp").as_deref() == Some(otp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTP: &str = "vvincredibletrerdegkkrkkneieultcjdghrejjbckh";
    const NONCE: &str = "askjdnkajsndjkasndkjsnad";

    /// The signature is that of `printf 'nonce=…&otp=…&sl=25&status=OK&t=…' | openssl dgst -sha1 -hmac secret -binary |
    /// base64`.
    fn reply(status: &str, signature: &str) -> String {
        format!(
            "h={signature}\r\nt=2026-11-22T02:00:00Z0123\r\notp={OTP}\r\nnonce={NONCE}\r\nsl=25\r\nstatus={status}\r\n\r\n"
        )
    }

    #[test]
    fn only_a_signed_yes_to_the_question_counts() {
        let confirmed = |body: &str| is_confirmed(body, OTP, NONCE, b"secret");
        assert!(confirmed(&reply("OK", SIGNED_OK)));
        assert!(!confirmed(&reply("REPLAYED_OTP", SIGNED_REPLAYED)), "signed, but a no");
        assert!(!confirmed(&reply("OK", SIGNED_REPLAYED)), "changed on the way");
        assert!(!confirmed(&reply("OK", "")));
        assert!(!confirmed(&reply("OK", SIGNED_OK).replace("h=", "x=")));
        assert!(!confirmed("status=OK"));
        assert!(!confirmed(""));
        let body = reply("OK", SIGNED_OK);
        assert!(!is_confirmed(&body, OTP, "another nonce", b"secret"));
        assert!(!is_confirmed(&body, &OTP.replace('v', "c"), NONCE, b"secret"));
        assert!(!is_confirmed(&body, OTP, NONCE, b"another"));
    }

    const SIGNED_OK: &str = "wAkSCXBszAsgFYZpZY+zhhviOz4=";
    const SIGNED_REPLAYED: &str = "Bqq5TFG1M1ZvTSGws54CB7agXRA=";
}
