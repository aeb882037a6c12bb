//! What is replicated: records under typed keys, and the indexes over them.
//!
//! Everything reachable from [`Key`] and [`Record`] is stored and sent in a positional encoding: enum variants are only
//! ever appended, structs never change once released (a changed struct is a new variant `…V2`), and no serde attribute
//! that alters the shape is used (reference code-style 6).

mod challenge;
mod cluster;
mod configuration;
mod node;
mod policy;
mod sealed;
mod token;

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::time::UnixMillis;
use crate::user::{
    AdminLogin, Owner, PolicyName, RealmName, ResolverName, Serial, SettingKey, TransactionId,
};

pub(crate) use challenge::root as transaction_root;
pub use challenge::{ChallengeAttributeV1, ChallengeV1, ChallengedV1, ReplyV1, RevocationV1};
pub use cluster::HistoryAnchorV1;
pub use configuration::{
    AdminV1, ClusterSecretV1, Parameter, RealmV1, ResolverKind, ResolverV1, SettingV1, SettingValue,
};
pub use node::{InvitationV1, NodeEntry, NodeMemberV1, NodesV1};
pub use policy::PolicyV1;
pub use sealed::Visit;
pub use token::{AutoResync, HashAlgorithm, InfoValue, Pin, TokenInfo, TokenType, TokenV1, UsageV1};

/// The place of a record. Ordered, so that listings and snapshots are the same on every node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// A token's definition: what changes by administration.
    Token(Serial),
    /// A token's usage: what changes with every login.
    Usage(Serial),
    /// An open or recently closed challenge.
    Challenge(TransactionId),
    /// A realm.
    Realm(RealmName),
    /// A resolver definition.
    Resolver(ResolverName),
    /// An entry of the system configuration.
    Setting(SettingKey),
    /// A local administrator.
    Admin(AdminLogin),
    /// A session token that was logged out, by its `jti`.
    Revocation(Arc<str>),
    /// A secret of the cluster itself, by name.
    ClusterSecret(Arc<str>),
    /// The answer to a request that may be repeated, by a hash of who asked and the key the client gave it.
    Reply(Arc<str>),
    /// Where the kept part of the history begins.
    HistoryAnchor,
    /// The format level all members support.
    FormatLevel,
    /// The nodes of the cluster; there is one such record.
    Nodes,
    /// A policy.
    Policy(PolicyName),
}

/// A record. Cheap to clone: the contents are shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Under [`Key::Token`].
    Token(Arc<TokenV1>),
    /// Under [`Key::Usage`].
    Usage(Arc<UsageV1>),
    /// Under [`Key::Challenge`].
    Challenge(Arc<ChallengeV1>),
    /// Under [`Key::Realm`].
    Realm(Arc<RealmV1>),
    /// Under [`Key::Resolver`].
    Resolver(Arc<ResolverV1>),
    /// Under [`Key::Setting`].
    Setting(Arc<SettingV1>),
    /// Under [`Key::Admin`].
    Admin(Arc<AdminV1>),
    /// Under [`Key::Revocation`].
    Revocation(RevocationV1),
    /// Under [`Key::ClusterSecret`].
    ClusterSecret(Arc<ClusterSecretV1>),
    /// Under [`Key::Reply`].
    Reply(Arc<ReplyV1>),
    /// Under [`Key::HistoryAnchor`].
    HistoryAnchor(HistoryAnchorV1),
    /// Under [`Key::FormatLevel`]; level 1 as long as there is no record.
    FormatLevel(u32),
    /// Under [`Key::Nodes`].
    Nodes(Arc<NodesV1>),
    /// Under [`Key::Policy`].
    Policy(Arc<PolicyV1>),
}

/// A set of keys with a revision of its own, derived from the records, so that a decision notices when something
/// *appears* that it would have looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IndexKey {
    /// Settings, realms, resolvers and policies: all that [`crate::configuration::Configuration`] is made of. Unlike the other
    /// indexes its revision also changes when the *content* of a member does.
    Configuration,
    /// The tokens of one owner.
    TokensOfOwner(Owner),
    /// The tokens in one realm.
    TokensInRealm(RealmName),
    /// The tokens of one type.
    TokensOfType(TokenType),
    /// The challenges of one token.
    ChallengesOfToken(Serial),
    /// The challenges of one transaction, by its root id (reference tokens 7.2).
    ChallengesOfTransaction(TransactionId),
    /// The local administrators.
    Admins,
}

impl IndexKey {
    /// Whether a change of a member's content, not only of the membership, is a change of the index.
    #[must_use]
    pub const fn follows_content(&self) -> bool {
        matches!(self, Self::Configuration)
    }
}

impl Record {
    /// The indexes the record belongs to while it stands under `key`.
    #[must_use]
    pub fn indexes(&self, key: &Key) -> Vec<IndexKey> {
        match (self, key) {
            (Self::Token(token), _) => {
                let mut all = Vec::with_capacity(2 + token.realms.len());
                all.extend(token.owner.clone().map(IndexKey::TokensOfOwner));
                all.extend(token.realms.iter().cloned().map(IndexKey::TokensInRealm));
                all.push(IndexKey::TokensOfType(token.token_type));
                all
            }
            (Self::Challenge(challenge), Key::Challenge(id)) => vec![
                IndexKey::ChallengesOfToken(challenge.serial.clone()),
                IndexKey::ChallengesOfTransaction(challenge::root(id)),
            ],
            (Self::Realm(_) | Self::Resolver(_) | Self::Setting(_) | Self::Policy(_), _) => {
                vec![IndexKey::Configuration]
            }
            (Self::Admin(_), _) => vec![IndexKey::Admins],
            (
                Self::Usage(_)
                | Self::Challenge(_)
                | Self::Revocation(_)
                | Self::ClusterSecret(_)
                | Self::Reply(_)
                | Self::Nodes(_)
                | Self::HistoryAnchor(_)
                | Self::FormatLevel(_),
                _,
            ) => Vec::new(),
        }
    }

    /// When the record may be removed; `None` for what stays until it is deleted.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixMillis> {
        match self {
            Self::Challenge(challenge) => Some(challenge.expires_at),
            Self::Revocation(revocation) => Some(revocation.expires_at),
            Self::Reply(reply) => Some(reply.expires_at),
            Self::Token(_)
            | Self::Usage(_)
            | Self::Realm(_)
            | Self::Resolver(_)
            | Self::Setting(_)
            | Self::Admin(_)
            | Self::ClusterSecret(_)
            | Self::Nodes(_)
            | Self::HistoryAnchor(_)
            | Self::FormatLevel(_)
            | Self::Policy(_) => None,
        }
    }
}
