//! Node ids: given once, bound to one data directory, retired for ever (reference raft-and-storage 10).
//!
//! These requests change the record of the nodes and nothing else. Who votes is Raft's own membership, which the leader
//! brings into line with the record. Whether a majority would be left is looked at there as well, because it depends on
//! which nodes answer, and that is not replicated.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

use super::{Context, Request};
use crate::decision::{Refusal, Stop};
use crate::record::{InvitationV1, Key, NodeEntry, NodeMemberV1, NodesV1, Record};
use crate::secret::{SecretText, equal};
use crate::time::UnixMillis;
use crate::view::StateRead;

/// How long a join token is valid unless said otherwise, in seconds.
pub const TOKEN_LIFETIME_SECONDS: u64 = 3600;
/// The longest a join token may be valid, in seconds.
pub const TOKEN_LIFETIME_SECONDS_MAX: u64 = 7 * 24 * 3600;
/// Random bytes of a join token.
const TOKEN_BYTES: usize = 20;
/// A cluster has no more members than this; also a bound for the record.
const MEMBERS_MAX: usize = 64;

/// Makes the record of the nodes of a new cluster. A cluster that has one keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The node that made the cluster, as it registers.
    pub founder: Register,
    /// The other first nodes; they register without a token.
    pub expected: Vec<u64>,
}

/// `cluster/token`: gives the next node id to a node that shall join, with a token that works once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Invite {
    /// The member the new node takes the place of.
    pub replaces: Option<u64>,
    /// How long the token is valid; [`TOKEN_LIFETIME_SECONDS`] unless given.
    pub lifetime_seconds: Option<u64>,
}

/// An id and the token to use it with. The token is shown this once; only its hash is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invited {
    /// The id of the new node.
    pub node: u64,
    /// The token.
    pub token: SecretText,
    /// Until when the token can be used.
    pub expires_at: UnixMillis,
}

/// A node presents itself with its data directory. Called by the node itself, which other nodes know by its certificate,
/// not by an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// The id in the node's certificate.
    pub node: u64,
    /// Drawn when its data directory was made.
    pub incarnation: [u8; 16],
    /// The token, if the node has one.
    pub token: Option<SecretText>,
    /// `host:port` where the other nodes reach it.
    pub raft_addr: String,
    /// Base URL of its web API.
    pub api_url: String,
}

/// What a node that presents itself is told when it is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// It belongs to the cluster.
    Member,
    /// The cluster is just being made; ask again.
    NotYet,
}

/// `cluster/remove`, `cluster/leave`: retires a node id for ever. The caller has made sure that a majority is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retire {
    /// The node.
    pub node: u64,
}

/// Something an administrator has ordered that is not a change of the state, such as a hand-over: it is only written to
/// the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// What, for the audit trail.
    pub what: String,
}

/// The record of the nodes; empty before the first start of the cluster is complete.
#[must_use]
pub fn nodes(state: &dyn StateRead) -> Arc<NodesV1> {
    match state.record(&Key::Nodes).map(|slot| slot.record) {
        Some(Record::Nodes(nodes)) => nodes,
        _ => Arc::default(),
    }
}

