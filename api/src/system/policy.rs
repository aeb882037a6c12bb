//! Policies: `setPolicy`, `getPolicy`, `delPolicy`, `importPolicy`, `checkPolicy`, `getPolicyDef`, `policies_flexi`
//! (reference http-api 13, policies 7). Administrators with the right to read or to write the configuration may call
//! them.

use std::sync::Arc;

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde_json::{Value, json};
use tessera_core::decide::policy::{
    CheckPolicy, Checked, DelPolicy, ExplainPolicy, GetPolicy, GetPolicyDef, ImportPolicy, ListPolicies,
    SetPolicy, SortBy,
};
use tessera_core::decision::Refusal;
use tessera_core::policy::Policy;
use tessera_core::policy::catalogue::{Definition, Values};
use tessera_core::policy::exchange::export;
use tessera_core::policy::query::Verdict;
use tessera_core::policy::value::Kind;

use crate::call::Call;
use crate::error::{self, Failure};
use crate::params::{Params, invalid};
use crate::reply::{self, Members, Reply, escape, xml_failure, xml_success};

/// The columns of a policy, as the original names its configuration entries.
const FIELDS: [&str; 7] = ["action", "scope", "realm", "user", "time", "client", "active"];

/// A policy as clients see it.
#[derive(Serialize)]
struct Shown<'a> {
    action: &'a str,
    scope: &'a str,
    realm: &'a str,
    user: &'a str,
    time: &'a str,
    client: &'a str,
    active: &'static str,
    name: &'a str,
}

impl<'a> From<&'a Policy> for Shown<'a> {
    fn from(policy: &'a Policy) -> Self {
        let fields = &policy.fields;
        Self {
            action: &fields.action,
            scope: &fields.scope,
            realm: &fields.realm,
            user: &fields.user,
            time: &fields.time,
            client: &fields.client,
            active: if fields.active { "True" } else { "False" },
            name: policy.name.as_str(),
        }
    }
}

fn by_name(policies: &[Arc<Policy>]) -> Members<Shown<'_>> {
    Members(policies.iter().map(|policy| (policy.name.to_string(), Shown::from(policy.as_ref()))).collect())
}

fn lowercased(call: &mut Call) {
    call.params = std::mem::take(&mut call.params).lowercased();
}

fn sent(params: &Params, name: &str) -> Option<String> {
    params.text(name).map(str::to_owned)
}

/// `client`, which every call understands in another sense as well and which is therefore kept apart.
fn client(params: &Params) -> Option<String> {
    params.control().client.clone().or_else(|| sent(params, "client"))
}

fn enforces(params: &Params) -> bool {
    params.text("enforce").is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

pub(crate) async fn set_policy(call: Call) -> Result<Reply, Failure> {
    let params = &call.params;
    let request = SetPolicy {
        name: sent(params, "name"),
        action: sent(params, "action"),
        scope: sent(params, "scope"),
        realm: sent(params, "realm"),
        user: sent(params, "user"),
        client: client(params),
        time: sent(params, "time"),
        active: sent(params, "active"),
        enforce: enforces(params),
    };
    let name = call.run(request).await?;
    let stored = Members(
        ["action", "scope", "realm", "user", "time", "client", "active"]
            .map(|field| (field.to_owned(), true))
            .to_vec(),
    );
    Ok(reply::value(Members(vec![(format!("setPolicy {name}"), stored)])))
}

pub(crate) async fn del_policy(call: Call) -> Result<Reply, Failure> {
    let request = DelPolicy { name: sent(&call.params, "name"), enforce: enforces(&call.params) };
    let deleted = call.run(request).await?;
    let entries =
        deleted.iter().flat_map(|name| FIELDS.map(|field| (format!("linotp.Policy.{name}.{field}"), true)));
    let result = Members(vec![("result".to_owned(), Members(entries.collect()))]);
    Ok(reply::value(Members(vec![("delPolicy".to_owned(), result)])))
}

fn filter(params: &Params) -> GetPolicy {
    GetPolicy {
        name: params.owned("name"),
        realm: params.owned("realm"),
        scope: params.owned("scope"),
        action: params.owned("action"),
        user: params.owned("user"),
        inactive: params.filled("display_inactive").is_some(),
    }
}

pub(crate) async fn get_policy(mut call: Call) -> Result<Reply, Failure> {
    lowercased(&mut call);
    let policies = call.run(filter(&call.params)).await?;
    if !call.params.text("export").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return Ok(reply::value(by_name(&policies)));
    }
    let file = export(policies.iter().map(AsRef::as_ref));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    let attachment = HeaderValue::from_static("attachment; filename=policy.cfg");
    Ok(Reply::new(plain, file).header(CONTENT_DISPOSITION, attachment))
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    cell: (u8, &'a str, &'a str, &'a str, String, &'a str, &'a str, &'a str),
}

#[derive(Serialize)]
struct Table<'a> {
    page: usize,
    total: usize,
    rows: Vec<Row<'a>>,
}

fn row(policy: &Policy) -> Row<'_> {
    let fields = &policy.fields;
    // The original compares the stored text literally here.
    let active = u8::from(matches!(&*policy.record.active, "True" | ""));
    let action = escape(&fields.action).into_owned();
    let name = policy.name.as_str();
    Row {
        id: name,
        cell: (
            active,
            name,
            &fields.user,
            &fields.scope,
            action,
            &fields.realm,
            &fields.client,
            &fields.time,
        ),
    }
}

