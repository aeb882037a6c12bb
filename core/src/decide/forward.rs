//! Logins that another server decides: `forward_server` (reference policies 8.2, 8.3 and 11.6).

use serde_json::Value;

use super::Context;
use super::authorize::LoginDetail;
use super::login::detail;
use super::policies::{Who, is_on, value};
use super::user::KnownUser;
use super::validate::{Check, Verdict};
use crate::decision::{Defect, Stop};
use crate::facts::{Answer, ForwardedLogin, Question, RemoteReply, RemoteServer};
use crate::policy::catalogue::authentication::{FORWARD_ON_NO_TOKEN, FORWARD_SERVER};
use crate::policy::forward::{SEALED_IN, Server, servers};
use crate::secret::{Purpose, SealError, SecretText};

/// The answer for a user whose logins another server decides, whatever tokens there are here.
pub(super) fn forwarded(
    cx: &mut Context<'_>,
    user: &KnownUser,
    check: &Check,
) -> Result<Option<Verdict>, Stop> {
    if is_on(cx, &FORWARD_ON_NO_TOKEN, Who::user(user))? {
        return Ok(None);
    }
    ask(cx, user, check)
}

/// The answer for a user without token whose logins another server decides.
pub(super) fn forwarded_without_token(
    cx: &mut Context<'_>,
    user: &KnownUser,
    check: &Check,
) -> Result<Option<Verdict>, Stop> {
    ask(cx, user, check)
}

/// Asks the servers of the policy; `None` if there is no policy.
fn ask(cx: &mut Context<'_>, user: &KnownUser, check: &Check) -> Result<Option<Verdict>, Stop> {
    let Some(urls) = value(cx, &FORWARD_SERVER, Who::user(user))? else { return Ok(None) };
    let Some(pass) = &check.pass else {
        detail(cx, "the parameter 'pass' is missing");
        return Ok(Some(Verdict::default()));
    };
    let servers = usable(cx, &urls)?;
    if servers.is_empty() {
        detail(cx, "forward_server names no server that can be asked");
        return Ok(Some(Verdict::default()));
    }
    let login = ForwardedLogin {
        user: user.login.clone(),
        pass: pass.clone(),
        transaction: check.transaction_id.clone(),
        parameters: parameters(user, check),
    };
    let answer = cx.ask(Question::AskServer { servers, login })?.clone();
    let reply = match answer {
        Answer::Remote(reply) => reply,
        Answer::Unavailable(problem) => {
            cx.note(&problem);
            detail(cx, "no answer from the server the login was forwarded to");
            return Ok(Some(Verdict::default()));
        }
        Answer::User(_)
        | Answer::Users(_)
        | Answer::Verdict(_)
        | Answer::Loaded
        | Answer::Hash(_)
        | Answer::Yubico { .. } => return Err(Stop::Defect(Defect::Answer("the reply of a server"))),
    };
    Ok(Some(conclude(cx, &reply)))
}

/// The servers with their secrets opened. One whose secret is missing, or was sealed in another cluster, is left out.
fn usable(cx: &mut Context<'_>, urls: &str) -> Result<Vec<RemoteServer>, Stop> {
    let configuration = cx.view.configuration();
    let nas_identifier = configuration.settings.text("RADIUS_NAS_IDENTIFIER").unwrap_or("LinOTP");
    let mut usable = Vec::new();
    for server in servers(urls) {
        usable.push(match server {
            Server::Http { url, verifies } => RemoteServer::Http { url, verifies },
            Server::Radius { host, port, secret } => {
                let Some(sealed) = secret else {
                    cx.note(&format!("RADIUS server {host} has no secret"));
                    continue;
                };
                let opened = match cx.facts.keyring.open(Purpose::Policy, SEALED_IN, &sealed) {
                    Ok(opened) => opened,
                    Err(SealError::Damaged(_)) => {
                        cx.note(&format!("the secret of RADIUS server {host} cannot be opened"));
                        continue;
                    }
                    Err(error @ SealError::UnknownKey(_)) => return Err(error.into()),
                };
                let secret = SecretText::new(String::from_utf8_lossy(&opened).into_owned());
                RemoteServer::Radius { host, port, secret, nas_identifier: nas_identifier.to_owned() }
            }
        });
    }
    Ok(usable)
}

/// What is sent beside user and password: the realm, and every other parameter of the request (reference policies 8.2).
fn parameters(user: &KnownUser, check: &Check) -> Vec<(String, String)> {
    let mut all = vec![("realm".to_owned(), user.realm.to_string())];
    let named = [
        ("serial", check.serial.clone()),
        ("token_type", check.token_type.clone()),
        ("transactionid", check.transaction_id.clone()),
        ("state", check.transaction_id.clone()),
        ("auth_info", check.auth_info.then(|| "true".to_owned())),
    ];
    all.extend(named.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?))));
    let others = check.options.iter().filter(|(name, _)| *name != "init");
    all.extend(others.map(|(name, text)| (name.clone(), text.clone())));
    all
}

/// The verdict of a server is ours. What it tells besides goes to the client unchanged (D11).
fn conclude(cx: &mut Context<'_>, reply: &RemoteReply) -> Verdict {
    let (accepted, told) = match reply {
        RemoteReply::Accepted => (true, None),
        RemoteReply::Rejected => (false, None),
        RemoteReply::Challenged { state, message } => {
            let told = serde_json::json!({ "transactionid": state, "message": message });
            (false, Some(told.to_string()))
        }
        RemoteReply::Http(body) => match serde_json::from_str::<Value>(body) {
            Ok(reply) => {
                let result = |name: &str| reply.pointer(name) == Some(&Value::Bool(true));
                let told = reply.get("detail").filter(|told| told.is_object());
                (result("/result/status") && result("/result/value"), told.map(Value::to_string))
            }
            Err(_) => {
                cx.note("the server's reply is not what LinOTP replies");
                (false, None)
            }
        },
    };
    cx.audit.success = accepted;
    detail(cx, if accepted { "accepted by another server" } else { "refused by another server" });
    Verdict { accepted, detail: told.map(LoginDetail::Remote), ..Verdict::default() }
}
