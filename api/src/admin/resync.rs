//! `POST /admin/resync` (reference http-api 10.9).

use tessera_core::decide::resync::Resync;
use tessera_core::decision::Refusal;
use tessera_core::secret::SecretText;

use crate::call::Call;
use crate::error::Failure;
use crate::params::Params;
use crate::reply::{self, Reply};

pub(crate) async fn resync(mut call: Call) -> Result<Reply, Failure> {
    let otp1 = otp(&mut call.params, "otp1")?;
    let otp2 = otp(&mut call.params, "otp2")?;
    let challenges = call.params.owned("challenge1").zip(call.params.owned("challenge2"));
    let request = Resync { selection: call.selection(), otp1, otp2, challenges };
    Ok(reply::value(call.run(request).await?))
}

fn otp(params: &mut Params, name: &'static str) -> Result<SecretText, Refusal> {
    params.take_secret(name).ok_or(Refusal::MissingParameter(name))
}
