//! The side of the transport that asks: channels to the peers, and openraft's network on top of them.

use std::{
    collections::BTreeMap,
    fs::File,
    future::Future,
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use openraft::{
    AnyError, ErrorSubject, ErrorVerb, OptionalSend, Snapshot, StorageIOError,
    error::{Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory},
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
};
use tessera_core::secret::SecretText;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{
    CONNECT_TIMEOUT, KEEP_ALIVE, MESSAGE_MAX, SNAPSHOT_FRAME, convert, header, member_name, node_name,
    proto::{self, raft_client::RaftClient, store_client::StoreClient},
    required,
};
use crate::{
    config::StoreConfig,
    election::reached,
    identity::OwnIdentity,
    level::Levels,
    status::Member,
    type_config::{ClusterId, LogId, NodeId, NodeInfo, TypeConfig, Vote},
};

/// Flow control window of one stream; a batch must fit into it without waiting for the receiver.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
/// Flow control window of one connection.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// Waits between attempts to reach a node that does not answer.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

type RpcError<E = RaftError<NodeId>> = RPCError<NodeId, NodeInfo, E>;

/// The two connections to a peer: a heartbeat must not wait behind a snapshot frame.
#[derive(Clone, Debug)]
struct PeerChannels {
    raft: RaftClient<Channel>,
    store: StoreClient<Channel>,
}

/// Opens and keeps the connections to the other nodes.
pub(crate) struct Peers {
    cluster: ClusterId,
    cluster_name: String,
    node: NodeId,
    levels: Levels,
    /// What each node refused last, so that it is reported once.
    refusals: Mutex<BTreeMap<NodeId, String>>,
    authority: Certificate,
    identity: Identity,
    own: Arc<OwnIdentity>,
    /// While this node takes over leadership: the vote of the leader that hands over.
    handed_over_by: Mutex<Option<Vote>>,
    /// While true, this node sends no entries and no heartbeats.
    silent: watch::Sender<bool>,
    channels: Mutex<BTreeMap<NodeId, (String, PeerChannels)>>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Peers {
    pub(crate) fn new(
        config: &StoreConfig,
        cluster: ClusterId,
        own: Arc<OwnIdentity>,
        levels: Levels,
    ) -> Self {
        Self {
            cluster,
            own,
            handed_over_by: Mutex::default(),
            silent: watch::Sender::new(false),
            cluster_name: config.cluster_id.clone(),
            node: config.node_id,
            levels,
            refusals: Mutex::default(),
            authority: Certificate::from_pem(&config.tls.ca_pem),
            identity: Identity::from_pem(&config.tls.cert_pem, &config.tls.key_pem),
            channels: Mutex::default(),
        }
    }

    pub(crate) fn header(&self, to: NodeId) -> proto::Header {
        let mut header = header(self.cluster, self.own.genesis(), self.node, to);
        self.levels.announce(&mut header);
        header
    }

    /// From now on vote requests say that the leader with this vote has handed over to this node; `None` ends that.
    pub(crate) fn set_handed_over_by(&self, former: Option<Vote>) {
        *self.handed_over_by.lock().unwrap_or_else(PoisonError::into_inner) = former;
    }

    /// Whether this node, as a leader, sends entries and heartbeats; those on their way wait until it does again.
    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.send_replace(silent);
    }

    async fn silence_ended(&self) {
        // The sender lives as long as `self`.
        let _ = reached(&mut self.silent.subscribe(), |silent| !*silent).await;
    }

    fn handed_over_by(&self) -> Option<Vote> {
        *self.handed_over_by.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports a node that refuses this one: openraft would only say that it cannot be reached.
    fn note(&self, target: NodeId, status: &Status) {
        if status.code() != Code::FailedPrecondition {
            return;
        }
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.get(&target).is_none_or(|known| known != status.message()) {
            tracing::error!(node = target, reason = status.message(), "a node refuses to work with this one");
            refusals.insert(target, status.message().to_owned());
        }
    }

    /// The connections to a node, opened with the first message. Must be called on the runtime of Raft.
    fn channels(&self, target: NodeId, address: &str) -> Result<PeerChannels, tonic::transport::Error> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, peer)) = channels.get(&target)
            && known == address
        {
            return Ok(peer.clone());
        }
        let name = node_name(target, &self.cluster_name);
        let raft = self.open(name.clone(), address)?;
        let store = self.open(name, address)?;
        let peer = PeerChannels {
            raft: RaftClient::new(raft)
                .max_decoding_message_size(MESSAGE_MAX)
                .max_encoding_message_size(MESSAGE_MAX),
            store: StoreClient::new(store)
                .max_decoding_message_size(MESSAGE_MAX)
                .max_encoding_message_size(MESSAGE_MAX),
        };
        channels.insert(target, (address.to_owned(), peer.clone()));
        Ok(peer)
    }

    fn open(&self, name: String, address: &str) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(self.authority.clone())
            .identity(self.identity.clone())
            .domain_name(name);
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?
            .tls_config(tls)?
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        Ok(endpoint.connect_lazy())
    }

    pub(crate) fn raft(&self, target: NodeId, address: &str) -> Result<RaftClient<Channel>, Status> {
        self.channels(target, address).map(|peer| peer.raft).map_err(|error| Status::from_error(error.into()))
    }

    pub(crate) fn store(&self, target: NodeId, address: &str) -> Result<StoreClient<Channel>, Status> {
        self.channels(target, address)
            .map(|peer| peer.store)
            .map_err(|error| Status::from_error(error.into()))
    }

    /// Asks whether the target would vote for this node.
    pub(crate) async fn pre_vote(
        &self,
        target: NodeId,
        address: &str,
        last: Option<LogId>,
    ) -> Result<bool, Status> {
        let request =
            proto::PreVoteRequest { header: Some(self.header(target)), last_log: last.map(Into::into) };
        let reply = self.raft(target, address)?.pre_vote(request).await;
        Ok(reply.inspect_err(|status| self.note(target, status))?.into_inner().granted)
    }

    /// Asks the target to start an election.
    pub(crate) async fn timeout_now(&self, target: NodeId, address: &str) -> Result<(), Status> {
        let request = proto::TimeoutNowRequest { header: Some(self.header(target)) };
        self.raft(target, address)?.timeout_now(request).await.map(drop)
    }

    /// Presents this node to whichever node of the cluster listens at an address. Must be called on the runtime of Raft.
    pub(crate) async fn join(
        &self,
        address: &str,
        token: Option<&SecretText>,
        member: &Member,
    ) -> Result<proto::JoinReply, Status> {
        let failed = |error: tonic::transport::Error| Status::from_error(error.into());
        let channel = self.open(member_name(&self.cluster_name), address).map_err(failed)?;
        let request = proto::JoinRequest {
            header: Some(self.header(0)),
            incarnation: self.own.incarnation().to_vec().into(),
            token: token.map(|token| token.expose().to_owned()).unwrap_or_default(),
            raft_addr: member.raft_addr.clone(),
            api_url: member.api_url.clone(),
        };
        Ok(StoreClient::new(channel).join(request).await?.into_inner())
    }

    /// Asks the target to do something that only it can do; the text says why it was not done.
    pub(crate) async fn order(
        &self,
        target: NodeId,
        address: &str,
        order: proto::order_request::Order,
    ) -> Result<String, Status> {
        let request = proto::OrderRequest { header: Some(self.header(target)), order: Some(order) };
        Ok(self.store(target, address)?.order(request).await?.into_inner().refused)
    }

    /// Asks the target how it sees itself.
    pub(crate) async fn node_status(
        &self,
        target: NodeId,
        address: &str,
    ) -> Result<proto::NodeStatusReply, Status> {
        let request = proto::NodeStatusRequest { header: Some(self.header(target)) };
        Ok(self.store(target, address)?.node_status(request).await?.into_inner())
    }

    /// Asks the target for rows of the history.
    pub(crate) async fn fetch_history(
        &self,
        target: NodeId,
        address: &str,
        first: u64,
        last: u64,
    ) -> Result<tonic::Streaming<proto::HistoryRows>, Status> {
        let request = proto::FetchHistoryRequest { header: Some(self.header(target)), first, last };
        Ok(self.store(target, address)?.fetch_history(request).await?.into_inner())
    }
}

