//! `/system`: configuration entries (reference http-api 12.3 to 12.5).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::client::Client;
use crate::error::ClientError;
use crate::lenient;

impl Client {
    /// All configuration entries; encrypted ones as cipher text.
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn config(&self) -> Result<BTreeMap<String, String>, ClientError> {
        let entries: Map<String, Value> = self.get("/system/getConfig", &[]).await?.into_value()?;
        Ok(entries.iter().map(|(key, value)| (key.clone(), lenient::text_of(value))).collect())
    }

    /// One configuration entry, `None` if it is not set.
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn config_entry(&self, key: &str) -> Result<Option<String>, ClientError> {
        let reply = self.get("/system/getConfig", &[("key", key)]).await?;
        let value = reply.value.get(format!("getConfig {key}"));
        match value {
            Some(Value::Null) => Ok(None),
            Some(value) => Ok(Some(lenient::text_of(value))),
            None => Err(reply.bad("the entry is missing in the reply")),
        }
    }

    /// Sets a configuration entry; `kind` `password` has it stored encrypted.
    ///
    /// # Errors
    /// Those of the transport and the API; -311 if the key is type-checked and the value does not fit.
    pub async fn set_config(&self, key: &str, value: &str, kind: Option<&str>) -> Result<(), ClientError> {
        let mut parameters = vec![("key", key), ("value", value)];
        parameters.extend(kind.map(|kind| ("type", kind)));
        self.post("/system/setConfig", &parameters).await.map(|_| ())
    }

    /// Deletes a configuration entry; not an error if there is none.
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn delete_config(&self, key: &str) -> Result<(), ClientError> {
        self.post("/system/delConfig", &[("key", key)]).await.map(|_| ())
    }
}
