//! The system configuration: `setConfig`, `setDefault`, `getConfig`, `delConfig` (reference http-api 12.2 to 12.5).

use std::collections::BTreeMap;

use tessera_core::decide::config::{ConfigView, DelConfig, GetConfig, SetConfig, SetDefault};

use crate::call::Call;
use crate::error::Failure;
use crate::params::Params;
use crate::reply::{self, Members, Reply};

/// An object whose members are all `true`.
fn all_true(names: impl IntoIterator<Item = String>) -> Reply {
    reply::value(Members(names.into_iter().map(|name| (name, true)).collect()))
}

pub(super) fn everything(params: &Params) -> BTreeMap<String, String> {
    params.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

pub(crate) async fn set_config(call: Call) -> Result<Reply, Failure> {
    let params = &call.params;
    let text = |name: &str| params.text(name).map(str::to_owned);
    let request = match text("key") {
        Some(key) => SetConfig::Single {
            key,
            value: text("value"),
            kind: text("type"),
            description: text("description"),
        },
        None => SetConfig::Bulk(everything(params)),
    };
    Ok(all_true(call.run(request).await?))
}

pub(crate) async fn set_default(call: Call) -> Result<Reply, Failure> {
    let names = call.run(SetDefault { parameters: everything(&call.params) }).await?;
    Ok(all_true(names.into_iter().map(|name| format!("set {name}"))))
}

pub(crate) async fn get_config(call: Call) -> Result<Reply, Failure> {
    let request = GetConfig { key: call.params.owned("key"), other_parameters: !call.params.is_empty() };
    Ok(match call.run(request).await? {
        ConfigView::All(entries) => reply::value(entries),
        ConfigView::One(key, value) => reply::value(Members(vec![(format!("getConfig {key}"), value)])),
    })
}

pub(crate) async fn del_config(call: Call) -> Result<Reply, Failure> {
    let key = call.run(DelConfig { key: call.params.owned("key") }).await?;
    Ok(all_true([format!("delConfig {key}")]))
}
