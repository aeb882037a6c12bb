//! Realms: `setRealm`, `getRealms`, `delRealm`, `setDefaultRealm`, `getDefaultRealm` (reference http-api 12.6).

use serde::Serialize;
use tessera_core::decide::realm::{
    DelRealm, GetDefaultRealm, GetRealms, RealmView, SetDefaultRealm, SetRealm,
};

use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Members, Reply};

#[derive(Serialize)]
struct Realm {
    realmname: String,
    entry: String,
    useridresolver: Vec<String>,
    /// The text `true`, only on the default realm.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'static str>,
    admin: bool,
}

fn listing(realms: Vec<RealmView>) -> Reply {
    let members = realms.into_iter().map(|view| {
        let realm = Realm {
            realmname: view.name.to_string(),
            entry: view.entry,
            useridresolver: view.resolvers.iter().map(ToString::to_string).collect(),
            default: view.default.then_some("true"),
            admin: view.admin,
        };
        (view.name.to_string(), realm)
    });
    reply::value(Members(members.collect()))
}

pub(crate) async fn get_realms(call: Call) -> Result<Reply, Failure> {
    Ok(listing(call.run(GetRealms { realm: call.params.owned("realm") }).await?))
}

pub(crate) async fn get_default_realm(call: Call) -> Result<Reply, Failure> {
    Ok(listing(call.run(GetDefaultRealm).await?))
}

pub(crate) async fn set_realm(call: Call) -> Result<Reply, Failure> {
    let params = &call.params;
    // The list may come as one text with commas or as `resolvers[]`.
    let resolvers = params.has("resolvers").then(|| params.list("resolvers").join(","));
    call.run(SetRealm { realm: params.owned("realm"), resolvers }).await?;
    Ok(reply::value(true))
}

#[derive(Serialize)]
struct Deleted {
    #[serde(rename = "delRealm")]
    del_realm: DeletedResult,
}

#[derive(Serialize)]
struct DeletedResult {
    result: bool,
}

pub(crate) async fn del_realm(call: Call) -> Result<Reply, Failure> {
    let result = call.run(DelRealm { realm: call.params.owned("realm") }).await?;
    Ok(reply::value(Deleted { del_realm: DeletedResult { result } }))
}

pub(crate) async fn set_default_realm(mut call: Call) -> Result<Reply, Failure> {
    call.params = std::mem::take(&mut call.params).lowercased();
    Ok(reply::value(call.run(SetDefaultRealm { realm: call.params.owned("realm") }).await?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tessera_core::user::{RealmName, ResolverSpec};

    use super::*;

    /// The example of reference http-api 12.6.
    #[test]
    fn realms_are_listed_as_in_the_reference() {
        let view = |name: &str, default| RealmView {
            name: RealmName::from(name),
            entry: format!("linotp.useridresolver.group.{name}"),
            resolvers: vec![ResolverSpec::from("useridresolver.PasswdIdResolver.IdResolver.pwres")],
            default,
            admin: false,
        };
        let reply = listing(vec![view("myrealm", true), view("other", false)]);
        let value: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            value["result"]["value"]["myrealm"],
            json!({"realmname": "myrealm", "entry": "linotp.useridresolver.group.myrealm",
                "useridresolver": ["useridresolver.PasswdIdResolver.IdResolver.pwres"],
                "default": "true", "admin": false})
        );
        assert_eq!(value["result"]["value"]["other"].get("default"), None);
    }
}
