//! `tessera policy`: what applies to whom.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tessera_client::{Client, Policy as Shown, PolicyFilter, PolicyQuestion};

use super::connection::Connection;
use crate::output::{self, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Lists policies.
    List(List),
    /// Creates or replaces a policy.
    #[command(
        after_help = "Examples:\n  tessera policy set pin_vpn --scope authentication --action otppin=1 \
        --realm demo --client 10.0.0.0/8\n  tessera policy set helpdesk --scope admin --action 'enable, disable, reset' \
        --admin eve\n\nSeveral actions are separated by commas; a text with a comma needs quotation marks around it."
    )]
    Set(Set),
    /// Shows a policy.
    Show(Name),
    /// Deletes policies.
    Delete(Delete),
    /// Writes policies to a file.
    Export(Export),
    /// Reads policies from a file; either all of them are written or none.
    Import(Import),
    /// Says which policies would apply to a request.
    #[command(
        after_help = "Example:\n  tessera policy check otppin --scope authentication --owner alice --realm demo\n\n\
        The answer is whether a policy with the action applies, not whether it switches the action on."
    )]
    Check(Check),
    /// Says what becomes of every policy with an action for a request, and why.
    #[command(
        after_help = "Example:\n  tessera policy explain otppin --scope authentication --owner alice --realm demo \
        --client 10.0.0.1"
    )]
    Explain(Check),
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only this scope
    #[arg(long)]
    scope: Option<String>,
    /// Only policies with this action
    #[arg(long)]
    action: Option<String>,
    /// Only the policies closest to this realm
    #[arg(long)]
    realm: Option<String>,
    /// Only policies that name this user or everybody
    #[arg(long, value_name = "LOGIN")]
    owner: Option<String>,
    /// Inactive policies as well
    #[arg(long)]
    all: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Set {
    /// Name of the policy: letters, digits and '_'
    name: String,
    /// The part of the system it rules over
    #[arg(long)]
    scope: String,
    /// What it lays down
    #[arg(long)]
    action: String,
    /// The realms it holds in, separated by commas
    #[arg(long, default_value = "*")]
    realm: String,
    /// The users or administrators it holds for, separated by commas
    #[arg(long, visible_alias = "admin", value_name = "LOGIN", default_value = "*")]
    owner: String,
    /// The client addresses and networks it holds for, separated by commas
    #[arg(long, default_value = "*")]
    client: String,
    /// When it holds, as minute, hour, day, month, day of the week, year; always if not given
    #[arg(long, default_value = "")]
    time: String,
    /// Store it, but do not put it into force
    #[arg(long)]
    inactive: bool,
    /// Accept that administrators may lock themselves out
    #[arg(long)]
    enforce: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Name {
    /// Name of the policy
    name: String,
}

#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// Names of the policies
    #[arg(required = true)]
    names: Vec<String>,
    /// Accept that administrators may lock themselves out
    #[arg(long)]
    enforce: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The file; standard output if not given
    file: Option<PathBuf>,
    /// Inactive policies as well
    #[arg(long)]
    all: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The file
    file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The action
    action: String,
    /// Its scope
    #[arg(long)]
    scope: String,
    /// The user or administrator
    #[arg(long, visible_alias = "admin", value_name = "LOGIN", default_value = "")]
    owner: String,
    /// The realm
    #[arg(long, default_value = "")]
    realm: String,
    /// The client's address
    #[arg(long, default_value = "")]
    client: String,
}

impl Policy {
    pub(super) async fn run(self, connection: Connection) -> anyhow::Result<()> {
        let format = connection.format();
        let connected = connection.connect().await?;
        let client = &connected.client;
        match self {
            Self::List(list) => list.run(client, format).await?,
            Self::Set(set) => set.run(client, format).await?,
            Self::Show(Name { name }) => show(client, format, name).await?,
            Self::Delete(delete) => delete.run(client, format).await?,
            Self::Export(export) => export.run(client).await?,
            Self::Import(import) => import.run(client, format).await?,
            Self::Check(check) => check.run(client, format).await?,
            Self::Explain(check) => check.explain(client, format).await?,
        }
        connected.finish()
    }
}

fn value(policy: &Shown) -> Value {
    json!({
        "name": policy.name, "active": policy.active, "scope": policy.scope, "action": policy.action,
        "realm": policy.realm, "user": policy.user, "client": policy.client, "time": policy.time,
    })
}

fn table(policies: &[Shown], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return output::json(&policies.iter().map(value).collect::<Vec<_>>());
    }
    let rows = policies.iter().map(|policy| {
        vec![
            policy.name.clone(),
            if policy.active { "yes" } else { "" }.to_owned(),
            policy.scope.clone(),
            policy.action.clone(),
            policy.realm.clone(),
            policy.user.clone(),
            policy.client.clone(),
        ]
    });
    output::table(&["NAME", "ACTIVE", "SCOPE", "ACTION", "REALM", "USER", "CLIENT"], rows);
    Ok(())
}

