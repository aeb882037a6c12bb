//! How a node comes into a cluster, and how it learns that it is not, or no longer, wanted (reference raft-and-storage
//! 10).
//!
//! A node with an empty data folder takes no part in anything until the cluster has admitted this very folder. It asks
//! the nodes it knows of. One of them decides by a transaction, so that an id is never used by two folders, however the
//! answers are lost. Only the node that is told to makes a cluster, and only when nobody it asks belongs to one.

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_core::decide::bootstrap::Bootstrap;
use tessera_core::decide::membership::{Found, Register, Registered, nodes};
use tessera_core::facts::Caller;
use tessera_core::record::{NodeEntry, NodesV1};
use tessera_core::secret::SecretText;
use tessera_raft::cluster::{JoinAnswer, JoinDecision, JoinRequest};
use tokio::time::{Instant, sleep};

use crate::config::NodeConfig;
use crate::keys::{self, KeyCheck};
use crate::node::{Fatal, Node};
use crate::start_request::{self, StartRequest};

/// Between two rounds of asking.
const ASK_AGAIN: Duration = Duration::from_millis(150);
/// So long the node that makes the cluster looks for peers that do not answer; they may just be starting.
const FOUNDING_PATIENCE: Duration = Duration::from_secs(3);
/// Without anybody to ask, it listens for so long whether there are members that take it for one of theirs. A leader calls
/// every member at least once a second.
const LISTENING: Duration = Duration::from_millis(1500);
/// Pause between two attempts while the cluster has no leader yet.
const RETRY: Duration = Duration::from_millis(50);
/// How often a node looks at its own place in the cluster.
const PLACE_INTERVAL: Duration = Duration::from_millis(500);
/// After so long without a leader a node asks the others whether it still belongs to them.
const LEADERLESS: Duration = Duration::from_secs(3);

/// What a node with an empty folder has been told.
struct Intent {
    /// Make the cluster if there is none.
    found: bool,
    peers: BTreeSet<String>,
    token: Option<SecretText>,
}

impl Intent {
    fn read(config: &NodeConfig) -> Result<Self, String> {
        let request = StartRequest::read(&config.node.data_dir).map_err(|error| error.to_string())?;
        let members = config.members.iter().map(|member| &member.cluster);
        let mut peers: BTreeSet<String> = members.chain(&config.cluster.join).cloned().collect();
        let mut found = config.cluster.bootstrap;
        let mut token = None;
        match request {
            Some(StartRequest::Init) => found = true,
            Some(StartRequest::Join { peers: more, token: given }) => {
                peers.extend(more);
                token = Some(given);
            }
            None => {}
        }
        if token.is_none()
            && let Some(configured) = &config.cluster.join_token
        {
            token = Some(
                configured.read().map_err(|problem| format!("the join token cannot be read: {problem}"))?,
            );
        }
        peers.remove(&config.cluster.advertise);
        Ok(Self { found, peers, token })
    }
}

/// What a round of asking has led to.
enum Round {
    Admitted,
    Refused(String),
    /// Nobody belongs to a cluster, and everybody has said so.
    NoCluster,
    /// Somebody did not answer, and nobody belongs to a cluster.
    Silence,
    /// There is a cluster that cannot decide now.
    Wait,
}

/// Brings the node into its cluster, or makes the cluster; returns when that is done or can never be.
pub(crate) async fn enter(node: Node) {
    if let Err(error) = node.store().complete_founding().await {
        return node.fail(Fatal::NotAdmitted(error.to_string()));
    }
    // A refusal of an earlier start says nothing about this one.
    let _ = start_request::note_refusal(&node.config().node.data_dir, None);
    let begin = Instant::now();
    let mut said = String::new();
    while !node.store().is_admitted() {
        let intent = match Intent::read(node.config()) {
            Ok(intent) => intent,
            Err(problem) => return node.fail(Fatal::NotAdmitted(problem)),
        };
        let round = ask(&node, &intent).await;
        let found = intent.found && may_found(&node, &intent, &round, begin);
        match round {
            Round::Refused(reason) => return refuse(&node, reason),
            // A node that is just being admitted is called as well, but it has somebody to ask.
            Round::NoCluster | Round::Silence
                if (intent.found || intent.peers.is_empty()) && node.store().is_claimed_by_others() =>
            {
                return refuse(&node, emptied(node.config().node.id));
            }
            _ if found => {
                tracing::info!(node.id = node.config().node.id, "making a new cluster");
                if let Err(error) = node.store().found().await {
                    return node.fail(Fatal::NotAdmitted(error.to_string()));
                }
            }
            Round::Admitted => tracing::info!(node.id = node.config().node.id, "admitted to the cluster"),
            Round::NoCluster | Round::Silence | Round::Wait => {
                let text = waiting(&intent, &round);
                if text != said {
                    tracing::info!("{text}");
                    said = text;
                }
                sleep(ASK_AGAIN).await;
            }
        }
    }
    if let Err(error) = StartRequest::remove(&node.config().node.data_dir) {
        tracing::warn!(error = %error, "the start request is done and could not be removed");
    }
    complete_first_start(&node).await;
}

