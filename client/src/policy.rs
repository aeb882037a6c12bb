//! `/system`: policies (reference http-api 13).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::client::Client;
use crate::error::ClientError;
use crate::lenient;
use crate::reply::Reply;

/// A policy. All columns are texts in the grammars of the manual.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Its name: letters, digits and `_`.
    #[serde(deserialize_with = "lenient::text")]
    pub name: String,
    /// The part of the system it rules over.
    #[serde(deserialize_with = "lenient::text")]
    pub scope: String,
    /// What it lays down.
    #[serde(deserialize_with = "lenient::text")]
    pub action: String,
    /// The realms it holds in.
    #[serde(deserialize_with = "lenient::text")]
    pub realm: String,
    /// The users it holds for.
    #[serde(deserialize_with = "lenient::text")]
    pub user: String,
    /// The client addresses it holds for.
    #[serde(deserialize_with = "lenient::text")]
    pub client: String,
    /// When it holds.
    #[serde(deserialize_with = "lenient::text")]
    pub time: String,
    /// Whether it is in force.
    #[serde(deserialize_with = "lenient::flag")]
    pub active: bool,
}

/// Which policies are wanted; empty texts do not filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyFilter {
    /// Names, separated by commas.
    pub name: String,
    /// The scope.
    pub scope: String,
    /// An action by its name.
    pub action: String,
    /// The policies closest to this realm.
    pub realm: String,
    /// The policies that name this user, or everybody.
    pub user: String,
    /// Inactive policies as well.
    pub inactive: bool,
}

/// An imagined request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyQuestion {
    /// The scope.
    pub scope: String,
    /// The action.
    pub action: String,
    /// The user, or empty.
    pub user: String,
    /// The realm, or empty.
    pub realm: String,
    /// The client's address, or empty.
    pub client: String,
}

/// What policies say about an imagined request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyAnswer {
    /// Whether a policy with the action applies, or the scope is not restricted.
    pub allowed: bool,
    /// The policies that apply.
    pub policies: Vec<Policy>,
    /// Why there are none, if the server says so.
    pub note: Option<String>,
}

impl PolicyFilter {
    fn parameters(&self) -> Vec<(&str, &str)> {
        let mut parameters = vec![
            ("name", self.name.as_str()),
            ("scope", &self.scope),
            ("action", &self.action),
            ("realm", &self.realm),
            ("user", &self.user),
        ];
        if self.inactive {
            parameters.push(("display_inactive", "1"));
        }
        parameters.retain(|(_, text)| !text.is_empty());
        parameters
    }
}

impl Client {
    /// Lists policies, sorted by name (`/system/getPolicy`).
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn list_policies(&self, filter: &PolicyFilter) -> Result<Vec<Policy>, ClientError> {
        Ok(policies(self.get("/system/getPolicy", &filter.parameters()).await?.into_value()?))
    }

    /// The policies as a file that [`Self::import_policies`] reads (`/system/getPolicy` with `export`).
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn export_policies(&self, filter: &PolicyFilter) -> Result<String, ClientError> {
        let mut parameters = filter.parameters();
        parameters.push(("export", "true"));
        self.fetch_text("/system/getPolicy", &parameters).await
    }

    /// Creates or replaces a policy (`/system/setPolicy`). `enforce` accepts that administrators may lock themselves out.
    ///
    /// # Errors
    /// Those of the transport and the API; -311 with the reason if the policy is refused.
    pub async fn set_policy(&self, policy: &Policy, enforce: bool) -> Result<(), ClientError> {
        let mut parameters = vec![
            ("name", policy.name.as_str()),
            ("scope", &policy.scope),
            ("action", &policy.action),
            ("realm", &policy.realm),
            ("user", &policy.user),
            ("client", &policy.client),
            ("time", &policy.time),
            ("active", if policy.active { "True" } else { "False" }),
        ];
        if enforce {
            parameters.push(("enforce", "true"));
        }
        self.post("/system/setPolicy", &parameters).await.map(|_| ())
    }

