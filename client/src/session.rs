//! An administrator's session: the pair of cookies of reference http-api 4.2, handled without a cookie store because
//! all base URLs share it.

use reqwest::header::{HeaderMap, SET_COOKIE};
use serde::{Deserialize, Serialize};

use crate::secret::{self, Secret};

const ACCESS_COOKIE: &str = "access_token_cookie";
const CSRF_COOKIE: &str = "csrf_access_token";

/// The credentials of a logged-in administrator.
///
/// It can be serialised to be kept in a file between two runs of a program; whoever does so makes the file readable
/// by its owner only. Its `Debug` shows no credential.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// The login name it was made for.
    pub user: String,
    /// The base URL that made it. With [`crate::UrlChoice::Pinned`] requests go there first.
    #[serde(default)]
    pub url: String,
    #[serde(with = "secret::plain")]
    access_token: Secret,
    #[serde(with = "secret::plain")]
    csrf_token: Secret,
}

impl Session {
    /// The session in the cookies of a reply to `/admin/login`, `None` if one of the two is missing.
    pub(crate) fn from_login(user: &str, url: &str, headers: &HeaderMap) -> Option<Self> {
        match cookie_pair(headers) {
            CookiePair::Set { access_token, csrf_token } => {
                Some(Self { user: user.to_owned(), url: url.to_owned(), access_token, csrf_token })
            }
            CookiePair::Absent | CookiePair::Cleared => None,
        }
    }

    /// The value of the `Cookie` header.
    pub(crate) fn cookie_header(&self) -> Secret {
        let (access, csrf) = (self.access_token.expose(), self.csrf_token.expose());
        Secret::new(format!("{ACCESS_COOKIE}={access}; {CSRF_COOKIE}={csrf}"))
    }

    /// The value of the `X-CSRF-TOKEN` header.
    pub(crate) fn csrf_header(&self) -> &str {
        self.csrf_token.expose()
    }

    /// True if `other` holds the same cookie.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.access_token.expose() == other.access_token.expose()
    }

    /// Takes over the new pair of cookies that any authenticated reply may carry (reference http-api 4.4).
    ///
    /// Half a pair is ignored: a cookie and a CSRF value of two different sessions do not work together.
    pub(crate) fn refresh(&mut self, headers: &HeaderMap) {
        if let CookiePair::Set { access_token, csrf_token } = cookie_pair(headers) {
            self.access_token = access_token;
            self.csrf_token = csrf_token;
        }
    }
}

enum CookiePair {
    Absent,
    Cleared,
    Set { access_token: Secret, csrf_token: Secret },
}

fn cookie_pair(headers: &HeaderMap) -> CookiePair {
    let (mut access, mut csrf) = (None, None);
    for header in headers.get_all(SET_COOKIE) {
        let Some((name, value)) = header.to_str().ok().and_then(cookie) else { continue };
        match name {
            ACCESS_COOKIE => access = Some(value),
            CSRF_COOKIE => csrf = Some(value),
            _ => {}
        }
    }
    match (access, csrf) {
        (Some(""), _) => CookiePair::Cleared,
        (Some(access), Some(csrf)) if !csrf.is_empty() => {
            CookiePair::Set { access_token: Secret::new(access), csrf_token: Secret::new(csrf) }
        }
        _ => CookiePair::Absent,
    }
}

/// Name and value of a `Set-Cookie` header (RFC 6265 section 5.2), without the attributes.
fn cookie(header: &str) -> Option<(&str, &str)> {
    let (name, value) = header.split(';').next()?.split_once('=')?;
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    Some((name.trim(), value))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn headers(cookies: &[&'static str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for cookie in cookies {
            map.append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        map
    }

    fn session() -> Session {
        let both =
            headers(&["access_token_cookie=aaa.bbb.ccc; HttpOnly; Path=/", "csrf_access_token=c-1; Path=/"]);
        Session::from_login("admin", "http://a", &both).unwrap()
    }

    #[test]
    fn both_cookies_are_sent_and_only_their_values() {
        let session = session();
        assert_eq!(
            session.cookie_header().expose(),
            "access_token_cookie=aaa.bbb.ccc; csrf_access_token=c-1"
        );
        assert_eq!(session.csrf_header(), "c-1");
    }

    #[test]
    fn half_a_pair_is_no_session_and_no_refresh() {
        assert!(Session::from_login("admin", "", &headers(&["access_token_cookie=x; Path=/"])).is_none());
        assert!(Session::from_login("admin", "", &headers(&["csrf_access_token=x; Path=/"])).is_none());
        let mut session = session();
        session.refresh(&headers(&["access_token_cookie=new; Path=/"]));
        assert_eq!(session.csrf_header(), "c-1");
        assert!(session.cookie_header().expose().contains("aaa.bbb.ccc"));
    }

    #[test]
    fn cleared_cookies_are_no_session() {
        let cleared = headers(&[
            "access_token_cookie=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "csrf_access_token=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ]);
        assert!(Session::from_login("admin", "", &cleared).is_none());
    }

    #[test]
    fn debug_shows_no_credential() {
        let shown = format!("{:?}", session());
        assert!(!shown.contains("aaa") && !shown.contains("c-1"), "{shown}");
    }

    #[test]
    fn a_session_survives_a_file() {
        let text = serde_json::to_string(&session()).unwrap();
        let back: Session = serde_json::from_str(&text).unwrap();
        assert!(back.is_same(&session()));
        assert_eq!((back.user.as_str(), back.csrf_header()), ("admin", "c-1"));
    }
}
