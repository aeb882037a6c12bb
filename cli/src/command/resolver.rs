//! `tessera resolver`: where users come from.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tessera_client::Client;

use super::connection::Connection;
use crate::output::{self, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum Resolver {
    /// Lists the resolvers.
    List,
    /// Shows a resolver with its parameters.
    Show(Name),
    /// Creates or changes a resolver of a file in passwd format.
    #[command(
        name = "add-passwd",
        after_help = "Example:\n  tessera resolver add-passwd files /etc/tessera/users\n\n\
        Every node reads the file under this name."
    )]
    AddPasswd(AddPasswd),
    /// Deletes a resolver that no realm uses.
    Delete(Name),
}

#[derive(Args, Debug)]
pub(crate) struct Name {
    /// Name of the resolver
    name: String,
}

#[derive(Args, Debug)]
pub(crate) struct AddPasswd {
    /// Name of the resolver
    name: String,
    /// The file, on every node
    file: String,
}

impl Resolver {
    pub(super) async fn run(self, connection: Connection) -> anyhow::Result<()> {
        let format = connection.format();
        let connected = connection.connect().await?;
        let client = &connected.client;
        match self {
            Self::List => list(client, format).await?,
            Self::Show(Name { name }) => show(client, format, &name).await?,
            Self::AddPasswd(AddPasswd { name, file }) => {
                client.set_passwd_resolver(&name, &file).await?;
                output::result(format, &format!("resolver {name} set"), &json!({ "name": name }))?;
            }
            Self::Delete(Name { name }) => {
                anyhow::ensure!(client.delete_resolver(&name).await?, "there is no resolver {name}");
                output::result(format, &format!("resolver {name} deleted"), &json!({ "deleted": true }))?;
            }
        }
        connected.finish()
    }
}

async fn list(client: &Client, format: Format) -> anyhow::Result<()> {
    let resolvers = client.list_resolvers().await?;
    match format {
        Format::Json => {
            let resolvers: Vec<Value> = resolvers
                .iter()
                .map(
                    |resolver| json!({ "name": resolver.name, "type": resolver.kind, "spec": resolver.spec }),
                )
                .collect();
            output::json(&resolvers)
        }
        Format::Text => {
            let rows = resolvers.iter().map(|one| vec![one.name.clone(), one.kind.clone(), one.spec.clone()]);
            output::table(&["NAME", "TYPE", "SPECIFICATION"], rows);
            Ok(())
        }
    }
}

async fn show(client: &Client, format: Format, name: &str) -> anyhow::Result<()> {
    let Some(resolver) = client.resolver(name).await? else { anyhow::bail!("there is no resolver {name}") };
    match format {
        Format::Json => output::json(&json!({
            "name": resolver.name,
            "type": resolver.kind,
            "spec": resolver.spec,
            "parameters": resolver.parameters,
        })),
        Format::Text => {
            let parameters = resolver.parameters.iter().map(|(key, value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                vec![key.clone(), value]
            });
            let head = [
                vec!["type".to_owned(), resolver.kind.clone()],
                vec!["spec".to_owned(), resolver.spec.clone()],
            ];
            output::table(&["PARAMETER", "VALUE"], head.into_iter().chain(parameters));
            Ok(())
        }
    }
}
