//! `POST /admin/losttoken` (reference http-api 10.12).

use serde::Serialize;
use tessera_core::decide::losttoken::{LostToken, Replacement};

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Reply};

#[derive(Serialize)]
struct Value<'a> {
    serial: &'a str,
    init: bool,
    user: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<u8>,
    valid_to: &'static str,
    password: &'a str,
    end_date: &'a str,
    token_typ: &'static str,
    disable: u8,
}

pub(crate) async fn losttoken(call: Call) -> Result<Reply, Failure> {
    let params = &call.params;
    let request = LostToken {
        serial: params.owned("serial"),
        kind: params.owned("type"),
        email: params.owned("email"),
        mobile: params.owned("mobile"),
    };
    let Replacement { serial, token_type, password, end_date, copies_pin } = call.run(request).await?;
    Ok(reply::value(Value {
        serial: serial.as_str(),
        init: true,
        user: 1,
        pin: copies_pin.then_some(1),
        valid_to: "xxxx",
        password: password.expose(),
        end_date: &end_date,
        token_typ: token_type,
        disable: 1,
    }))
}
