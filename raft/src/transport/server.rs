//! The side of the transport that answers.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use futures::{Stream, StreamExt};
use openraft::{
    CommittedLeaderId, Raft, ServerState, Snapshot, SnapshotMeta, StoredMembership,
    raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest},
};
use tokio::{net::TcpListener, sync::mpsc, task::spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Response, Status, Streaming,
    transport::{Certificate, CertificateDer, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use super::{
    KEEP_ALIVE, MESSAGE_MAX,
    client::Peers,
    convert,
    forward::messages,
    joining::JoinQueue,
    node_of_name,
    proto::{
        self, forward_reply::Reply, forward_request, order_request::Order, raft_server::RaftServer,
        snapshot_frame::Frame, store_server::StoreServer,
    },
    required,
};
use crate::{
    barrier::ReadIndexes,
    batch,
    batcher::{self, Batcher, Proposed},
    checkpoint::Checkpoints,
    clock::own_clock,
    config::{StoreConfig, Timing},
    election::{self, Heard, server_metrics},
    history::{ChainedRow, HistoryReader},
    identity::OwnIdentity,
    level::Levels,
    membership::Membership,
    sessions::COMMAND_MAX,
    snapshot::{SnapshotDir, SnapshotFile, SnapshotReceiver},
    status,
    type_config::{ClusterId, LogId, NodeId, TypeConfig, Vote},
};

/// Flow control windows, as the client's.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// Requests that a peer may have cancelled before this node looked at them. A node that was stopped for seconds finds many,
/// and closing the connection for it, as the default of 20 does, would only keep it from catching up. Peers are
/// authenticated.
const RESETS_MAX: usize = 4096;
/// Answers that may wait for a peer to read them.
const REPLY_QUEUE: usize = 16 * 1024;
/// Rows of the history in one message.
const HISTORY_ROWS: usize = 256;
/// Certificates whose names are remembered.
const KNOWN_CERTIFICATES: usize = 64;

/// What the answering side needs of the node.
pub(crate) struct Service {
    pub(crate) raft: Raft<TypeConfig>,
    pub(crate) cluster: ClusterId,
    pub(crate) cluster_name: String,
    pub(crate) node: NodeId,
    pub(crate) timing: Timing,
    pub(crate) own: Arc<OwnIdentity>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) membership: Arc<Membership>,
    pub(crate) joining: JoinQueue,
    pub(crate) heard: Arc<Heard>,
    pub(crate) batcher: Batcher,
    pub(crate) read_indexes: ReadIndexes,
    pub(crate) snapshots: SnapshotDir,
    pub(crate) history: HistoryReader,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) levels: Levels,
    /// Why a node was refused last.
    pub(crate) refused: Mutex<BTreeMap<NodeId, String>>,
    /// What is answered about the program above.
    pub(crate) announcement: Arc<ArcSwap<String>>,
    /// Node ids by certificate; reading a certificate for every message would be a waste.
    pub(crate) senders: Mutex<BTreeMap<Vec<u8>, Option<NodeId>>>,
    /// One snapshot is received at a time.
    pub(crate) receiving: tokio::sync::Mutex<()>,
}

/// A server with this node's certificates.
///
/// # Errors
/// When the certificates cannot be used.
pub(crate) fn server(config: &StoreConfig) -> Result<Server, tonic::transport::Error> {
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(&config.tls.cert_pem, &config.tls.key_pem))
        .client_ca_root(Certificate::from_pem(&config.tls.ca_pem));
    Ok(Server::builder()
        .tls_config(tls)?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE)))
}

/// Serves until the runtime ends.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve(
    mut server: Server,
    service: Arc<Service>,
    listener: TcpListener,
) -> Result<(), tonic::transport::Error> {
    let raft = RaftServer::from_arc(service.clone())
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX);
    let store = StoreServer::from_arc(service)
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    server.add_service(raft).add_service(store).serve_with_incoming(incoming).await
}

/// The node of this cluster a certificate was issued to.
fn node_of_certificate(certificate: &[u8], cluster: &str) -> Option<NodeId> {
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut nodes = names.value.general_names.iter().filter_map(|name| {
        let GeneralName::DNSName(name) = name else { return None };
        node_of_name(name, cluster)
    });
    // A certificate for two nodes would let one speak for the other.
    nodes.next().filter(|_| nodes.next().is_none())
}