/// Whether nobody knows of a cluster, as far as can be told.
fn may_found(node: &Node, intent: &Intent, round: &Round, begin: Instant) -> bool {
    // Nobody knows where a node is that takes any free port.
    let unknown = node.config().cluster.listen.port() == 0;
    match round {
        Round::NoCluster if !intent.peers.is_empty() => true,
        Round::NoCluster => unknown || begin.elapsed() >= LISTENING,
        Round::Silence => begin.elapsed() >= FOUNDING_PATIENCE,
        Round::Admitted | Round::Refused(_) | Round::Wait => false,
    }
}

fn emptied(id: u64) -> String {
    format!(
        "node {id} has an empty data directory, but other nodes take it for a member of their cluster: it makes no second \
         cluster, and must not come back under its old id; run `tessera cluster replace {id}` there and let this machine \
         join as the new node it names"
    )
}

/// The node stops; the reason stays in its folder for `tessera cluster join`.
fn refuse(node: &Node, reason: String) {
    if let Err(error) = start_request::note_refusal(&node.config().node.data_dir, Some(&reason)) {
        tracing::debug!(error = %error, "the refusal could not be noted");
    }
    let fatal = Fatal::NotAdmitted(reason);
    tracing::error!("{fatal}");
    node.fail(fatal);
}

fn waiting(intent: &Intent, round: &Round) -> String {
    if intent.peers.is_empty() {
        return "waiting for `tessera cluster init` or `tessera cluster join`: no other node is configured"
            .to_owned();
    }
    let peers: Vec<&str> = intent.peers.iter().map(String::as_str).collect();
    match round {
        Round::Wait => "the cluster cannot admit this node yet; waiting".to_owned(),
        Round::Admitted | Round::Refused(_) | Round::NoCluster | Round::Silence => {
            format!("no cluster found yet at {}; waiting", peers.join(", "))
        }
    }
}

/// Presents the node to its peers, one after the other, until one of them knows.
async fn ask(node: &Node, intent: &Intent) -> Round {
    let mut round = Round::NoCluster;
    for peer in &intent.peers {
        match node.store().ask_to_join(peer, intent.token.clone()).await {
            JoinAnswer::Admitted(genesis) => {
                return match node.store().admit(genesis).await {
                    Ok(()) => Round::Admitted,
                    Err(error) => Round::Refused(error.to_string()),
                };
            }
            JoinAnswer::Refused(text) => return Round::Refused(text),
            JoinAnswer::TryAgain => round = Round::Wait,
            JoinAnswer::NoCluster => {}
            JoinAnswer::Unreachable(reason) => {
                tracing::debug!(peer, reason, "a peer does not answer");
                if matches!(round, Round::NoCluster) {
                    round = Round::Silence;
                }
            }
        }
    }
    round
}

/// How this node presents itself.
fn own_registration(node: &Node) -> Register {
    let place = node.store().place();
    Register {
        node: node.config().node.id,
        incarnation: node.store().incarnation(),
        token: None,
        raft_addr: place.raft_addr.clone(),
        api_url: place.api_url.clone(),
    }
}

/// Writes what every cluster has from the beginning, unless it is there already. Done by the node that made the cluster,
/// and tried until it succeeds.
async fn complete_first_start(node: &Node) {
    if !node.store().is_founder() {
        return;
    }
    let own = node.config().node.id;
    let others = node.config().members.iter().map(|member| member.id).filter(|id| *id != own);
    let found = Found { founder: own_registration(node), expected: others.collect() };
    let request = Bootstrap { admin: node.config().admin.first.clone() };
    let caller = Caller { action: "bootstrap".to_owned(), ..Caller::default() };
    // The nodes first: the others may come as soon as they are expected.
    while nodes(&*node.store().view()) == <_>::default() {
        if let Err(error) = node.run(found.clone(), caller.clone()).await {
            tracing::debug!(error = %error, "the cluster is not available yet");
            sleep(RETRY).await;
        }
    }
    while keys::check(&*node.store().view(), &node.keyring()) == KeyCheck::Unknown {
        match node.run(request.clone(), caller.clone()).await {
            Ok(Ok(_)) => return tracing::info!("the first start of the cluster is complete"),
            Ok(Err(refusal)) => {
                tracing::error!(error = %refusal, "the first start of the cluster was refused");
                return;
            }
            Err(error) => tracing::debug!(error = %error, "the cluster is not available yet"),
        }
        sleep(RETRY).await;
    }
}

