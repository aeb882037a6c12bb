//! `ANY /validate/check_t`: the answer to a challenge (reference http-api 7.4).

use serde::Serialize;
use tessera_core::decide::transaction::{CheckTransaction, TransactionVerdict};

use super::check::options;
use super::verdict::{QrWish, no, render};
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Ending, Reply};

#[derive(Serialize)]
struct Value {
    value: bool,
    failcount: u32,
}

#[derive(Serialize)]
struct Detail<'a> {
    value: bool,
    failcount: u32,
    token_type: &'a str,
    serial: &'a str,
}

#[derive(Serialize)]
struct NoChallenge {
    value: bool,
    failure: String,
}

pub(crate) async fn check_t(mut call: Call) -> Result<Reply, Failure> {
    let pass = call.params.take_secret("pass");
    let params = &call.params;
    let request = CheckTransaction {
        transaction_id: params.owned("state").or_else(|| params.owned("transactionid")),
        pass,
        token_type: params.owned("token_type"),
        auth_info: params.text("auth_info").is_some_and(|text| text.eq_ignore_ascii_case("true")),
        options: options(&call),
    };
    let transaction = request.transaction_id.clone().unwrap_or_default();
    let qr = QrWish::read(&call.params);
    match call.run(request).await {
        Ok(TransactionVerdict::Unknown) => Ok(unknown(&transaction)),
        Ok(TransactionVerdict::Checked { verdict, .. }) if verdict.challenge.is_some() => {
            Ok(render(&verdict, qr.as_ref()))
        }
        Ok(TransactionVerdict::Checked { verdict, token: (serial, token_type), fail_count }) => {
            let (value, failcount) = (verdict.accepted, fail_count);
            let detail = Detail { value, failcount, token_type, serial: serial.as_str() };
            let reply = reply::success(Value { value, failcount }, 1, Some(detail));
            Ok(reply.ending(if value { Ending::Ok } else { Ending::Rejected }))
        }
        Err(Failure::Refused { .. }) => Ok(no()),
        Err(other) => Err(other),
    }
}

fn unknown(transaction: &str) -> Reply {
    let failure = format!("No challenge for transaction '{transaction}' found");
    let detail = NoChallenge { value: false, failure };
    reply::success(Value { value: false, failcount: 0 }, 1, Some(detail)).ending(Ending::Rejected)
}
