//! The replicated state: records, their revisions and indexes, sessions, and the head of the history.
//!
//! [`State::apply`] is the only writer. It compares revisions and stores records; it knows no token type, no policy and
//! no clock, cannot fail and does not depend on anything but the state and the command (reference code-style 5). The maps
//! are persistent: a clone is a pinned version and costs nothing.

use std::ops::ControlFlow;

use imbl::{OrdMap, OrdSet};
use tessera_core::record::{IndexKey, Key, Record};
use tessera_core::time::UnixMillis;
use tessera_core::txn::{Dependency, Expectation, HistoryRow, Outcome, Revision, Txn, TxnId};
use tessera_core::view::{ScanStep, Slot, StateRead};

use crate::batch::{Command, CommandReply};
use crate::codec;
use crate::fault;
use crate::history::{ChainedRow, chain};

pub use crate::history::HistoryHead;

pub(crate) use digest::DIGEST_FORM;
pub use digest::StateDigest;

/// Number of outcomes a session remembers at most.
const OUTCOMES_MAX: usize = 4096;

/// A node's session: which of its transactions were applied, and with what outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The node.
    pub node: u64,
    /// What the node drew when it opened the session.
    pub incarnation: [u8; 16],
    /// Transactions below this number are settled and forgotten.
    pub floor: u64,
    /// Outcomes of the remembered transactions.
    pub outcomes: OrdMap<u64, Outcome>,
    /// Replicated time of the last transaction.
    pub last_used: UnixMillis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IndexHead {
    revision: Revision,
    members: usize,
}

/// The replicated state at one log position.
#[derive(Clone, Debug, Default)]
pub struct State {
    records: OrdMap<Key, Slot>,
    index_heads: OrdMap<IndexKey, IndexHead>,
    index_members: OrdSet<(IndexKey, Key)>,
    expiries: OrdSet<(UnixMillis, Key)>,
    sessions: OrdMap<u64, Session>,
    counters: Counters,
    history: HistoryHead,
}

/// The state's own counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Revision of the newest change.
    pub revision: u64,
    /// Number of records ever created.
    pub created: u64,
    /// Number of sessions ever opened; the newest one's id.
    pub sessions: u64,
    /// The replicated time; never goes back.
    pub time: UnixMillis,
}

impl State {
    /// Applies a command of a batch that the leader stamped with `time`. History rows that come into being are appended
    /// to `rows`.
    pub fn apply(&mut self, time: UnixMillis, command: Command, rows: &mut Vec<ChainedRow>) -> CommandReply {
        self.counters.time = self.counters.time.max(time);
        match command {
            Command::Txn { id, acked_below, txn } => {
                CommandReply::Txn(self.apply_once(id, acked_below, txn, rows))
            }
            Command::OpenSession { node, incarnation } => {
                CommandReply::Session(self.open_session(node, incarnation))
            }
            Command::ExpireSessions { idle_since } => {
                let idle = |session: &Session| session.last_used < idle_since;
                let gone: Vec<u64> =
                    self.sessions.iter().filter(|(_, session)| idle(session)).map(|(id, _)| *id).collect();
                for id in gone {
                    self.sessions.remove(&id);
                }
                CommandReply::Done
            }
            // Changes nothing: the state store pins the state behind this entry, for its digest.
            Command::Checkpoint => CommandReply::Done,
        }
    }

    fn open_session(&mut self, node: u64, incarnation: [u8; 16]) -> u64 {
        let same = |session: &Session| session.node == node && session.incarnation == incarnation;
        if let Some((id, _)) = self.sessions.iter().find(|(_, session)| same(session)) {
            return *id;
        }
        self.counters.sessions = self.counters.sessions.saturating_add(1);
        let last_used = self.counters.time;
        let session = Session { node, incarnation, floor: 0, outcomes: OrdMap::new(), last_used };
        self.sessions.insert(self.counters.sessions, session);
        self.counters.sessions
    }

    fn apply_once(&mut self, id: TxnId, acked_below: u64, txn: Txn, rows: &mut Vec<ChainedRow>) -> Outcome {
        match self.sessions.get(&id.session) {
            None => return Outcome::UnknownSession,
            Some(session) => {
                if let Some(first) = session.outcomes.get(&id.sequence).filter(|_| !fault::drops_replies()) {
                    return Outcome::Duplicate(Box::new(first.clone()));
                }
                if id.sequence < session.floor {
                    return Outcome::UnknownSession;
                }
            }
        }
        let outcome = self.apply_txn(txn, rows);
        let time = self.counters.time;
        if let Some(session) = self.sessions.get_mut(&id.session) {
            session.remember(id.sequence, outcome.clone(), acked_below, time);
        }
        outcome
    }

