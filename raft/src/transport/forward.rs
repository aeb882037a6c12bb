//! The stream on which a node asks the leader: proposals, read indexes, clock readings (reference raft-and-storage 4.3).
//!
//! One stream per node and leader, opened when it is first needed. Under load many requests travel in one message: the
//! cost of HTTP/2 is per message. When the stream breaks or the leader changes, everything not answered is `Unknown`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures::{Stream, stream};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::timeout,
};
use tonic::{Status, Streaming};

use super::{
    client::Peers,
    proto::{self, forward_reply::Reply, forward_request::Request},
};
use crate::type_config::{NodeId, NodeInfo};

/// Requests waiting to be put into a message.
const QUEUE: usize = 4096;
/// A message is sent when it has this many bytes of requests or answers.
const MESSAGE_BYTES: usize = 256 * 1024;
/// Or this many requests or answers.
const MESSAGE_PARTS: usize = 1024;
/// Time limit for opening a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);

/// What the leader said.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The encoded result of a command.
    Result(Bytes),
    /// Everything committed before lies at or below this index.
    ReadIndex(u64),
    /// The leader's clock in milliseconds since 1970.
    Clock(u64),
    /// Not asked, or not proposed: that node is not the leader, or cannot be reached.
    NotLeader,
    /// Not proposed: too many requests are waiting.
    Busy,
    /// The stream broke before the answer.
    Unknown,
}

/// Messages made of what is queued: as much as there is, up to a limit.
pub(crate) fn messages<T: Send + 'static, M>(
    queue: mpsc::Receiver<T>,
    size: impl Fn(&T) -> usize + Copy + Send,
    message: impl Fn(Vec<T>) -> M + Copy + Send,
) -> impl Stream<Item = M> + Send {
    stream::unfold(queue, move |mut queue| async move {
        let first = queue.recv().await?;
        let mut bytes = size(&first);
        let mut parts = vec![first];
        while bytes < MESSAGE_BYTES && parts.len() < MESSAGE_PARTS {
            let Ok(next) = queue.try_recv() else { break };
            bytes += size(&next);
            parts.push(next);
        }
        Some((message(parts), queue))
    })
}

fn request_size(request: &proto::ForwardRequest) -> usize {
    match &request.request {
        Some(Request::Propose(command)) => command.len() + 16,
        Some(Request::ReadIndex(_) | Request::Clock(_)) | None => 16,
    }
}

type Pending = BTreeMap<u64, oneshot::Sender<Answer>>;

/// One open stream.
#[derive(Debug)]
struct Link {
    leader: NodeId,
    requests: mpsc::Sender<proto::ForwardRequest>,
    /// Taken away when the stream is closed.
    pending: Mutex<Option<Pending>>,
    next: AtomicU64,
}

