//! `ANY /validate/check_s`: check by serial (reference http-api 7.3).

use tessera_core::decide::validate::CheckSerial;

use super::check::options;
use super::once::{self, Checked};
use super::verdict::{QrWish, render};
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{Reply, third_shape};

pub(crate) async fn check_s(mut call: Call) -> Result<Reply, Failure> {
    let pass = call.params.take_secret("pass");
    let params = &call.params;
    let request = CheckSerial {
        user: call.user(),
        serial: params.owned("serial"),
        pass,
        token_type: params.owned("token_type"),
        transaction_id: params.owned("state").or_else(|| params.owned("transactionid")),
        auth_info: params.text("auth_info").is_some_and(|text| text.eq_ignore_ascii_case("true")),
        options: options(&call),
    };
    let qr = QrWish::read(&call.params);
    Ok(match once::run(&mut call, request).await? {
        Checked::Verdict(verdict) => render(&verdict, qr.as_ref()),
        Checked::Refused => third_shape(),
        Checked::Reply(reply) => reply,
    })
}
