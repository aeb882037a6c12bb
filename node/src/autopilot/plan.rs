//! What the leader does next so that the members become what the record of the nodes says, and what must not be done.
//!
//! Nothing here looks at a clock or a network: times are given, and which nodes answer is given. One step at a time, and
//! no step that would leave the cluster without a majority of nodes that answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tessera_core::decide::membership::enumerated;
use tessera_core::record::{NodeEntry, NodeMemberV1, NodesV1};
use tessera_raft::cluster::{Member, PROMOTION_LAG};

/// What the leader knows of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// How long it has answered without a break and been close behind; `None` when that is not so now.
    pub healthy_for: Option<Duration>,
    /// How long it has not answered; `None` when it does.
    pub silent_for: Option<Duration>,
    /// Entries of the log it does not have; `None` when that is not known.
    pub lag: Option<u64>,
}

/// The members as the leader sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// This node, which leads.
    pub leader: u64,
    /// The members with a vote.
    pub voters: BTreeSet<u64>,
    /// All members.
    pub members: BTreeMap<u64, Member>,
    /// What is known of each.
    pub health: BTreeMap<u64, Health>,
}

/// What an administrator may set (`tessera config set autopilot.…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// A node that joins must have been healthy for so long before it votes.
    pub promote_after: Duration,
    /// A voter that has not answered for so long is removed; `None`: never.
    pub remove_dead_after: Option<Duration>,
    /// But never below this number of voters.
    pub voters_min: usize,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Let a node receive the log.
    AddLearner(u64, Member),
    /// Tell the others where a member is now.
    Move(u64, Member),
    /// Give a learner a vote.
    Promote(u64),
    /// Give the vote of a member to a learner, and remove the member.
    Replace {
        /// The member.
        old: u64,
        /// The learner.
        new: u64,
    },
    /// Remove a member.
    Remove(u64),
    /// Hand over leadership, because this node is to be removed.
    HandOver(u64),
    /// Retire an id for ever; its removal follows.
    Retire(u64),
}

/// Why a node cannot be removed now. The text says what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Whether a majority of `voters` is among `live`.
fn majority_lives(voters: &BTreeSet<u64>, live: &BTreeSet<u64>) -> bool {
    voters.intersection(live).count() > voters.len() / 2
}

/// How many more voters may fail; `None` when a majority is missing already.
#[must_use]
pub(super) fn tolerates(voters: &BTreeSet<u64>, live: &BTreeSet<u64>) -> Option<usize> {
    voters.intersection(live).count().checked_sub(voters.len() / 2 + 1)
}

/// Whether `node` can be removed without losing the majority.
///
/// # Errors
/// The sentence for the administrator.
pub(super) fn removal(voters: &BTreeSet<u64>, live: &BTreeSet<u64>, node: u64) -> Result<(), Refused> {
    if !voters.contains(&node) {
        return Ok(());
    }
    let rest: BTreeSet<u64> = voters.iter().copied().filter(|id| *id != node).collect();
    if rest.is_empty() {
        return Err(Refused(format!(
            "node {node} is the only node with a vote and cannot be removed: let another one join first (`tessera \
             cluster token`)"
        )));
    }
    if majority_lives(&rest, live) {
        return Ok(());
    }
    let dead: Vec<u64> = rest.difference(live).copied().collect();
    let (need, have) = (rest.len() / 2 + 1, rest.len() - dead.len());
    let others = if dead.len() == 1 { "it" } else { "them" };
    Err(Refused(format!(
        "removing node {node} would leave {} with a vote, of which {} not answer: {need} of {} are needed and {have} would \
         be there. Bring {others} back first, or replace {others} (`tessera cluster replace {}`)",
        nodes_text(&rest),
        do_text(&dead),
        rest.len(),
        dead.first().copied().unwrap_or_default(),
    )))
}

fn nodes_text(ids: &BTreeSet<u64>) -> String {
    let noun = if ids.len() == 1 { "node" } else { "nodes" };
    format!("{noun} {}", enumerated(ids.iter().copied()))
}

fn do_text(dead: &[u64]) -> String {
    let verb = if dead.len() == 1 { "does" } else { "do" };
    format!("{} {verb}", enumerated(dead.iter().copied()))
}

struct Planner<'a> {
    record: &'a NodesV1,
    sight: &'a Sight,
    rules: &'a Rules,
    live: BTreeSet<u64>,
}

/// The next step; `None` when everything is as it should be, or nothing can be done safely.
#[must_use]
pub(super) fn next(record: &NodesV1, sight: &Sight, rules: &Rules) -> Option<Step> {
    let answers = |(id, health): (&u64, &Health)| health.silent_for.is_none().then_some(*id);
    let live = sight.health.iter().filter_map(answers).chain([sight.leader]).collect();
    let planner = Planner { record, sight, rules, live };
    planner
        .finish_replacement()
        .or_else(|| planner.remove())
        .or_else(|| planner.admit())
        .or_else(|| planner.promote())
        .or_else(|| planner.retire_dead())
}