impl Service {
    fn sender_of<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        let refused = || Status::unauthenticated("the certificate is not one of a node of this cluster");
        let certificates = request.peer_certs().ok_or_else(refused)?;
        let certificate: &CertificateDer<'_> = certificates.first().ok_or_else(refused)?;
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = senders.get(certificate.as_ref()) {
            return sender.ok_or_else(refused);
        }
        let sender = node_of_certificate(certificate, &self.cluster_name);
        if senders.len() >= KNOWN_CERTIFICATES {
            senders.clear();
        }
        senders.insert(certificate.to_vec(), sender);
        sender.ok_or_else(refused)
    }

    /// Refuses what is not meant for this node of this cluster, does not come from whom it says, or comes from a version
    /// that cannot work with this one.
    fn check(&self, sender: NodeId, header: Option<proto::Header>) -> Result<NodeId, Status> {
        let header = required(header, "header")?;
        if *header.cluster_id != self.cluster.0.to_be_bytes() {
            return Err(Status::failed_precondition("the message is meant for another cluster"));
        }
        if header.to != self.node {
            return Err(Status::failed_precondition(format!(
                "the message is meant for node {}, this is node {}",
                header.to, self.node
            )));
        }
        let sender = check_name(sender, header.from)?;
        // A node that does not belong to a cluster must not vote: it may have done so before its directory was emptied.
        let own = self.own.genesis();
        if !header.genesis.is_empty() && own.is_none_or(|own| *header.genesis != own) {
            self.own.note_claim();
        }
        let Some(genesis) = own else {
            return Err(Status::failed_precondition(format!(
                "node {} has an empty data directory and has not been admitted to the cluster",
                self.node
            )));
        };
        if *header.genesis != genesis {
            return Err(Status::failed_precondition(
                "the sender belongs to another cluster that was made under the same cluster id",
            ));
        }
        self.levels.check(sender, &header).inspect_err(|status| self.note(sender, status))?;
        Ok(sender)
    }

    /// The leader with the vote `former` has handed over to the candidate: this node does not wait for it any more.
    ///
    /// openraft refuses a vote while it has just heard of a leader, and in a cluster of five the target of a hand-over
    /// needs such votes. An append request with the candidate's vote and an impossible position makes it forget the
    /// former leader, and changes nothing else; the vote itself is then decided as always.
    async fn forget_leader(&self, former: &Vote, request: &VoteRequest<NodeId>) -> Result<(), Status> {
        let metrics = server_metrics(&self.raft);
        let known = former.is_committed() && metrics.vote == *former;
        let newer = !request.vote.is_committed() && request.vote > *former;
        if !known || !newer || election::last_log(&self.raft) > request.last_log_id {
            return Ok(());
        }
        let nowhere = LogId::new(
            CommittedLeaderId::new(request.vote.leader_id.term, request.vote.leader_id.node_id),
            u64::MAX,
        );
        let append = AppendEntriesRequest {
            vote: request.vote,
            prev_log_id: Some(nowhere),
            entries: Vec::new(),
            leader_commit: None,
        };
        self.raft.append_entries(append).await.map(drop).map_err(|error| stopped(&error))
    }

    /// Reports a node that is refused, once for each reason.
    fn note(&self, sender: NodeId, status: &Status) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.get(&sender).is_none_or(|known| known != status.message()) {
            tracing::error!(node = sender, reason = status.message(), "a node is refused");
            refused.insert(sender, status.message().to_owned());
        }
    }

    /// A vote may only be used by the node it is for.
    fn check_vote(&self, sender: NodeId, vote: &Vote) -> Result<(), Status> {
        if vote.leader_id.node_id == sender {
            return Ok(());
        }
        Err(Status::permission_denied(format!(
            "node {sender} uses the vote of node {}",
            vote.leader_id.node_id
        )))
    }

    /// Whether a leader with this vote is the current or a newer one.
    fn is_current(&self, vote: &Vote) -> bool {
        vote.is_committed() && *vote >= self.raft.server_metrics().borrow().vote
    }
}

/// The name in the certificate counts.
fn check_name(sender: NodeId, claimed: NodeId) -> Result<NodeId, Status> {
    if claimed == sender {
        return Ok(sender);
    }
    Err(Status::permission_denied(format!("node {sender} speaks in the name of node {claimed}")))
}

fn stopped(error: &dyn std::error::Error) -> Status {
    Status::unavailable(format!("the node is stopping: {error}"))
}