    /// Deletes policies (`/system/delPolicy`) and returns the names of those that existed.
    ///
    /// # Errors
    /// Those of the transport and the API; -311 if administrators might lock themselves out and not `enforce`.
    pub async fn delete_policies(&self, names: &[&str], enforce: bool) -> Result<Vec<String>, ClientError> {
        let names = names.join(",");
        let mut parameters = vec![("name", names.as_str())];
        if enforce {
            parameters.push(("enforce", "true"));
        }
        let reply = self.post("/system/delPolicy", &parameters).await?;
        let result = reply.value.pointer("/delPolicy/result").and_then(Value::as_object);
        let entries = result.ok_or_else(|| reply.bad("no `delPolicy.result`"))?;
        let mut deleted: Vec<String> = Vec::new();
        for entry in entries.keys() {
            let name = entry.strip_prefix("linotp.Policy.").and_then(|rest| rest.split('.').next());
            if let Some(name) = name.filter(|name| !deleted.iter().any(|known| known == name)) {
                deleted.push(name.to_owned());
            }
        }
        Ok(deleted)
    }

    /// Writes all policies of a file, or none (`/system/importPolicy`); returns how many there were.
    ///
    /// # Errors
    /// Those of the transport and the API; -311 with the reason if one of them is refused.
    pub async fn import_policies(&self, file_name: &str, content: &[u8]) -> Result<u64, ClientError> {
        let path = "/system/importPolicy";
        let text = self.upload(path, &[], file_name, content).await?;
        let element = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            rest.split_once(&format!("</{name}>")).map(|(inner, _)| unescaped(inner.trim()))
        };
        if let Some(count) = element("value").and_then(|value| value.parse().ok()) {
            return Ok(count);
        }
        if let (Some(code), Some(message)) = (element("code"), element("message")) {
            return Err(ClientError::Api { code: code.parse().unwrap_or(-311), message });
        }
        Err(ClientError::bad_reply(path, "neither a value nor an error"))
    }

    /// Which policies would apply to a request (`/system/checkPolicy`).
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn check_policy(&self, question: &PolicyQuestion) -> Result<PolicyAnswer, ClientError> {
        let PolicyQuestion { scope, action, user, realm, client } = question;
        let parameters: [(&str, &str); 5] =
            [("scope", scope), ("action", action), ("user", user), ("realm", realm), ("client", client)];
        answer(self.get("/system/checkPolicy", &parameters).await?)
    }
}

/// What became of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ExplainedPolicy {
    /// The policy.
    pub policy: Policy,
    /// Whether it counts.
    #[serde(deserialize_with = "lenient::flag")]
    pub counts: bool,
    /// Why, or why not.
    #[serde(deserialize_with = "lenient::text")]
    pub reason: String,
}

impl Client {
    /// What becomes of every policy with an action for a request (`/system/explainPolicy`, Tessera only).
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn explain_policy(
        &self,
        question: &PolicyQuestion,
    ) -> Result<Vec<ExplainedPolicy>, ClientError> {
        let PolicyQuestion { scope, action, user, realm, client } = question;
        let parameters: [(&str, &str); 5] =
            [("scope", scope), ("action", action), ("user", user), ("realm", realm), ("client", client)];
        self.get("/system/explainPolicy", &parameters).await?.into_value()
    }
}

fn answer(reply: Reply) -> Result<PolicyAnswer, ClientError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default, deserialize_with = "lenient::flag")]
        allowed: bool,
        #[serde(default)]
        policy: Value,
    }
    let Answer { allowed, policy } = reply.into_value()?;
    if let Value::String(note) = policy {
        return Ok(PolicyAnswer { allowed, policies: Vec::new(), note: Some(note) });
    }
    let by_name = serde_json::from_value(policy).unwrap_or_default();
    Ok(PolicyAnswer { allowed, policies: policies(by_name), note: None })
}

fn policies(by_name: BTreeMap<String, Policy>) -> Vec<Policy> {
    by_name.into_iter().map(|(name, policy)| Policy { name, ..policy }).collect()
}

/// The text of an XML element.
fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}