pub(crate) async fn policies_flexi(mut call: Call) -> Result<Reply, Failure> {
    lowercased(&mut call);
    let params = &call.params;
    let sort_by = SortBy::parse(params.filled("sortname"))?;
    let number = |name: &str| -> Result<Option<usize>, Refusal> { params.number(name) };
    let page = number("page")?.unwrap_or(1).max(1);
    let size = number("rp")?.unwrap_or(0);
    let descending = params.text("sortorder").is_some_and(|order| order.eq_ignore_ascii_case("desc"));
    let filter = GetPolicy { action: None, user: None, ..filter(params) };
    let policies = call.run(ListPolicies { filter, sort_by, descending }).await?;
    let first = if size == 0 { 0 } else { (page - 1).saturating_mul(size) };
    let shown = policies.iter().skip(first).take(if size == 0 { usize::MAX } else { size });
    let table = Table { page, total: policies.len(), rows: shown.map(|policy| row(policy)).collect() };
    let mut reply = Reply::bare_json(&table);
    reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(reply)
}

pub(crate) async fn check_policy(mut call: Call) -> Result<Reply, Failure> {
    lowercased(&mut call);
    let params = &call.params;
    let request = CheckPolicy {
        user: sent(params, "user"),
        realm: sent(params, "realm"),
        scope: sent(params, "scope"),
        action: sent(params, "action"),
        client: client(params),
    };
    let (allowed, policy) = match call.run(request).await? {
        Checked::Unrestricted(scope) => {
            (true, json!(format!("there is no active policy in scope {scope}: everything is allowed")))
        }
        Checked::Policies(policies) => (!policies.is_empty(), json!(by_name(&policies))),
    };
    Ok(reply::value(json!({ "allowed": allowed, "policy": policy })))
}

/// What became of a policy, in a sentence.
fn reason(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Counts => "counts".to_owned(),
        Verdict::Hidden(column) => format!("hidden: another policy is closer in its {}", column.name()),
        Verdict::Differs(column) => format!("the {} does not match", column.name()),
        Verdict::Inactive => "not active".to_owned(),
        Verdict::Broken(problem) => format!("the request fails: {problem}"),
    }
}

/// Not a call of the original: why which policy counts.
pub(crate) async fn explain_policy(mut call: Call) -> Result<Reply, Failure> {
    lowercased(&mut call);
    let params = &call.params;
    let request = ExplainPolicy {
        scope: params.owned("scope"),
        action: params.owned("action"),
        user: params.owned("user"),
        realm: params.owned("realm"),
        client: client(params),
    };
    let explained = call.run(request).await?;
    let rows: Vec<Value> = explained
        .iter()
        .map(|found| {
            let counts = found.verdict == Verdict::Counts;
            let policy = Shown::from(found.policy.as_ref());
            json!({ "policy": policy, "counts": counts, "reason": reason(&found.verdict) })
        })
        .collect();
    Ok(reply::value(rows))
}

/// An action's definition: type, description, values.
fn definition(definition: &Definition) -> Value {
    let value = |text: &str| match text.parse::<i64>() {
        Ok(number) => json!(number),
        Err(_) => json!(text),
    };
    let mut shown = json!({ "type": definition.kind.name(), "desc": definition.description() });
    let (name, values) = match (definition.values, definition.kind) {
        (Values::Any, Kind::IntOrDuration) => ("value", json!(["int", "duration"])),
        (Values::Any, _) => return shown,
        (Values::OneOf(list), _) => ("value", list.iter().map(|text| value(text)).collect()),
        (Values::Within(least, most), _) => ("value", (least..=most).map(Value::from).collect()),
        (Values::Parts(list), _) => ("range", list.iter().map(|text| value(text)).collect()),
    };
    if let Some(object) = shown.as_object_mut() {
        object.insert(name.to_owned(), values);
    }
    shown
}

pub(crate) async fn get_policy_def(mut call: Call) -> Result<Reply, Failure> {
    lowercased(&mut call);
    let scope = call.params.owned("scope");
    let single = scope.is_some();
    let scopes = call.run(GetPolicyDef { scope }).await?;
    let actions = |list: &[&'static Definition]| {
        Members(list.iter().map(|found| (found.name.to_owned(), definition(found))).collect())
    };
    let mut shown: Vec<(String, Members<Value>)> =
        scopes.iter().map(|(scope, list)| (scope.name().to_owned(), actions(list))).collect();
    match (single, shown.pop()) {
        (true, Some((_, actions))) => Ok(reply::value(actions)),
        (_, last) => {
            shown.extend(last);
            Ok(reply::value(Members(shown)))
        }
    }
}

/// The reply is XML, unless there is no file to answer for.
pub(crate) async fn import_policy(call: Call) -> Result<Reply, Failure> {
    let file = match call.params.file("file") {
        Some(bytes) => Some(
            String::from_utf8(bytes.to_vec()).map_err(|_| invalid("file", "its text is not valid UTF-8"))?,
        ),
        None => sent(&call.params, "file"),
    };
    match call.run(ImportPolicy { file }).await {
        Ok(count) => Ok(xml_success(&count.to_string(), &[])),
        Err(Failure::Refused { refusal, .. }) if !matches!(refusal, Refusal::MissingParameter(_)) => {
            Ok(xml_failure(error::code(&refusal), &error::message(&refusal)))
        }
        Err(other) => Err(other),
    }
}
