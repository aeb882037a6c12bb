//! The leader brings Raft's membership into line with the record of the nodes, and looks after the members.
//!
//! The record says what is wanted and survives every change of leader; `plan` says what is done next. So an operation
//! that a leader has begun is finished by the next one.

mod plan;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tessera_core::decide::membership::{Retire, enumerated, nodes};
use tessera_core::facts::Caller;
use tessera_core::record::{NodeEntry, NodesV1};
use tessera_raft::cluster::{ClusterError, LocalStatus, NodeStatus, Role};
use tokio::time::{Instant, sleep};

pub use self::plan::Refused;
use self::plan::{Rules, Sight, Step};
use self::watch::Watch;
use crate::node::Node;

/// How often the leader compares the members it has with those it should have; that costs nothing.
const GLANCE: Duration = Duration::from_millis(100);
/// How often it asks the members how they are.
const ROUND: Duration = Duration::from_secs(1);
/// Defaults of the settings.
const PROMOTE_AFTER_SECONDS: u64 = 2;
const VOTERS_MIN: u32 = 3;

/// Does the leader's work on the members as long as the node runs.
pub(crate) async fn run(node: Node) {
    let mut watch = Watch::default();
    let mut looked: Option<Instant> = None;
    loop {
        sleep(GLANCE).await;
        let status = node.store().status();
        if status.role != Role::Leader || !status.quorum {
            watch = Watch::default();
            continue;
        }
        // A change is under way; what was seen of the members stays true.
        if status.joint {
            continue;
        }
        let record = nodes(&*node.store().view());
        let due = looked.is_none_or(|at| at.elapsed() >= ROUND);
        if *record == NodesV1::default() || !(due || is_unsettled(&record, &status)) {
            continue;
        }
        looked = Some(Instant::now());
        let answers = node.store().cluster_status().await;
        watch.note(&answers, Instant::now(), |id| node.store().lag(id));
        let sight = sight(&status, &watch);
        if let Some(step) = plan::next(&record, &sight, &rules(&node)) {
            tracing::info!(?step, "changing the members");
            if let Err(error) = take(&node, step).await {
                tracing::warn!(error, "the members were not changed; trying again");
                sleep(ROUND).await;
            }
        }
    }
}

/// Whether members and record differ, so that there is something to wait for.
fn is_unsettled(record: &NodesV1, status: &LocalStatus) -> bool {
    let wanted: BTreeSet<u64> = record
        .nodes
        .iter()
        .filter(|(_, entry)| matches!(entry, NodeEntry::Member(_)))
        .map(|(id, _)| *id)
        .collect();
    !wanted.iter().eq(status.members.keys()) || !wanted.iter().eq(status.voters.iter())
}

fn sight(status: &LocalStatus, watch: &Watch) -> Sight {
    Sight {
        leader: status.node_id,
        voters: status.voters.iter().copied().collect(),
        members: status.members.clone(),
        health: watch.health(Instant::now()),
    }
}

fn rules(node: &Node) -> Rules {
    let configuration = node.configuration();
    let settings = &configuration.settings;
    let dead = settings.seconds("autopilot.remove_dead_after", 0);
    let voters_min = settings.number("autopilot.voters_min", VOTERS_MIN);
    Rules {
        promote_after: Duration::from_secs(
            settings.seconds("autopilot.promote_after", PROMOTE_AFTER_SECONDS),
        ),
        remove_dead_after: (dead > 0).then(|| Duration::from_secs(dead)),
        voters_min: usize::try_from(voters_min).unwrap_or(usize::MAX),
    }
}

async fn take(node: &Node, step: Step) -> Result<(), String> {
    let store = node.store();
    let text = |error: ClusterError| error.to_string();
    match step {
        Step::AddLearner(id, member) => store.add_learner(id, member).await.map_err(text),
        Step::Move(id, member) => store.set_address(id, member).await.map_err(text),
        Step::Promote(id) => store.promote(id).await.map_err(text),
        Step::Replace { old, new } => store.replace(old, new).await.map_err(text),
        Step::Remove(id) => store.remove(id).await.map_err(text),
        Step::HandOver(id) => store.transfer_leadership(id).await.map_err(text),
        Step::Retire(id) => {
            let caller = Caller { action: "cluster/autopilot".to_owned(), ..Caller::default() };
            match node.run(Retire { node: id }, caller).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(refusal)) => Err(refusal.to_string()),
                Err(error) => Err(error.to_string()),
            }
        }
    }
}

