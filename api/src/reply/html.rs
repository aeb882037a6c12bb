//! The few HTML pages: errors below the API (404, 405, 400, 413) and `httperror` replies (reference http-api 3.3).

use std::borrow::Cow;
use std::fmt::Write as _;

use http::StatusCode;

use super::{Ending, PRODUCT, Reply};

/// Text made safe for HTML element content and quoted attributes.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    Cow::Owned(safe)
}

fn page(status: StatusCode, title: &str, text: &str) -> Reply {
    let mut body = String::with_capacity(256);
    let (title, text) = (escape(title), escape(text));
    // Writing to a String cannot fail.
    let _ = write!(
        body,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>{title}</title></head>\n\
         <body><h1>{title}</h1><p>{text}</p></body>\n</html>\n"
    );
    Reply::html(body).status(status).ending(Ending::Refused)
}

/// A page for what never reached an endpoint: unknown path, wrong method, unreadable body.
pub(crate) fn plain_page(status: StatusCode, text: &str) -> Reply {
    page(status, &format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("Error")), text)
}

/// The page that replaces an error envelope when the client asked for a status (reference http-api 3.3). `shown` is
/// the status the heading names; `status` the one that is sent.
pub(crate) fn error_page(status: StatusCode, shown: StatusCode, code: i32, message: &str) -> Reply {
    let number = shown.as_u16();
    let reason = match number {
        400 | 401 | 403 | 404 | 410 | 500..=503 => shown.canonical_reason().unwrap_or("LinOTP Error"),
        _ => "LinOTP Error",
    };
    page(status, &format!("{number} {number} {reason}"), &format!("[{PRODUCT}] {code}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(reply: &Reply) -> &str {
        std::str::from_utf8(&reply.body).unwrap()
    }

    #[test]
    fn error_page_names_the_status_twice() {
        let reply = error_page(StatusCode::FORBIDDEN, StatusCode::FORBIDDEN, 1102, "ERR1102: no <b>");
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        assert!(body(&reply).contains("<title>403 403 Forbidden</title>"));
        assert!(body(&reply).contains("<h1>403 403 Forbidden</h1>"));
        assert!(body(&reply).contains("[LinOTP 4.0.0 (Tessera 0.1.0)] 1102: ERR1102: no &lt;b&gt;"));
        let odd = error_page(StatusCode::IM_A_TEAPOT, StatusCode::IM_A_TEAPOT, -311, "x");
        assert!(body(&odd).contains("418 418 LinOTP Error"));
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape("a&<>\"'"), "a&amp;&lt;&gt;&quot;&#39;");
        assert_eq!(escape("plain"), "plain");
    }
}
