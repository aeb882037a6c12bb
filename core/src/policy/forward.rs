//! The value of `forward_server` (reference policies 8): its servers, and their secrets, which are never stored, shown,
//! exported or audited in the clear.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::catalogue::authentication::FORWARD_SERVER;
use super::items::{ItemsError, Written, pieces, quoted, split};
use crate::secret::Sealed;

/// What the sealed secrets are bound to.
pub const SEALED_IN: &str = "forward_server";

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
    rewrite(action, |url| seal_url(url, &mut seal))
}

/// Shows every sealed secret of an action to `visit`, and puts in its place what `visit` returns: for a change of the
/// cluster key. Something that has not the form of a sealed secret is passed over.
///
/// # Errors
/// [`ForwardError`]; nothing is changed then.
pub fn replace_sealed<E>(
    action: &str,
    mut visit: impl FnMut(&Sealed) -> Result<Option<Sealed>, E>,
) -> Result<String, ForwardError<E>> {
    rewrite(action, |url| {
        let Some(sealed) = encsecret(url) else { return Ok(None) };
        let Some(fresh) = visit(&sealed)? else { return Ok(None) };
        Ok(Some(with_sealed(url, &fresh.to_text())))
    })
}

/// A server named by `forward_server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// One with LinOTP's web interface.
    Http {
        /// Scheme, host, port and path.
        url: String,
        /// Whether its certificate has to be valid: unless the query says `verify_ssl_certificate=false` (D13).
        verifies: bool,
    },
    /// A RADIUS server.
    Radius {
        /// Name or address.
        host: String,
        /// Port, 1812 unless given.
        port: u16,
        /// The shared secret; `None` if there is none that can be read.
        secret: Option<Sealed>,
    },
}

/// The servers of a value that can be asked, in their order. What has another scheme or no host is left out.
#[must_use]
pub fn servers(value: &str) -> Vec<Server> {
    value.split_whitespace().filter_map(server).collect()
}

fn server(url: &str) -> Option<Server> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = base.split_once("://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    match scheme {
        "http" | "https" if !authority.is_empty() => {
            let unverified = |pair: &str| pair.eq_ignore_ascii_case("verify_ssl_certificate=false");
            let url = base.to_owned();
            Some(Server::Http { url, verifies: !query.split('&').any(unverified) })
        }
        "radius" if path.is_empty() => {
            let (host, port) = host_and_port(authority)?;
            Some(Server::Radius { host, port, secret: encsecret(url) })
        }
        _ => None,
    }
}

const RADIUS_PORT: u16 = 1812;

/// `host`, `host:port`, `[address]`, `[address]:port`.
fn host_and_port(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, Some(rest.strip_prefix(':')?)),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(RADIUS_PORT), |port| port.parse().ok().filter(|port| *port != 0))?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// The sealed secret of a URL.
fn encsecret(url: &str) -> Option<Sealed> {
    let (_, query) = url.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(SEALED)?.strip_prefix('='))?;
    Sealed::from_text(&percent_decode_str(value).decode_utf8_lossy())
}

