//! Secrets in `forward_server` (reference policies 8.1): never stored, shown, exported or audited in the clear.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::catalogue::authentication::FORWARD_SERVER;
use super::items::{ItemsError, Written, pieces, quoted, split};

const SECRET: &str = "secret";
const SEALED: &str = "encsecret";

/// Why the secrets of an action field could not be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError<E> {
    /// The field cannot be parsed.
    #[error(transparent)]
    Items(#[from] ItemsError),
    /// The secret could not be sealed.
    #[error("sealing failed")]
    Seal(E),
}

/// Replaces every `secret` in the URLs of `forward_server` by its sealed form. Everything else stays as it is, to the
/// character.
///
/// # Errors
/// [`ForwardError`]; nothing is changed then.
pub fn seal_secrets<E>(
    action: &str,
    mut seal: impl FnMut(&str) -> Result<String, E>,
) -> Result<String, ForwardError<E>> {
    let mut fields = Vec::new();
    for piece in split(action)? {
        let value = pieces(piece.text)?.into_iter().find_map(|(key, written)| match written {
            Written::Text(value) if *key == *FORWARD_SERVER.name => Some(value),
            Written::Text(_) | Written::On | Written::Off => None,
        });
        let rewritten = match value {
            Some(value) => seal_urls(&value, &mut seal).map_err(ForwardError::Seal)?,
            None => None,
        };
        fields.push(match rewritten {
            Some(urls) => {
                let blank = if piece.text.starts_with(' ') { " " } else { "" };
                format!("{blank}{}={}", FORWARD_SERVER.name, quoted(&urls))
            }
            None => piece.text.to_owned(),
        });
    }
    Ok(fields.join(","))
}

/// The URLs with sealed secrets; `None` if there is no secret in them.
fn seal_urls<E>(urls: &str, seal: &mut impl FnMut(&str) -> Result<String, E>) -> Result<Option<String>, E> {
    let mut changed = false;
    let mut all = Vec::new();
    for url in urls.split_whitespace() {
        match seal_url(url, seal)? {
            Some(sealed) => {
                changed = true;
                all.push(sealed);
            }
            None => all.push(url.to_owned()),
        }
    }
    Ok(changed.then(|| all.join(" ")))
}

/// `#` is an ordinary character, and a secret runs to the next `&` or the end.
fn seal_url<E>(url: &str, seal: &mut impl FnMut(&str) -> Result<String, E>) -> Result<Option<String>, E> {
    let Some((base, query)) = url.split_once('?') else { return Ok(None) };
    let key_of = |pair: &str| pair.split_once('=').map_or(pair.to_owned(), |(key, _)| key.to_owned());
    let Some(secret) = query.split('&').find_map(|pair| pair.strip_prefix(SECRET)?.strip_prefix('=')) else {
        return Ok(None);
    };
    let mut kept: Vec<&str> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let key = key_of(pair);
        if key != SECRET && key != SEALED && !kept.iter().any(|earlier| key_of(earlier) == key) {
            kept.push(pair);
        }
    }
    let clear = percent_decode_str(secret).decode_utf8_lossy();
    let sealed = utf8_percent_encode(&seal(&clear)?, NON_ALPHANUMERIC).to_string();
    let last = format!("{SEALED}={sealed}");
    let pairs: Vec<&str> = kept.into_iter().chain(std::iter::once(last.as_str())).collect();
    Ok(Some(format!("{base}?{}", pairs.join("&"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Seals by turning the text round, so that a test can see what was sealed.
    fn sealed(action: &str) -> String {
        let turn = |clear: &str| Ok::<_, Infallible>(clear.chars().rev().collect::<String>());
        seal_secrets(action, turn).unwrap()
    }

    /// Cases FW-03 to FW-08.
    #[test]
    fn secrets_are_replaced_and_nothing_else() {
        for (action, expected) in [
            (
                "forward_server=radius://127.0.0.1:1812/?secret=geheim1",
                "forward_server=radius://127.0.0.1:1812/?encsecret=1mieheg",
            ),
            (
                "forward_server=radius://radius_server:1812/?secret=kjD28fSER9cW#SS1VlsCCE$#SAGH#$RRVE",
                "forward_server=radius://radius_server:1812/?encsecret=EVRR%24%23HGAS%23%24ECCslV1SS%23Wc9RESf82Djk",
            ),
            ("forward_server = radius://h/?secret=abc", "forward_server=radius://h/?encsecret=cba"),
            (
                "smstext=\"a,b <otp>\", forward_server=radius://h/?secret=x,otppin = 1",
                "smstext=\"a,b <otp>\", forward_server=radius://h/?encsecret=x,otppin = 1",
            ),
            (
                "forward_server=radius://a?x=1&secret=%41%2C&x=2&y=3 https://b/",
                "forward_server=radius://a?x=1&y=3&encsecret=%2CA https://b/",
            ),
            ("forward_server='radius://a?secret=p,q'", "forward_server=radius://a?encsecret=q%2Cp"),
            ("forward_server=radius://a?secret=a+b", "forward_server=radius://a?encsecret=b%2Ba"),
            ("forward_server=radius://a?encsecret=old&secret=new", "forward_server=radius://a?encsecret=wen"),
        ] {
            assert_eq!(sealed(action), expected, "{action}");
        }
        for untouched in [
            "forward_server = radius://h/?encsecret=1%3A2 , otppin=1,,",
            "forward_server=https://h/path?secrets=1",
            "forward_server=https://h/path",
            "smstext=\"?secret=1\"",
            "smstext=forward_server=radius://h/?secret=abc",
            "",
        ] {
            assert_eq!(sealed(untouched), untouched);
        }
        assert_eq!(
            sealed(&sealed("forward_server=radius://h/?secret=abc")),
            "forward_server=radius://h/?encsecret=cba"
        );
    }
}