    fn apply_txn(&mut self, txn: Txn, rows: &mut Vec<ChainedRow>) -> Outcome {
        for Expectation { dependency, revision } in txn.expects {
            let current = self.revision_of(&dependency);
            if current != revision && !fault::skips_revision_check() {
                return Outcome::Conflict(dependency, current);
            }
        }
        if !txn.writes.is_empty() {
            self.counters.revision = self.counters.revision.saturating_add(1);
        }
        let revision = Revision(self.counters.revision);
        for (key, record) in txn.writes {
            self.write(key, record, revision);
        }
        for row in &txn.history {
            self.append_history(row, rows);
        }
        Outcome::Committed(revision)
    }

    fn revision_of(&self, dependency: &Dependency) -> Revision {
        match dependency {
            Dependency::Record(key) => self.records.get(key).map_or(Revision(0), |slot| slot.revision),
            Dependency::Index(index) => self.index_revision(index),
        }
    }

    fn write(&mut self, key: Key, record: Option<Record>, revision: Revision) {
        let old = self.records.get(&key).cloned();
        let new_indexes = record.as_ref().map(|record| record.indexes(&key)).unwrap_or_default();
        let old_indexes = old.as_ref().map(|slot| slot.record.indexes(&key)).unwrap_or_default();
        for index in &old_indexes {
            if !new_indexes.contains(index) {
                self.leave_index(index, &key, revision);
            } else if index.follows_content() {
                self.touch_index(index, revision, 0, 0);
            }
        }
        for index in new_indexes {
            if !old_indexes.contains(&index) {
                self.join_index(index, &key, revision);
            }
        }
        if let Some(at) = old.as_ref().and_then(|slot| slot.record.expires_at()) {
            self.expiries.remove(&(at, key.clone()));
        }
        let Some(record) = record else {
            self.records.remove(&key);
            return;
        };
        if let Some(at) = record.expires_at() {
            self.expiries.insert((at, key.clone()));
        }
        let created = old.map_or_else(
            || {
                self.counters.created = self.counters.created.saturating_add(1);
                self.counters.created
            },
            |slot| slot.created,
        );
        self.records.insert(key, Slot { revision, created, record });
    }

    fn join_index(&mut self, index: IndexKey, key: &Key, revision: Revision) {
        self.touch_index(&index, revision, 1, 0);
        self.index_members.insert((index, key.clone()));
    }

    fn leave_index(&mut self, index: &IndexKey, key: &Key, revision: Revision) {
        self.touch_index(index, revision, 0, 1);
        self.index_members.remove(&(index.clone(), key.clone()));
    }

    /// An index without members is forgotten and reads as revision 0 again: what a decision saw then, nothing, is what
    /// it would see now.
    fn touch_index(&mut self, index: &IndexKey, revision: Revision, joined: usize, left: usize) {
        let members = self.index_heads.get(index).map_or(0, |head| head.members) + joined;
        let members = members.saturating_sub(left);
        if members == 0 {
            self.index_heads.remove(index);
        } else {
            self.index_heads.insert(index.clone(), IndexHead { revision, members });
        }
    }

    fn append_history(&mut self, row: &HistoryRow, rows: &mut Vec<ChainedRow>) {
        // A row came out of a decoded command, so it has an encoding; an empty row would still keep the chain whole.
        let bytes = codec::encode_plain(row).unwrap_or_default();
        let number = self.history.number.saturating_add(1);
        let hash = chain(&self.history.hash, number, &bytes);
        self.history = HistoryHead { number, hash };
        rows.push(ChainedRow { number, bytes, hash });
    }

    /// Records that may be removed at `now`, oldest first.
    #[must_use]
    pub fn expired(&self, now: UnixMillis, limit: usize) -> Vec<Key> {
        self.expiries
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(limit)
            .map(|(_, key)| key.clone())
            .collect()
    }

