//! `tessera user`: users as the resolvers know them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tessera_client::UserQuery;

use super::connection::Connection;
use crate::output::{self, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Lists users of a realm or resolver.
    #[command(after_help = "Examples:\n  tessera user list --realm demo\n  tessera user list --name 'a*'")]
    List(List),
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Realm; the default realm unless given, `*` for all
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,
    /// Resolver instead of a realm
    #[arg(long, value_name = "RESOLVER")]
    resolver: Option<String>,
    /// Pattern of the login name
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    name: String,
}

impl User {
    pub(super) async fn run(self, connection: Connection) -> anyhow::Result<()> {
        let Self::List(list) = self;
        let connected = connection.connect().await?;
        let fields = vec![("username".to_owned(), list.name)];
        let query = UserQuery { realm: list.realm, resolver: list.resolver, fields, ..UserQuery::default() };
        let users = connected.client.list_users(&query).await?.users;
        match connection.format() {
            Format::Json => {
                let users: Vec<Value> = users
                    .iter()
                    .map(|user| {
                        json!({
                            "username": user.username,
                            "userid": user.userid,
                            "givenname": user.givenname,
                            "surname": user.surname,
                            "email": user.email,
                            "phone": user.phone,
                            "mobile": user.mobile,
                            "description": user.description,
                            "resolver": user.resolver,
                        })
                    })
                    .collect();
                output::json(&users)?;
            }
            Format::Text => {
                let rows = users.iter().map(|user| {
                    let name = format!("{} {}", user.givenname, user.surname).trim().to_owned();
                    vec![
                        user.username.clone(),
                        user.userid.clone(),
                        name,
                        user.email.clone(),
                        user.resolver.clone(),
                    ]
                });
                output::table(&["LOGIN", "ID", "NAME", "EMAIL", "RESOLVER"], rows);
            }
        }
        connected.finish()
    }
}
