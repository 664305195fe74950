//! openraft's network.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream};
use openraft::OptionalSend;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use crate::model::MemberId;
use crate::wire::Purpose;

use super::acknowledged::Sent;
use super::append_stream::{self, bytes_of};
use super::messages::{RaftAnswer, RaftMessage};
use super::peers::Peers;
use super::snapshots::{SnapshotData, SnapshotFile};
use super::types::{Member, Snapshot, TypeConfig, Vote};

/// Timeout for one chunk of a snapshot.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for a follower to check and install a complete snapshot.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(300);

/// How long openraft waits before it contacts an unreachable peer again.
const BACKOFF: Duration = Duration::from_millis(100);

/// The slowest link on which a follower that lags can catch up, bytes per second.
const SLOWEST_LINK: u32 = 1 << 20;

/// Time allowed for a follower's disk to sync an append.
const SYNC_ALLOWANCE: Duration = Duration::from_millis(500);

/// The answers to a stream of appends.
type Answers<'s> = BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>;

/// Creates a [`PeerNetwork`] for each peer.
pub(crate) struct Network {
    peers: Peers,
}

impl Network {
    pub(crate) fn over(peers: Peers) -> Self {
        Self { peers }
    }

    fn client(&self, target: MemberId, member: &Member, appends: Purpose) -> PeerNetwork {
        self.peers.learn_address(target, &member.address);
        PeerNetwork { target, appends, peers: self.peers.clone() }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: MemberId, member: &Member) -> PeerNetwork {
        self.client(target, member, Purpose::Replication)
    }

    async fn new_heartbeat_client(&mut self, target: MemberId, member: &Member) -> PeerNetwork {
        self.client(target, member, Purpose::Control)
    }
}

/// The connection to one peer.
pub(crate) struct PeerNetwork {
    target: MemberId,
    /// The purpose of appends: entries and heartbeats have separate connections.
    appends: Purpose,
    peers: Peers,
}

impl PeerNetwork {
    async fn send(
        &self,
        message: &RaftMessage,
        purpose: Purpose,
        kind: RPCTypes,
        within: Duration,
    ) -> Result<RaftAnswer, RPCError<TypeConfig>> {
        let bytes = postcard::to_stdvec(message).map_err(|e| RPCError::Network(NetworkError::new(&e)))?;
        let call = async {
            let connection = self.peers.get(self.target, purpose).await;
            let connection = connection.map_err(|e| RPCError::Unreachable(Unreachable::from_string(e)))?;
            match connection.raft(within, Bytes::from(bytes)).await {
                Ok(Ok(answer)) => {
                    postcard::from_bytes(&answer).map_err(|e| RPCError::Network(NetworkError::new(&e)))
                }
                Ok(Err(refusal)) => Err(RPCError::Network(NetworkError::from_string(refusal))),
                Err(error) => {
                    self.peers.forget(self.target, purpose).await;
                    Err(RPCError::Unreachable(Unreachable::new(&error)))
                }
            }
        };
        let timeout = Timeout { action: kind, id: self.peers.own(), target: self.target, timeout: within };
        tokio::time::timeout(within, call).await.unwrap_or(Err(RPCError::Timeout(timeout)))
    }