/// Hands openraft the connections of [`Peers`].
#[derive(Clone, Debug)]
pub(crate) struct Network(pub(crate) Arc<Peers>);

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: NodeId, node: &NodeInfo) -> Connection {
        let channels = self.0.channels(target, &node.raft_addr);
        if let Err(error) = &channels {
            tracing::error!(node = target, address = node.raft_addr, error = %error, "cannot use the address of a member");
        }
        Connection { target, peers: self.0.clone(), channels: channels.ok() }
    }
}

/// openraft's way to one peer.
#[derive(Debug)]
pub(crate) struct Connection {
    target: NodeId,
    peers: Arc<Peers>,
    /// `None` when the address cannot be used.
    channels: Option<PeerChannels>,
}

impl Connection {
    fn unreachable(&self, status: &Status) -> Unreachable {
        self.peers.note(self.target, status);
        Unreachable::new(status)
    }

    fn peer(&self) -> Result<PeerChannels, Unreachable> {
        let unusable = || Unreachable::new(&io::Error::other("the address of the node cannot be used"));
        self.channels.clone().ok_or_else(unusable)
    }
}

fn malformed<E: std::error::Error>(status: &Status) -> RpcError<E> {
    RPCError::Network(NetworkError::new(status))
}

impl RaftNetwork<TypeConfig> for Connection {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RpcError> {
        self.peers.silence_ended().await;
        let request = convert::append_to_proto(self.peers.header(self.target), rpc);
        let reply = self.peer()?.raft.append(request).await.map_err(|status| self.unreachable(&status))?;
        convert::append_reply_from_proto(reply.get_ref()).map_err(|status| malformed(&status))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<NodeId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RpcError> {
        let mut request = convert::vote_to_proto(self.peers.header(self.target), &rpc);
        request.hand_over = self.peers.handed_over_by().map(Into::into);
        let reply = self.peer()?.raft.vote(request).await.map_err(|status| self.unreachable(&status))?;
        convert::vote_reply_from_proto(reply.get_ref()).map_err(|status| malformed(&status))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<TypeConfig, Fatal<NodeId>>> {
        let mut client = self.peer()?.store;
        let read_error = |error: &io::Error| {
            let error = AnyError::new(error);
            openraft::StorageError::from(StorageIOError::new(
                ErrorSubject::Snapshot(None),
                ErrorVerb::Read,
                error,
            ))
        };
        let file = File::open(&snapshot.snapshot.path).map_err(|error| read_error(&error))?;
        let bytes = file.metadata().map_err(|error| read_error(&error))?.len();
        let start = proto::snapshot_frame::Start {
            header: Some(self.peers.header(self.target)),
            vote: Some(vote.into()),
            bytes,
        };
        let (sender, frames) = mpsc::channel(4);
        // A failure to read ends the stream early, which the receiver notices.
        let reader = tokio::task::spawn_blocking(move || send_file(file, start, &sender));
        let sent = tokio::select! {
            closed = cancel => return Err(closed.into()),
            sent = client.snapshot(ReceiverStream::new(frames)) => sent,
        };
        if let Ok(Err(error)) = reader.await {
            return Err(read_error(&error).into());
        }
        let reply = sent.map_err(|status| self.unreachable(&status))?.into_inner();
        let vote = required(reply.vote, "vote").map_err(|status| NetworkError::new(&status))?;
        Ok(SnapshotResponse::new(vote.into()))
    }

    fn backoff(&self) -> Backoff {
        let doubled = |wait: &Duration| Some((*wait * 2).min(BACKOFF_MAX));
        Backoff::new(std::iter::successors(Some(BACKOFF_MIN), doubled))
    }
}

/// Sends a file frame by frame. Ends without an error when nobody listens any more.
fn send_file(
    mut file: File,
    start: proto::snapshot_frame::Start,
    sender: &mpsc::Sender<proto::SnapshotFrame>,
) -> io::Result<()> {
    use proto::snapshot_frame::Frame;
    let mut frame = Frame::Start(start);
    while sender.blocking_send(proto::SnapshotFrame { frame: Some(frame) }).is_ok() {
        let mut data = Vec::with_capacity(SNAPSHOT_FRAME);
        let limit = u64::try_from(SNAPSHOT_FRAME).unwrap_or(u64::MAX);
        if (&mut file).take(limit).read_to_end(&mut data)? == 0 {
            break;
        }
        frame = Frame::Data(Bytes::from(data));
    }
    Ok(())
}
