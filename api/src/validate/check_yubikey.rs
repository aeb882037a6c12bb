//! `ANY /validate/check_yubikey`: the OTP names its token (reference http-api 7.9).

use serde::Serialize;
use tessera_core::decide::transaction::CheckYubikey;

use super::check::options;
use super::verdict::no;
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Reply};

#[derive(Serialize)]
struct Owner<'a> {
    user: &'a str,
    realm: &'a str,
}

pub(crate) async fn check_yubikey(mut call: Call) -> Result<Reply, Failure> {
    let pass = call.params.take_secret("pass");
    let request = CheckYubikey { pass, options: options(&call) };
    match call.run(request).await {
        Ok(verdict) if verdict.accepted => {
            let owner = verdict.owner.as_ref().map(|(user, realm)| Owner { user, realm });
            Ok(reply::success(true, 0, owner))
        }
        Ok(_) | Err(Failure::Refused { .. }) => Ok(no()),
        Err(other) => Err(other),
    }
}
