//! The divergence alarm: nodes compare digests of their states at agreed positions of the log.
//!
//! The leader puts a checkpoint into the log now and then. Every node that applies it pins its state there, which costs
//! nothing, and computes the digest beside the requests: slowly, on a thread of its own. Then it asks the others for
//! theirs. Replicas that apply the same log must hold the same, so a difference means a defect of a program, a disk or a
//! memory, and is an alarm that names the nodes and the position.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use openraft::Raft;
use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
    time::{Instant, timeout, timeout_at},
};
use tonic::Status;

use crate::{
    batch::{Command, CommandReply, encode_command},
    election::{reached, server_metrics},
    proposer::{Fate, Proposer},
    sessions::CommitError,
    state::{DIGEST_FORM, State, StateDigest},
    state_store::Published,
    transport::{client::Peers, proto},
    type_config::{NodeId, TypeConfig},
};

/// Digests a node remembers: others may be a few checkpoints behind.
const REMEMBERED: usize = 16;
/// A digest of a large state is computed in turns of this length, …
const WORK: Duration = Duration::from_millis(5);
/// … with this pause in between, so that requests keep the processors.
const PAUSE: Duration = Duration::from_millis(5);
/// Time limit for a node's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// A node that does not answer for this long is left out of a comparison on request.
const SILENCE: Duration = Duration::from_secs(2);
/// Between two questions to a node that has no digest yet, at first and at most.
const ASK_AGAIN: Duration = Duration::from_millis(100);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(5);

/// The digest of a state behind an entry of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StateCheckpoint {
    /// Index of the entry.
    pub index: u64,
    /// Digest of the state behind it.
    pub digest: StateDigest,
}

impl fmt::Debug for StateCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checkpoint {} ", self.index)?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a node holds at a checkpoint, as [`crate::cluster::Store::compare_states`] found it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ComparedState {
    /// The node.
    pub node: u64,
    /// The newest checkpoint that it and the asked node have both reached; `None` if there was none in time.
    pub checkpoint: Option<StateCheckpoint>,
    /// Whether its state there equals the asked node's.
    pub equal: bool,
}

/// The state of the newest checkpoint on its way from apply to the task that computes the digest. A newer one takes the
/// place of one that is still waiting.
#[derive(Default)]
pub(crate) struct Pin {
    state: Mutex<Option<(u64, State)>>,
    left: Notify,
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin")
    }
}

impl Pin {
    pub(crate) fn leave(&self, index: u64, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some((index, state));
        self.left.notify_one();
    }

    pub(crate) async fn take(&self) -> (u64, State) {
        loop {
            if let Some(pinned) = self.state.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return pinned;
            }
            self.left.notified().await;
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Compared {
    theirs: StateCheckpoint,
    equal: bool,
}

/// The digests of this node, and how they compare with the others'.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    node: NodeId,
    /// The oldest first.
    own: watch::Sender<VecDeque<StateCheckpoint>>,
    compared: Mutex<BTreeMap<NodeId, Compared>>,
    divergences: AtomicU64,
    digest_micros: AtomicU64,
}

impl Checkpoints {
    pub(crate) fn new(node: NodeId) -> Self {
        Self {
            node,
            own: watch::Sender::new(VecDeque::new()),
            compared: Mutex::default(),
            divergences: AtomicU64::new(0),
            digest_micros: AtomicU64::new(0),
        }
    }

    /// The digests this node remembers, the oldest first.
    pub(crate) fn own(&self) -> Vec<StateCheckpoint> {
        self.own.borrow().iter().copied().collect()
    }

    pub(crate) fn newest(&self) -> Option<StateCheckpoint> {
        self.own.borrow().back().copied()
    }

    /// Comparisons that found a difference.
    pub(crate) fn divergences(&self) -> u64 {
        self.divergences.load(Ordering::Relaxed)
    }

    /// How long the last digest took, pauses included.
    pub(crate) fn digest_micros(&self) -> u64 {
        self.digest_micros.load(Ordering::Relaxed)
    }

    /// The members whose state differed from this node's when last compared.
    pub(crate) fn diverged(&self) -> Vec<NodeId> {
        let compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        compared.iter().filter(|(_, compared)| !compared.equal).map(|(node, _)| *node).collect()
    }