impl Planner<'_> {
    fn recorded(&self) -> impl Iterator<Item = (u64, &NodeMemberV1)> {
        self.record.nodes.iter().filter_map(|(id, entry)| match entry {
            NodeEntry::Member(member) => Some((*id, member)),
            NodeEntry::Expected | NodeEntry::Invited(_) | NodeEntry::Retired(_) => None,
        })
    }

    fn is_member(&self, id: u64) -> bool {
        matches!(self.record.nodes.get(&id), Some(NodeEntry::Member(_)))
    }

    fn health(&self, id: u64) -> Health {
        self.sight.health.get(&id).copied().unwrap_or_default()
    }

    /// A node that has taken another one's place: the other one's id is retired. The same when both have one address,
    /// where the old one cannot be any more.
    fn finish_replacement(&self) -> Option<Step> {
        self.recorded().find_map(|(new, member)| {
            let old = member.replaces.filter(|old| self.is_member(*old))?;
            let same_place =
                self.sight.members.get(&old).is_some_and(|place| *place.raft_addr == *member.raft_addr);
            let safe = removal(&self.sight.voters, &self.live, old).is_ok();
            (self.sight.voters.contains(&new) || (same_place && safe)).then_some(Step::Retire(old))
        })
    }

    /// A member whose id is retired.
    fn remove(&self) -> Option<Step> {
        let unwanted = self.sight.members.keys().copied().filter(|id| !self.is_member(*id));
        for id in unwanted {
            if !self.sight.voters.contains(&id) {
                return Some(Step::Remove(id));
            }
            if removal(&self.sight.voters, &self.live, id).is_err() {
                continue;
            }
            if id != self.sight.leader {
                return Some(Step::Remove(id));
            }
            if let Some(successor) = self.successor() {
                return Some(Step::HandOver(successor));
            }
        }
        None
    }

    /// The voter that is to lead instead of this node: one that stays, answers, and has the most of the log.
    fn successor(&self) -> Option<u64> {
        let stays = |id: &&u64| **id != self.sight.leader && self.is_member(**id) && self.live.contains(*id);
        let candidates = self.sight.voters.iter().filter(stays).copied();
        candidates.min_by_key(|id| self.health(*id).lag.unwrap_or(u64::MAX))
    }

    /// A member of the record that Raft does not know yet, or knows at another address.
    fn admit(&self) -> Option<Step> {
        self.recorded().find_map(|(id, member)| {
            let place =
                Member { raft_addr: member.raft_addr.to_string(), api_url: member.api_url.to_string() };
            match self.sight.members.get(&id) {
                Some(known) if *known == place => None,
                Some(_) => Some(Step::Move(id, place)),
                None => {
                    let taken = self.sight.members.values().any(|known| known.raft_addr == place.raft_addr);
                    (!taken).then_some(Step::AddLearner(id, place))
                }
            }
        })
    }

    /// A learner that is ready for a vote.
    fn promote(&self) -> Option<Step> {
        self.recorded().find_map(|(id, member)| {
            let waiting = self.sight.members.contains_key(&id) && !self.sight.voters.contains(&id);
            let health = self.health(id);
            let wait = if member.first { Duration::ZERO } else { self.rules.promote_after };
            let ready = health.healthy_for.is_some_and(|time| time >= wait)
                && health.lag.is_some_and(|lag| lag < PROMOTION_LAG);
            if !waiting || !ready {
                return None;
            }
            let old = member.replaces.filter(|old| self.sight.voters.contains(old) && self.is_member(*old));
            let voters = self.sight.voters.iter().copied().filter(|voter| Some(*voter) != old);
            if !majority_lives(&voters.chain([id]).collect(), &self.live) {
                return None;
            }
            match old {
                Some(old) if old == self.sight.leader => self.successor().map(Step::HandOver),
                Some(old) => Some(Step::Replace { old, new: id }),
                None => Some(Step::Promote(id)),
            }
        })
    }

    /// A voter that has been dead for too long, while the rest stays safe without it.
    fn retire_dead(&self) -> Option<Step> {
        let limit = self.rules.remove_dead_after?;
        if self.sight.voters.len() <= self.rules.voters_min {
            return None;
        }
        let dead = |id: &u64| self.health(*id).silent_for.is_some_and(|time| time >= limit);
        let candidates = self.sight.voters.iter().copied().filter(|id| self.is_member(*id) && dead(id));
        candidates
            .filter(|id| *id != self.sight.leader)
            .find(|id| removal(&self.sight.voters, &self.live, *id).is_ok())
            .map(Step::Retire)
    }
}

#[cfg(test)]
mod tests;