#[tonic::async_trait]
impl proto::raft_server::Raft for Service {
    async fn append(
        &self,
        request: Request<proto::AppendRequest>,
    ) -> Result<Response<proto::AppendReply>, Status> {
        let sender = self.sender_of(&request)?;
        let mut request = request.into_inner();
        self.check(sender, request.header.take())?;
        let request = convert::append_from_proto(request)?;
        self.check_vote(sender, &request.vote)?;
        // Noted before and after: a slow disk makes the answer late, but the leader is alive.
        if self.is_current(&request.vote) {
            self.heard.leader();
        }
        let reply = self.raft.append_entries(request).await.map_err(|error| stopped(&error))?;
        if !matches!(reply, AppendEntriesResponse::HigherVote(_)) {
            self.heard.leader();
        }
        Ok(Response::new(convert::append_reply_to_proto(&reply)))
    }

    async fn vote(&self, request: Request<proto::VoteRequest>) -> Result<Response<proto::VoteReply>, Status> {
        let sender = self.sender_of(&request)?;
        let mut request = request.into_inner();
        self.check(sender, request.header.take())?;
        let former: Option<Vote> = request.hand_over.take().map(Into::into);
        let request = convert::vote_from_proto(&request)?;
        self.check_vote(sender, &request.vote)?;
        if let Some(former) = former {
            self.forget_leader(&former, &request).await?;
        }
        let reply = self.raft.vote(request).await.map_err(|error| stopped(&error))?;
        if reply.vote_granted {
            self.heard.voted();
        }
        Ok(Response::new(convert::vote_reply_to_proto(&reply)))
    }

    async fn pre_vote(
        &self,
        request: Request<proto::PreVoteRequest>,
    ) -> Result<Response<proto::PreVoteReply>, Status> {
        let sender = self.sender_of(&request)?;
        let mut request = request.into_inner();
        let candidate = self.check(sender, request.header.take())?;
        let last = request.last_log.map(LogId::from);
        let granted = election::would_vote(&self.raft, &self.heard, self.timing, candidate, last);
        Ok(Response::new(proto::PreVoteReply { granted }))
    }

