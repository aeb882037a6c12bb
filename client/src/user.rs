//! Users: how they are named in requests, and `/admin/userlist` (reference http-api 6.1 and 11.6).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::client::Client;
use crate::error::ClientError;
use crate::lenient;

/// A user as named in a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserRef {
    /// Login name; with `@realm` if `realm` is absent and it is not the default realm.
    pub login: String,
    /// Realm.
    pub realm: Option<String>,
    /// Resolver (`resConf`).
    pub resolver: Option<String>,
}

impl UserRef {
    /// A login name, possibly with `@realm`.
    pub fn new(login: impl Into<String>) -> Self {
        Self { login: login.into(), ..Self::default() }
    }

    /// A login name in a realm.
    pub fn in_realm(login: impl Into<String>, realm: impl Into<String>) -> Self {
        Self { login: login.into(), realm: Some(realm.into()), resolver: None }
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let optional = [
            ("user", Some(self.login.as_str())),
            ("realm", self.realm.as_deref()),
            ("resConf", self.resolver.as_deref()),
        ];
        optional.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Which users are listed. Absent parameters are not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserQuery {
    /// Realm; the default realm if neither realm nor resolver is given, `*` for all.
    pub realm: Option<String>,
    /// Resolver (`resConf`).
    pub resolver: Option<String>,
    /// Page from 0; without it everything is returned.
    pub page: Option<u64>,
    /// Users per page.
    pub page_size: Option<u64>,
    /// Attribute names and patterns (`username`, `a*`), all of which must match.
    pub fields: Vec<(String, String)>,
}

/// A user as listed by the server.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct UserRow {
    /// Login name.
    #[serde(deserialize_with = "lenient::text")]
    pub username: String,
    /// User id in the resolver.
    #[serde(deserialize_with = "lenient::text")]
    pub userid: String,
    /// Description.
    #[serde(deserialize_with = "lenient::text")]
    pub description: String,
    /// E-mail address.
    #[serde(deserialize_with = "lenient::text")]
    pub email: String,
    /// Given name.
    #[serde(deserialize_with = "lenient::text")]
    pub givenname: String,
    /// Surname.
    #[serde(deserialize_with = "lenient::text")]
    pub surname: String,
    /// Phone number.
    #[serde(deserialize_with = "lenient::text")]
    pub phone: String,
    /// Mobile phone number.
    #[serde(deserialize_with = "lenient::text")]
    pub mobile: String,
    /// Specification of the resolver.
    #[serde(deserialize_with = "lenient::text")]
    pub resolver: String,
    /// Further attributes.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// One page of a user list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UserPage {
    /// The users.
    pub users: Vec<UserRow>,
    /// Number of records the server looked at.
    pub queried: Option<i64>,
    /// This page, from 0, if a page was asked for.
    pub page: Option<i64>,
}

impl Client {
    /// Lists users (`/admin/userlist`).
    ///
    /// # Errors
    /// Those of the transport and the API.
    pub async fn list_users(&self, query: &UserQuery) -> Result<UserPage, ClientError> {
        let (page, page_size) = (query.page.map(|n| n.to_string()), query.page_size.map(|n| n.to_string()));
        let optional = [
            ("realm", query.realm.as_deref()),
            ("resConf", query.resolver.as_deref()),
            ("page", page.as_deref()),
            ("rp", page_size.as_deref()),
        ];
        let parameters: Vec<(&str, &str)> = optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .chain(query.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .collect();
        let reply = self.get("/admin/userlist", &parameters).await?;
        let (queried, page) = (reply.queried, reply.page);
        Ok(UserPage { users: reply.into_value()?, queried, page })
    }
}
