//! How a command reaches the cluster, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tessera_client::{Client, ClientBuilder, Secret, Session};

use super::session_file::{self, Kept};
use crate::exit::{NotLoggedIn, Usage};
use crate::output::Format;

/// Options of every command that talks to a server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// URL of a node; repeat it for several nodes, which then stand in for each other
    #[arg(long, global = true, env = "TESSERA_URL", value_delimiter = ',', value_name = "URL")]
    pub(super) url: Vec<String>,
    /// Administrator's login; without it the session of `tessera login` is used
    #[arg(long, global = true, env = "TESSERA_USER", value_name = "LOGIN")]
    pub(super) user: Option<String>,
    /// Administrator's password; `-` reads it from standard input
    #[arg(long, global = true, env = "TESSERA_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub(super) password: Option<String>,
    /// Prints JSON instead of tables
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Trusts the certification authorities in this PEM file instead of the public ones
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Time limit of a request to one node, in seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10)]
    pub(super) timeout: u64,
}

/// Runs the client side of a command.
pub(super) fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command)
}

/// A client with the session it came with, which is written back if the server renewed it.
pub(super) struct Connected {
    pub(super) client: Client,
    kept: bool,
    urls: Vec<String>,
}

impl Connection {
    /// How results are printed.
    pub(super) const fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }

    /// The given password; `-` stands for a line of standard input.
    pub(super) fn password(&self) -> anyhow::Result<Option<Secret>> {
        match self.password.as_deref() {
            None => Ok(None),
            Some("-") => {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).context("cannot read the password")?;
                Ok(Some(Secret::new(line.trim_end_matches(['\r', '\n']))))
            }
            Some(password) => Ok(Some(Secret::new(password))),
        }
    }

    fn builder(&self, urls: &[String]) -> anyhow::Result<ClientBuilder> {
        if urls.is_empty() {
            let text = "no server: give --url, set TESSERA_URL, or run `tessera login --url URL`";
            return Err(Usage(text.to_owned()).into());
        }
        let mut builder =
            Client::builder().urls(urls.iter().cloned()).timeout(Duration::from_secs(self.timeout));
        if let Some(path) = &self.ca {
            let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            builder = builder.ca_certificate_pem(pem);
        }
        Ok(builder)
    }

    fn kept(&self) -> anyhow::Result<Option<Kept>> {
        session_file::path().map_or(Ok(None), |path| session_file::load(&path))
    }

    /// The servers: those given, else those of the kept session.
    pub(super) fn urls(&self) -> anyhow::Result<Vec<String>> {
        if self.url.is_empty() {
            return Ok(self.kept()?.map(|kept| kept.urls).unwrap_or_default());
        }
        Ok(self.url.clone())
    }

    /// A client without a session.
    pub(super) fn anonymous(&self) -> anyhow::Result<Client> {
        Ok(self.builder(&self.urls()?)?.build()?)
    }

    /// A client of these servers without a session.
    pub(super) fn anonymous_at(&self, urls: &[String]) -> anyhow::Result<Client> {
        Ok(self.builder(urls)?.build()?)
    }

    /// A client of these servers with a session that another client has.
    pub(super) fn with_session(&self, urls: &[String], session: Option<Session>) -> anyhow::Result<Client> {
        let builder = self.builder(urls)?;
        Ok(match session {
            Some(session) => builder.session(session).build()?,
            None => builder.build()?,
        })
    }

    /// A client with a session: logged in with the given name and password, or the kept session.
    pub(super) async fn connect(&self) -> anyhow::Result<Connected> {
        match (&self.user, self.password()?) {
            (Some(user), Some(password)) => {
                let client = self.anonymous()?;
                client.login(user, password.expose()).await?;
                Ok(Connected { client, kept: false, urls: Vec::new() })
            }
            (None, Some(_)) => Err(Usage("--password needs --user".to_owned()).into()),
            (user, None) => self.resume(user.as_deref()),
        }
    }

    fn resume(&self, user: Option<&str>) -> anyhow::Result<Connected> {
        let urls = self.urls()?;
        let builder = self.builder(&urls)?;
        let kept = self.kept()?.filter(|kept| {
            let same_server = self.url.is_empty() || self.url.iter().any(|url| kept.urls.contains(url));
            same_server && user.is_none_or(|user| user == kept.session.user)
        });
        let kept = kept.ok_or(NotLoggedIn)?;
        // The kept list has servers beside the given ones; it stays as it is.
        let urls = kept.urls;
        Ok(Connected { client: builder.session(kept.session).build()?, kept: true, urls })
    }
}

impl Connected {
    /// Writes a renewed session back, so that a session in use does not end.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let (Some(path), Some(session)) = (session_file::path(), self.client.session()) else {
            return Ok(());
        };
        if self.kept { session_file::store(&path, &Kept { urls: self.urls, session }) } else { Ok(()) }
    }
}
