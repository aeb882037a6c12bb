//! Exit codes: what a script can rely on.

use tessera_client::ClientError;

/// The command was carried out.
#[cfg(test)]
pub(crate) const DONE: u8 = 0;
/// The server refused, or the command failed for another reason.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// No server could be reached, or none could answer.
pub(crate) const UNREACHABLE: u8 = 3;
/// There is no valid session, or the login was refused.
pub(crate) const NOT_LOGGED_IN: u8 = 4;

/// The text below the help.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  refused or failed
  2  wrong command line
  3  no server could be reached, or none could answer
  4  not logged in, or the login was refused

Environment:
  TESSERA_URL       server URLs, separated by commas
  TESSERA_USER      administrator's login
  TESSERA_PASSWORD  administrator's password";

/// The command line is well-formed but does not say enough.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// There is no session to use.
#[derive(Debug, thiserror::Error)]
#[error("not logged in: run `tessera login`, or give --user and --password")]
pub(crate) struct NotLoggedIn;

/// What was checked is not in order.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failed(pub(crate) String);

/// Not everything could be checked, because a node did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Incomplete(pub(crate) String);

/// The exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() {
        return USAGE;
    }
    if error.is::<NotLoggedIn>() {
        return NOT_LOGGED_IN;
    }
    if error.is::<Incomplete>() {
        return UNREACHABLE;
    }
    match error.downcast_ref::<ClientError>() {
        Some(
            ClientError::Connect { .. }
            | ClientError::Timeout { .. }
            | ClientError::Broken { .. }
            | ClientError::Status { code: 502..=504 },
        ) => UNREACHABLE,
        Some(ClientError::NotAuthenticated { .. }) => NOT_LOGGED_IN,
        Some(ClientError::NoUrls | ClientError::InvalidUrl { .. }) => USAGE,
        _ => FAILED,
    }
}

/// The error with its causes in one line.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Some libraries repeat the cause in the message.
        if text.ends_with(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let cases: [(anyhow::Error, u8); 9] = [
            (Failed("x".to_owned()).into(), FAILED),
            (Incomplete("x".to_owned()).into(), UNREACHABLE),
            (Usage("x".to_owned()).into(), USAGE),
            (NotLoggedIn.into(), NOT_LOGGED_IN),
            (ClientError::NotAuthenticated { message: String::new() }.into(), NOT_LOGGED_IN),
            (ClientError::Timeout { url: String::new() }.into(), UNREACHABLE),
            (ClientError::Status { code: 503 }.into(), UNREACHABLE),
            (ClientError::Status { code: 404 }.into(), FAILED),
            (ClientError::Api { code: 1102, message: String::new() }.into(), FAILED),
        ];
        for (error, expected) in cases {
            assert_eq!(code(&error), expected, "{error}");
        }
        let wrapped = Err::<(), _>(ClientError::NoUrls).context("while connecting").unwrap_err();
        assert_eq!(code(&wrapped), USAGE);
        assert!(explain(&wrapped).starts_with("while connecting: "));
        for (code, word) in
            [(DONE, "done"), (FAILED, "refused"), (USAGE, "command line"), (UNREACHABLE, "reached")]
        {
            let line = HELP.lines().find(|line| line.trim_start().starts_with(&code.to_string())).unwrap();
            assert!(line.contains(word), "{line}");
        }
    }
}
