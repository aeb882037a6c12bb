//! The two-phase roll-out of an app: a shared secret first, then a key derived from it and an activation code that
//! travels another way, and at last the answer to a challenge (reference tokens 10.2).

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use zeroize::Zeroizing;

use super::{SEED_BYTES, form_url, question, signature, stored_question};
use crate::algo::ocra::Suite;
use crate::algo::pbkdf2;
use crate::decide::Context;
use crate::decide::callback;
use crate::decide::challenge;
use crate::decide::enroll::{Init, Shown};
use crate::decide::user::{identify, tokens_of};
use crate::decision::{Refusal, Stop};
use crate::policy::catalogue::authentication::{QRTANURL, QRTANURL_INIT};
use crate::record::{InfoValue, TokenInfo, TokenType, TokenV1};
use crate::secret::{Purpose, Sealed, SecretText};
use crate::seed;
use crate::settings::Settings;
use crate::token::{Draft, Posed};
use crate::token_info;
use crate::user::Serial;

/// LinOTP's key: how far the roll-out is.
const ROLLOUT: &str = "rollout";
/// LinOTP's key: the secret of the first phase, sealed.
pub(crate) const SHARED_SECRET: &str = "sharedSecret";
/// LinOTP's key: the nonce of the second phase.
const NONCE: &str = "nonce";

const NONCE_BYTES: usize = 64;
/// The last part of the nonce is the salt of the key derivation.
const SALT_BYTES: usize = 8;
const ITERATIONS: u32 = 10_000;
/// Whatever the suite's hash: the apps expect it so.
const KEY_BYTES: usize = 32;

/// Whether only the first phase is done: no answer is right then.
pub(super) fn is_unfinished(info: &TokenInfo) -> bool {
    token_info::text(info, ROLLOUT) == Some("1")
}

/// Removes what the roll-out left behind.
pub(super) fn forget(info: &mut TokenInfo) {
    for key in [ROLLOUT, SHARED_SECRET, NONCE] {
        info.remove(key);
    }
}

/// Phase 2: a right answer ends the roll-out.
pub(super) fn finish(token: &TokenV1) -> Option<TokenV1> {
    if !token.info.contains_key(ROLLOUT) {
        return None;
    }
    let mut token = token.clone();
    forget(&mut token.info);
    Some(token)
}

/// Phase 2: after too many wrong answers the activation has to be repeated.
pub(super) fn fall_back(token: &TokenV1, settings: &Settings, wrong_answers: u32) -> Option<TokenV1> {
    let rolling_out = token_info::text(&token.info, ROLLOUT) == Some("2");
    if !rolling_out || wrong_answers < settings.number("OcraMaxChallengeRequests", 3) {
        return None;
    }
    let mut token = token.clone();
    set_text(&mut token.info, ROLLOUT, "1");
    Some(token)
}

/// The token an activation without serial is meant for: the only one of the user that is in its roll-out.
pub(super) fn find(cx: &mut Context<'_>, request: &Init) -> Result<Serial, Stop> {
    let Some(user) = identify(cx, &request.user)?.known()? else {
        return Err(Refusal::MissingParameter("serial").into());
    };
    let mut found = Vec::new();
    for serial in tokens_of(cx, &user)? {
        let rolling_out = cx
            .view
            .token(&serial)
            .is_some_and(|token| token.token_type == TokenType::Ocra2 && token.info.contains_key(ROLLOUT));
        if rolling_out {
            found.push(serial);
        }
    }
    match <[Serial; 1]>::try_from(found) {
        Ok([serial]) => Ok(serial),
        Err(found) if found.is_empty() => {
            Err(Refusal::Other(format!("user {} has no ocra2 token in its roll-out", user.login)).into())
        }
        Err(_) => Err(Refusal::AmbiguousSerial(user.login).into()),
    }
}