    /// Sends entries, or a heartbeat, while `ahead` bytes of entries are in flight to the same peer.
    async fn append(
        &self,
        request: AppendEntriesRequest<TypeConfig>,
        ahead: u64,
        base: Duration,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let within = match self.appends {
            Purpose::Replication => time_for(bytes_of(&request.entries), ahead, base),
            // A late heartbeat is useless.
            _ => base,
        };
        let sent = Sent::of(&request);
        let message = RaftMessage::Append(request);
        match self.send(&message, self.appends, RPCTypes::AppendEntries, within).await? {
            RaftAnswer::Append(response) => {
                let checked = self.peers.acknowledged().check(self.target, &sent, &response);
                checked.map_err(|loss| RPCError::Unreachable(Unreachable::new(&loss)))?;
                Ok(response)
            }
            _ => Err(confused()),
        }
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        file: SnapshotFile,
    ) -> Result<SnapshotResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut offset = self.send_chunk(&file.id, 0, Bytes::new()).await?;
        while offset < file.bytes {
            let chunk = file.chunk(offset).await.map_err(|e| RPCError::Network(NetworkError::new(&e)))?;
            let next = self.send_chunk(&file.id, offset, chunk).await?;
            if next <= offset {
                return Err(RPCError::Network(NetworkError::from_string(
                    "the peer takes no more of the snapshot",
                )));
            }
            offset = next;
        }
        let end = RaftMessage::SnapshotEnd { id: file.id, bytes: file.bytes, vote };
        match self.send(&end, Purpose::Snapshot, RPCTypes::InstallSnapshot, INSTALL_TIMEOUT).await? {
            RaftAnswer::Snapshot(response) => Ok(response),
            _ => Err(confused()),
        }
    }

    async fn send_chunk(&self, id: &str, offset: u64, chunk: Bytes) -> Result<u64, RPCError<TypeConfig>> {
        let message = RaftMessage::SnapshotChunk { id: id.to_owned(), offset, chunk };
        match self.send(&message, Purpose::Snapshot, RPCTypes::InstallSnapshot, CHUNK_TIMEOUT).await? {
            RaftAnswer::SnapshotNext(next) => Ok(next),
            _ => Err(confused()),
        }
    }
}

impl RaftNetworkV2<TypeConfig> for PeerNetwork {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.append(request, 0, option.soft_ttl()).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        requests: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<Answers<'s>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let (network, base) = (&*self, option.soft_ttl());
        let answers =
            append_stream::answers(requests, move |request, ahead| network.append(request, ahead, base));
        std::future::ready(Ok(answers)).boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self
            .send(&RaftMessage::Vote(request), Purpose::Control, RPCTypes::Vote, option.soft_ttl())
            .await?
        {
            RaftAnswer::Vote(response) => Ok(response),
            _ => Err(confused()),
        }
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self
            .send(&RaftMessage::PreVote(request), Purpose::Control, RPCTypes::Vote, option.soft_ttl())
            .await?
        {
            RaftAnswer::Vote(response) => Ok(response),
            _ => Err(confused()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let send = async {
            let file = snapshot.snapshot.file().await;
            let file = file.map_err(|e| StreamingError::Network(NetworkError::new(&e)))?;
            tracing::info!(peer = %self.target, snapshot = %file.id, bytes = file.bytes, "sending a snapshot");
            self.send_snapshot(vote, file).await.map_err(streaming)
        };
        tokio::select! {
            biased;
            result = send => result,
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let message = RaftMessage::TransferLeader(request);
        match self.send(&message, Purpose::Control, RPCTypes::TransferLeader, option.soft_ttl()).await? {
            RaftAnswer::TransferLeader(response) => Ok(response),
            _ => Err(confused()),
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(BACKOFF)))
    }
}

/// Timeout for sending entries of this size to a peer, behind `ahead` bytes in flight, including the sync and the
/// answer; `base` is the timeout of an empty message. openraft gives all messages the timeout of a heartbeat and does
/// not enforce it: a batch that takes longer would be sent forever.
fn time_for(bytes: u64, ahead: u64, base: Duration) -> Duration {
    match bytes + ahead {
        0 => base,
        all => base + SYNC_ALLOWANCE + Duration::from_millis(all * 1_000 / u64::from(SLOWEST_LINK)),
    }
}

fn confused() -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::from_string(
        "the peer answered something else; install the same release everywhere",
    ))
}

fn streaming(error: RPCError<TypeConfig>) -> StreamingError<TypeConfig> {
    match error {
        RPCError::Timeout(e) => StreamingError::Timeout(e),
        RPCError::Unreachable(e) => StreamingError::Unreachable(e),
        RPCError::Network(e) => StreamingError::Network(e),
        RPCError::RemoteError(e) => StreamingError::Network(NetworkError::new(&e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_the_time_that_its_bytes_and_those_before_need_on_the_slowest_link() {
        let base = Duration::from_millis(45);
        assert_eq!(time_for(0, 0, base), base);
        assert_eq!(time_for(3 << 20, 0, base), base + SYNC_ALLOWANCE + Duration::from_secs(3));
        assert_eq!(time_for(3 << 20, 1 << 20, base), base + SYNC_ALLOWANCE + Duration::from_secs(4));
    }
}
