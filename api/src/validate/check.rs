//! `ANY /validate/check` (reference http-api 7.1).

use std::collections::BTreeMap;

use tessera_core::decide::validate::Check;

use super::once::{self, Checked};
use super::verdict::{QrWish, no, render};
use crate::call::Call;
use crate::error::Failure;
use crate::reply::Reply;

/// Parameters that have a place of their own in the request.
const OWN: [&str; 9] =
    ["user", "pass", "realm", "resConf", "serial", "token_type", "state", "transactionid", "auth_info"];

pub(crate) async fn check(mut call: Call) -> Result<Reply, Failure> {
    let request = read(&mut call);
    let qr = QrWish::read(&call.params);
    Ok(match once::run(&mut call, request).await? {
        Checked::Verdict(verdict) => render(&verdict, qr.as_ref()),
        Checked::Refused => no(),
        Checked::Reply(reply) => reply,
    })
}

/// The request as `check` and `simplecheck` read it.
pub(super) fn read(call: &mut Call) -> Check {
    let pass = call.params.take_secret("pass");
    let user = call.user();
    if let Some(challenge) = call.params.owned("challenge") {
        // A non-empty `challenge` drops every other option, `serial` and `state` among them.
        let options = BTreeMap::from([("challenge".to_owned(), challenge)]);
        return Check { user, pass, options, ..Check::default() };
    }
    let params = &call.params;
    Check {
        user,
        pass,
        serial: params.owned("serial"),
        token_type: params.owned("token_type"),
        transaction_id: params.owned("state").or_else(|| params.owned("transactionid")),
        auth_info: params.text("auth_info").is_some_and(|text| text.eq_ignore_ascii_case("true")),
        options: options(call),
    }
}

/// Every parameter that the token types may want.
pub(super) fn options(call: &Call) -> BTreeMap<String, String> {
    let others = call.params.iter().filter(|(name, _)| !OWN.contains(name));
    others.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}
