//! Nodes that present themselves: the question goes to whoever decides about it, outside of this crate.

use std::{sync::Arc, time::Duration};

use tessera_core::secret::SecretText;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::proto::{self, join_reply::Reply};
use crate::{
    identity::{OwnIdentity, Unique},
    status::Member,
    type_config::NodeId,
};

/// Nodes that may wait to be decided about.
const QUEUE: usize = 64;
/// Longest address or URL in bytes.
const PLACE_MAX: usize = 512;
/// Time limit of a decision. The asking node asks again.
const DECISION: Duration = Duration::from_secs(8);

/// A node that presents itself. Its id is that of its certificate.
#[derive(Debug)]
pub struct JoinRequest {
    /// The node.
    pub node: NodeId,
    /// Drawn when its data directory was made.
    pub incarnation: Unique,
    /// The token it has.
    pub token: Option<SecretText>,
    /// Where it is reached.
    pub member: Member,
    answer: oneshot::Sender<JoinDecision>,
}

/// What becomes of a node that presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinDecision {
    /// It belongs to the cluster.
    Admitted,
    /// It must not take part; the text is for its operator.
    Refused(String),
    /// That cannot be told now.
    TryAgain,
}

impl JoinRequest {
    /// Answers the node.
    pub fn answer(self, decision: JoinDecision) {
        // It has given up when nobody listens, and asks again.
        let _ = self.answer.send(decision);
    }
}

/// The way from the transport to whoever decides.
#[derive(Clone, Debug)]
pub(crate) struct JoinQueue(mpsc::Sender<JoinRequest>);

impl JoinQueue {
    pub(crate) fn new() -> (Self, mpsc::Receiver<JoinRequest>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Asks for a decision about `node`; `own` is this node's identity.
    pub(crate) async fn decide(
        &self,
        own: &Arc<OwnIdentity>,
        node: NodeId,
        request: proto::JoinRequest,
    ) -> proto::JoinReply {
        let reply = |reply| proto::JoinReply { reply: Some(reply) };
        let Some(genesis) = own.genesis() else { return reply(Reply::NoCluster(true)) };
        let Ok(incarnation) = Unique::try_from(request.incarnation.as_ref()) else {
            return reply(Reply::Refused("the node says nothing of its data directory".to_owned()));
        };
        if request.raft_addr.len().max(request.api_url.len()).max(request.token.len()) > PLACE_MAX {
            return reply(Reply::Refused(format!("an address has at most {PLACE_MAX} bytes")));
        }
        let (answer, decision) = oneshot::channel();
        let question = JoinRequest {
            node,
            incarnation,
            token: (!request.token.is_empty()).then(|| SecretText::new(request.token)),
            member: Member { raft_addr: request.raft_addr, api_url: request.api_url },
            answer,
        };
        if self.0.try_send(question).is_err() {
            return reply(Reply::TryAgain(true));
        }
        match timeout(DECISION, decision).await {
            Ok(Ok(JoinDecision::Admitted)) => reply(Reply::Admitted(genesis.to_vec().into())),
            Ok(Ok(JoinDecision::Refused(text))) => reply(Reply::Refused(text)),
            Ok(Ok(JoinDecision::TryAgain) | Err(_)) | Err(_) => reply(Reply::TryAgain(true)),
        }
    }
}
