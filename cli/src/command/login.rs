//! `tessera login` and `tessera logout`.

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use tessera_client::ClientError;

use super::connection::Connection;
use super::session_file::{self, Kept};
use crate::exit::{NotLoggedIn, Usage};
use crate::output;

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tessera login --url https://otp1:7480 --url https://otp2:7480 --user admin --password -\n\n\
    The session is kept in $XDG_STATE_HOME/tessera/session.json or ~/.local/state/tessera/session.json."
)]
pub(crate) struct Login {}

#[derive(Args, Debug)]
pub(crate) struct Logout {}

impl Login {
    pub(super) async fn run(&self, connection: Connection) -> anyhow::Result<()> {
        let (Some(user), Some(password)) = (connection.user.clone(), connection.password()?) else {
            return Err(Usage(
                "login needs --user and --password (`-` reads it from standard input)".to_owned(),
            )
            .into());
        };
        let path = session_file::path().context("there is no HOME to keep the session in")?;
        let client = connection.anonymous()?;
        let session = client.login(&user, password.expose()).await?;
        session_file::store(&path, &Kept { urls: connection.urls()?, session })?;
        output::result(connection.format(), &format!("logged in as {user}"), &json!({ "user": user }))
    }
}

impl Logout {
    pub(super) async fn run(&self, connection: Connection) -> anyhow::Result<()> {
        let path = session_file::path().ok_or(NotLoggedIn)?;
        let kept = session_file::load(&path)?.ok_or(NotLoggedIn)?;
        let connection = Connection { url: kept.urls, user: None, password: None, ..connection };
        let connected = connection.connect().await?;
        let outcome = connected.client.logout().await;
        session_file::remove(&path)?;
        match outcome {
            // The session had ended by itself.
            Ok(()) | Err(ClientError::NotAuthenticated { .. }) => {}
            Err(error) => {
                return Err(error).context("the session file is removed, but the session may still be valid");
            }
        }
        output::result(connection.format(), "logged out", &json!({}))
    }
}