    fn add(&self, checkpoint: StateCheckpoint, took: Duration) {
        self.digest_micros.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.own.send_modify(|own| {
            // After a snapshot the log is applied from an earlier position than was reached before.
            own.retain(|known| known.index < checkpoint.index);
            own.push_back(checkpoint);
            if own.len() > REMEMBERED {
                own.pop_front();
            }
        });
    }

    /// Compares a node's digests with this node's at the newest position both have, if that is not before `from`. A
    /// difference is an alarm.
    fn compare(&self, node: NodeId, theirs: &[StateCheckpoint], from: u64) -> Option<Compared> {
        let (own, theirs) = {
            let own = self.own.borrow();
            let pair = |own: &StateCheckpoint| {
                theirs.iter().find(|theirs| theirs.index == own.index).map(|theirs| (*own, *theirs))
            };
            own.iter().rev().take_while(|own| own.index >= from).find_map(pair)?
        };
        let compared = Compared { theirs, equal: own.digest == theirs.digest };
        let known = self.compared.lock().unwrap_or_else(PoisonError::into_inner).insert(node, compared);
        let is_new = known.is_none_or(|known| known.theirs != theirs);
        if is_new && compared.equal {
            tracing::debug!(node, raft.index = own.index, "the states are equal");
        } else if is_new {
            self.divergences.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                own = ?own,
                other = ?theirs,
                "the states of node {} and node {node} differ at log index {}: one of them does not hold what was \
                 committed; see \"Nodes that differ\" in docs/operations.md",
                self.node,
                own.index
            );
        }
        Some(compared)
    }

    /// Forgets nodes that are no longer members.
    fn keep(&self, members: &BTreeSet<NodeId>) {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner).retain(|node, _| members.contains(node));
    }

    fn is_compared(&self, node: NodeId, index: u64) -> bool {
        let compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        compared.get(&node).is_some_and(|compared| compared.theirs.index >= index)
    }
}

/// Reads the digests in a node's answer, as far as they are made as this version makes them.
pub(crate) fn read(reply: &proto::NodeStatusReply) -> Result<Vec<StateCheckpoint>, Status> {
    let one = |checkpoint: &proto::Checkpoint| {
        let digest = checkpoint.digest.as_ref().try_into();
        let digest = digest.map_err(|_| Status::invalid_argument("a digest is not 32 bytes long"))?;
        Ok(StateCheckpoint { index: checkpoint.index, digest })
    };
    reply.checkpoints.iter().filter(|checkpoint| checkpoint.form == DIGEST_FORM).map(one).collect()
}

impl From<StateCheckpoint> for proto::Checkpoint {
    fn from(checkpoint: StateCheckpoint) -> Self {
        Self { index: checkpoint.index, digest: checkpoint.digest.to_vec().into(), form: DIGEST_FORM }
    }
}

/// Ends the computation when the task that waits for it is dropped.
struct BreakOff(Arc<AtomicBool>);

impl Drop for BreakOff {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Computes the digest of every state that apply leaves, one after the other.
pub(crate) async fn compute(published: Arc<Published>, checkpoints: Arc<Checkpoints>) {
    loop {
        let (index, state) = published.checkpoint().take().await;
        let (began, broken_off) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let guard = BreakOff(broken_off.clone());
        let computed = spawn_blocking(move || {
            let mut turn = Instant::now();
            state.digest_in_steps(&mut || {
                if broken_off.load(Ordering::Relaxed) {
                    return ControlFlow::Break(());
                }
                if turn.elapsed() >= WORK {
                    std::thread::park_timeout(PAUSE);
                    turn = Instant::now();
                }
                ControlFlow::Continue(())
            })
        });
        if let Ok(Some(digest)) = computed.await {
            checkpoints.add(StateCheckpoint { index, digest }, began.elapsed());
        }
        drop(guard);
    }
}

/// What members said that were asked for their digests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Answers {
    /// A member has not computed its digest yet.
    pending: bool,
    /// A member does not answer.
    silent: bool,
}

impl Answers {
    /// All members are compared.
    const COMPLETE: Self = Self { pending: false, silent: false };
}

