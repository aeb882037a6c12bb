//! `POST /admin/set` and `/admin/setPin` (reference http-api 10.6, 10.7). Parameter names are case-insensitive.

use tessera_core::decide::lifecycle::SetPin;
use tessera_core::decide::set::{Change, Set};
use tessera_core::decision::Refusal;

use crate::call::Call;
use crate::error::Failure;
use crate::params::Params;
use crate::reply::{self, Members, Reply};

pub(crate) async fn set(mut call: Call) -> Result<Reply, Failure> {
    call.params = std::mem::take(&mut call.params).lowercased();
    let changes = changes(&call.params)?;
    let counts = call.run(Set { selection: call.selection(), changes }).await?;
    let members = counts.into_iter().map(|(name, tokens)| (format!("set {name}"), tokens)).collect();
    Ok(reply::value(Members(members)))
}

fn changes(params: &Params) -> Result<Vec<Change>, Refusal> {
    let parsed = params.iter().map(|(name, text)| Change::parse(name, text));
    Ok(parsed.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

pub(crate) async fn set_pin(mut call: Call) -> Result<Reply, Failure> {
    call.params = std::mem::take(&mut call.params).lowercased();
    let user_pin = call.params.take_secret("userpin");
    let request = SetPin { serial: call.params.owned("serial"), user_pin };
    call.run(request).await.map_err(Failure::with_id_0)?;
    Ok(reply::value(Members(vec![("set userpin".to_owned(), 1)])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{BodyKind, decode};

    #[test]
    fn known_names_in_any_case_become_changes() {
        let params = decode(Some("OTPLEN=8&serial=A1&maxfailcount=3&x=y"), BodyKind::None, b"").unwrap();
        let changes = changes(&params.lowercased()).unwrap();
        assert_eq!(changes, [Change::OtpLen(8), Change::MaxFailCount(3)]);
    }
}
