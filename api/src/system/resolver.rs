//! Resolvers: `setResolver`, `getResolvers`, `getResolver`, `delResolver` (reference http-api 12.7).

use std::collections::BTreeMap;

use serde::Serialize;
use tessera_core::decide::resolver::{DelResolver, GetResolver, GetResolvers, ResolverView, SetResolver};

use super::config::everything;
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{self, Members, Reply};

/// Parameters of `setResolver` that are not the resolver's own.
const COMMON: [&str; 4] = ["name", "type", "previous_name", "readonly"];

#[derive(Serialize)]
struct Listed {
    resolvername: String,
    entry: String,
    #[serde(rename = "type")]
    kind: &'static str,
    spec: String,
    admin: bool,
    immutable: bool,
    /// Only on managed resolvers.
    #[serde(skip_serializing_if = "Option::is_none")]
    readonly: Option<bool>,
}

#[derive(Serialize)]
struct Shown {
    #[serde(rename = "type")]
    kind: &'static str,
    data: BTreeMap<String, String>,
    resolver: String,
    spec: String,
    admin: bool,
    immutable: bool,
    /// Only on managed resolvers.
    #[serde(skip_serializing_if = "Option::is_none")]
    readonly: Option<bool>,
}

/// What is said about a name nothing is known of.
#[derive(Serialize)]
struct Unknown {
    #[serde(rename = "type")]
    kind: Option<&'static str>,
    data: BTreeMap<String, String>,
    resolver: String,
}

pub(crate) async fn set_resolver(call: Call) -> Result<Reply, Failure> {
    let params = &call.params;
    let text = |name: &str| params.text(name).map(str::to_owned);
    let mut parameters = everything(params);
    parameters.retain(|name, _| !COMMON.contains(&name.as_str()));
    let request = SetResolver {
        name: text("name"),
        kind: text("type"),
        previous_name: params.owned("previous_name"),
        readonly: text("readonly"),
        parameters,
    };
    call.run(request).await?;
    Ok(reply::value(true))
}

pub(crate) async fn get_resolvers(call: Call) -> Result<Reply, Failure> {
    Ok(listing(call.run(GetResolvers).await?))
}

fn listing(resolvers: Vec<ResolverView>) -> Reply {
    let members = resolvers.into_iter().map(|view| {
        let listed = Listed {
            resolvername: view.name.clone(),
            entry: view.entry,
            kind: view.kind,
            spec: view.spec.to_string(),
            admin: view.admin,
            immutable: view.immutable,
            readonly: view.readonly.then_some(true),
        };
        (view.name, listed)
    });
    reply::value(Members(members.collect()))
}

pub(crate) async fn get_resolver(mut call: Call) -> Result<Reply, Failure> {
    call.params = std::mem::take(&mut call.params).lowercased();
    let name = call.params.text("resolver").map(str::to_owned);
    let found = call.run(GetResolver { resolver: name.clone() }).await?;
    Ok(match found {
        Some(view) => shown(view),
        None => {
            let resolver = name.unwrap_or_default();
            reply::value(Unknown { kind: None, data: BTreeMap::new(), resolver })
        }
    })
}

fn shown(view: ResolverView) -> Reply {
    reply::value(Shown {
        kind: view.kind,
        data: view.data,
        resolver: view.name,
        spec: view.spec.to_string(),
        admin: view.admin,
        immutable: view.immutable,
        readonly: view.readonly.then_some(true),
    })
}

pub(crate) async fn del_resolver(mut call: Call) -> Result<Reply, Failure> {
    call.params = std::mem::take(&mut call.params).lowercased();
    Ok(reply::value(call.run(DelResolver { resolver: call.params.owned("resolver") }).await?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tessera_core::user::ResolverSpec;

    use super::*;

    fn view(readonly: bool) -> ResolverView {
        ResolverView {
            name: "pwres".to_owned(),
            kind: "passwdresolver",
            spec: ResolverSpec::from("useridresolver.PasswdIdResolver.IdResolver.pwres"),
            entry: "linotp.passwdresolver.fileName.pwres".to_owned(),
            data: BTreeMap::from([("fileName".to_owned(), "/etc/passwd".to_owned())]),
            admin: false,
            immutable: false,
            readonly,
        }
    }

    fn value_of(reply: &Reply) -> Value {
        serde_json::from_slice::<Value>(&reply.body).unwrap()["result"]["value"].clone()
    }

    /// The members that reference http-api 12.7 names.
    #[test]
    fn resolvers_are_shown_as_in_the_reference() {
        let spec = "useridresolver.PasswdIdResolver.IdResolver.pwres";
        assert_eq!(
            value_of(&listing(vec![view(false)])),
            json!({"pwres": {"resolvername": "pwres", "entry": "linotp.passwdresolver.fileName.pwres",
                "type": "passwdresolver", "spec": spec, "admin": false, "immutable": false}})
        );
        assert_eq!(value_of(&listing(vec![view(true)]))["pwres"]["readonly"], true);
        assert_eq!(
            value_of(&shown(view(false))),
            json!({"type": "passwdresolver", "data": {"fileName": "/etc/passwd"}, "resolver": "pwres",
                "spec": spec, "admin": false, "immutable": false})
        );
    }
}