/// Makes checkpoints and compares them with the other members'.
#[derive(Clone)]
pub(crate) struct Comparison {
    node: NodeId,
    pub(crate) raft: Raft<TypeConfig>,
    peers: Arc<Peers>,
    proposer: Proposer,
    pub(crate) checkpoints: Arc<Checkpoints>,
}

impl Comparison {
    pub(crate) fn new(node: NodeId, raft: Raft<TypeConfig>, peers: Arc<Peers>, proposer: Proposer) -> Self {
        Self { node, raft, peers, proposer, checkpoints: Arc::new(Checkpoints::new(node)) }
    }

    /// Compares every new digest of this node with those of all members, as long as the node runs.
    pub(crate) async fn run(self) {
        let mut own = self.checkpoints.own.subscribe();
        while own.changed().await.is_ok() {
            let mut wait = ASK_AGAIN;
            while self.ask_others(None).await != Answers::COMPLETE {
                // Woken by a newer digest, or after a while.
                if let Ok(ended) = timeout(wait, own.changed()).await
                    && ended.is_err()
                {
                    return;
                }
                wait = (wait * 2).min(ASK_AGAIN_MAX);
            }
        }
    }

    fn others(&self) -> BTreeMap<NodeId, String> {
        let metrics = server_metrics(&self.raft);
        let members = metrics.membership_config.membership();
        let others = members.nodes().filter(|(id, _)| **id != self.node);
        others.map(|(id, info)| (*id, info.raft_addr.clone())).collect()
    }

    /// Asks the members that were not compared at the newest digest of this node, or at `from`.
    async fn ask_others(&self, from: Option<u64>) -> Answers {
        let mut answers = Answers::COMPLETE;
        let Some(newest) = self.checkpoints.newest() else { return answers };
        let wanted = from.unwrap_or(newest.index);
        let others = self.others();
        self.checkpoints.keep(&others.keys().copied().collect());
        let asked: Vec<_> = others
            .into_iter()
            .filter(|(node, _)| !self.checkpoints.is_compared(*node, wanted))
            .map(|(node, address)| {
                let peers = self.peers.clone();
                let answer = async move { peers.node_status(node, &address).await };
                (node, tokio::spawn(timeout(ANSWER_TIMEOUT, answer)))
            })
            .collect();
        for (node, answer) in asked {
            match answer.await {
                Ok(Ok(Ok(reply))) => {
                    let theirs = read(&reply).unwrap_or_default();
                    answers.pending |= self.checkpoints.compare(node, &theirs, wanted).is_none();
                }
                _ => answers.silent = true,
            }
        }
        answers
    }

    /// Puts a checkpoint into the log and returns its index.
    pub(crate) async fn checkpoint(&self, deadline: Instant) -> Result<u64, CommitError> {
        let command = encode_command(&Command::Checkpoint).map_err(|_| CommitError::TooLarge)?;
        match self.proposer.propose(command, deadline).await {
            Fate::Reply { reply: CommandReply::Checkpoint(index), .. } => Ok(index),
            Fate::Busy => Err(CommitError::Busy),
            Fate::Stopping => Err(CommitError::Stopping),
            Fate::Unknown => Err(CommitError::OutcomeUnknown),
            Fate::Reply { .. } | Fate::NotProposed => Err(CommitError::Unavailable),
        }
    }

