//! openraft's messages as messages of ours and back. An upgrade of openraft does not change what is sent.

use openraft::{
    EntryPayload,
    raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse},
};
use tonic::Status;

use super::{proto, required};
use crate::type_config::{Entry, Membership, NodeId, NodeInfo, Payload, TypeConfig};

impl From<&Membership> for proto::Members {
    fn from(members: &Membership) -> Self {
        let voters = |ids: &std::collections::BTreeSet<NodeId>| proto::members::Voters {
            ids: ids.iter().copied().collect(),
        };
        let node = |(id, info): (&NodeId, &NodeInfo)| proto::members::Node {
            id: *id,
            raft_addr: info.raft_addr.clone(),
            api_url: info.api_url.clone(),
        };
        Self {
            configs: members.get_joint_config().iter().map(voters).collect(),
            nodes: members.nodes().map(node).collect(),
        }
    }
}

impl From<proto::Members> for Membership {
    fn from(members: proto::Members) -> Self {
        let configs = members.configs.into_iter().map(|voters| voters.ids.into_iter().collect()).collect();
        let nodes: std::collections::BTreeMap<NodeId, NodeInfo> = members
            .nodes
            .into_iter()
            .map(|node| (node.id, NodeInfo { raft_addr: node.raft_addr, api_url: node.api_url }))
            .collect();
        Self::new(configs, nodes)
    }
}

fn entry_to_proto(entry: Entry) -> proto::Entry {
    let payload = match entry.payload {
        EntryPayload::Blank => proto::entry::Payload::Blank(true),
        EntryPayload::Normal(Payload(bytes)) => proto::entry::Payload::Batch(bytes),
        EntryPayload::Membership(members) => proto::entry::Payload::Members((&members).into()),
    };
    proto::Entry { log_id: Some(entry.log_id.into()), payload: Some(payload) }
}

fn entry_from_proto(entry: proto::Entry) -> Result<Entry, Status> {
    let payload = match required(entry.payload, "payload of an entry")? {
        proto::entry::Payload::Blank(_) => EntryPayload::Blank,
        proto::entry::Payload::Batch(bytes) => EntryPayload::Normal(Payload(bytes)),
        proto::entry::Payload::Members(members) => EntryPayload::Membership(members.into()),
    };
    Ok(Entry { log_id: required(entry.log_id, "position of an entry")?.into(), payload })
}

pub(crate) fn append_to_proto(
    header: proto::Header,
    request: AppendEntriesRequest<TypeConfig>,
) -> proto::AppendRequest {
    proto::AppendRequest {
        header: Some(header),
        vote: Some(request.vote.into()),
        previous: request.prev_log_id.map(Into::into),
        committed: request.leader_commit.map(Into::into),
        entries: request.entries.into_iter().map(entry_to_proto).collect(),
    }
}

/// Also checks what openraft takes for granted: that the entries follow one another and the previous one.
pub(crate) fn append_from_proto(
    request: proto::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
    let entries = request.entries.into_iter().map(entry_from_proto).collect::<Result<Vec<_>, _>>()?;
    let mut expected = request.previous.map_or(0, |id| id.index.saturating_add(1));
    for entry in &entries {
        if entry.log_id.index != expected {
            return Err(Status::invalid_argument("the entries are not consecutive"));
        }
        expected = expected.saturating_add(1);
    }
    Ok(AppendEntriesRequest {
        vote: required(request.vote, "vote")?.into(),
        prev_log_id: request.previous.map(Into::into),
        leader_commit: request.committed.map(Into::into),
        entries,
    })
}

pub(crate) fn append_reply_to_proto(reply: &AppendEntriesResponse<NodeId>) -> proto::AppendReply {
    use proto::append_reply::Result as Kind;
    let (result, matching, vote) = match reply {
        AppendEntriesResponse::Success => (Kind::Success, None, None),
        AppendEntriesResponse::PartialSuccess(matching) => (Kind::Partial, *matching, None),
        AppendEntriesResponse::Conflict => (Kind::Conflict, None, None),
        AppendEntriesResponse::HigherVote(vote) => (Kind::HigherVote, None, Some(*vote)),
    };
    proto::AppendReply {
        result: result.into(),
        matching: matching.map(Into::into),
        vote: vote.map(Into::into),
    }
}

