//! `/system`: realms (reference http-api 12.6).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::client::Client;
use crate::error::ClientError;
use crate::lenient;
use crate::reply::Reply;

/// A realm.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Realm {
    /// Name, in lower case.
    #[serde(rename = "realmname", deserialize_with = "lenient::text")]
    pub name: String,
    /// Full specifications of its resolvers, in the order of search.
    #[serde(rename = "useridresolver", deserialize_with = "lenient::texts")]
    pub resolvers: Vec<String>,
    /// True for the default realm.
    #[serde(rename = "default", deserialize_with = "lenient::flag")]
    pub is_default: bool,
    /// True for the realm of the administrators.
    #[serde(rename = "admin", deserialize_with = "lenient::flag")]
    pub is_admin: bool,
}

impl Client {
    /// Lists the realms, sorted by name (`/system/getRealms`).
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn list_realms(&self) -> Result<Vec<Realm>, ClientError> {
        realms(self.get("/system/getRealms", &[]).await?)
    }

    /// Creates or replaces a realm (`/system/setRealm`) of full resolver specifications.
    ///
    /// # Errors
    /// Those of the transport and the API; -311 for unknown resolvers.
    pub async fn set_realm(&self, name: &str, resolvers: &[&str]) -> Result<(), ClientError> {
        let resolvers = resolvers.join(",");
        let reply = self.post("/system/setRealm", &[("realm", name), ("resolvers", &resolvers)]).await?;
        if reply.flag()? { Ok(()) } else { Err(reply.bad("`result.value` is false")) }
    }

    /// Deletes a realm (`/system/delRealm`); false if it does not exist.
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn delete_realm(&self, name: &str) -> Result<bool, ClientError> {
        let reply = self.post("/system/delRealm", &[("realm", name)]).await?;
        let result = reply.value.pointer("/delRealm/result").map(lenient::flag_of);
        result.ok_or_else(|| reply.bad("no `delRealm.result`"))
    }

    /// Makes a realm the default (`/system/setDefaultRealm`); false if it does not exist.
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn set_default_realm(&self, name: &str) -> Result<bool, ClientError> {
        self.post("/system/setDefaultRealm", &[("realm", name)]).await?.flag()
    }

    /// Removes the default, so that a user without realm is unknown.
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn clear_default_realm(&self) -> Result<(), ClientError> {
        self.post("/system/setDefaultRealm", &[]).await.map(|_| ())
    }

    /// The default realm (`/system/getDefaultRealm`).
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn default_realm(&self) -> Result<Option<Realm>, ClientError> {
        // Without a default the server lists all realms, so the flag decides.
        let realms = realms(self.get("/system/getDefaultRealm", &[]).await?)?;
        Ok(realms.into_iter().find(|realm| realm.is_default))
    }
}

fn realms(reply: Reply) -> Result<Vec<Realm>, ClientError> {
    let by_name: BTreeMap<String, Realm> = reply.into_value()?;
    Ok(by_name.into_iter().map(|(name, realm)| Realm { name, ..realm }).collect())
}