    /// Revision of the newest change.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        Revision(self.counters.revision)
    }

    /// Head of the history.
    #[must_use]
    pub const fn history(&self) -> HistoryHead {
        self.history
    }

    /// The last row that was removed from the history everywhere; number 0 if none was.
    #[must_use]
    pub fn history_anchor(&self) -> HistoryHead {
        match self.records.get(&Key::HistoryAnchor).map(|slot| &slot.record) {
            Some(Record::HistoryAnchor(anchor)) => HistoryHead { number: anchor.number, hash: anchor.hash },
            _ => HistoryHead::default(),
        }
    }

    /// The format level the cluster writes; 1 as long as it was never raised.
    #[must_use]
    pub fn format_level(&self) -> u32 {
        match self.records.get(&Key::FormatLevel).map(|slot| &slot.record) {
            Some(Record::FormatLevel(level)) => *level,
            _ => 1,
        }
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The sessions by id.
    pub fn sessions(&self) -> impl Iterator<Item = (&u64, &Session)> {
        self.sessions.iter()
    }

    pub(crate) const fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = (&Key, &Slot)> {
        self.records.iter()
    }

    pub(crate) fn index_revisions(&self) -> impl Iterator<Item = (&IndexKey, Revision)> {
        self.index_heads.iter().map(|(index, head)| (index, head.revision))
    }

    /// An empty state with these counters and history head, to be filled from a snapshot.
    pub(crate) fn restore(counters: Counters, history: HistoryHead) -> Self {
        Self { counters, history, ..Self::default() }
    }

    /// Puts a record of a snapshot in its place, with its indexes; their revisions follow with
    /// [`Self::restore_index`].
    pub(crate) fn restore_record(&mut self, key: Key, slot: Slot) {
        for index in slot.record.indexes(&key) {
            self.join_index(index, &key, slot.revision);
        }
        if let Some(at) = slot.record.expires_at() {
            self.expiries.insert((at, key.clone()));
        }
        self.records.insert(key, slot);
    }

    /// Gives an index the revision it had when the snapshot was taken.
    pub(crate) fn restore_index(&mut self, index: &IndexKey, revision: Revision) {
        self.touch_index(index, revision, 0, 0);
    }

    /// Changes a state that no node has yet: one that is being restored from a backup.
    pub(crate) fn adapt(&mut self, txn: Txn, rows: &mut Vec<ChainedRow>) -> Outcome {
        self.counters.time = self.counters.time.max(txn.now);
        self.apply_txn(txn, rows)
    }

    pub(crate) fn restore_session(&mut self, id: u64, session: Session) {
        self.sessions.insert(id, session);
    }
}

impl Session {
    fn remember(&mut self, sequence: u64, outcome: Outcome, acked_below: u64, time: UnixMillis) {
        self.outcomes.insert(sequence, outcome);
        self.last_used = time;
        // What the node no longer awaits is forgotten, and what exceeds the memory too: it cannot be retried safely.
        let floor = self.floor.max(acked_below);
        while let Some((oldest, _)) = self.outcomes.get_min() {
            let oldest = *oldest;
            if oldest >= floor && self.outcomes.len() <= OUTCOMES_MAX {
                break;
            }
            self.outcomes.remove(&oldest);
            self.floor = self.floor.max(oldest.saturating_add(1));
        }
        self.floor = self.floor.max(floor);
    }
}

impl StateRead for State {
    fn record(&self, key: &Key) -> Option<Slot> {
        self.records.get(key).cloned()
    }

    fn index(&self, index: &IndexKey) -> (Revision, Vec<Key>) {
        let Some(head) = self.index_heads.get(index) else { return (Revision(0), Vec::new()) };
        // Keys are ordered, and a token's key with an empty serial is the least of all.
        let first = (index.clone(), Key::Token("".into()));
        let members =
            self.index_members.range(first..).take_while(|(of, _)| of == index).map(|(_, key)| key.clone());
        (head.revision, members.collect())
    }

    fn index_revision(&self, index: &IndexKey) -> Revision {
        self.index_heads.get(index).map_or(Revision(0), |head| head.revision)
    }

    fn index_len(&self, index: &IndexKey) -> usize {
        self.index_heads.get(index).map_or(0, |head| head.members)
    }

    fn scan(&self, from: &Key, step: ScanStep<'_>) {
        for (key, slot) in self.records.range(from.clone()..) {
            if step(key, slot) == ControlFlow::Break(()) {
                return;
            }
        }
    }

    fn time(&self) -> UnixMillis {
        self.counters.time
    }
}

mod digest;
#[cfg(test)]
pub(crate) mod tests;
