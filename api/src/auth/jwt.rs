//! The session token: a JWT with HMAC-SHA-256 (RFC 7519, RFC 7515; reference http-api 4.2).
//!
//! The few lines are our own because a JWT library brings RSA and elliptic-curve code, and a choice of algorithms that
//! attackers have used, for what is one MAC over one fixed header. A token with any other header is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// `{"alg":"HS256","typ":"JWT"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
/// Longest token that is looked at; ours have about 500 characters.
const LENGTH_MAX: usize = 4096;

/// Who a session belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// Login.
    pub(crate) username: String,
    /// The administrator realm.
    pub(crate) realm: String,
    /// Specification of the resolver that checked the password.
    pub(crate) resolver: String,
}

/// The claims of a session token; times in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Always false: there is no step-up login.
    pub(crate) fresh: bool,
    /// When it was issued.
    pub(crate) iat: u64,
    /// Names the token for logout.
    pub(crate) jti: String,
    /// Always `access`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The administrator.
    pub(crate) sub: Subject,
    /// Not valid before.
    pub(crate) nbf: u64,
    /// The CSRF value.
    pub(crate) csrf: String,
    /// Not valid from then on; absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exp: Option<u64>,
}

/// A token that is not accepted. Why is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("session token refused")]
pub(crate) struct Refused;

fn mac(key: &[u8], signed: &str) -> Result<Hmac<Sha256>, Refused> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Refused)?;
    mac.update(signed.as_bytes());
    Ok(mac)
}

/// Signs claims.
///
/// # Errors
/// None in practice: claims always serialize and HMAC takes keys of any length.
pub(crate) fn sign(claims: &Claims, key: &[u8]) -> Result<String, Refused> {
    let mut token = String::with_capacity(640);
    token.push_str(HEADER);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).map_err(|_| Refused)?, &mut token);
    let tag = mac(key, &token)?.finalize().into_bytes();
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(tag, &mut token);
    Ok(token)
}

/// Checks signature, kind and times of a token. The signature is compared in constant time and first.
///
/// # Errors
/// When anything is wrong with it.
pub(crate) fn verify(token: &str, key: &[u8], now: u64) -> Result<Claims, Refused> {
    if token.len() > LENGTH_MAX {
        return Err(Refused);
    }
    let (signed, tag) = token.rsplit_once('.').ok_or(Refused)?;
    let (header, payload) = signed.split_once('.').ok_or(Refused)?;
    if header != HEADER {
        return Err(Refused);
    }
    let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| Refused)?;
    mac(key, signed)?.verify_slice(&tag).map_err(|_| Refused)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Refused)?;
    let claims: Claims = serde_json::from_slice(&payload).map_err(|_| Refused)?;
    // Cluster time may step back by the spread of the nodes' clocks when the leader changes; a token must not be
    // refused for having been issued "in the future" by less than that.
    let early = claims.nbf > now.saturating_add(CLOCK_SPREAD);
    let late = claims.exp.is_some_and(|end| end <= now);
    if early || late || claims.kind != "access" { Err(Refused) } else { Ok(claims) }
}

/// Largest tolerated step back of the cluster time, in seconds.
const CLOCK_SPREAD: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    /// Made with Python's `hmac`, `hashlib` and `base64`:
    /// `h = b64(b'{"alg":"HS256","typ":"JWT"}'); p = b64(claims); h.p.b64(hmac.new(key, h.p, sha256).digest())`.
    const VECTOR: &str = include_str!("../../tests/data/session.jwt");

    fn claims() -> Claims {
        Claims {
            fresh: false,
            iat: 1_795_293_180,
            jti: "0d7c5f0e-6a0b-4a2e-9c57-0c5c1ed0a001".to_owned(),
            kind: "access".to_owned(),
            sub: Subject {
                username: "admin".to_owned(),
                realm: "linotp_admins".to_owned(),
                resolver: "useridresolver.SQLIdResolver.IdResolver.LinOTP_local_admins".to_owned(),
            },
            nbf: 1_795_293_180,
            csrf: "5b0ad4d1-5a44-4a3f-8a0f-8d9f6a0cb002".to_owned(),
            exp: Some(1_795_294_980),
        }
    }

    #[test]
    fn tokens_are_those_of_an_independent_implementation() {
        assert_eq!(sign(&claims(), KEY).unwrap(), VECTOR.trim());
        assert_eq!(verify(VECTOR.trim(), KEY, 1_795_293_181), Ok(claims()));
    }

    #[test]
    fn times_are_checked() {
        let token = VECTOR.trim();
        assert!(verify(token, KEY, 1_795_294_979).is_ok());
        assert_eq!(verify(token, KEY, 1_795_294_980), Err(Refused));
        assert!(verify(token, KEY, 1_795_293_175).is_ok());
        assert_eq!(verify(token, KEY, 1_795_293_174), Err(Refused));
        let endless = sign(&Claims { exp: None, ..claims() }, KEY).unwrap();
        assert!(verify(&endless, KEY, u64::MAX).is_ok());
    }

    #[test]
    fn every_change_is_refused() {
        let token = VECTOR.trim();
        let now = 1_795_293_181;
        assert_eq!(verify(token, b"another key", now), Err(Refused));
        for at in 0..token.len() {
            let mut bytes = token.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(verify(std::str::from_utf8(&bytes).unwrap(), KEY, now), Err(Refused), "byte {at}");
        }
        for broken in ["", ".", "..", "a.b.c", &token[..token.len() - 1], &format!("{token}A")] {
            assert_eq!(verify(broken, KEY, now), Err(Refused), "{broken}");
        }
    }

    #[test]
    fn other_algorithms_and_kinds_are_refused() {
        let payload = VECTOR.trim().split('.').nth(1).unwrap();
        // {"alg":"none","typ":"JWT"} without a signature (RFC 7519 section 6.1).
        let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
        assert_eq!(verify(&unsigned, KEY, 1_795_293_181), Err(Refused));
        let refresh = sign(&Claims { kind: "refresh".to_owned(), ..claims() }, KEY).unwrap();
        assert_eq!(verify(&refresh, KEY, 1_795_293_181), Err(Refused));
    }
}