    async fn timeout_now(
        &self,
        request: Request<proto::TimeoutNowRequest>,
    ) -> Result<Response<proto::TimeoutNowReply>, Status> {
        let sender = self.sender_of(&request)?;
        let from = self.check(sender, request.into_inner().header)?;
        let metrics = server_metrics(&self.raft);
        if metrics.current_leader != Some(from) {
            return Err(Status::permission_denied("only the leader may hand over"));
        }
        if !metrics.membership_config.membership().voter_ids().any(|id| id == self.node) {
            return Err(Status::failed_precondition("this node is not a voter"));
        }
        tokio::spawn(election::take_over(
            self.raft.clone(),
            self.peers.clone(),
            self.node,
            metrics.vote,
            self.timing,
        ));
        Ok(Response::new(proto::TimeoutNowReply {}))
    }
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl proto::store_server::Store for Service {
    async fn snapshot(
        &self,
        request: Request<Streaming<proto::SnapshotFrame>>,
    ) -> Result<Response<proto::SnapshotReply>, Status> {
        let sender = self.sender_of(&request)?;
        let mut frames = request.into_inner();
        let Some(Frame::Start(mut start)) = frames.message().await?.and_then(|frame| frame.frame) else {
            return Err(Status::invalid_argument("the first frame does not say what follows"));
        };
        self.check(sender, start.header.take())?;
        let vote: Vote = required(start.vote, "vote")?.into();
        self.check_vote(sender, &vote)?;
        let _one = self
            .receiving
            .try_lock()
            .map_err(|_| Status::unavailable("another snapshot is being received"))?;
        let file = self.receive(&vote, start.bytes, frames).await?;
        let snapshot = Snapshot { meta: meta(&file), snapshot: Box::new(file) };
        let reply = self.raft.install_full_snapshot(vote, snapshot).await.map_err(|error| stopped(&error))?;
        if self.is_current(&vote) {
            self.heard.leader();
        }
        Ok(Response::new(proto::SnapshotReply { vote: Some(reply.vote.into()) }))
    }

    type ForwardStream = Replies<proto::ForwardReplies>;

    async fn forward(
        &self,
        request: Request<Streaming<proto::ForwardRequests>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        let sender = self.sender_of(&request)?;
        let mut incoming = request.into_inner();
        let (replies, queue) = mpsc::channel(REPLY_QUEUE);
        let first =
            incoming.message().await?.ok_or_else(|| Status::invalid_argument("the stream is empty"))?;
        self.check(sender, first.header)?;
        let forwarding =
            Forwarding { batcher: self.batcher.clone(), read_indexes: self.read_indexes.clone(), replies };
        tokio::spawn(forwarding.run(first.requests, incoming));
        let outgoing = messages(queue, reply_size, |replies| proto::ForwardReplies { replies });
        Ok(Response::new(Box::pin(outgoing.map(Ok))))
    }

    type FetchHistoryStream = Replies<proto::HistoryRows>;

    async fn fetch_history(
        &self,
        request: Request<proto::FetchHistoryRequest>,
    ) -> Result<Response<Self::FetchHistoryStream>, Status> {
        let sender = self.sender_of(&request)?;
        let request = request.into_inner();
        self.check(sender, request.header)?;
        let (sender, rows) = mpsc::channel(4);
        let history = self.history.clone();
        drop(spawn_blocking(move || send_history(&history, request.first, request.last, &sender)));
        Ok(Response::new(Box::pin(ReceiverStream::new(rows))))
    }

    async fn join(&self, request: Request<proto::JoinRequest>) -> Result<Response<proto::JoinReply>, Status> {
        let sender = self.sender_of(&request)?;
        let mut request = request.into_inner();
        let header = required(request.header.take(), "header")?;
        if *header.cluster_id != self.cluster.0.to_be_bytes() {
            return Err(Status::failed_precondition("the message is meant for another cluster"));
        }
        let sender = check_name(sender, header.from)?;
        if sender == self.node {
            return Err(Status::failed_precondition(format!("this is node {sender} itself")));
        }
        Ok(Response::new(self.joining.decide(&self.own, sender, request).await))
    }

    async fn order(
        &self,
        request: Request<proto::OrderRequest>,
    ) -> Result<Response<proto::OrderReply>, Status> {
        let sender = self.sender_of(&request)?;
        let mut request = request.into_inner();
        self.check(sender, request.header.take())?;
        let done = match required(request.order, "order")? {
            Order::HandOverTo(target) => self.membership.transfer_leadership(target).await,
            Order::Snapshot(_) => self.membership.snapshot().await,
        };
        let refused = done.err().map(|error| error.to_string()).unwrap_or_default();
        Ok(Response::new(proto::OrderReply { refused }))
    }

    async fn node_status(
        &self,
        request: Request<proto::NodeStatusRequest>,
    ) -> Result<Response<proto::NodeStatusReply>, Status> {
        let sender = self.sender_of(&request)?;
        self.check(sender, request.into_inner().header)?;
        let metrics = self.raft.metrics().borrow().clone();
        let role = match metrics.state {
            ServerState::Leader => proto::node_status_reply::Role::Leader,
            ServerState::Follower | ServerState::Candidate => proto::node_status_reply::Role::Follower,
            ServerState::Learner | ServerState::Shutdown => proto::node_status_reply::Role::Learner,
        };
        Ok(Response::new(proto::NodeStatusReply {
            role: role.into(),
            term: metrics.current_term,
            leader: metrics.current_leader.unwrap_or_default(),
            last_log_index: metrics.last_log_index.unwrap_or_default(),
            applied_index: metrics.last_applied.map_or(0, |id| id.index),
            snapshot_index: metrics.snapshot.map_or(0, |id| id.index),
            version: status::VERSION.to_owned(),
            checkpoints: self.checkpoints.own().into_iter().map(Into::into).collect(),
            diverged_from: self.checkpoints.diverged(),
            level: self.levels.supported(),
            announcement: self.announcement.load().to_string(),
        }))
    }
}

/// What openraft wants to know about a snapshot; all of it stands in the file.
fn meta(file: &SnapshotFile) -> SnapshotMeta<NodeId, crate::type_config::NodeInfo> {
    let header = &file.header;
    SnapshotMeta {
        last_log_id: header.last_log_id.map(LogId::from),
        last_membership: StoredMembership::new(
            header.membership_log_id.map(LogId::from),
            header.membership.clone().into(),
        ),
        snapshot_id: file.id(),
    }
}

impl Service {
    /// Writes the frames to a file and checks it.
    async fn receive(
        &self,
        vote: &Vote,
        bytes: u64,
        mut frames: Streaming<proto::SnapshotFrame>,
    ) -> Result<SnapshotFile, Status> {
        let failed = |error: &dyn std::error::Error| Status::new(Code::Internal, error.to_string());
        let snapshots = self.snapshots.clone();
        let (chunks, mut queue) = mpsc::channel::<bytes::Bytes>(4);
        let (complete, completed) = tokio::sync::oneshot::channel::<()>();
        let writer = spawn_blocking(move || {
            let mut receiver: SnapshotReceiver = snapshots.receive()?;
            while let Some(chunk) = queue.blocking_recv() {
                receiver.push(&chunk)?;
            }
            // Dropped without a message when the stream broke; then there is nothing to verify.
            if completed.blocking_recv().is_err() { Ok(None) } else { receiver.finish().map(Some) }
        });
        let mut received: u64 = 0;
        while let Some(frame) = frames.message().await? {
            let Some(Frame::Data(data)) = frame.frame else {
                return Err(Status::invalid_argument("a second snapshot begins"));
            };
            received = received.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
            if received > bytes || chunks.send(data).await.is_err() {
                break;
            }
            if self.is_current(vote) {
                self.heard.leader();
            }
        }
        drop(chunks);
        if received == bytes {
            // Nobody listens when writing has failed; then the writer says why.
            let _ = complete.send(());
        } else {
            drop(complete);
        }
        let written = writer.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        written
            .ok_or_else(|| Status::data_loss(format!("{received} of {bytes} bytes of the snapshot arrived")))
    }
}

fn send_history(
    history: &HistoryReader,
    first: u64,
    last: u64,
    sender: &mpsc::Sender<Result<proto::HistoryRows, Status>>,
) {
    let mut next = first;
    while next <= last {
        let message = match history.range(next, last, HISTORY_ROWS) {
            Ok(rows) if rows.is_empty() => return,
            Ok(rows) => {
                next = rows.last().map_or(u64::MAX, |row| row.number.saturating_add(1));
                let row = |row: ChainedRow| proto::history_rows::Row {
                    number: row.number,
                    row: row.bytes.into(),
                    hash: row.hash.to_vec().into(),
                };
                Ok(proto::HistoryRows { rows: rows.into_iter().map(row).collect() })
            }
            Err(error) => Err(Status::internal(error.to_string())),
        };
        let failed = message.is_err();
        if sender.blocking_send(message).is_err() || failed {
            return;
        }
    }
}

fn reply_size(reply: &proto::ForwardReply) -> usize {
    match &reply.reply {
        Some(Reply::Result(bytes)) => bytes.len() + 16,
        _ => 16,
    }
}

/// Answers the requests of one stream.
struct Forwarding {
    batcher: Batcher,
    read_indexes: ReadIndexes,
    replies: mpsc::Sender<proto::ForwardReply>,
}

impl Forwarding {
    async fn run(self, first: Vec<proto::ForwardRequest>, mut incoming: Streaming<proto::ForwardRequests>) {
        let mut requests = first;
        loop {
            for request in requests {
                self.answer(request);
            }
            match incoming.message().await {
                Ok(Some(message)) => requests = message.requests,
                // The peer is gone; what it asked for is done all the same.
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn answer(&self, request: proto::ForwardRequest) {
        let (id, replies) = (request.id, self.replies.clone());
        match request.request {
            Some(forward_request::Request::Propose(command)) => {
                let answer = batcher::Answer::Stream { id, replies };
                // An entry that cannot be read would stop every node that applies it.
                if command.len() > COMMAND_MAX || batch::decode_command(&command).is_err() {
                    tracing::error!("a forwarded command cannot be read; the nodes run different versions");
                    answer.send(Proposed::NotLeader(None));
                } else {
                    self.batcher.submit(command, answer);
                }
            }
            Some(forward_request::Request::ReadIndex(_)) => {
                let read_indexes = self.read_indexes.clone();
                tokio::spawn(async move {
                    let reply = match read_indexes.index().await {
                        Ok(index) => Reply::ReadIndex(index),
                        Err(_) => Reply::NotLeader(proto::NotLeader { leader: 0 }),
                    };
                    // The peer may be gone.
                    let _ = replies.send(proto::ForwardReply { id, reply: Some(reply) }).await;
                });
            }
            Some(forward_request::Request::Clock(_)) => {
                // A lost reading is replaced by the next one.
                let _ = replies.try_send(proto::ForwardReply { id, reply: Some(Reply::Clock(own_clock())) });
            }
            None => {
                let _ = replies.try_send(proto::ForwardReply { id, reply: Some(Reply::Unknown(true)) });
            }
        }
    }
}
