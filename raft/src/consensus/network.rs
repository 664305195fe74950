//! How openraft reaches the other nodes.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use openraft::OptionalSend;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use crate::model::MemberId;
use crate::wire::Purpose;

use super::acknowledged::Sent;
use super::messages::{RaftAnswer, RaftMessage};
use super::peers::Peers;
use super::snapshots::{SnapshotData, SnapshotFile};
use super::types::{Entry, Member, Payload, Snapshot, TypeConfig, Vote};

/// How long one chunk of a snapshot may take.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a follower may take to check and install a complete snapshot.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(300);

/// How long openraft leaves an unreachable peer alone.
const BACKOFF: Duration = Duration::from_millis(100);

/// The slowest link on which a follower that lags catches up, bytes per second.
const SLOWEST_LINK: u32 = 1 << 20;

/// How long a follower's disk may take to sync what it was sent.
const SYNC_ALLOWANCE: Duration = Duration::from_millis(500);

/// Makes a [`PeerNetwork`] for each peer.
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

/// The way to one peer.
pub(crate) struct PeerNetwork {
    target: MemberId,
    /// What appends travel on: entries and heartbeats have a connection each.
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
        let within = match self.appends {
            Purpose::Replication => time_for(&request.entries, option.soft_ttl()),
            // A heartbeat that is late is of no use.
            _ => option.soft_ttl(),
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

/// How long entries may take to a peer, onto its disk and back, where an empty message may take `base`. openraft gives
/// all messages the time of a heartbeat and does not enforce it: a batch that needs longer would be sent for ever.
fn time_for(entries: &[Entry], base: Duration) -> Duration {
    if entries.is_empty() {
        return base;
    }
    let size = |entry: &Entry| match &entry.payload {
        Payload::Normal(command) => command.0.len() as u64,
        _ => 0,
    };
    let bytes: u64 = entries.iter().map(size).sum();
    base + SYNC_ALLOWANCE + Duration::from_millis(bytes * 1_000 / u64::from(SLOWEST_LINK))
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
    use openraft::testing::log_id;

    use super::super::types::PackedCommand;
    use super::*;

    #[test]
    fn a_batch_has_the_time_that_its_bytes_need_on_the_slowest_link() {
        let entry = |bytes: usize| Entry {
            log_id: log_id::<TypeConfig>(1, MemberId::from(1), 1),
            payload: Payload::Normal(PackedCommand(vec![0; bytes].into())),
        };
        let base = Duration::from_millis(45);
        assert_eq!(time_for(&[], base), base);
        let batch = [entry(3 << 20), entry(1 << 20)];
        assert_eq!(time_for(&batch, base), base + SYNC_ALLOWANCE + Duration::from_secs(4));
    }
}
