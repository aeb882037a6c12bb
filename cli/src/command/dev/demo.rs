//! The demo of a development cluster: a realm with two users, each with a token.

use std::fmt::Write as _;
use std::fs;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tessera_client::{Client, InitRequest, Secret, ShowRequest, UserRef, passwd_resolver_spec};
use tessera_core::algo::hotp::Hotp;
use tessera_core::record::HashAlgorithm;
use tessera_node::entropy;

use super::ADMIN;
use super::folder::Folder;

const REALM: &str = "demo";
const RESOLVER: &str = "demo";
const PIN: &str = "1234";
const DIGITS: u32 = 6;
const HOTP_SERIAL: &str = "DEMO-HOTP";
const TOTP_SERIAL: &str = "DEMO-TOTP";

/// Users in passwd format (reference users-and-providers 3); their passwords are of no use here.
const USERS: &str = "\
alice:*:1001:1001:Alice Example,,+49 151 1,+49 30 1,alice@example.com:/home/alice:/usr/sbin/nologin
bob:*:1002:1002:Bob Example,,+49 151 2,+49 30 2,bob@example.com:/home/bob:/usr/sbin/nologin
";

/// The seeds of the demo tokens, in hexadecimal digits. They are shown on purpose: a demo has no secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Demo {
    hotp_seed: String,
    totp_seed: String,
}

/// What is needed to show a login.
pub(super) struct Ready {
    otp: String,
}

/// Makes the demo unless the folder has it, and computes the next OTP of its HOTP token.
pub(super) async fn set_up(client: &Client, folder: &mut Folder) -> anyhow::Result<Ready> {
    client.login(ADMIN, folder.admin_password()).await?;
    let demo = match folder.demo() {
        Some(demo) => demo.clone(),
        None => {
            let demo = enrol(client, folder).await?;
            folder.keep_demo(demo.clone())?;
            demo
        }
    };
    let request = ShowRequest { serial: Some(HOTP_SERIAL.to_owned()), ..ShowRequest::default() };
    let page = client.show_tokens(&request).await?;
    // Whoever removed the demo token does not want to see it used.
    let counter =
        page.rows.first().and_then(|token| u64::try_from(token.next_counter).ok()).unwrap_or_default();
    let seed = from_hex(&demo.hotp_seed).context("dev.json holds no usable seed")?;
    let otp = Hotp::new(&seed, HashAlgorithm::Sha1, DIGITS)?.code(counter).as_str().to_owned();
    Ok(Ready { otp })
}

async fn enrol(client: &Client, folder: &Folder) -> anyhow::Result<Demo> {
    let users = folder.path().join("users");
    if !users.exists() {
        fs::write(&users, USERS)?;
    }
    client.set_passwd_resolver(RESOLVER, &users.display().to_string()).await?;
    client.set_realm(REALM, &[&passwd_resolver_spec(RESOLVER)]).await?;
    let demo = Demo { hotp_seed: random_seed()?, totp_seed: random_seed()? };
    for (token_type, serial, login, seed) in
        [("hmac", HOTP_SERIAL, "alice", &demo.hotp_seed), ("totp", TOTP_SERIAL, "bob", &demo.totp_seed)]
    {
        let request = InitRequest {
            token_type: token_type.to_owned(),
            serial: Some(serial.to_owned()),
            otpkey: Some(Secret::new(seed.as_str())),
            otplen: Some(DIGITS),
            pin: Some(Secret::new(PIN)),
            user: Some(UserRef::in_realm(login, REALM)),
            description: Some(format!("demo token of {login}")),
            ..InitRequest::default()
        };
        client.init_token(&request).await?;
    }
    Ok(demo)
}

impl Ready {
    /// Three lines to paste: a login, its replay at another node, the token.
    pub(super) fn curl_lines(&self, folder: &Folder) -> [String; 3] {
        let first = folder.node(*folder.ids().start()).url;
        let last = folder.node(*folder.ids().end()).url;
        let otp = &self.otp;
        let jar = quoted(&folder.path().join("cookies.txt").display().to_string());
        let password = quoted(&format!("password={}", folder.admin_password()));
        [
            format!("curl -s {first}/validate/check -d user=alice -d realm={REALM} -d pass={PIN}{otp}"),
            format!("curl -s {last}/validate/check -d user=alice -d realm={REALM} -d pass={PIN}{otp}"),
            format!(
                "curl -s -o /dev/null -c {jar} {first}/admin/login -d username={ADMIN} --data-urlencode {password} \
                 && curl -s -b {jar} '{first}/admin/show?serial={HOTP_SERIAL}'"
            ),
        ]
    }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=+:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn random_seed() -> anyhow::Result<String> {
    let seed: [u8; 20] = entropy::bytes()?;
    let mut text = String::with_capacity(40);
    for byte in seed {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("/tmp/a-b"), "/tmp/a-b");
        assert_eq!(quoted("password=a b"), "'password=a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn seeds_are_twenty_bytes() {
        let seed = random_seed().unwrap();
        assert_eq!(from_hex(&seed).unwrap().len(), 20);
        assert_eq!(from_hex("0aFf"), Some(vec![0x0a, 0xff]));
        assert_eq!((from_hex("0"), from_hex("zz")), (None, None));
    }
}