impl Link {
    async fn ask(&self, request: Request) -> Answer {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(pending) = pending.as_mut() else { return Answer::NotLeader };
            pending.insert(id, sender);
        }
        if let Err(refused) = self.requests.try_send(proto::ForwardRequest { id, request: Some(request) }) {
            self.take(id);
            return match refused {
                mpsc::error::TrySendError::Full(_) => Answer::Busy,
                mpsc::error::TrySendError::Closed(_) => Answer::NotLeader,
            };
        }
        answer.await.unwrap_or(Answer::Unknown)
    }

    fn take(&self, id: u64) -> Option<oneshot::Sender<Answer>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).as_mut()?.remove(&id)
    }

    /// Everything pending is answered `Unknown` by dropping it.
    fn close(&self) {
        drop(self.pending.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn is_closed(&self) -> bool {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    async fn read(self: Arc<Self>, mut replies: Streaming<proto::ForwardReplies>) {
        while let Ok(Some(message)) = replies.message().await {
            for reply in message.replies {
                if let Some(sender) = self.take(reply.id) {
                    // Nobody waits any more if the request was given up.
                    let _ = sender.send(answer(reply));
                }
            }
            if self.is_closed() {
                return;
            }
        }
        self.close();
    }
}

fn answer(reply: proto::ForwardReply) -> Answer {
    match reply.reply {
        Some(Reply::Result(bytes)) => Answer::Result(bytes),
        Some(Reply::ReadIndex(index)) => Answer::ReadIndex(index),
        Some(Reply::Clock(clock)) => Answer::Clock(clock),
        Some(Reply::NotLeader(_)) => Answer::NotLeader,
        Some(Reply::Busy(_)) => Answer::Busy,
        Some(Reply::Unknown(_)) | None => Answer::Unknown,
    }
}

/// The current stream to the leader.
#[derive(Debug)]
pub(crate) struct Forwarder {
    peers: Arc<Peers>,
    runtime: Handle,
    link: ArcSwapOption<Link>,
    opening: tokio::sync::Mutex<()>,
    counters: ForwardCounters,
}

/// Commands sent to the leader, by what came of it.
#[derive(Debug, Default)]
pub(crate) struct ForwardCounters {
    pub(crate) answered: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unknown: AtomicU64,
}

impl Forwarder {
    pub(crate) fn new(peers: Arc<Peers>, runtime: Handle) -> Self {
        Self {
            peers,
            runtime,
            link: ArcSwapOption::empty(),
            opening: tokio::sync::Mutex::default(),
            counters: ForwardCounters::default(),
        }
    }

    pub(crate) const fn counters(&self) -> &ForwardCounters {
        &self.counters
    }

    /// Asks the leader to commit an encoded command.
    pub(crate) async fn propose(&self, leader: NodeId, info: &NodeInfo, command: Bytes) -> Answer {
        let answer = self.ask(leader, info, Request::Propose(command)).await;
        let counter = match answer {
            Answer::Result(_) => &self.counters.answered,
            Answer::NotLeader | Answer::Busy => &self.counters.refused,
            Answer::Unknown | Answer::ReadIndex(_) | Answer::Clock(_) => &self.counters.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// Asks the leader for a read index.
    pub(crate) async fn read_index(&self, leader: NodeId, info: &NodeInfo) -> Answer {
        self.ask(leader, info, Request::ReadIndex(true)).await
    }

    /// Asks the leader for its clock.
    pub(crate) async fn clock(&self, leader: NodeId, info: &NodeInfo) -> Answer {
        self.ask(leader, info, Request::Clock(true)).await
    }

    async fn ask(&self, leader: NodeId, info: &NodeInfo, request: Request) -> Answer {
        match self.link(leader, info).await {
            Ok(link) => link.ask(request).await,
            Err(status) => {
                tracing::debug!(leader, error = %status, "cannot open a stream to the leader");
                Answer::NotLeader
            }
        }
    }

    /// The leader is another one now: what was asked of the former one stays unanswered.
    pub(crate) fn leader_changed(&self, leader: Option<NodeId>) {
        if let Some(link) = self.link.load_full()
            && Some(link.leader) != leader
        {
            link.close();
        }
    }

    fn open_link(&self, leader: NodeId) -> Option<Arc<Link>> {
        self.link.load_full().filter(|link| link.leader == leader && !link.is_closed())
    }

    async fn link(&self, leader: NodeId, info: &NodeInfo) -> Result<Arc<Link>, Status> {
        if let Some(link) = self.open_link(leader) {
            return Ok(link);
        }
        let _guard = self.opening.lock().await;
        if let Some(link) = self.open_link(leader) {
            return Ok(link);
        }
        let (peers, runtime, address) = (self.peers.clone(), self.runtime.clone(), info.raft_addr.clone());
        let opened = self.runtime.spawn(async move {
            timeout(OPEN_TIMEOUT, open(&peers, &runtime, leader, &address))
                .await
                .unwrap_or_else(|_| Err(Status::deadline_exceeded("opening the stream takes too long")))
        });
        let link = opened.await.map_err(|_| Status::cancelled("the node is stopping"))??;
        if let Some(old) = self.link.swap(Some(link.clone())) {
            old.close();
        }
        Ok(link)
    }
}

async fn open(peers: &Peers, runtime: &Handle, leader: NodeId, address: &str) -> Result<Arc<Link>, Status> {
    let (requests, queue) = mpsc::channel(QUEUE);
    let header = peers.header(leader);
    let messages =
        messages(queue, request_size, |requests| proto::ForwardRequests { header: None, requests });
    let first = proto::ForwardRequests { header: Some(header), requests: Vec::new() };
    let outgoing = futures::StreamExt::chain(stream::once(std::future::ready(first)), messages);
    // Nothing can be asked before the leader has accepted the stream, so what was not asked is known not to be proposed.
    let replies = peers.store(leader, address)?.forward(outgoing).await?.into_inner();
    let pending = Mutex::new(Some(Pending::new()));
    let link = Arc::new(Link { leader, requests, pending, next: AtomicU64::new(1) });
    runtime.spawn(link.clone().read(replies));
    Ok(link)
}
