//! Who a request is about: names of realms and resolvers, users as resolvers know them, owners of tokens.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A name that is cheap to clone and ordered as text. The newtypes below keep the kinds of names apart.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// Serial number of a token; compared case-sensitively (reference http-api 6.2).
    Serial;
    /// Realm, lower case. Use [`RealmName::parse`] for names from outside.
    RealmName;
    /// Name of a resolver, case-sensitive (reference users 2.1).
    ResolverName;
    /// A resolver's specification, `<class>.<name>`, as realms and owners store it (reference users 2.1).
    ResolverSpec;
    /// A user's id inside its resolver, opaque text.
    UserId;
    /// Id of a challenge as clients see it: digits, or `<root>.<nn>` (reference tokens 7.2).
    TransactionId;
    /// Key of the system configuration without the `linotp.` prefix (reference http-api 23).
    SettingKey;
    /// Login of a local administrator.
    AdminLogin;
    /// Name of a policy: letters, digits and `_` (reference policies 1.3).
    PolicyName;
}

impl RealmName {
    /// Normalises a realm name: trimmed, lower case, blanks become `-` (reference users 7).
    ///
    /// # Errors
    /// When a character remains that is not one of `a-z 0-9 _ - .`, or nothing remains.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let name = text.trim().to_lowercase().replace(' ', "-");
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(legal) {
            return Err(InvalidName { what: "realm name", rule: "letters, digits, '_', '-' and '.'" });
        }
        Ok(Self(name.into()))
    }

    /// The comparison form of a realm name from a request; unlike [`Self::parse`] it refuses nothing.
    #[must_use]
    pub fn folded(text: &str) -> Self {
        Self(text.trim().to_lowercase().into())
    }
}

/// A name from outside breaks the rule of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what}: only {rule} are allowed")]
pub struct InvalidName {
    /// The kind of name.
    pub what: &'static str,
    /// What is allowed.
    pub rule: &'static str,
}

impl ResolverSpec {
    /// The resolver's name: the part behind the last dot.
    #[must_use]
    pub fn resolver(&self) -> ResolverName {
        ResolverName::from(self.0.rsplit_once('.').map_or(&*self.0, |(_, name)| name))
    }
}

/// A user as a resolver delivers it. Never carries a password or its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntry {
    /// Id inside the resolver.
    pub user_id: UserId,
    /// Login name as the resolver spells it.
    pub login: String,
    /// Attributes by LinOTP's field names (`username`, `userid`, `description`, `email`, `givenname`, `surname`,
    /// `phone`, `mobile`, …); absent ones are empty strings.
    pub attributes: BTreeMap<String, String>,
}

/// The owner of a token. Two owners are the same when spec and user id are (reference users 2.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Specification of the resolver the user lives in.
    pub resolver: ResolverSpec,
    /// The user's id inside that resolver.
    pub user_id: UserId,
}