pub(crate) fn append_reply_from_proto(
    reply: &proto::AppendReply,
) -> Result<AppendEntriesResponse<NodeId>, Status> {
    use proto::append_reply::Result as Kind;
    match reply.result() {
        Kind::Success => Ok(AppendEntriesResponse::Success),
        Kind::Partial => Ok(AppendEntriesResponse::PartialSuccess(reply.matching.map(Into::into))),
        Kind::Conflict => Ok(AppendEntriesResponse::Conflict),
        Kind::HigherVote => Ok(AppendEntriesResponse::HigherVote(required(reply.vote, "vote")?.into())),
        Kind::Unspecified => Err(Status::internal("the reply has no result")),
    }
}

pub(crate) fn vote_to_proto(header: proto::Header, request: &VoteRequest<NodeId>) -> proto::VoteRequest {
    proto::VoteRequest {
        header: Some(header),
        vote: Some(request.vote.into()),
        last_log: request.last_log_id.map(Into::into),
        hand_over: None,
    }
}

pub(crate) fn vote_from_proto(request: &proto::VoteRequest) -> Result<VoteRequest<NodeId>, Status> {
    Ok(VoteRequest {
        vote: required(request.vote, "vote")?.into(),
        last_log_id: request.last_log.map(Into::into),
    })
}

pub(crate) fn vote_reply_to_proto(reply: &VoteResponse<NodeId>) -> proto::VoteReply {
    proto::VoteReply {
        vote: Some(reply.vote.into()),
        granted: reply.vote_granted,
        last_log: reply.last_log_id.map(Into::into),
    }
}

pub(crate) fn vote_reply_from_proto(reply: &proto::VoteReply) -> Result<VoteResponse<NodeId>, Status> {
    Ok(VoteResponse {
        vote: required(reply.vote, "vote")?.into(),
        vote_granted: reply.granted,
        last_log_id: reply.last_log.map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use openraft::CommittedLeaderId;

    use super::*;
    use crate::type_config::{LogId, Vote};

    fn id(index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(3, 2), index)
    }

    fn request(previous: Option<LogId>, entries: Vec<Entry>) -> AppendEntriesRequest<TypeConfig> {
        AppendEntriesRequest {
            vote: Vote::new_committed(3, 2),
            prev_log_id: previous,
            leader_commit: Some(id(1)),
            entries,
        }
    }

    fn there_and_back(
        original: AppendEntriesRequest<TypeConfig>,
    ) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
        append_from_proto(append_to_proto(proto::Header::default(), original))
    }

    #[test]
    fn append_request_survives_the_wire() {
        let nodes = BTreeMap::from([(1, NodeInfo { raft_addr: "a:1".into(), api_url: "u".into() })]);
        let members = Membership::new(vec![BTreeSet::from([1]), BTreeSet::from([1])], nodes);
        let entries = vec![
            Entry { log_id: id(5), payload: EntryPayload::Blank },
            Entry { log_id: id(6), payload: EntryPayload::Normal(Payload(vec![1, 2, 3].into())) },
            Entry { log_id: id(7), payload: EntryPayload::Membership(members) },
        ];
        let original = request(Some(id(4)), entries);
        let read = there_and_back(original.clone()).unwrap();
        assert_eq!(read.vote, original.vote);
        assert_eq!(read.prev_log_id, original.prev_log_id);
        assert_eq!(read.leader_commit, original.leader_commit);
        assert_eq!(read.entries, original.entries);
    }

    #[test]
    fn first_entry_of_the_log_has_index_zero() {
        let entry = Entry { log_id: LogId::default(), payload: EntryPayload::Blank };
        let read = there_and_back(request(None, vec![entry.clone()])).unwrap();
        assert_eq!(read.entries, [entry]);
        assert_eq!(read.prev_log_id, None);
    }

    #[test]
    fn entries_with_a_hole_are_refused() {
        for (previous, index) in [(Some(id(4)), 6), (None, 1), (Some(id(4)), 4)] {
            let entry = Entry { log_id: id(index), payload: EntryPayload::Blank };
            assert!(there_and_back(request(previous, vec![entry])).is_err());
        }
    }

    #[test]
    fn append_replies_survive_the_wire() {
        for reply in [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::PartialSuccess(Some(id(3))),
            AppendEntriesResponse::PartialSuccess(None),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(Vote::new(9, 1)),
        ] {
            let expected = format!("{reply:?}");
            let wire = append_reply_to_proto(&reply);
            assert_eq!(format!("{:?}", append_reply_from_proto(&wire).unwrap()), expected);
        }
        assert!(append_reply_from_proto(&proto::AppendReply::default()).is_err());
    }
}