/// Rewrites the URLs of `forward_server`; `None` keeps one as it is.
fn rewrite<E>(
    action: &str,
    mut change: impl FnMut(&str) -> Result<Option<String>, E>,
) -> Result<String, ForwardError<E>> {
    let mut fields = Vec::new();
    for piece in split(action)? {
        let value = pieces(piece.text)?.into_iter().find_map(|(key, written)| match written {
            Written::Text(value) if *key == *FORWARD_SERVER.name => Some(value),
            Written::Text(_) | Written::On | Written::Off => None,
        });
        let rewritten = match value {
            Some(value) => rewrite_urls(&value, &mut change).map_err(ForwardError::Seal)?,
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

/// The URLs of a value, rewritten; `None` if none is.
fn rewrite_urls<E>(
    urls: &str,
    change: &mut impl FnMut(&str) -> Result<Option<String>, E>,
) -> Result<Option<String>, E> {
    let mut changed = false;
    let mut all = Vec::new();
    for url in urls.split_whitespace() {
        let rewritten = change(url)?;
        changed |= rewritten.is_some();
        all.push(rewritten.unwrap_or_else(|| url.to_owned()));
    }
    Ok(changed.then(|| all.join(" ")))
}

/// `#` is an ordinary character, and a secret runs to the next `&` or the end.
fn seal_url<E>(url: &str, seal: &mut impl FnMut(&str) -> Result<String, E>) -> Result<Option<String>, E> {
    let Some((_, query)) = url.split_once('?') else { return Ok(None) };
    let Some(secret) = query.split('&').find_map(|pair| pair.strip_prefix(SECRET)?.strip_prefix('=')) else {
        return Ok(None);
    };
    let clear = percent_decode_str(secret).decode_utf8_lossy();
    Ok(Some(with_sealed(url, &seal(&clear)?)))
}

/// The URL with this sealed secret behind its other parameters, of each of which the first one is kept.
fn with_sealed(url: &str, sealed: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let key_of = |pair: &str| pair.split_once('=').map_or(pair.to_owned(), |(key, _)| key.to_owned());
    let mut kept: Vec<&str> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let key = key_of(pair);
        if key != SECRET && key != SEALED && !kept.iter().any(|earlier| key_of(earlier) == key) {
            kept.push(pair);
        }
    }
    let last = format!("{SEALED}={}", utf8_percent_encode(sealed, NON_ALPHANUMERIC));
    let pairs: Vec<&str> = kept.into_iter().chain(std::iter::once(last.as_str())).collect();
    format!("{base}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::KeyId;
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

    fn sample() -> Sealed {
        Sealed { key: KeyId(3), nonce: [9; 12], ciphertext: vec![0xc0, 0xff, 0xee].into_boxed_slice() }
    }

    #[test]
    fn sealed_secrets_are_found_and_replaced() {
        let text = sample().to_text();
        let action =
            format!("otppin=1, forward_server=radius://a/?encsecret={} https://b/", text.replace(':', "%3A"));
        let mut shown = Vec::new();
        let same = replace_sealed(&action, |sealed| {
            shown.push(sealed.clone());
            Ok::<_, Infallible>(None)
        });
        assert_eq!((same.as_ref(), shown), (Ok(&action), vec![sample()]));
        let fresh = Sealed { key: KeyId(4), ..sample() };
        let replaced = replace_sealed(&action, |_| Ok::<_, Infallible>(Some(fresh.clone()))).unwrap();
        assert_eq!(replaced, action.replace("=3%3A", "=4%3A"));
        let foreign = "forward_server=radius://a/?encsecret=0102%3A0304";
        assert_eq!(
            replace_sealed(foreign, |_| Ok::<_, Infallible>(Some(fresh.clone()))).as_deref(),
            Ok(foreign)
        );
    }

    #[test]
    fn servers_are_read_from_urls() {
        let http = |url: &str, verifies| vec![Server::Http { url: url.to_owned(), verifies }];
        let radius = |host: &str, port| vec![Server::Radius { host: host.to_owned(), port, secret: None }];
        for (value, expected) in [
            ("https://a.example/validate/check", http("https://a.example/validate/check", true)),
            ("http://a:8080?x=1", http("http://a:8080", true)),
            ("https://a/?verify_ssl_certificate=false", http("https://a/", false)),
            ("https://a/?x=1&verify_ssl_certificate=False&y", http("https://a/", false)),
            ("https://a/?verify_ssl_certificate=true", http("https://a/", true)),
            ("radius://a", radius("a", 1812)),
            ("radius://a:1645/?secret=x", radius("a", 1645)),
            ("radius://[2001:db8::1]:1813", radius("2001:db8::1", 1813)),
            ("radius://[::1]/", radius("::1", 1812)),
            ("ftp://x radius:// radius://a:0 radius://a:port radius://a/path https://", Vec::new()),
        ] {
            assert_eq!(servers(value), expected, "{value}");
        }
        let sealed = format!("radius://a/?encsecret={}", sample().to_text().replace(':', "%3A"));
        let [Server::Radius { secret, .. }] = &*servers(&sealed) else { panic!("{sealed}") };
        assert_eq!(*secret, Some(sample()));
    }
}
