//! Read access to the replicated state that records what was read.
//!
//! Whatever a decision looks at through a [`View`] becomes a precondition of its transaction, absence included. Nobody
//! writes preconditions by hand, so none can be forgotten (DESIGN section 2).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::configuration::Configuration;
use crate::record::{IndexKey, Key, Record, TokenV1, UsageV1};
use crate::time::UnixMillis;
use crate::txn::{Dependency, Expectation, Revision};
use crate::user::Serial;

/// A record as the state holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// When it was last written.
    pub revision: Revision,
    /// Counts created records; stays the same while the key exists.
    pub created: u64,
    /// The record.
    pub record: Record,
}

/// Receives the records of a [`StateRead::scan`] in key order and says when to stop.
pub type ScanStep<'a> = &'a mut dyn FnMut(&Key, &Slot) -> ControlFlow<()>;

/// A pinned version of the replicated state.
pub trait StateRead {
    /// The record under a key.
    fn record(&self, key: &Key) -> Option<Slot>;
    /// Revision and members of an index, in key order; revision 0 and no members if nothing ever was in it.
    fn index(&self, index: &IndexKey) -> (Revision, Vec<Key>);
    /// Revision of an index.
    fn index_revision(&self, index: &IndexKey) -> Revision;
    /// Number of members of an index.
    fn index_len(&self, index: &IndexKey) -> usize;
    /// Visits the records from `from` on in key order.
    fn scan(&self, from: &Key, step: ScanStep<'_>);
    /// The replicated time: the latest a transaction was stamped with.
    fn time(&self) -> UnixMillis;
}

/// A recording view, with the writes made so far laid over the state.
pub struct View<'a> {
    state: &'a dyn StateRead,
    configuration: Arc<Configuration>,
    reads: BTreeMap<Dependency, Revision>,
    writes: BTreeMap<Key, Option<Record>>,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View({} reads, {} writes)", self.reads.len(), self.writes.len())
    }
}

impl<'a> View<'a> {
    /// A view of a pinned state. `configuration` must have been loaded from the same state.
    #[must_use]
    pub fn new(state: &'a dyn StateRead, configuration: Arc<Configuration>) -> Self {
        Self { state, configuration, reads: BTreeMap::new(), writes: BTreeMap::new() }
    }

    /// The compiled configuration; the decision depends on it from now on.
    pub fn configuration(&mut self) -> Arc<Configuration> {
        self.reads.insert(Dependency::Index(IndexKey::Configuration), self.configuration.revision);
        self.configuration.clone()
    }

    /// The record under a key as this decision sees it: its own write if there is one, else the state's.
    pub fn get(&mut self, key: &Key) -> Option<Record> {
        if let Some(written) = self.writes.get(key) {
            return written.clone();
        }
        self.read(key).map(|slot| slot.record)
    }

    /// The record as the state holds it, with its revision and creation number; ignores own writes.
    pub fn read(&mut self, key: &Key) -> Option<Slot> {
        let slot = self.state.record(key);
        let revision = slot.as_ref().map_or(Revision(0), |slot| slot.revision);
        self.reads.insert(Dependency::Record(key.clone()), revision);
        slot
    }

    /// The members of an index as the state holds it; ignores own writes.
    pub fn index(&mut self, index: &IndexKey) -> Vec<Key> {
        let (revision, members) = self.state.index(index);
        self.reads.insert(Dependency::Index(index.clone()), revision);
        members
    }

    /// A token's definition.
    pub fn token(&mut self, serial: &Serial) -> Option<Arc<TokenV1>> {
        match self.get(&Key::Token(serial.clone())) {
            Some(Record::Token(token)) => Some(token),
            _ => None,
        }
    }

    /// A token's usage; a token without one has never been used.
    pub fn usage(&mut self, serial: &Serial) -> Arc<UsageV1> {
        match self.get(&Key::Usage(serial.clone())) {
            Some(Record::Usage(usage)) => usage,
            _ => Arc::default(),
        }
    }

    /// Stores a record; replaces an earlier write of this decision.
    pub fn put(&mut self, key: Key, record: Record) {
        self.writes.insert(key, Some(record));
    }

    /// Stores a token's definition.
    pub fn put_token(&mut self, serial: &Serial, token: TokenV1) {
        self.put(Key::Token(serial.clone()), Record::Token(Arc::new(token)));
    }

    /// Stores a token's usage.
    pub fn put_usage(&mut self, serial: &Serial, usage: UsageV1) {
        self.put(Key::Usage(serial.clone()), Record::Usage(Arc::new(usage)));
    }

    /// Removes a record.
    pub fn delete(&mut self, key: Key) {
        self.writes.insert(key, None);
    }

    /// The pinned state itself, for listings and estimates. **Not recorded**: a decision that must not be overtaken
    /// may not rest on it.
    #[must_use]
    pub fn unrecorded(&self) -> &'a dyn StateRead {
        self.state
    }

    /// Whether a sealed secret is among what is to be written.
    pub(crate) fn writes_sealed(&self) -> bool {
        self.writes.iter().any(|(key, record)| record.as_ref().is_some_and(|record| record.has_sealed(key)))
    }

    /// Forgets the writes made so far; what was read stays a precondition.
    pub(crate) fn discard_writes(&mut self) {
        self.writes.clear();
    }

    /// Everything read, as preconditions, and everything to be written.
    #[must_use]
    pub fn finish(self) -> (Vec<Expectation>, Vec<(Key, Option<Record>)>) {
        let expects =
            self.reads.into_iter().map(|(dependency, revision)| Expectation { dependency, revision });
        (expects.collect(), self.writes.into_iter().collect())
    }
}