/// Ids as a sentence names them: `1`, `1 and 2`, `1, 2 and 3`.
#[must_use]
pub fn enumerated(ids: impl IntoIterator<Item = u64>) -> String {
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    match ids.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

fn load(cx: &mut Context<'_>) -> Option<NodesV1> {
    match cx.view.get(&Key::Nodes) {
        Some(Record::Nodes(nodes)) => Some((*nodes).clone()),
        _ => None,
    }
}

fn store(cx: &mut Context<'_>, nodes: NodesV1) {
    cx.view.put(Key::Nodes, Record::Nodes(Arc::new(nodes)));
}

fn other(text: impl Into<String>) -> Stop {
    Refusal::Other(text.into()).into()
}

fn members(nodes: &NodesV1) -> impl Iterator<Item = u64> {
    nodes.nodes.iter().filter(|(_, entry)| matches!(entry, NodeEntry::Member(_))).map(|(id, _)| *id)
}

fn token_hash(token: &SecretText) -> [u8; 32] {
    Sha256::digest(token.expose().trim().to_ascii_lowercase()).into()
}

impl Request for Found {
    /// Whether the record was made now.
    type Reply = bool;
    const AUDITED: bool = false;

    fn decide(&self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        if load(cx).is_some() {
            return Ok(false);
        }
        let now = cx.facts.now;
        let mut nodes: BTreeMap<u64, NodeEntry> =
            self.expected.iter().map(|id| (*id, NodeEntry::Expected)).collect();
        nodes.insert(self.founder.node, NodeEntry::Member(self.founder.member(now, None, true)));
        let last_id = nodes.last_key_value().map_or(0, |(id, _)| *id);
        store(cx, NodesV1 { last_id, nodes });
        Ok(true)
    }
}

impl Request for Invite {
    type Reply = Invited;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Invited, Stop> {
        let lifetime = self.lifetime_seconds.unwrap_or(TOKEN_LIFETIME_SECONDS);
        if lifetime == 0 || lifetime > TOKEN_LIFETIME_SECONDS_MAX {
            let problem = format!("a token is valid for 1 to {TOKEN_LIFETIME_SECONDS_MAX} seconds");
            return Err(Refusal::InvalidParameter { name: "lifetime".to_owned(), problem }.into());
        }
        let now = cx.facts.now;
        let mut nodes =
            load(cx).ok_or_else(|| other("the first start of the cluster is not complete; try again"))?;
        if let Some(old) = self.replaces
            && !matches!(nodes.nodes.get(&old), Some(NodeEntry::Member(_)))
        {
            let known = enumerated(members(&nodes));
            return Err(other(format!("node {old} cannot be replaced: the members are {known}")));
        }
        nodes.forget_invitations(now, self.replaces);
        if nodes.nodes.values().filter(|entry| !matches!(entry, NodeEntry::Retired(_))).count() >= MEMBERS_MAX
        {
            return Err(other(format!("a cluster has at most {MEMBERS_MAX} nodes")));
        }
        let node = nodes.last_id.checked_add(1).ok_or_else(|| other("there are no node ids left"))?;
        let text = BASE32_NOPAD.encode(&cx.random.bytes::<TOKEN_BYTES>()).to_ascii_lowercase();
        let token = SecretText::new(format!("{node}-{text}"));
        let expires_at = now.plus_seconds(lifetime);
        let invitation = InvitationV1 { token_hash: token_hash(&token), expires_at, replaces: self.replaces };
        nodes.last_id = node;
        nodes.nodes.insert(node, NodeEntry::Invited(invitation));
        store(cx, nodes);
        cx.audit.success = true;
        cx.note(&format!("node {node} invited"));
        Ok(Invited { node, token, expires_at })
    }
}

impl NodesV1 {
    /// Retires ids whose token has expired, and those invited to replace the same member.
    fn forget_invitations(&mut self, now: UnixMillis, replaces: Option<u64>) {
        for entry in self.nodes.values_mut() {
            if let NodeEntry::Invited(invitation) = entry
                && (invitation.expires_at <= now || (replaces.is_some() && invitation.replaces == replaces))
            {
                *entry = NodeEntry::Retired(now);
            }
        }
    }
}

impl Register {
    fn member(&self, joined_at: UnixMillis, replaces: Option<u64>, first: bool) -> NodeMemberV1 {
        NodeMemberV1 {
            incarnation: self.incarnation,
            raft_addr: self.raft_addr.as_str().into(),
            api_url: self.api_url.as_str().into(),
            joined_at,
            replaces,
            first,
        }
    }

    /// The new entry; `None` when nothing changes.
    fn entry(
        &self,
        known: Option<&NodeEntry>,
        last_id: u64,
        now: UnixMillis,
    ) -> Result<Option<NodeMemberV1>, Stop> {
        let id = self.node;
        match known {
            Some(NodeEntry::Expected) => Ok(Some(self.member(now, None, true))),
            Some(NodeEntry::Invited(invitation)) => {
                self.check_token(invitation, now)?;
                Ok(Some(self.member(now, invitation.replaces, false)))
            }
            Some(NodeEntry::Member(member)) if member.incarnation == self.incarnation => {
                let fresh = self.member(member.joined_at, member.replaces, member.first);
                Ok((fresh != *member).then_some(fresh))
            }
            Some(NodeEntry::Member(_)) => Err(other(format!(
                "node {id} belongs to the cluster with another data directory, and what is here now is an empty or \
                 different one: a node that lost its data must not come back under its old id; run `tessera cluster \
                 replace {id}` and let this machine join as the new node it names"
            ))),
            Some(NodeEntry::Retired(_)) => Err(retired(id)),
            None if id <= last_id => Err(retired(id)),
            None => Err(other(format!(
                "node id {id} was never given out: `tessera cluster token` gives the next id and a token to join with"
            ))),
        }
    }

    /// A node that would be sent its own log must not get in. An emptied node has the address of the member it replaces.
    fn check_address(&self, nodes: &NodesV1, replaces: Option<u64>) -> Result<(), Stop> {
        let same = |id: &u64, entry: &NodeEntry| {
            let taken = matches!(entry, NodeEntry::Member(member) if *member.raft_addr == *self.raft_addr);
            taken && *id != self.node && Some(*id) != replaces
        };
        match nodes.nodes.iter().find(|(id, entry)| same(id, entry)) {
            None => Ok(()),
            Some((taken, _)) => Err(other(format!(
                "node {taken} has the address {} already: remove it first (`tessera cluster remove {taken}`), or let \
                 this node take its place (`tessera cluster replace {taken}`)",
                self.raft_addr
            ))),
        }
    }

    fn check_token(&self, invitation: &InvitationV1, now: UnixMillis) -> Result<(), Stop> {
        let id = self.node;
        let Some(token) = &self.token else {
            return Err(other(format!(
                "node {id} needs the token that was made for it: give it with `tessera cluster join`, or in \
                 TESSERA_CLUSTER_JOIN_TOKEN"
            )));
        };
        if !equal(&token_hash(token), &invitation.token_hash) {
            return Err(other(format!("this is not the join token that was made for node {id}")));
        }
        if invitation.expires_at <= now {
            return Err(other(format!(
                "the join token of node {id} has expired; `tessera cluster token` makes a new one, for a new id"
            )));
        }
        Ok(())
    }
}

fn retired(id: u64) -> Stop {
    other(format!(
        "node id {id} was removed from the cluster and is never used again: `tessera cluster token` gives a new id and \
         a token to join with, and the data directory has to be empty"
    ))
}

impl Request for Register {
    type Reply = Registered;

    fn decide(&self, cx: &mut Context<'_>) -> Result<Registered, Stop> {
        cx.note(&format!("node {}", self.node));
        let Some(mut nodes) = load(cx) else { return Ok(Registered::NotYet) };
        let entry = self.entry(nodes.nodes.get(&self.node), nodes.last_id, cx.facts.now)?;
        if let Some(member) = entry {
            self.check_address(&nodes, member.replaces)?;
            nodes.nodes.insert(self.node, NodeEntry::Member(member));
            store(cx, nodes);
        }
        cx.audit.success = true;
        Ok(Registered::Member)
    }
}

impl Request for Retire {
    /// Whether the node was retired now, and not before.
    type Reply = bool;

    fn decide(&self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let id = self.node;
        let mut nodes = load(cx).unwrap_or_default();
        let known = enumerated(members(&nodes));
        match nodes.nodes.get(&id) {
            Some(NodeEntry::Retired(_)) => {
                cx.audit.success = true;
                return Ok(false);
            }
            Some(NodeEntry::Member(_)) if members(&nodes).count() == 1 => {
                return Err(other(format!(
                    "node {id} is the only member of the cluster and cannot be removed"
                )));
            }
            Some(NodeEntry::Member(_) | NodeEntry::Expected | NodeEntry::Invited(_)) => {}
            None => {
                return Err(other(format!("there is no node {id} to remove: the members are {known}")));
            }
        }
        nodes.nodes.insert(id, NodeEntry::Retired(cx.facts.now));
        store(cx, nodes);
        cx.audit.success = true;
        cx.note(&format!("node {id} removed"));
        Ok(true)
    }
}

impl Request for Ordered {
    type Reply = ();

    fn decide(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        cx.audit.success = true;
        cx.note(&self.what);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_state::TestState;

    fn node(id: u64, incarnation: u8) -> Register {
        Register {
            node: id,
            incarnation: [incarnation; 16],
            token: None,
            raft_addr: format!("otp{id}:7580"),
            api_url: format!("https://otp{id}:7480"),
        }
    }

    fn with_token(id: u64, incarnation: u8, token: &SecretText) -> Register {
        Register { token: Some(token.clone()), ..node(id, incarnation) }
    }

    fn founded() -> TestState {
        let mut state = TestState::new();
        let request = Found { founder: node(1, 1), expected: vec![2, 3] };
        assert_eq!(state.run(&request), Ok(true));
        state
    }

    #[track_caller]
    fn refused(state: &mut TestState, request: &Register, part: &str) {
        match state.run(request) {
            Err(Refusal::Other(text)) => assert!(text.contains(part), "{part:?} is not in {text:?}"),
            other => panic!("{other:?}"),
        }
        assert!(!state.last_audit().success && state.last_audit().info.contains(part));
    }

    #[test]
    fn a_second_founding_changes_nothing() {
        let mut state = founded();
        assert_eq!(state.run(&Found { founder: node(7, 9), expected: vec![] }), Ok(false));
        assert_eq!(nodes(&state).last_id, 3);
        assert!(!nodes(&state).nodes.contains_key(&7));
    }

    #[test]
    fn the_first_nodes_register_once_without_a_token() {
        let mut state = TestState::new();
        assert_eq!(state.run(&node(2, 2)), Ok(Registered::NotYet));
        let mut state = founded();
        assert_eq!(state.run(&node(2, 2)), Ok(Registered::Member));
        assert_eq!(state.run(&node(2, 2)), Ok(Registered::Member), "asked again after a lost answer");
        refused(&mut state, &node(2, 5), "tessera cluster replace 2");
        refused(&mut state, &node(1, 5), "tessera cluster replace 1");
    }

    #[test]
    fn a_token_works_once_for_its_node() {
        let mut state = founded();
        let first = state.run(&Invite::default()).unwrap();
        let second = state.run(&Invite::default()).unwrap();
        assert_eq!((first.node, second.node), (4, 5));
        assert!(first.token.expose().starts_with("4-") && first.token.expose().len() == 34);
        assert_ne!(first.token.expose()[2..], second.token.expose()[2..]);
        refused(&mut state, &node(4, 4), "needs the token");
        refused(&mut state, &with_token(4, 4, &second.token), "not the join token");
        refused(&mut state, &with_token(6, 4, &second.token), "never given out");
        assert_eq!(state.run(&with_token(4, 4, &first.token)), Ok(Registered::Member));
        assert_eq!(state.run(&with_token(4, 4, &first.token)), Ok(Registered::Member));
        refused(&mut state, &with_token(4, 8, &first.token), "tessera cluster replace 4");
        let stored = format!("{:?}", nodes(&state));
        assert!(
            !stored.contains(&first.token.expose()[2..]) && !stored.contains(&second.token.expose()[2..])
        );
    }

    #[test]
    fn an_expired_token_is_refused_and_its_id_is_not_given_again() {
        let mut state = founded();
        let invited = state.run(&Invite { lifetime_seconds: Some(60), ..Invite::default() }).unwrap();
        state.now = state.now.plus_seconds(60);
        refused(&mut state, &with_token(4, 4, &invited.token), "has expired");
        assert_eq!(state.run(&Invite::default()).unwrap().node, 5);
        refused(&mut state, &with_token(4, 4, &invited.token), "never used again");
    }

    #[test]
    fn a_token_is_valid_for_a_week_at_most() {
        let mut state = founded();
        for lifetime in [0, TOKEN_LIFETIME_SECONDS_MAX + 1] {
            let request = Invite { lifetime_seconds: Some(lifetime), replaces: None };
            assert!(matches!(state.run(&request), Err(Refusal::InvalidParameter { .. })));
        }
    }

    #[test]
    fn a_removed_id_is_never_used_again() {
        let mut state = founded();
        let invited = state.run(&Invite::default()).unwrap();
        state.run(&with_token(4, 4, &invited.token)).unwrap();
        assert_eq!(state.run(&Retire { node: 4 }), Ok(true));
        assert_eq!(state.run(&Retire { node: 4 }), Ok(false));
        refused(&mut state, &with_token(4, 4, &invited.token), "never used again");
        refused(&mut state, &node(4, 9), "never used again");
        assert_eq!(state.run(&Invite::default()).unwrap().node, 5);
        assert!(matches!(state.run(&Retire { node: 9 }), Err(Refusal::Other(text)) if text.contains("is 1")
            || text.contains("are 1")));
    }

    #[test]
    fn the_only_member_stays() {
        let mut state = founded();
        assert!(
            matches!(state.run(&Retire { node: 1 }), Err(Refusal::Other(text)) if text.contains("only member"))
        );
        assert_eq!(state.run(&Retire { node: 2 }), Ok(true), "an expected node that never came");
        refused(&mut state, &node(2, 2), "never used again");
    }

    #[test]
    fn only_a_member_is_replaced_and_by_one_node() {
        let mut state = founded();
        let replacing = |old| Invite { replaces: Some(old), ..Invite::default() };
        assert!(
            matches!(state.run(&replacing(2)), Err(Refusal::Other(text)) if text.contains("members are 1"))
        );
        state.run(&node(2, 2)).unwrap();
        let first = state.run(&replacing(2)).unwrap();
        let second = state.run(&replacing(2)).unwrap();
        refused(&mut state, &with_token(first.node, 4, &first.token), "never used again");
        state.run(&with_token(second.node, 5, &second.token)).unwrap();
        let nodes = nodes(&state);
        let Some(NodeEntry::Member(member)) = nodes.nodes.get(&second.node) else { panic!("{nodes:?}") };
        assert_eq!((member.replaces, member.first), (Some(2), false));
    }

    #[test]
    fn an_address_is_one_nodes_unless_the_new_node_replaces_the_old_one() {
        let mut state = founded();
        state.run(&node(2, 2)).unwrap();
        let at_2 = |invited: &Invited| Register {
            raft_addr: "otp2:7580".to_owned(),
            ..with_token(invited.node, 9, &invited.token)
        };
        let invited = state.run(&Invite::default()).unwrap();
        refused(&mut state, &at_2(&invited), "tessera cluster replace 2");
        let invited = state.run(&Invite { replaces: Some(2), ..Invite::default() }).unwrap();
        assert_eq!(state.run(&at_2(&invited)), Ok(Registered::Member));
    }

    #[test]
    fn a_member_may_move_to_another_address() {
        let mut state = founded();
        state.run(&node(2, 2)).unwrap();
        let moved = Register { raft_addr: "new:1".to_owned(), ..node(2, 2) };
        assert_eq!(state.run(&moved), Ok(Registered::Member));
        let nodes = nodes(&state);
        assert!(matches!(&nodes.nodes[&2], NodeEntry::Member(member) if &*member.raft_addr == "new:1"));
        assert!(state.decide(&moved).txn.writes.is_empty(), "nothing to write the second time");
    }

    #[test]
    fn ids_are_enumerated_as_in_a_sentence() {
        assert_eq!(enumerated([]), "none");
        assert_eq!(enumerated([1]), "1");
        assert_eq!(enumerated([1, 2]), "1 and 2");
        assert_eq!(enumerated([1, 2, 3]), "1, 2 and 3");
    }
}
