//! `tessera token`: enrolling, listing and changing tokens.

mod init;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tessera_client::{CheckRequest, Client, ShowRequest, TokenRow, TokenSelector, UserRef, Verdict};

use super::connection::Connection;
use crate::exit::Usage;
use crate::output::{self, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Enrols a token.
    #[command(after_help = init::EXAMPLES)]
    Init(Box<init::Init>),
    /// Lists tokens.
    #[command(after_help = "Examples:\n  tessera token list\n  tessera token list --owner alice --json")]
    List(List),
    /// Shows everything about a token.
    Show(Serial),
    /// Enables tokens.
    Enable(Which),
    /// Disables tokens; their owners cannot log in with them.
    Disable(Which),
    /// Removes tokens for ever.
    Remove(Which),
    /// Sets fail counters to 0, so that locked tokens can be used again.
    Reset(Which),
    /// Gives a token to a user.
    #[command(after_help = "Example:\n  tessera token assign OATH0001 alice --realm demo")]
    Assign(Assign),
    /// Takes a token from its owner.
    Unassign(Serial),
    /// Replaces a lost token by a temporary password and disables it.
    #[command(after_help = "Example:\n  tessera token lost OATH0001")]
    Lost(Serial),
    /// Sets the PIN that is typed into the device (motp) or goes into its answers (ocra2).
    #[command(name = "set-device-pin", after_help = "Example:\n  tessera token set-device-pin LSMO0001 6666")]
    SetDevicePin(SetPin),
    /// Sets the PIN that goes before the OTP.
    #[command(name = "set-pin", after_help = "Example:\n  tessera token set-pin OATH0001 1234")]
    SetPin(SetPin),
    /// Finds a token's counter again by two consecutive OTPs.
    #[command(after_help = "Example:\n  tessera token resync OATH0001 755224 287082")]
    Resync(Resync),
    /// Tries a login: PIN and OTP of a user or token. The OTP is used up.
    #[command(after_help = "Examples:\n  tessera token check --owner alice --realm demo 1234755224\n  \
        tessera token check --serial OATH0001 1234755224")]
    Check(Check),
}

/// Whose token.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct OwnerOptions {
    /// The owner's login
    #[arg(long, value_name = "LOGIN")]
    owner: Option<String>,
    /// The owner's realm; the default realm unless given
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,
}

impl OwnerOptions {
    fn user(&self) -> Option<UserRef> {
        self.owner.as_ref().map(|login| UserRef { realm: self.realm.clone(), ..UserRef::new(login.as_str()) })
    }
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Serial number; `*` is a wild card
    #[arg(long, value_name = "PATTERN")]
    serial: Option<String>,
    /// Text looked for in all columns
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Page, from 1; all tokens unless given
    #[arg(long, value_name = "NUMBER")]
    page: Option<u64>,
    /// Tokens per page
    #[arg(long, value_name = "NUMBER", requires = "page")]
    page_size: Option<u64>,
    #[command(flatten)]
    owner: OwnerOptions,
}

#[derive(Args, Debug)]
pub(crate) struct Serial {
    /// Serial number
    serial: String,
}

#[derive(Args, Debug)]
pub(crate) struct Which {
    /// Serial number
    #[arg(required_unless_present = "owner", conflicts_with = "owner")]
    serial: Option<String>,
    #[command(flatten)]
    owner: OwnerOptions,
}