    /// Makes a checkpoint and compares the states of all members there.
    pub(crate) async fn compare_now(&self, deadline: Instant) -> Result<Vec<ComparedState>, CommitError> {
        let index = self.checkpoint(deadline).await?;
        let mut own = self.checkpoints.own.subscribe();
        let computed =
            |own: &VecDeque<StateCheckpoint>| own.back().is_some_and(|newest| newest.index >= index);
        match timeout_at(deadline, reached(&mut own, computed)).await {
            Ok(true) => {}
            Ok(false) => return Err(CommitError::Stopping),
            Err(_) => return Err(CommitError::Unavailable),
        }
        let silence = deadline.min(Instant::now() + SILENCE);
        loop {
            let answers = self.ask_others(Some(index)).await;
            let until = if answers.pending { deadline } else { silence };
            if answers == Answers::COMPLETE || Instant::now() + ASK_AGAIN >= until {
                break;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        let compared = self.checkpoints.compared.lock().unwrap_or_else(PoisonError::into_inner);
        let mut states =
            vec![ComparedState { node: self.node, checkpoint: self.checkpoints.newest(), equal: true }];
        states.extend(self.others().into_keys().map(|node| {
            let known = compared.get(&node).filter(|compared| compared.theirs.index >= index);
            ComparedState {
                node,
                checkpoint: known.map(|compared| compared.theirs),
                equal: known.is_some_and(|compared| compared.equal),
            }
        }));
        states.sort_unstable_by_key(|state| state.node);
        Ok(states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64, digest: u8) -> StateCheckpoint {
        StateCheckpoint { index, digest: [digest; 32] }
    }

    #[test]
    fn the_newest_common_position_decides() {
        let checkpoints = Checkpoints::new(1);
        assert!(checkpoints.compare(2, &[at(10, 1)], 0).is_none(), "nothing is known here yet");
        for index in [10, 20, 30] {
            checkpoints.add(at(index, 1), Duration::ZERO);
        }
        assert!(checkpoints.compare(2, &[at(10, 1), at(20, 1)], 0).unwrap().equal);
        assert!(checkpoints.compare(2, &[at(10, 1), at(20, 1)], 30).is_none(), "not there yet");
        assert!(checkpoints.diverged().is_empty());
        assert!(!checkpoints.compare(3, &[at(20, 1), at(30, 9), at(40, 9)], 30).unwrap().equal);
        assert_eq!((checkpoints.diverged(), checkpoints.divergences()), (vec![3], 1));
    }

    #[test]
    fn a_difference_is_counted_once_for_each_position_and_ends_with_the_next_agreement() {
        let checkpoints = Checkpoints::new(1);
        checkpoints.add(at(10, 1), Duration::ZERO);
        checkpoints.compare(2, &[at(10, 9)], 0);
        checkpoints.compare(2, &[at(10, 9)], 0);
        assert_eq!((checkpoints.diverged(), checkpoints.divergences()), (vec![2], 1));
        checkpoints.add(at(20, 1), Duration::ZERO);
        checkpoints.compare(2, &[at(10, 9), at(20, 8)], 0);
        assert_eq!(checkpoints.divergences(), 2);
        checkpoints.add(at(30, 1), Duration::ZERO);
        checkpoints.compare(2, &[at(30, 1)], 0);
        assert!(checkpoints.diverged().is_empty());
    }

    #[test]
    fn only_members_count_and_memory_is_bounded() {
        let checkpoints = Checkpoints::new(1);
        for index in 1..=40 {
            checkpoints.add(at(index, 1), Duration::ZERO);
        }
        assert_eq!((checkpoints.own().len(), checkpoints.newest().unwrap().index), (REMEMBERED, 40));
        checkpoints.compare(2, &[at(40, 9)], 0);
        checkpoints.keep(&BTreeSet::from([1, 3]));
        assert!(checkpoints.diverged().is_empty());
    }

    #[test]
    fn digests_made_in_another_way_are_not_compared() {
        let known = proto::Checkpoint::from(at(10, 1));
        let other = proto::Checkpoint { form: DIGEST_FORM + 1, ..proto::Checkpoint::from(at(20, 2)) };
        let reply = proto::NodeStatusReply { checkpoints: vec![known, other], ..Default::default() };
        assert_eq!(read(&reply).unwrap(), [at(10, 1)]);
        let short = proto::Checkpoint { digest: vec![1; 31].into(), ..proto::Checkpoint::from(at(10, 1)) };
        let reply = proto::NodeStatusReply { checkpoints: vec![short], ..Default::default() };
        assert!(read(&reply).is_err());
    }

    #[test]
    fn after_a_snapshot_later_positions_are_forgotten() {
        let checkpoints = Checkpoints::new(1);
        checkpoints.add(at(10, 1), Duration::ZERO);
        checkpoints.add(at(20, 1), Duration::ZERO);
        checkpoints.add(at(15, 2), Duration::ZERO);
        assert_eq!(checkpoints.own(), [at(10, 1), at(15, 2)]);
    }
}