/// Phase 0: the server generates the shared secret; the token is disabled until it is activated.
pub(super) fn begin(
    cx: &mut Context<'_>,
    request: &Init,
    draft: &mut Draft,
    suite: &Suite,
) -> Result<(), Stop> {
    if request.seed.given.is_some() || !request.seed.generate {
        return Err(question::invalid("genkey", "the roll-out needs genkey=1 and no otpkey").into());
    }
    let secret = seed::generate(&mut cx.random, SEED_BYTES);
    let sealed = cx.facts.keyring.seal(
        Purpose::Seed,
        &shared_secret_place(draft.serial.as_str()),
        secret.expose().as_bytes(),
        cx.random.bytes(),
    )?;
    forget(&mut draft.token.info);
    set_text(&mut draft.token.info, ROLLOUT, "1");
    set_text(&mut draft.token.info, SHARED_SECRET, &sealed.to_text());
    draft.token.active = false;
    let place = (&draft.serial, &draft.token);
    let callback = callback::url(cx, &QRTANURL_INIT, &request.ocra.callback, place, "")?.unwrap_or_default();
    let mut parameters = vec![("sh", secret.expose()), ("os", suite.text()), ("se", draft.serial.as_str())];
    if !callback.is_empty() {
        parameters.push(("u", callback.as_str()));
    }
    let import = SecretText::new(form_url("init", &parameters));
    draft.detail = vec![
        ("sharedsecret", Shown::Text(secret.clone())),
        ("url", Shown::Text(SecretText::new(callback))),
        ("app_import", Shown::Text(import.clone())),
        ("ocraurl", Shown::Code(import)),
    ];
    draft.seed = Some(secret);
    Ok(())
}

/// Phase 1: the key is derived, the token enabled, and a challenge posed that proves that the app has the key, too.
pub(super) fn activate(
    cx: &mut Context<'_>,
    request: &Init,
    draft: &mut Draft,
    suite: &Suite,
    code: &SecretText,
) -> Result<(), Stop> {
    let secret = shared_secret(cx, draft)?;
    let activation = activation_bytes(code)?;
    let nonce: [u8; NONCE_BYTES] = cx.random.bytes();
    let key = derive_key(&secret, &activation, &nonce);
    let nonce = HEXLOWER.encode(&nonce);
    set_text(&mut draft.token.info, ROLLOUT, "2");
    set_text(&mut draft.token.info, NONCE, &nonce);
    draft.token.active = true;
    draft.seed = Some(SecretText::new(HEXLOWER.encode(&key)));

    let message = request.ocra.message.as_deref().unwrap_or_default();
    let challenge = question::make(&mut cx.random, suite, None, message)?;
    let id = challenge::fresh_id(cx, 0)?;
    let place = (&draft.serial, &draft.token);
    let callback =
        callback::url(cx, &QRTANURL, &request.ocra.callback, place, id.as_str())?.unwrap_or_default();
    let mut parameters = vec![
        ("se", draft.serial.as_str()),
        ("no", nonce.as_str()),
        ("tr", id.as_str()),
        ("ch", challenge.as_str()),
    ];
    if !message.is_empty() {
        parameters.push(("me", message));
    }
    if !callback.is_empty() {
        parameters.push(("u", callback.as_str()));
    }
    let url = form_url("nonce", &parameters);
    let signature = signature(suite, &key, &url);
    let import = format!("{url}&si={signature}");
    let data = stored_question(&draft.serial, (&challenge, &callback), message, "");
    let posed = Posed { message: import.clone(), data, attributes: Vec::new() };
    challenge::store(cx, &draft.serial, &draft.token, &id, &posed);
    let text = |value: String| Shown::Text(SecretText::new(value));
    draft.detail = vec![
        ("nonce", text(nonce)),
        ("transactionid", text(id.to_string())),
        ("challenge", text(challenge)),
        ("url", text(callback)),
        ("signature", text(signature)),
        ("app_import", text(import.clone())),
        ("ocraurl", Shown::Code(SecretText::new(import))),
    ];
    Ok(())
}

/// `PBKDF2-HMAC-SHA256(shared secret || activation || nonce without salt, salt)`.
fn derive_key(secret: &[u8], activation: &[u8], nonce: &[u8; NONCE_BYTES]) -> Zeroizing<Vec<u8>> {
    let (head, salt) = nonce.split_at(NONCE_BYTES - SALT_BYTES);
    let password = Zeroizing::new([secret, activation, head].concat());
    pbkdf2::with_sha256(&password, salt, ITERATIONS, KEY_BYTES)
}

