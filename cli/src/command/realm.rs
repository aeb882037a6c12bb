//! `tessera realm`: realms and the default realm.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tessera_client::{Client, passwd_resolver_spec};

use super::connection::Connection;
use crate::exit::Usage;
use crate::output::{self, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum Realm {
    /// Lists the realms.
    List,
    /// Creates or replaces a realm.
    #[command(after_help = "Example:\n  tessera realm set demo --resolver files --resolver staff")]
    Set(Set),
    /// Deletes a realm; its tokens stay.
    Delete(Delete),
    /// Shows, sets or clears the default realm, in which users without a realm are looked for.
    #[command(
        after_help = "Examples:\n  tessera realm default\n  tessera realm default demo\n  tessera realm default --clear"
    )]
    Default(DefaultRealm),
}

#[derive(Args, Debug)]
pub(crate) struct Set {
    /// Name of the realm
    name: String,
    /// A resolver by name or full specification; repeat it for several, in the order of search
    #[arg(long, required = true, value_name = "RESOLVER")]
    resolver: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// Name of the realm
    name: String,
}

#[derive(Args, Debug)]
pub(crate) struct DefaultRealm {
    /// The new default realm
    #[arg(conflicts_with = "clear")]
    name: Option<String>,
    /// There shall be no default realm
    #[arg(long)]
    clear: bool,
}

impl Realm {
    pub(super) async fn run(self, connection: Connection) -> anyhow::Result<()> {
        let format = connection.format();
        let connected = connection.connect().await?;
        let client = &connected.client;
        match self {
            Self::List => list(client, format).await?,
            Self::Set(set) => set.run(client, format).await?,
            Self::Delete(delete) => {
                let deleted = client.delete_realm(&delete.name).await?;
                anyhow::ensure!(deleted, "there is no realm {}", delete.name);
                output::result(
                    format,
                    &format!("realm {} deleted", delete.name),
                    &json!({ "deleted": true }),
                )?;
            }
            Self::Default(default) => default.run(client, format).await?,
        }
        connected.finish()
    }
}

async fn list(client: &Client, format: Format) -> anyhow::Result<()> {
    let realms = client.list_realms().await?;
    match format {
        Format::Json => {
            let realms: Vec<Value> = realms
                .iter()
                .map(|realm| {
                    let (default, admin) = (realm.is_default, realm.is_admin);
                    json!({ "name": realm.name, "resolvers": realm.resolvers, "default": default, "admin": admin })
                })
                .collect();
            output::json(&realms)
        }
        Format::Text => {
            let mark = |yes: bool| if yes { "yes" } else { "" }.to_owned();
            let rows = realms.iter().map(|realm| {
                vec![
                    realm.name.clone(),
                    mark(realm.is_default),
                    mark(realm.is_admin),
                    realm.resolvers.join(", "),
                ]
            });
            output::table(&["NAME", "DEFAULT", "ADMIN", "RESOLVERS"], rows);
            Ok(())
        }
    }
}

impl Set {
    async fn run(&self, client: &Client, format: Format) -> anyhow::Result<()> {
        let specs = specifications(client, &self.resolver).await?;
        let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
        client.set_realm(&self.name, &specs).await?;
        let value = json!({ "name": self.name, "resolvers": specs });
        output::result(format, &format!("realm {} set", self.name), &value)
    }
}

/// Full specifications as `setRealm` wants them; a name without a dot is looked up.
async fn specifications(client: &Client, given: &[String]) -> anyhow::Result<Vec<String>> {
    if given.iter().all(|resolver| resolver.contains('.')) {
        return Ok(given.to_vec());
    }
    let known = client.list_resolvers().await?;
    let full = |name: &String| {
        if name.contains('.') {
            return Ok(name.clone());
        }
        match known.iter().find(|resolver| resolver.name == *name) {
            Some(resolver) if resolver.spec.is_empty() => Ok(passwd_resolver_spec(name)),
            Some(resolver) => Ok(resolver.spec.clone()),
            None => Err(anyhow::Error::from(Usage(format!("there is no resolver {name}")))),
        }
    };
    given.iter().map(full).collect()
}

impl DefaultRealm {
    async fn run(&self, client: &Client, format: Format) -> anyhow::Result<()> {
        if self.clear {
            client.clear_default_realm().await?;
            return output::result(format, "no default realm", &json!({ "default": null }));
        }
        if let Some(name) = &self.name {
            anyhow::ensure!(client.set_default_realm(name).await?, "there is no realm {name}");
            return output::result(format, &format!("default realm {name}"), &json!({ "default": name }));
        }
        let name = client.default_realm().await?.map(|realm| realm.name);
        output::result(format, name.as_deref().unwrap_or("no default realm"), &json!({ "default": name }))
    }
}
