//! An administrator's session: made at login, checked with every call, renewed near its end (reference http-api 4).
//!
//! Signing key and revocations are replicated, so a session is good on every node and ends on every node.

use http::{HeaderMap, Method};
use subtle::ConstantTimeEq as _;
use tessera_core::decide::session::{is_revoked, signing_key};
use tessera_core::facts::Administrator;
use tessera_core::secret::Keyring;
use tessera_core::time::UnixMillis;
use tessera_core::user::ResolverSpec;
use tessera_core::view::StateRead;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::cookie;
use super::jwt::{self, Claims, Refused, Subject};

/// Header with the CSRF value.
const CSRF_HEADER: &str = "x-csrf-token";

/// Life time rules of sessions, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// How long a token is valid; 0 for ever.
    pub(crate) expires: u64,
    /// A token with less than this left is replaced; 0 never.
    pub(crate) refresh: u64,
}

/// A new pair of cookie values.
pub(crate) struct Issued {
    /// The session token.
    pub(crate) token: String,
    /// The CSRF value.
    pub(crate) csrf: String,
}

/// The key sessions are signed with; none before the cluster's first start is complete.
pub(crate) fn key(state: &dyn StateRead, keyring: &Keyring) -> Option<Zeroizing<Vec<u8>>> {
    match signing_key(state, keyring) {
        Ok(key) => key,
        Err(error) => {
            tracing::error!(%error, "the key that signs administrators' sessions cannot be opened");
            None
        }
    }
}

/// A new session for an administrator.
pub(crate) fn issue(
    admin: &Administrator,
    key: &[u8],
    now: UnixMillis,
    lifetime: Lifetime,
) -> Result<Issued, Refused> {
    let csrf = Uuid::new_v4().to_string();
    let claims = Claims {
        fresh: false,
        iat: now.seconds(),
        jti: Uuid::new_v4().to_string(),
        kind: "access".to_owned(),
        sub: Subject {
            username: admin.login.clone(),
            realm: admin.realm.clone(),
            resolver: admin.resolver.as_str().to_owned(),
        },
        nbf: now.seconds(),
        csrf: csrf.clone(),
        exp: (lifetime.expires > 0).then(|| now.seconds().saturating_add(lifetime.expires)),
    };
    Ok(Issued { token: jwt::sign(&claims, key)?, csrf })
}

/// What a request presents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Presented<'a> {
    /// The request's method: all but GET and HEAD need the CSRF value.
    pub(crate) method: &'a Method,
    /// The request's headers.
    pub(crate) headers: &'a HeaderMap,
    /// The form field with the CSRF value, if forms may carry it.
    pub(crate) form_csrf: Option<&'a str>,
}

impl Presented<'_> {
    /// Checks the session on a state that contains every logout so far.
    pub(crate) fn check(self, state: &dyn StateRead, key: &[u8], now: UnixMillis) -> Result<Claims, Refused> {
        let token = cookie::read(self.headers, cookie::ACCESS).ok_or(Refused)?;
        let claims = jwt::verify(token, key, now.seconds())?;
        if !matches!(*self.method, Method::GET | Method::HEAD) && !self.csrf_matches(&claims.csrf) {
            return Err(Refused);
        }
        if is_revoked(state, &claims.jti) {
            tracing::warn!(
                session.login = claims.sub.username,
                "a session that was logged out is still in use"
            );
            return Err(Refused);
        }
        Ok(claims)
    }

    fn csrf_matches(self, expected: &str) -> bool {
        let header = self.headers.get(CSRF_HEADER).map(http::HeaderValue::as_bytes);
        let presented = header.or_else(|| self.form_csrf.map(str::as_bytes));
        presented.is_some_and(|presented| presented.ct_eq(expected.as_bytes()).into())
    }
}

impl Claims {
    /// The administrator the session belongs to.
    pub(crate) fn administrator(&self) -> Administrator {
        Administrator {
            login: self.sub.username.clone(),
            realm: self.sub.realm.clone(),
            resolver: ResolverSpec::from(self.sub.resolver.as_str()),
        }
    }

