//! Records an administrator configures the cluster with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::secret::Sealed;
use crate::user::ResolverSpec;

/// A realm: an ordered list of resolvers (reference users 7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealmV1 {
    /// The resolvers in look-up order.
    pub resolvers: Vec<ResolverSpec>,
}

/// The kind of user store behind a resolver (reference users 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResolverKind {
    /// A file in passwd format.
    Passwd,
    /// LDAP or Active Directory.
    Ldap,
    /// A table of an SQL database, or a managed (imported) user list.
    Sql,
}

/// A parameter of a resolver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parameter {
    /// Shown to administrators.
    Plain(Box<str>),
    /// Never shown.
    Secret(Sealed),
}

/// A resolver definition (reference users 2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolverV1 {
    /// The kind of user store.
    pub kind: ResolverKind,
    /// Parameters by LinOTP's names (`fileName`, `LDAPURI`, …).
    pub parameters: BTreeMap<Box<str>, Parameter>,
    /// A managed resolver: its users are imported and it can only be renamed.
    pub readonly: bool,
}

/// A value of the system configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettingValue {
    /// Shown as it is.
    Plain(Box<str>),
    /// Stored sealed, never shown.
    Secret(Sealed),
}

/// An entry of the system configuration (reference http-api 12.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingV1 {
    /// The value.
    pub value: SettingValue,
    /// The type given with it, informational (`password` values are stored sealed).
    pub kind: Box<str>,
    /// The description given with it.
    pub description: Box<str>,
}

/// A local administrator (reference users 19).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminV1 {
    /// argon2id hash of the password in PHC form, sealed.
    pub password: Sealed,
}

/// A secret that all nodes share, such as the key that signs session tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSecretV1 {
    /// The secret bytes, sealed.
    pub secret: Sealed,
}
