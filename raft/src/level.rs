//! Format levels: how nodes of different versions work together during a rolling upgrade (reference code-style 6).
//!
//! Whatever is stored or sent in a new form has a level. A node supports all levels up to its own; the cluster's active
//! level is part of the replicated state, begins with 1, and is raised by a transaction when every member supports more.
//! Nobody writes what needs a level that is not active. A node that meets a higher one than it supports stops, and nodes
//! that cannot work together say so in the first message.

use std::sync::Arc;

use tonic::Status;

use crate::{state_store::Published, status::VERSION, transport::proto, type_config::NodeId};

/// The highest level this version supports. It grows with every new kind of record, key, command or message.
pub const FORMAT_LEVEL: u32 = 1;

/// A cluster whose level was never raised has this one.
pub const FIRST_LEVEL: u32 = 1;

/// The levels of this node.
#[derive(Clone, Debug)]
pub(crate) struct Levels {
    supported: u32,
    published: Arc<Published>,
}

impl Levels {
    pub(crate) const fn new(supported: u32, published: Arc<Published>) -> Self {
        Self { supported, published }
    }

    /// What this node supports.
    pub(crate) const fn supported(&self) -> u32 {
        self.supported
    }

    /// What the cluster writes, as far as this node has applied it.
    pub(crate) fn active(&self) -> u32 {
        self.published.format_level()
    }

    /// Writes the levels into a message's header.
    pub(crate) fn announce(&self, header: &mut proto::Header) {
        header.level = self.supported;
        header.active_level = self.active();
        VERSION.clone_into(&mut header.version);
    }

    /// Refuses a node that cannot work with this one.
    pub(crate) fn check(&self, sender: NodeId, header: &proto::Header) -> Result<(), Status> {
        let (level, active) = (header.level.max(FIRST_LEVEL), self.active());
        if level < active {
            let version = &header.version;
            return Err(Status::failed_precondition(format!(
                "node {sender} (version {version}) supports format level {level}, but the cluster is at level {active}: \
                 upgrade node {sender}"
            )));
        }
        if header.active_level > self.supported {
            return Err(Status::failed_precondition(format!(
                "this node (version {VERSION}) supports format level {}, but node {sender} (version {}) says that the \
                 cluster is at level {}: upgrade this node",
                self.supported, header.version, header.active_level
            )));
        }
        Ok(())
    }
}

/// Why a node stops at an entry that raises the level.
pub(crate) fn too_high(found: u32, supported: u32) -> String {
    format!(
        "the cluster is at format level {found}, but this version ({VERSION}) supports only level {supported}: upgrade \
         this node"
    )
}