impl List {
    async fn run(self, client: &Client, format: Format) -> anyhow::Result<()> {
        let filter = PolicyFilter {
            name: String::new(),
            scope: self.scope.unwrap_or_default(),
            action: self.action.unwrap_or_default(),
            realm: self.realm.unwrap_or_default(),
            user: self.owner.unwrap_or_default(),
            inactive: self.all,
        };
        table(&client.list_policies(&filter).await?, format)
    }
}

impl Set {
    async fn run(self, client: &Client, format: Format) -> anyhow::Result<()> {
        let policy = Shown {
            name: self.name,
            scope: self.scope,
            action: self.action,
            realm: self.realm,
            user: self.owner,
            client: self.client,
            time: self.time,
            active: !self.inactive,
        };
        client.set_policy(&policy, self.enforce).await?;
        // Shown again by name only: the action may contain a secret.
        let name = &policy.name;
        output::result(format, &format!("policy {name} set"), &json!({ "name": name }))
    }
}

async fn show(client: &Client, format: Format, name: String) -> anyhow::Result<()> {
    let filter = PolicyFilter { name: name.clone(), inactive: true, ..PolicyFilter::default() };
    let policies = client.list_policies(&filter).await?;
    let policy = policies.iter().find(|policy| policy.name == name);
    let policy = policy.with_context(|| format!("there is no policy {name}"))?;
    if format == Format::Json {
        return output::json(&value(policy));
    }
    let active = if policy.active { "yes" } else { "no" };
    for (field, text) in [
        ("name", policy.name.as_str()),
        ("active", active),
        ("scope", &policy.scope),
        ("action", &policy.action),
        ("realm", &policy.realm),
        ("user", &policy.user),
        ("client", &policy.client),
        ("time", &policy.time),
    ] {
        output::line(format!("{field:<8}{text}").trim_end());
    }
    Ok(())
}

impl Delete {
    async fn run(self, client: &Client, format: Format) -> anyhow::Result<()> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let deleted = client.delete_policies(&names, self.enforce).await?;
        let missing: Vec<&&str> =
            names.iter().filter(|name| !deleted.iter().any(|known| known == *name)).collect();
        if !deleted.is_empty() {
            let text = format!("policy {} deleted", deleted.join(", "));
            output::result(format, &text, &json!({ "deleted": deleted }))?;
        }
        anyhow::ensure!(
            missing.is_empty(),
            "there is no policy {}",
            missing.iter().map(|name| **name).collect::<Vec<_>>().join(", ")
        );
        Ok(())
    }
}

impl Export {
    async fn run(self, client: &Client) -> anyhow::Result<()> {
        let filter = PolicyFilter { inactive: self.all, ..PolicyFilter::default() };
        let text = client.export_policies(&filter).await?;
        if let Some(file) = self.file {
            std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        } else {
            output::raw(text.as_bytes());
        }
        Ok(())
    }
}

impl Import {
    async fn run(self, client: &Client, format: Format) -> anyhow::Result<()> {
        let content =
            std::fs::read(&self.file).with_context(|| format!("reading {}", self.file.display()))?;
        let count = client.import_policies("policy.cfg", &content).await?;
        output::result(format, &format!("{count} policies imported"), &json!({ "imported": count }))
    }
}

impl Check {
    fn question(self) -> PolicyQuestion {
        PolicyQuestion {
            scope: self.scope,
            action: self.action,
            user: self.owner,
            realm: self.realm,
            client: self.client,
        }
    }

    async fn explain(self, client: &Client, format: Format) -> anyhow::Result<()> {
        let explained = client.explain_policy(&self.question()).await?;
        if format == Format::Json {
            let rows = explained.iter().map(|found| {
                json!({ "policy": value(&found.policy), "counts": found.counts, "reason": found.reason })
            });
            return output::json(&rows.collect::<Vec<_>>());
        }
        let rows = explained
            .iter()
            .map(|found| vec![found.policy.name.clone(), found.policy.action.clone(), found.reason.clone()]);
        output::table(&["NAME", "ACTION", "VERDICT"], rows);
        Ok(())
    }

    async fn run(self, client: &Client, format: Format) -> anyhow::Result<()> {
        let answer = client.check_policy(&self.question()).await?;
        if format == Format::Json {
            let policies: Vec<Value> = answer.policies.iter().map(value).collect();
            return output::json(
                &json!({ "allowed": answer.allowed, "policies": policies, "note": answer.note }),
            );
        }
        match (&answer.note, answer.policies.as_slice()) {
            (Some(note), _) => output::line(note),
            (None, []) => output::line("no policy applies"),
            (None, policies) => table(policies, format)?,
        }
        Ok(())
    }
}
