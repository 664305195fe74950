//! The encoding of Raft's messages and log records is that of older builds.

use bytes::Bytes;
use codeq::{Decode, Encode};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use serde::Serialize;

use super::log_codec::{StoredLogId, StoredOwner, StoredPayload, StoredVote};
use super::messages::{RaftAnswer, RaftMessage};
use super::types::{Entry, LogId, Member, PackedCommand, Payload, SnapshotMeta, StoredMembership, Vote};
use crate::golden::Golden;
use crate::model::{ClusterId, Command, DiskId, Limits, MemberId, Mutation};

const A: MemberId = MemberId { node: 1, disk: DiskId(10) };
const B: MemberId = MemberId { node: 2, disk: DiskId(20) };

fn record<T: Encode + Decode>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes).unwrap();
    let mut again = Vec::new();
    T::decode(&*bytes).unwrap().encode(&mut again).unwrap();
    assert_eq!(again, bytes);
    bytes
}

fn packed<T: Serialize + serde::de::DeserializeOwned>(value: &T) -> Vec<u8> {
    let bytes = postcard::to_stdvec(value).unwrap();
    assert_eq!(postcard::to_stdvec(&postcard::from_bytes::<T>(&bytes).unwrap()).unwrap(), bytes);
    bytes
}

fn membership() -> Payload {
    let member = |address: &str| Member { address: address.to_owned(), cluster: ClusterId(7) };
    let nodes = [(A, member("10.0.0.1:8000")), (B, member("10.0.0.2:8000"))];
    let membership =
        openraft::Membership::new(vec![[A].into(), [A, B].into()], std::collections::BTreeMap::from(nodes));
    Payload::Membership(membership.unwrap())
}

fn command() -> Payload {
    let command = Command { now: 1_000, limits: Limits::default(), mutation: Mutation::Tick };
    Payload::Normal(PackedCommand::pack(&command).unwrap())
}

fn log_id(index: u64) -> LogId {
    LogId { leader_id: Vote::new_committed(3, A).leader_id, index }
}

#[test]
fn records_and_messages_have_the_form_of_their_version() {
    let vote = Vote::new_committed(3, A);
    let entry = |index, payload| Entry { log_id: log_id(index), payload };
    let entries = vec![entry(8, Payload::Blank), entry(9, command()), entry(10, membership())];
    let append =
        AppendEntriesRequest { vote, prev_log_id: Some(log_id(7)), entries, leader_commit: Some(log_id(6)) };
    let Payload::Membership(members) = membership() else { panic!("it is a membership") };
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(9)),
        last_membership: StoredMembership::new(Some(log_id(1)), members),
    };
    let chunk = Bytes::from_static(b"twm-snap");
    let id = "3-1-9".to_owned();
    let today = [
        ("record/log-id", record(&StoredLogId(log_id(9)))),
        ("record/vote", record(&StoredVote(vote))),
        ("record/owner", record(&StoredOwner("cluster 7 node 1 disk 10".to_owned()))),
        ("record/blank", record(&StoredPayload(Payload::Blank))),
        ("record/command", record(&StoredPayload(command()))),
        ("record/membership", record(&StoredPayload(membership()))),
        ("snapshot/meta", packed(&meta)),
        ("message/append", packed(&RaftMessage::Append(append))),
        ("message/vote", packed(&RaftMessage::Vote(VoteRequest::new(Vote::new(4, B), Some(log_id(9)))))),
        ("message/pre-vote", packed(&RaftMessage::PreVote(VoteRequest::new(Vote::new(4, B), None)))),
        (
            "message/transfer",
            packed(&RaftMessage::TransferLeader(TransferLeaderRequest::new(vote, B, Some(log_id(9))))),
        ),
        ("message/chunk", packed(&RaftMessage::SnapshotChunk { id: id.clone(), offset: 8, chunk })),
        ("message/end", packed(&RaftMessage::SnapshotEnd { id, bytes: 16, vote })),
        ("answer/append", packed(&RaftAnswer::Append(AppendEntriesResponse::Success))),
        ("answer/conflict", packed(&RaftAnswer::Append(AppendEntriesResponse::Conflict))),
        ("answer/higher-vote", packed(&RaftAnswer::Append(AppendEntriesResponse::HigherVote(vote)))),
        ("answer/vote", packed(&RaftAnswer::Vote(VoteResponse::new(vote, Some(log_id(9)), true)))),
        ("answer/next", packed(&RaftAnswer::SnapshotNext(8))),
    ];
    let today = today.map(|(name, bytes)| (name.to_owned(), bytes));
    Golden::open("raft-4.txt", &today).is(&today);
}