/// What a member is on the way to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is where it should be.
    Settled,
    /// It receives the log and gets a vote when it has caught up.
    Joining,
    /// It is being removed; the text says what stands in the way, if anything.
    Leaving(Option<String>),
}

/// The members as this node sees them, and what is still going on.
#[derive(Clone, Debug)]
pub struct Members {
    /// Every member, and those that are about to become one.
    pub nodes: Vec<(NodeStatus, Condition)>,
    /// First nodes of the cluster that have not come yet.
    pub expected: Vec<u64>,
    /// Nodes that have a token and have not come yet.
    pub invited: Vec<u64>,
    /// How many more voters may fail; `None` when a majority is missing already.
    pub tolerates: Option<usize>,
}

impl Node {
    /// The members; each is asked how it is, with a time limit of a second.
    pub async fn members(&self) -> Members {
        let record = nodes(&*self.store().view());
        let answers = self.store().cluster_status().await;
        let (voters, live) = votes(&answers);
        let listed = |wanted: fn(&NodeEntry) -> bool| {
            record.nodes.iter().filter(|(_, entry)| wanted(entry)).map(|(id, _)| *id).collect()
        };
        Members {
            expected: listed(|entry| matches!(entry, NodeEntry::Expected)),
            invited: listed(|entry| matches!(entry, NodeEntry::Invited(_))),
            tolerates: plan::tolerates(&voters, &live),
            nodes: answers
                .into_iter()
                .map(|status| {
                    let condition = condition(&record, &voters, &live, &status);
                    (status, condition)
                })
                .collect(),
        }
    }

    /// Whether a node may be removed now: it must be one, and a majority of nodes that answer must be left.
    ///
    /// # Errors
    /// The sentence for the administrator, with what to do instead.
    pub async fn may_remove(&self, node: u64) -> Result<(), Refused> {
        let record = nodes(&*self.store().view());
        let answers = self.store().cluster_status().await;
        let (mut voters, live) = votes(&answers);
        if !record.nodes.contains_key(&node) {
            let known = enumerated(answers.iter().map(|status| status.id));
            return Err(Refused(format!("there is no node {node} to remove: the members are {known}")));
        }
        // What is being removed already does not count any more.
        voters.retain(|id| *id == node || matches!(record.nodes.get(id), Some(NodeEntry::Member(_))));
        plan::removal(&voters, &live, node)
    }

    /// Whether leadership may be handed over to a node.
    ///
    /// # Errors
    /// The sentence for the administrator.
    pub async fn may_lead(&self, node: u64) -> Result<(), Refused> {
        let answers = self.store().cluster_status().await;
        let (voters, live) = votes(&answers);
        if !voters.contains(&node) {
            let known = enumerated(voters.iter().copied());
            return Err(Refused(format!("node {node} has no vote and cannot lead: {known} can")));
        }
        if !live.contains(&node) {
            return Err(Refused(format!("node {node} does not answer and cannot lead now: start it first")));
        }
        Ok(())
    }
}

/// Those with a vote, and those that answer.
fn votes(answers: &[NodeStatus]) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let voters = answers.iter().filter(|status| status.voter).map(|status| status.id).collect();
    let live = answers.iter().filter(|status| status.reachable).map(|status| status.id).collect();
    (voters, live)
}

fn condition(
    record: &NodesV1,
    voters: &BTreeSet<u64>,
    live: &BTreeSet<u64>,
    status: &NodeStatus,
) -> Condition {
    match record.nodes.get(&status.id) {
        Some(NodeEntry::Member(_)) if !status.voter => Condition::Joining,
        Some(NodeEntry::Member(_)) => Condition::Settled,
        // Before the first start is complete nothing is recorded.
        None if record.nodes.is_empty() => Condition::Settled,
        _ => Condition::Leaving(plan::removal(voters, live, status.id).err().map(|refused| refused.0)),
    }
}

/// Times by member.
type Since = BTreeMap<u64, Instant>;
