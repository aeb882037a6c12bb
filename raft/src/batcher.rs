//! The leader's queue: many commands become one log entry (reference raft-and-storage 4).
//!
//! There is no linger: while two batches are in flight the next one fills up, so batches are small on an idle system and
//! large under load. The order matters: wait for a place first, then take what is queued.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use openraft::{Raft, ServerState};
use tessera_core::time::UnixMillis;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};

use crate::{
    batch::{Batch, CommandReply},
    clock::own_clock,
    codec,
    election::{reached, server_metrics},
    histogram::{self, Histogram},
    transport::proto::{self, forward_reply::Reply},
    type_config::{BatchReply, NodeId, TypeConfig},
};

/// Commands that may wait; beyond this they are refused, which is where a cluster under too much load pushes back.
pub(crate) const QUEUE: usize = 4096;
/// Batches in flight.
const IN_FLIGHT: usize = 2;
/// Commands in a batch.
const BATCH_COMMANDS: usize = 1000;
/// Bytes in a batch, unless a single command is longer.
const BATCH_BYTES: usize = 128 * 1024;
/// After this the fate of a batch counts as unknown.
const BATCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a deposed leader waits to see what its successor makes of a batch.
const DEPOSED_GRACE: Duration = Duration::from_millis(200);

/// What became of a proposal.
#[derive(Clone, Debug)]
pub(crate) enum Proposed {
    /// It was applied, with this result.
    Reply(CommandReply),
    /// It was not proposed: this node is not the leader, or has lost touch with the majority.
    NotLeader(Option<NodeId>),
    /// It was not proposed: too many are waiting.
    Busy,
    /// It may or may not be applied, now or later.
    Unknown,
}

/// Who waits for the result.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A task of this node.
    Local(oneshot::Sender<Proposed>),
    /// Another node, by the stream the command came from.
    Stream { id: u64, replies: mpsc::Sender<proto::ForwardReply> },
}

impl Answer {
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Local(sender) => sender.is_closed(),
            Self::Stream { replies, .. } => replies.is_closed(),
        }
    }

    pub(crate) fn send(self, proposed: Proposed) {
        match self {
            Self::Local(sender) => drop(sender.send(proposed)),
            Self::Stream { id, replies } => {
                let reply = match proposed {
                    Proposed::Reply(reply) => codec::encode_plain(&reply)
                        .map_or(Reply::Unknown(true), |bytes| Reply::Result(bytes.into())),
                    Proposed::NotLeader(leader) => {
                        Reply::NotLeader(proto::NotLeader { leader: leader.unwrap_or_default() })
                    }
                    Proposed::Busy => Reply::Busy(true),
                    Proposed::Unknown => Reply::Unknown(true),
                };
                // A peer that does not read its answers loses them, and asks again under the same id.
                let _ = replies.try_send(proto::ForwardReply { id, reply: Some(reply) });
            }
        }
    }
}

/// An encoded command and who waits for its result.
#[derive(Debug)]
struct Proposal {
    command: Bytes,
    answer: Answer,
}

/// Counters of the batcher.
#[derive(Debug)]
pub(crate) struct BatchCounters {
    pub(crate) batches: AtomicU64,
    pub(crate) commands: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) last_micros: AtomicU64,
    pub(crate) max_micros: AtomicU64,
    pub(crate) times: Histogram,
    pub(crate) sizes: Histogram,
}

impl Default for BatchCounters {
    fn default() -> Self {
        Self {
            batches: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            last_micros: AtomicU64::new(0),
            max_micros: AtomicU64::new(0),
            times: Histogram::new(&histogram::MICROS),
            sizes: Histogram::new(&histogram::COMMANDS),
        }
    }
}

impl BatchCounters {
    fn took(&self, since: Instant) {
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.times.add(micros);
        self.last_micros.store(micros, Ordering::Relaxed);
        self.max_micros.fetch_max(micros, Ordering::Relaxed);
    }
}

/// Puts commands into the leader's queue.
#[derive(Clone, Debug)]
pub(crate) struct Batcher {
    queue: mpsc::Sender<Proposal>,
    places: Arc<Semaphore>,
    counters: Arc<BatchCounters>,
}

impl Batcher {
    /// Starts the queue. Must be called on the runtime of Raft.
    pub(crate) fn start(node: NodeId, raft: Raft<TypeConfig>, quorum_limit: Duration) -> Self {
        let (queue, proposals) = mpsc::channel(QUEUE);
        let places = Arc::new(Semaphore::new(IN_FLIGHT));
        let counters = Arc::new(BatchCounters::default());
        let (own_places, own_counters) = (places.clone(), counters.clone());
        let worker =
            Worker { node, raft, quorum_limit, proposals, places: own_places, counters: own_counters };
        tokio::spawn(worker.run());
        Self { queue, places, counters }
    }