/// Decides about the nodes that present themselves here.
pub(crate) async fn answer_joins(node: Node) {
    let Some(mut requests) = node.store().take_join_requests() else { return };
    while let Some(request) = requests.recv().await {
        let node = node.clone();
        tokio::spawn(async move {
            let decision = decide(&node, &request).await;
            if let JoinDecision::Refused(reason) = &decision {
                tracing::warn!(node.id = request.node, reason, "a node was refused");
            }
            request.answer(decision);
        });
    }
}

async fn decide(node: &Node, request: &JoinRequest) -> JoinDecision {
    // A member that only asks whether it still is one is not worth a transaction.
    let Ok(state) = node.store().barrier().await else { return JoinDecision::TryAgain };
    let record = nodes(&*state);
    if *record == NodesV1::default() {
        return JoinDecision::TryAgain;
    }
    if let Some(NodeEntry::Member(member)) = record.nodes.get(&request.node)
        && member.incarnation == request.incarnation
        && *member.raft_addr == *request.member.raft_addr
        && *member.api_url == *request.member.api_url
    {
        return JoinDecision::Admitted;
    }
    let register = Register {
        node: request.node,
        incarnation: request.incarnation,
        token: request.token.clone(),
        raft_addr: request.member.raft_addr.clone(),
        api_url: request.member.api_url.clone(),
    };
    let caller = Caller {
        action: "cluster/join".to_owned(),
        client: request.member.raft_addr.clone(),
        ..Caller::default()
    };
    match node.run(register, caller).await {
        Ok(Ok(Registered::Member)) => JoinDecision::Admitted,
        Ok(Err(refusal)) => JoinDecision::Refused(refusal.to_string()),
        Ok(Ok(Registered::NotYet)) | Err(_) => JoinDecision::TryAgain,
    }
}

/// Stops the node when it was removed, and tells the cluster when it has another address than before.
pub(crate) async fn watch_place(node: Node) {
    let own = node.config().node.id;
    let mut led = Instant::now();
    loop {
        sleep(PLACE_INTERVAL).await;
        let store = node.store();
        if !store.is_admitted() {
            continue;
        }
        let status = store.status();
        if store.is_founder() && status.members.len() == 1 && store.is_claimed_by_others() {
            return refuse(&node, emptied(own));
        }
        if status.leader.is_some() && status.quorum {
            led = Instant::now();
        }
        let leaderless = led.elapsed() >= LEADERLESS;
        match nodes(&*store.view()).nodes.get(&own) {
            Some(NodeEntry::Retired(_)) if leaderless || !status.voters.contains(&own) => {
                tracing::info!("{}", Fatal::Removed);
                return node.fail(Fatal::Removed);
            }
            Some(NodeEntry::Member(member))
                if !leaderless && *member.raft_addr != *store.place().raft_addr =>
            {
                let caller = Caller { action: "cluster/join".to_owned(), ..Caller::default() };
                if let Ok(Err(refusal)) = node.run(own_registration(&node), caller).await {
                    return node.fail(Fatal::NotAdmitted(refusal.to_string()));
                }
            }
            _ => {}
        }
        if leaderless {
            if let Some(refused) = still_member(&node).await {
                tracing::error!("{refused}");
                return node.fail(refused);
            }
            led = Instant::now();
        }
    }
}

/// Asks the other members whether this node belongs to them; `Some` when it does not.
async fn still_member(node: &Node) -> Option<Fatal> {
    let own = node.config().node.id;
    let configured = node.config().cluster.join.iter().cloned();
    let known = node.store().status().members.into_iter().filter(|(id, _)| *id != own);
    let peers: BTreeSet<String> = known.map(|(_, member)| member.raft_addr).chain(configured).collect();
    for peer in peers {
        match node.store().ask_to_join(&peer, None).await {
            JoinAnswer::Refused(text) => return Some(Fatal::NotAdmitted(text)),
            JoinAnswer::Admitted(_) => return None,
            JoinAnswer::NoCluster | JoinAnswer::TryAgain | JoinAnswer::Unreachable(_) => {}
        }
    }
    None
}
