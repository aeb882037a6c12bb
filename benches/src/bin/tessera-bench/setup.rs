//! Users, realm and tokens for the load, made through the web API.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tessera_client::{Client, InitRequest, Secret, TokenSelector, UserRef, passwd_resolver_spec};
use tokio::task::JoinSet;

use crate::args::Args;
use crate::hotp::{Hotp, SEED_BYTES};
use crate::plan::BenchToken;

/// The realm of the users.
pub(crate) const REALM: &str = "bench";
const RESOLVER: &str = "benchres";
/// Fail counter limit of new tokens (reference http-api 23.1).
const FAIL_LIMIT_KEY: &str = "DefaultMaxFailCount";
const FAIL_LIMIT: &str = "1000000000";
/// Look-ahead window of new tokens.
const WINDOW_KEY: &str = "DefaultCountWindow";
/// Wrong OTPs keep clear of at least this window.
const WINDOW_MIN: u64 = 32;
/// Above this window, computing wrong OTPs would cost more than sending them.
const WINDOW_MAX: u64 = 10_000;
const ENROLMENTS_AT_ONCE: usize = 8;
/// Enrolling a user goes through directories and policies; it may take longer than a check.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);

/// What the load runs on.
pub(crate) struct Prepared {
    pub(crate) tokens: Vec<BenchToken>,
    /// Counters ahead that a wrong OTP must not hit.
    pub(crate) window: u64,
    /// How long all enrolments took together.
    pub(crate) enrolment: Duration,
}

/// Logs in as administrator.
pub(crate) async fn connect(args: &Args, ca_pem: Option<&[u8]>) -> anyhow::Result<Client> {
    let mut builder =
        Client::builder().urls(args.urls.iter().cloned()).timeout(ADMIN_TIMEOUT).insecure(args.insecure);
    if let Some(pem) = ca_pem {
        builder = builder.ca_certificate_pem(pem);
    }
    let client = builder.build()?;
    client.login(&args.admin, &args.admin_password.0).await.context("cannot log in")?;
    Ok(client)
}

/// Makes users, resolver and realm, and enrols one token per user.
///
/// The fail counter limit is a default of new tokens, so it is raised for the enrolment only.
pub(crate) async fn prepare(args: &Args, client: &Client) -> anyhow::Result<Prepared> {
    let path = passwd_path(args);
    std::fs::write(&path, passwd_lines(args.users))
        .with_context(|| format!("cannot write {}", path.display()))?;
    let path = path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))?;
    let file_name = path.to_str().context("the path of the user file is not UTF-8")?;
    client.set_passwd_resolver(RESOLVER, file_name).await.context("cannot make the resolver")?;
    let spec = passwd_resolver_spec(RESOLVER);
    client.set_realm(REALM, &[spec.as_str()]).await.context("cannot make the realm")?;
    let window = client.config_entry(WINDOW_KEY).await.context("cannot read the configuration")?;
    let window = window.and_then(|text| text.trim().parse().ok()).unwrap_or(WINDOW_MIN);

    let before = client.config_entry(FAIL_LIMIT_KEY).await.context("cannot read the configuration")?;
    client.set_config(FAIL_LIMIT_KEY, FAIL_LIMIT, None).await.context("cannot raise the fail limit")?;
    let started = Instant::now();
    let enrolled = enrol_all(args, client).await;
    let enrolment = started.elapsed();
    let restored = match before {
        Some(limit) => client.set_config(FAIL_LIMIT_KEY, &limit, None).await,
        None => client.delete_config(FAIL_LIMIT_KEY).await,
    };
    let tokens = enrolled?;
    restored.with_context(|| format!("cannot restore {FAIL_LIMIT_KEY}"))?;
    Ok(Prepared { tokens, window: window.clamp(WINDOW_MIN, WINDOW_MAX), enrolment })
}

/// Removes what [`prepare`] made.
pub(crate) async fn clean_up(args: &Args, client: &Client) -> anyhow::Result<()> {
    for index in 0..args.users {
        client
            .remove_tokens(&TokenSelector::serial(serial(args, index)))
            .await
            .context("cannot remove a token")?;
    }
    client.delete_realm(REALM).await.context("cannot delete the realm")?;
    client.delete_resolver(RESOLVER).await.context("cannot delete the resolver")?;
    let path = passwd_path(args);
    std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}

async fn enrol_all(args: &Args, client: &Client) -> anyhow::Result<Vec<BenchToken>> {
    let mut tokens = Vec::with_capacity(args.users);
    let mut running = JoinSet::new();
    for index in 0..args.users {
        if running.len() >= ENROLMENTS_AT_ONCE
            && let Some(token) = running.join_next().await
        {
            tokens.push(token??);
        }
        running.spawn(enrol(client.clone(), serial(args, index), login(index)));
    }
    while let Some(token) = running.join_next().await {
        tokens.push(token??);
    }
    Ok(tokens)
}

async fn enrol(client: Client, serial: String, login: String) -> anyhow::Result<BenchToken> {
    let mut seed = [0_u8; SEED_BYTES];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let hex = seed.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let request = InitRequest {
        token_type: "hmac".to_owned(),
        serial: Some(serial.clone()),
        otpkey: Some(Secret::new(hex)),
        otplen: Some(6),
        hashlib: Some("sha1".to_owned()),
        user: Some(UserRef::in_realm(login.as_str(), REALM)),
        description: Some("tessera-bench".to_owned()),
        ..InitRequest::default()
    };
    client.init_token(&request).await.with_context(|| format!("cannot enrol {serial}"))?;
    let hotp = Hotp::new(&seed).context("unusable seed")?;
    Ok(BenchToken::new(login, hotp))
}

fn passwd_path(args: &Args) -> PathBuf {
    args.passwd_file.clone().unwrap_or_else(|| Path::new(&std::env::temp_dir()).join("tessera-bench.passwd"))
}

/// Lines of reference users-and-providers 3; nobody can log in with their passwords.
fn passwd_lines(users: usize) -> String {
    (0..users).fold(String::new(), |mut lines, index| {
        let (login, id) = (login(index), index.saturating_add(100_000));
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{login}:*:{id}:{id}:Bench User,,,:/nonexistent:/bin/false");
        lines
    })
}

fn login(index: usize) -> String {
    format!("bench{index:06}")
}

fn serial(args: &Args, index: usize) -> String {
    format!("{}{index:06}", args.serial_prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_file_has_the_fields_of_a_passwd_file() {
        let lines = passwd_lines(2);
        let fields: Vec<&str> = lines.lines().nth(1).unwrap().split(':').collect();
        assert_eq!(fields[..4], ["bench000001", "*", "100001", "100001"]);
        assert_eq!((lines.lines().count(), fields.len()), (2, 7));
    }
}
