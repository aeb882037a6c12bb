//! `ANY /admin/getSerialByOtp`, `ANY /admin/check_serial`, `ANY /admin/totp_lookup` (reference http-api 11.2, 11.3,
//! 11.5).

use serde::Serialize;
use tessera_core::calendar::DateTime;
use tessera_core::decide::find::{OtpMoment, OtpOwner, SerialByOtp, TotpLookup};
use tessera_core::decision::Refusal;
use tessera_core::serial::{CheckSerialFree, SerialProposal};
use tessera_core::time::UnixMillis;

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Reply};

#[derive(Serialize)]
struct Owner<'a> {
    success: bool,
    serial: &'a str,
    user_login: &'a str,
    user_resolver: &'a str,
}

/// No token is no failure: all three texts are empty then.
pub(crate) async fn get_serial_by_otp(mut call: Call) -> Result<Reply, Failure> {
    let otp = call.params.take_secret("otp");
    let params = &call.params;
    let request = SerialByOtp {
        otp,
        token_type: params.owned("type"),
        realm: params.owned("realm"),
        assigned: match params.text("assigned") {
            Some("1") => Some(true),
            Some("0") => Some(false),
            Some(_) | None => None,
        },
    };
    let found = call.run(request).await?;
    let (serial, login, resolver) = match &found {
        Some(OtpOwner { serial, login, resolver }) => {
            (serial.as_str(), login.as_str(), resolver.as_ref().map_or("", |resolver| resolver.as_str()))
        }
        None => ("", "", ""),
    };
    Ok(reply::value(Owner { success: true, serial, user_login: login, user_resolver: resolver }))
}

#[derive(Serialize)]
struct Proposal<'a> {
    unique: bool,
    new_serial: &'a str,
}

pub(crate) async fn check_serial(call: Call) -> Result<Reply, Failure> {
    let wanted = call.params.filled("serial").ok_or(Refusal::MissingParameter("serial"))?;
    let SerialProposal { unique, new_serial } =
        call.run(CheckSerialFree { serial: wanted.to_owned() }).await?;
    Ok(reply::value(Proposal { unique, new_serial: new_serial.as_str() }))
}

#[derive(Serialize)]
struct Moment<'a> {
    serial: &'a str,
    otp: &'a str,
    counter: u64,
    time: String,
    seconds: u64,
    span: u64,
}

/// The `id` of errors is 0.
pub(crate) async fn totp_lookup(mut call: Call) -> Result<Reply, Failure> {
    let otp = call.params.take_secret("otp");
    let request = TotpLookup {
        serial: call.params.owned("serial"),
        otp: otp.clone(),
        window: call.params.owned("window"),
    };
    let found = call.run(request).await.map_err(Failure::with_id_0)?;
    let Some(OtpMoment { serial, counter, seconds, span }) = found else { return Ok(reply::value(false)) };
    let detail = Moment {
        serial: serial.as_str(),
        // A value of the past, which the caller has sent.
        otp: otp.as_ref().map_or("", |otp| otp.expose()),
        counter,
        time: iso(seconds),
        seconds,
        span,
    };
    Ok(reply::success(true, 1, Some(detail)))
}

/// ISO 8601 in UTC without zone.
fn iso(seconds: u64) -> String {
    let DateTime { year, month, day, hour, minute, second } = DateTime::of(UnixMillis::from_seconds(seconds));
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}