    /// Queues a command, or answers `Busy` at once.
    pub(crate) fn submit(&self, command: Bytes, answer: Answer) {
        match self.queue.try_send(Proposal { command, answer }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(proposal)) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                proposal.answer.send(Proposed::Busy);
            }
            // The node is stopping.
            Err(mpsc::error::TrySendError::Closed(proposal)) => {
                proposal.answer.send(Proposed::NotLeader(None));
            }
        }
    }

    /// Queues a command and waits for its result.
    pub(crate) async fn propose(&self, command: Bytes) -> Proposed {
        let (sender, result) = oneshot::channel();
        self.submit(command, Answer::Local(sender));
        result.await.unwrap_or(Proposed::Unknown)
    }

    /// Waits until no batch is in flight, and lets none begin until the result is dropped. The queue fills meanwhile.
    pub(crate) async fn pause(&self) -> Option<OwnedSemaphorePermit> {
        let all = u32::try_from(IN_FLIGHT).ok()?;
        self.places.clone().acquire_many_owned(all).await.ok()
    }

    /// Number of commands waiting.
    pub(crate) fn queued(&self) -> usize {
        QUEUE - self.queue.capacity()
    }

    pub(crate) fn counters(&self) -> &BatchCounters {
        &self.counters
    }
}

/// Whether this leader was in touch with a majority within `limit`; `None` when it is not the leader.
pub(crate) fn leads_with_quorum(raft: &Raft<TypeConfig>, limit: Duration) -> Option<bool> {
    let metrics = server_metrics(raft);
    if metrics.state != ServerState::Leader {
        return None;
    }
    let voters = metrics.membership_config.membership().voter_ids().count();
    let acknowledged = raft.data_metrics().borrow().millis_since_quorum_ack;
    // A leader that was just elected has heard nothing yet, but it has a majority of votes.
    Some(voters == 1 || acknowledged.is_none_or(|millis| Duration::from_millis(millis) <= limit))
}

struct Worker {
    node: NodeId,
    raft: Raft<TypeConfig>,
    quorum_limit: Duration,
    proposals: mpsc::Receiver<Proposal>,
    places: Arc<Semaphore>,
    counters: Arc<BatchCounters>,
}

impl Worker {
    async fn run(mut self) {
        while let Some(first) = self.proposals.recv().await {
            let Ok(place) = self.places.clone().acquire_owned().await else { return };
            let taken = self.take(first);
            if leads_with_quorum(&self.raft, self.quorum_limit) != Some(true) {
                let leader = server_metrics(&self.raft).current_leader.filter(|leader| *leader != self.node);
                for proposal in taken {
                    proposal.answer.send(Proposed::NotLeader(leader));
                }
                continue;
            }
            self.propose(taken, place).await;
        }
    }

    /// What is queued, up to the limits of a batch. A command nobody waits for any more is left out.
    fn take(&mut self, first: Proposal) -> Vec<Proposal> {
        let mut bytes = first.command.len();
        let mut taken = vec![first];
        while taken.len() < BATCH_COMMANDS && bytes < BATCH_BYTES {
            let Ok(next) = self.proposals.try_recv() else { break };
            bytes += next.command.len();
            taken.push(next);
        }
        taken.retain(|proposal| !proposal.answer.is_abandoned());
        taken
    }

    async fn propose(&self, taken: Vec<Proposal>, place: OwnedSemaphorePermit) {
        if taken.is_empty() {
            return;
        }
        let started = Instant::now();
        let (commands, answers): (Vec<_>, Vec<_>) =
            taken.into_iter().map(|proposal| (proposal.command, proposal.answer)).unzip();
        self.counters.batches.fetch_add(1, Ordering::Relaxed);
        let size = u64::try_from(commands.len()).unwrap_or(u64::MAX);
        self.counters.commands.fetch_add(size, Ordering::Relaxed);
        self.counters.sizes.add(size);
        let payload = match (Batch { time: UnixMillis(own_clock()), commands }).encode() {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(error = %error, "cannot encode a batch");
                settle(answers, None, &self.counters);
                return;
            }
        };
        self.counters.bytes.fetch_add(u64::try_from(payload.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let Ok(result) = self.raft.client_write_ff(payload).await else {
            settle(answers, None, &self.counters);
            return;
        };
        let (raft, counters) = (self.raft.clone(), self.counters.clone());
        tokio::spawn(async move {
            let reply = timeout(BATCH_TIMEOUT, outcome(&raft, result)).await.ok().flatten();
            drop(place);
            counters.took(started);
            settle(answers, reply, &counters);
        });
    }
}

type WriteResult = openraft::raft::ClientWriteResponse<TypeConfig>;
type WriteError = openraft::error::ClientWriteError<NodeId, <TypeConfig as openraft::RaftTypeConfig>::Node>;

/// The replies to a batch. `ForwardToLeader` proves nothing: the entry may have been appended, and in a cluster of five
/// it may still be committed by a later leader (reference raft-and-storage 7). So it is unknown like all the rest.
async fn outcome(
    raft: &Raft<TypeConfig>,
    result: oneshot::Receiver<Result<WriteResult, WriteError>>,
) -> Option<BatchReply> {
    tokio::pin!(result);
    let mut metrics = raft.server_metrics();
    let answered = tokio::select! {
        answered = &mut result => answered,
        _ = reached(&mut metrics, |metrics| metrics.state != ServerState::Leader) => {
            timeout(DEPOSED_GRACE, result).await.ok()?
        }
    };
    Some(answered.ok()?.ok()?.data)
}

fn settle(answers: Vec<Answer>, reply: Option<BatchReply>, counters: &BatchCounters) {
    let replies = reply.map(|reply| reply.0).filter(|replies| replies.len() == answers.len());
    let Some(replies) = replies else {
        counters.unknown.fetch_add(u64::try_from(answers.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        for answer in answers {
            answer.send(Proposed::Unknown);
        }
        return;
    };
    for (answer, reply) in answers.into_iter().zip(replies) {
        answer.send(Proposed::Reply(reply));
    }
}