/// The bytes behind an activation code: base32, and two hex digits that are the XOR of all bytes. People type it, hence
/// `O` and `0` are told apart by where they stand.
fn activation_bytes(code: &SecretText) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let bad = |problem| question::invalid("activationcode", problem);
    let typed: Zeroizing<String> =
        Zeroizing::new(code.expose().chars().filter(|c| !matches!(c, '-' | ' ' | '=')).collect());
    let typed = Zeroizing::new(typed.to_ascii_uppercase());
    let (text, check) = typed
        .len()
        .checked_sub(2)
        .and_then(|at| typed.split_at_checked(at))
        .ok_or_else(|| bad("too short"))?;
    let text = Zeroizing::new(text.replace('0', "O"));
    let bytes = BASE32_NOPAD.decode(text.as_bytes()).map(Zeroizing::new).map_err(|_| bad("not base32"))?;
    let sum = bytes.iter().fold(0, |sum, byte| sum ^ byte);
    if bytes.is_empty() || u8::from_str_radix(&check.replace('O', "0"), 16) != Ok(sum) {
        return Err(bad("the check digits at its end do not fit, it was mistyped"));
    }
    Ok(bytes)
}

/// The secret of phase 0, which must have been begun and not be over.
fn shared_secret(cx: &Context<'_>, draft: &Draft) -> Result<Zeroizing<Vec<u8>>, Stop> {
    let refuse = |problem: &str| Stop::from(Refusal::Other(format!("token {}: {problem}", draft.serial)));
    let stored = token_info::text(&draft.token.info, SHARED_SECRET)
        .ok_or_else(|| refuse("the roll-out was not begun, or is over"))?;
    let sealed = Sealed::from_text(stored).ok_or_else(|| refuse("the shared secret is damaged"))?;
    let text = cx.facts.keyring.open(Purpose::Seed, &shared_secret_place(draft.serial.as_str()), &sealed)?;
    seed::key_bytes(&text).map_err(|problem| refuse(&problem.to_string()))
}

fn set_text(info: &mut TokenInfo, key: &str, value: &str) {
    info.insert(key.into(), InfoValue::Text(value.into()));
}

/// What the shared secret is sealed for.
pub(crate) fn shared_secret_place(serial: &str) -> String {
    format!("{serial}/{SHARED_SECRET}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "GEZDGNBVGY3TQOJQ01";

    /// Reference tokens 14.3.
    #[test]
    fn key_of_the_reference() {
        let secret: Vec<u8> = (0..0x14).collect();
        let nonce: Vec<u8> = (0x80..0xc0).collect();
        let activation = activation_bytes(&SecretText::from(CODE)).unwrap();
        assert_eq!(activation.as_slice(), b"1234567890");
        let key = derive_key(&secret, &activation, &nonce.try_into().unwrap());
        let expected = "bd4df6f5d28366bc59d7bcb91936f41201dbef6768e3754cd02775df6f177064";
        assert_eq!(HEXLOWER.encode(&key), expected);

        // With that key.
        let suite = Suite::parse("OCRA-1:HOTP-SHA256-8:C-QA64").unwrap();
        let url = "lseqr://req?tr=12345678901234567&ch=abcdefg&me=abcdefg";
        assert_eq!(
            form_url("req", &[("tr", "12345678901234567"), ("ch", "abcdefg"), ("me", "abcdefg")]),
            url
        );
        let expected = "410353f91f61b6fa5685f6172bd3f63ac298448a7d7e5d97a62656c0abd39ebd";
        assert_eq!(signature(&suite, &key, url), expected);
        let question = format!("abcdefg0000{}", "Z".repeat(53));
        let input = crate::algo::ocra::Input { question: &question, ..Default::default() };
        assert_eq!(crate::algo::ocra::code(&suite, &key, &input).unwrap().as_str(), "39056699");
    }

    #[test]
    fn activation_codes_are_read_as_people_type_them() {
        for typed in ["gezd-gnbv-gy3t-qojq-o1", "GEZDGNBVGY3TQ0JQ01", "GEZDGNBVGY3TQOJQO1", CODE] {
            let bytes = activation_bytes(&SecretText::from(typed)).unwrap();
            assert_eq!(bytes.as_slice(), b"1234567890", "{typed}");
        }
        for bad in [
            "",
            "01",
            "0",
            "GEZDGNBVGY3TQOJQ02",
            "GEZDGNBVGY3TQOJR01",
            "GEZDGNBVGY3TQOJQ0X",
            "1EZDGNBV01",
            "ü1",
        ] {
            assert!(activation_bytes(&SecretText::from(bad)).is_err(), "{bad}");
        }
    }
}
