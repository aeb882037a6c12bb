//! `ANY /validate/check_status`: how far the challenges of a transaction are (reference http-api 7.5).

use std::collections::BTreeMap;

use serde::Serialize;
use tessera_core::decide::transaction::{ChallengeStatus, CheckStatus};

use super::verdict::no;
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Reply};

#[derive(Serialize)]
struct Detail<'a> {
    transactions: BTreeMap<&'a str, Status<'a>>,
}

#[derive(Serialize)]
struct Status<'a> {
    received_count: u32,
    received_tan: bool,
    valid_tan: bool,
    message: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reject: Option<bool>,
    token: Token<'a>,
}

#[derive(Serialize)]
struct Token<'a> {
    serial: &'a str,
    #[serde(rename = "type")]
    token_type: &'static str,
}

pub(crate) async fn check_status(mut call: Call) -> Result<Reply, Failure> {
    let pass = call.params.take_secret("pass");
    let params = &call.params;
    let request = CheckStatus {
        transaction_id: params.owned("state").or_else(|| params.owned("transactionid")),
        pass,
        user: call.user(),
        serial: params.owned("serial"),
    };
    match call.run(request).await {
        Ok(found) if !found.is_empty() => Ok(render(&found)),
        Ok(_) | Err(Failure::Refused { .. }) => Ok(no()),
        Err(other) => Err(other),
    }
}

fn render(found: &[ChallengeStatus]) -> Reply {
    let transactions = found
        .iter()
        .map(|challenge| {
            let shown = Status {
                received_count: challenge.received_count,
                received_tan: challenge.received,
                valid_tan: challenge.valid,
                message: &challenge.message,
                status: if challenge.open { "open" } else { "closed" },
                accept: challenge.confirmed.filter(|confirmed| *confirmed),
                reject: challenge.confirmed.map(|confirmed| !confirmed).filter(|refused| *refused),
                token: Token { serial: challenge.serial.as_str(), token_type: challenge.token_type },
            };
            (challenge.transaction_id.as_str(), shown)
        })
        .collect();
    reply::success(true, 1, Some(Detail { transactions }))
}