    /// Whether the session is near enough to its end to be renewed.
    pub(crate) fn due(&self, now: UnixMillis, lifetime: Lifetime) -> bool {
        self.exp.is_some_and(|end| end.saturating_sub(now.seconds()) < lifetime.refresh)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use http::header::{COOKIE, HeaderValue};
    use tessera_core::record::{IndexKey, Key, Record, RevocationV1};
    use tessera_core::txn::Revision;
    use tessera_core::view::Slot;

    use super::*;

    const KEY: &[u8] = &[7; 32];
    const NOW: UnixMillis = UnixMillis::from_seconds(1_000_000);
    const LIFETIME: Lifetime = Lifetime { expires: 1800, refresh: 300 };

    /// A state with one revoked session or none.
    struct Revoked(Option<String>);

    impl StateRead for Revoked {
        fn record(&self, key: &Key) -> Option<Slot> {
            let revoked = matches!(key, Key::Revocation(jti) if self.0.as_deref() == Some(jti));
            let record = Record::Revocation(RevocationV1 { expires_at: NOW });
            revoked.then_some(Slot { revision: Revision(1), created: 1, record })
        }
        fn index(&self, _: &IndexKey) -> (Revision, Vec<Key>) {
            Default::default()
        }
        fn index_revision(&self, _: &IndexKey) -> Revision {
            Revision(0)
        }
        fn index_len(&self, _: &IndexKey) -> usize {
            0
        }
        fn scan(&self, _: &Key, _: &mut dyn FnMut(&Key, &Slot) -> ControlFlow<()>) {}
        fn time(&self) -> UnixMillis {
            NOW
        }
    }

    fn admin() -> Administrator {
        Administrator {
            login: "admin".to_owned(),
            realm: "linotp_admins".to_owned(),
            resolver: ResolverSpec::from("useridresolver.SQLIdResolver.IdResolver.LinOTP_local_admins"),
        }
    }

    fn headers(issued: &Issued, csrf: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let cookie = format!("access_token_cookie={}", issued.token);
        headers.insert(COOKIE, HeaderValue::from_str(&cookie).unwrap());
        if let Some(csrf) = csrf {
            headers.insert(CSRF_HEADER, HeaderValue::from_str(csrf).unwrap());
        }
        headers
    }

    #[track_caller]
    fn accepted(method: &Method, headers: &HeaderMap, form_csrf: Option<&str>, state: &Revoked) -> bool {
        match (Presented { method, headers, form_csrf }).check(state, KEY, NOW) {
            Ok(claims) => claims.administrator() == admin(),
            Err(Refused) => false,
        }
    }

    #[test]
    fn changing_methods_need_the_csrf_value() {
        let issued = issue(&admin(), KEY, NOW, LIFETIME).unwrap();
        let nothing = Revoked(None);
        let bare = headers(&issued, None);
        assert!(accepted(&Method::GET, &bare, None, &nothing));
        assert!(!accepted(&Method::POST, &bare, None, &nothing));
        assert!(!accepted(&Method::DELETE, &bare, None, &nothing));
        assert!(accepted(&Method::POST, &headers(&issued, Some(&issued.csrf)), None, &nothing));
        assert!(accepted(&Method::POST, &bare, Some(&issued.csrf), &nothing));
        assert!(!accepted(&Method::POST, &headers(&issued, Some("wrong")), Some(&issued.csrf), &nothing));
        assert!(!accepted(&Method::POST, &bare, Some(""), &nothing));
        assert!(!accepted(&Method::GET, &HeaderMap::new(), None, &nothing));
    }

    #[test]
    fn a_revoked_session_is_refused() {
        let issued = issue(&admin(), KEY, NOW, LIFETIME).unwrap();
        let claims = jwt::verify(&issued.token, KEY, NOW.seconds()).unwrap();
        assert!(!accepted(&Method::GET, &headers(&issued, None), None, &Revoked(Some(claims.jti))));
        assert!(accepted(&Method::GET, &headers(&issued, None), None, &Revoked(Some("other".to_owned()))));
    }

    #[test]
    fn sessions_are_renewed_only_near_their_end() {
        let issued = issue(&admin(), KEY, NOW, LIFETIME).unwrap();
        let claims = jwt::verify(&issued.token, KEY, NOW.seconds()).unwrap();
        assert_eq!(claims.exp, Some(1_001_800));
        assert!(!claims.due(NOW.plus_seconds(1500), LIFETIME));
        assert!(claims.due(NOW.plus_seconds(1501), LIFETIME));
        assert!(!claims.due(NOW.plus_seconds(1799), Lifetime { refresh: 0, ..LIFETIME }));
        let endless = issue(&admin(), KEY, NOW, Lifetime { expires: 0, refresh: 300 }).unwrap();
        let claims = jwt::verify(&endless.token, KEY, NOW.seconds()).unwrap();
        assert!(claims.exp.is_none() && !claims.due(NOW.plus_seconds(1 << 40), LIFETIME));
    }
}
