//! The digest of the state, which two nodes compare to find out whether they still hold the same.

use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use super::{Counters, State};
use crate::codec::{self, CodecError};

/// A digest over everything replicated.
pub type StateDigest = [u8; 32];

/// How the digest is made. Raised when that changes, so that two versions do not take each other's digests for different
/// states during an upgrade.
pub(crate) const DIGEST_FORM: u32 = 1;

/// Parts hashed between two looks at whether to pause.
const STEP: u32 = 512;

/// Collects the parts of a state. Every part is preceded by its length, so that no two states have the same input.
struct Parts<'a> {
    hasher: Sha256,
    buffer: Vec<u8>,
    since_step: u32,
    step: &'a mut dyn FnMut() -> ControlFlow<()>,
}

impl Parts<'_> {
    fn add(&mut self, encoded: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>) -> ControlFlow<()> {
        self.buffer.clear();
        // Everything in the state came out of a decoded command or snapshot, so it has an encoding.
        if encoded(&mut self.buffer).is_err() {
            self.buffer.clear();
        }
        self.hasher.update(u64::try_from(self.buffer.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.hasher.update(&self.buffer);
        self.since_step += 1;
        if self.since_step < STEP {
            return ControlFlow::Continue(());
        }
        self.since_step = 0;
        (self.step)()
    }
}

impl State {
    /// A digest over everything replicated, equal on two nodes at the same log position.
    #[must_use]
    pub fn digest(&self) -> StateDigest {
        self.digest_in_steps(&mut || ControlFlow::Continue(())).unwrap_or_default()
    }

    /// As [`Self::digest`], calling `step` again and again in between, where it may pause; `None` when it breaks off.
    pub(crate) fn digest_in_steps(&self, step: &mut dyn FnMut() -> ControlFlow<()>) -> Option<StateDigest> {
        let mut parts = Parts { hasher: Sha256::new(), buffer: Vec::new(), since_step: 0, step };
        match self.add_parts(&mut parts) {
            ControlFlow::Continue(()) => Some(parts.hasher.finalize().into()),
            ControlFlow::Break(()) => None,
        }
    }

    fn add_parts(&self, parts: &mut Parts<'_>) -> ControlFlow<()> {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let sizes =
            [self.records.len(), self.index_heads.len(), self.index_members.len(), self.expiries.len()];
        parts.add(|to| codec::write_plain(&sizes.map(count), to))?;
        for (key, slot) in &self.records {
            parts.add(|to| codec::write_plain(&(key, slot.revision, slot.created, &slot.record), to))?;
        }
        for (index, head) in &self.index_heads {
            parts.add(|to| codec::write_plain(&(index, head.revision, count(head.members)), to))?;
        }
        for member in &self.index_members {
            parts.add(|to| codec::write_plain(member, to))?;
        }
        for expiry in &self.expiries {
            parts.add(|to| codec::write_plain(expiry, to))?;
        }
        for (id, session) in &self.sessions {
            let head = (id, session.node, session.incarnation, session.floor, session.last_used);
            parts.add(|to| codec::write_plain(&(head, count(session.outcomes.len())), to))?;
            for outcome in &session.outcomes {
                parts.add(|to| codec::write_plain(&outcome, to))?;
            }
        }
        let Counters { revision, created, sessions, time } = self.counters;
        let counters = (revision, created, sessions, time, self.history.number, self.history.hash);
        parts.add(|to| codec::write_plain(&counters, to))
    }
}
