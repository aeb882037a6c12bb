//! The cookies of an administrator's session (reference http-api 4.2, 4.4).

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue, SET_COOKIE};

use crate::reply::Reply;

/// Carries the session token.
pub(crate) const ACCESS: &str = "access_token_cookie";
/// Carries the CSRF value, readable by scripts of the page.
const CSRF: &str = "csrf_access_token";
/// Cleared at logout as well: names older clients may still hold.
const FORMER: [&str; 2] = ["refresh_token_cookie", "csrf_refresh_token"];
/// Life time of persistent cookies in seconds.
const MAX_AGE: u32 = 31_540_000;

/// How cookies are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CookieRules {
    /// Only sent over HTTPS.
    pub(crate) secure: bool,
    /// Forgotten when the browser is closed.
    pub(crate) session: bool,
}

/// The value of a cookie in a request.
pub(crate) fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok()).find_map(|header| {
        header.split(';').find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then_some(value)
        })
    })
}

impl CookieRules {
    fn line(self, name: &str, value: &str, http_only: bool) -> String {
        let age = if self.session { String::new() } else { format!(" Max-Age={MAX_AGE};") };
        let secure = if self.secure { " Secure;" } else { "" };
        let http_only = if http_only { " HttpOnly;" } else { "" };
        format!("{name}={value};{age}{secure}{http_only} Path=/")
    }

    /// Puts both cookies of a session into a reply.
    pub(crate) fn set(self, reply: Reply, token: &str, csrf: &str) -> Reply {
        with_cookie(with_cookie(reply, &self.line(ACCESS, token, true)), &self.line(CSRF, csrf, false))
    }
}

/// Clears all cookies of a session.
pub(crate) fn clear(reply: Reply) -> Reply {
    [ACCESS, CSRF].into_iter().chain(FORMER).fold(reply, |reply, name| {
        with_cookie(reply, &format!("{name}=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/"))
    })
}

fn with_cookie(reply: Reply, line: &str) -> Reply {
    // Tokens are base64url and UUIDs, so the line is always a legal header value.
    match HeaderValue::from_str(line) {
        Ok(value) => reply.header(SET_COOKIE, value),
        Err(_) => reply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(reply: &Reply) -> Vec<&str> {
        reply.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn only_the_token_is_hidden_from_scripts() {
        let rules = CookieRules { secure: true, session: false };
        let reply = rules.set(crate::reply::value(true), "TOKEN", "CSRF");
        assert_eq!(
            lines(&reply),
            [
                "access_token_cookie=TOKEN; Max-Age=31540000; Secure; HttpOnly; Path=/",
                "csrf_access_token=CSRF; Max-Age=31540000; Secure; Path=/",
            ]
        );
        let reply =
            CookieRules { secure: false, session: true }.set(crate::reply::value(true), "TOKEN", "CSRF");
        assert_eq!(
            lines(&reply),
            ["access_token_cookie=TOKEN; HttpOnly; Path=/", "csrf_access_token=CSRF; Path=/"]
        );
    }

    #[test]
    fn logout_clears_four_cookies() {
        let reply = clear(crate::reply::value(true));
        assert_eq!(lines(&reply).len(), 4);
        assert!(lines(&reply).iter().all(|line| line.contains("Thu, 01 Jan 1970 00:00:00 GMT")));
    }

    #[test]
    fn cookies_are_found_in_any_header_and_position() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; access_token_cookie_2=no"));
        headers.append(COOKIE, HeaderValue::from_static("b=2;access_token_cookie=x.y.z=; c=3"));
        assert_eq!(read(&headers, ACCESS), Some("x.y.z="));
        assert_eq!(read(&headers, "missing"), None);
    }
}