impl Which {
    fn selector(&self) -> TokenSelector {
        TokenSelector { serial: self.serial.clone(), user: self.owner.user() }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Assign {
    /// Serial number
    serial: String,
    /// The new owner's login
    #[arg(value_name = "OWNER")]
    to: String,
    /// The new owner's realm; the default realm unless given
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,
    /// Sets the PIN too
    #[arg(long)]
    pin: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SetPin {
    /// Serial number
    serial: String,
    /// The new PIN
    pin: String,
}

#[derive(Args, Debug)]
pub(crate) struct Resync {
    /// Serial number
    serial: String,
    /// An OTP of the token
    otp1: String,
    /// The next OTP
    otp2: String,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Serial number instead of a user
    #[arg(long, conflicts_with = "owner", required_unless_present = "owner")]
    serial: Option<String>,
    #[command(flatten)]
    owner: OwnerOptions,
    /// PIN and OTP as the user would type them
    pass: String,
}

impl Token {
    pub(super) async fn run(self, connection: Connection) -> anyhow::Result<()> {
        let format = connection.format();
        if let Self::Check(check) = self {
            return check.run(&connection.anonymous()?, format).await;
        }
        let connected = connection.connect().await?;
        self.run_as_administrator(&connected.client, format).await?;
        connected.finish()
    }

    async fn run_as_administrator(self, client: &Client, format: Format) -> anyhow::Result<()> {
        match self {
            Self::Init(init) => init.run(client, format).await,
            Self::List(list) => list.run(client, format).await,
            Self::Show(Serial { serial }) => show(client, format, &serial).await,
            Self::Enable(which) => count(format, "enabled", client.enable_tokens(&which.selector()).await?),
            Self::Disable(which) => {
                count(format, "disabled", client.disable_tokens(&which.selector()).await?)
            }
            Self::Remove(which) => count(format, "removed", client.remove_tokens(&which.selector()).await?),
            Self::Reset(which) => count(format, "reset", client.reset_tokens(&which.selector()).await?),
            Self::Assign(Assign { serial, to, realm, pin }) => {
                let user = UserRef { realm, ..UserRef::new(to.as_str()) };
                client.assign_token(&serial, &user, pin.as_deref()).await?;
                output::result(
                    format,
                    &format!("{serial} assigned to {to}"),
                    &json!({ "serial": serial, "owner": to }),
                )
            }
            Self::Unassign(Serial { serial }) => {
                client.unassign_token(&serial).await?;
                output::result(format, &format!("{serial} has no owner now"), &json!({ "serial": serial }))
            }
            Self::Lost(Serial { serial }) => {
                let lost = client.replace_lost_token(&serial).await?;
                let (password, end) = (lost.password, lost.end_date);
                let text = format!("{}\n{password}\ngood until {end} UTC", lost.serial);
                let value = json!({ "serial": lost.serial, "password": password, "end_date": end });
                output::result(format, &text, &value)
            }
            Self::SetDevicePin(SetPin { serial, pin }) => {
                client.set_user_pin(&serial, &pin).await?;
                output::result(format, &format!("device PIN of {serial} set"), &json!({ "serial": serial }))
            }
            Self::SetPin(SetPin { serial, pin }) => {
                let changed = client.set_tokens(&TokenSelector::serial(&serial), &[("pin", &pin)]).await?;
                anyhow::ensure!(
                    changed.values().any(|count| *count > 0),
                    "the PIN of {serial} was not changed"
                );
                output::result(format, &format!("PIN of {serial} set"), &json!({ "serial": serial }))
            }
            Self::Resync(Resync { serial, otp1, otp2 }) => {
                let found = client.resync_token(&TokenSelector::serial(&serial), &otp1, &otp2).await?;
                anyhow::ensure!(found, "the two OTPs were not found in the window of {serial}");
                output::result(format, &format!("{serial} resynchronised"), &json!({ "serial": serial }))
            }
            Self::Check(_) => Err(Usage("check needs no administrator".to_owned()).into()),
        }
    }
}

/// The number of tokens changed; none is a failure, so that a script notices a wrong name.
fn count(format: Format, verb: &str, changed: u64) -> anyhow::Result<()> {
    anyhow::ensure!(changed > 0, "no token {verb}");
    let noun = if changed == 1 { "token" } else { "tokens" };
    output::result(format, &format!("{changed} {noun} {verb}"), &json!({ verb: changed }))
}

impl List {
    async fn run(self, client: &Client, format: Format) -> anyhow::Result<()> {
        let request = ShowRequest {
            serial: self.serial,
            user: self.owner.owner,
            realm: self.owner.realm,
            filter: self.filter,
            page: self.page,
            page_size: self.page_size,
            ..ShowRequest::default()
        };
        let page = client.show_tokens(&request).await?;
        match format {
            Format::Json => {
                let rows: Vec<Value> = page.rows.iter().map(as_json).collect();
                output::json(&rows)
            }
            Format::Text => {
                let head = ["SERIAL", "TYPE", "OWNER", "REALMS", "ACTIVE", "FAILS", "COUNT", "DESCRIPTION"];
                output::table(&head, page.rows.iter().map(row));
                if page.pages > 1 {
                    output::note(&format!("page {} of {}, {} tokens", page.page, page.pages, page.tokens));
                }
                Ok(())
            }
        }
    }
}

fn row(token: &TokenRow) -> Vec<String> {
    vec![
        token.serial.clone(),
        token.token_type.clone(),
        token.login.clone(),
        token.realms.join(", "),
        if token.active { "yes" } else { "no" }.to_owned(),
        format!("{}/{}", token.fail_count, token.fail_count_max),
        token.next_counter.to_string(),
        token.description.clone(),
    ]
}

fn as_json(token: &TokenRow) -> Value {
    json!({
        "id": token.id,
        "serial": token.serial,
        "type": token.token_type,
        "description": token.description,
        "owner": token.login,
        "user_id": token.user_id,
        "resolver": token.resolver,
        "realms": token.realms,
        "active": token.active,
        "digits": token.digits,
        "fail_count": token.fail_count,
        "fail_count_max": token.fail_count_max,
        "next_counter": token.next_counter,
        "count_window": token.count_window,
        "sync_window": token.sync_window,
        "created_at": token.created_at,
        "last_success_at": token.last_success_at,
        "last_match_at": token.last_match_at,
        "info": token.info,
    })
}

async fn show(client: &Client, format: Format, serial: &str) -> anyhow::Result<()> {
    let request = ShowRequest { serial: Some(serial.to_owned()), ..ShowRequest::default() };
    let page = client.show_tokens(&request).await?;
    let Some(token) = page.rows.iter().find(|token| token.serial == serial) else {
        anyhow::bail!("there is no token {serial}");
    };
    let value = as_json(token);
    match (format, value.as_object()) {
        (Format::Text, Some(members)) => {
            let rows = members.iter().map(|(name, value)| {
                vec![name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)]
            });
            output::table(&["FIELD", "VALUE"], rows);
            Ok(())
        }
        _ => output::json(&value),
    }
}

impl Check {
    async fn run(self, client: &Client, format: Format) -> anyhow::Result<()> {
        let verdict = match (&self.serial, &self.owner.owner) {
            (Some(serial), _) => client.check_s(&CheckRequest::serial(serial.as_str(), self.pass)).await?,
            (None, Some(login)) => {
                let request =
                    CheckRequest { realm: self.owner.realm, ..CheckRequest::user(login.as_str(), self.pass) };
                client.check(&request).await?
            }
            (None, None) => return Err(Usage("check needs --owner or --serial".to_owned()).into()),
        };
        match verdict {
            Verdict::Accepted { .. } => output::result(format, "accepted", &json!({ "accepted": true })),
            Verdict::Challenge(challenge) => {
                let text = format!("challenge {}: {}", challenge.transaction_id, challenge.message);
                let value = json!({ "accepted": false, "transaction_id": challenge.transaction_id });
                output::result(format, &text, &value)
            }
            Verdict::Rejected { reason: Some(reason) } => anyhow::bail!("rejected: {reason}"),
            Verdict::Failed => anyhow::bail!("the server could not process the login"),
            // The client may learn verdicts this program does not know; none of them is a success.
            Verdict::Rejected { reason: None } | _ => anyhow::bail!("rejected"),
        }
    }
}
