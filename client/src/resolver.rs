//! `/system`: resolvers (reference http-api 12.7).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::client::Client;
use crate::error::ClientError;
use crate::lenient;

/// A resolver as listed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Resolver {
    /// Name.
    #[serde(rename = "resolvername", deserialize_with = "lenient::text")]
    pub name: String,
    /// `passwdresolver`, `ldapresolver`, `sqlresolver`.
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    pub kind: String,
    /// Full specification, as realms name it.
    #[serde(deserialize_with = "lenient::text")]
    pub spec: String,
    /// True if it belongs to the realm of the administrators.
    #[serde(rename = "admin", deserialize_with = "lenient::flag")]
    pub is_admin: bool,
    /// True if it cannot be changed.
    #[serde(deserialize_with = "lenient::flag")]
    pub immutable: bool,
    /// True if it is managed from outside.
    #[serde(deserialize_with = "lenient::flag")]
    pub readonly: bool,
}

/// A resolver with its parameters; passwords are cipher text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ResolverDetail {
    /// Name.
    #[serde(rename = "resolver", deserialize_with = "lenient::text")]
    pub name: String,
    /// Kind, as in [`Resolver::kind`].
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    pub kind: String,
    /// Full specification.
    #[serde(deserialize_with = "lenient::text")]
    pub spec: String,
    /// Parameters by name.
    #[serde(rename = "data")]
    pub parameters: BTreeMap<String, Value>,
}

/// The full specification of a passwd resolver, as `setRealm` wants it.
pub fn passwd_resolver_spec(name: &str) -> String {
    format!("useridresolver.PasswdIdResolver.IdResolver.{name}")
}

impl Client {
    /// Lists the resolvers, sorted by name (`/system/getResolvers`).
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn list_resolvers(&self) -> Result<Vec<Resolver>, ClientError> {
        let by_name: BTreeMap<String, Resolver> =
            self.get("/system/getResolvers", &[]).await?.into_value()?;
        Ok(by_name.into_iter().map(|(name, resolver)| Resolver { name, ..resolver }).collect())
    }

    /// A resolver with its parameters (`/system/getResolver`), `None` if it does not exist.
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn resolver(&self, name: &str) -> Result<Option<ResolverDetail>, ClientError> {
        let detail: ResolverDetail =
            self.get("/system/getResolver", &[("resolver", name)]).await?.into_value()?;
        Ok((!detail.kind.is_empty()).then_some(detail))
    }

    /// Creates a resolver, or changes or renames the one called `previous_name` (`/system/setResolver`).
    ///
    /// # Errors
    /// Those of the transport and the API; -311 if the name is taken or the definition cannot be loaded.
    pub async fn set_resolver(
        &self,
        name: &str,
        kind: &str,
        previous_name: Option<&str>,
        parameters: &[(&str, &str)],
    ) -> Result<(), ClientError> {
        let mut all = vec![("name", name), ("type", kind)];
        all.extend(previous_name.map(|previous| ("previous_name", previous)));
        all.extend_from_slice(parameters);
        let reply = self.post("/system/setResolver", &all).await?;
        if reply.flag()? { Ok(()) } else { Err(reply.bad("`result.value` is false")) }
    }

    /// Creates or changes a resolver of a passwd file, which every node must be able to read.
    ///
    /// # Errors
    /// Those of [`Client::set_resolver`].
    pub async fn set_passwd_resolver(&self, name: &str, file_name: &str) -> Result<(), ClientError> {
        let exists = self.resolver(name).await?.is_some();
        let previous = exists.then_some(name);
        self.set_resolver(name, "passwdresolver", previous, &[("fileName", file_name)]).await
    }

    /// Deletes a resolver (`/system/delResolver`); false if it does not exist.
    ///
    /// # Errors
    /// Those of the transport and the API; -311 while a realm uses it.
    pub async fn delete_resolver(&self, name: &str) -> Result<bool, ClientError> {
        self.post("/system/delResolver", &[("resolver", name)]).await?.flag()
    }
}
