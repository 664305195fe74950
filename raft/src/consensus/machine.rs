//! The state machine as openraft drives it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use serde::{Deserialize, Serialize};
use storage::env::Work;
use storage::planted::{Bug, planted};
use storage::snapshot::SnapshotReader;
use storage::state::{StateError, StateStore};
use tokio::sync::{OwnedMutexGuard, watch};
use tracing::Instrument;

use crate::model::{ClusterId, DigestAt, MemberId, Response};
use crate::state::{Frozen, LoadError, State, check_seal, write_checkpoint};

use super::digests::Digests;
use super::snapshots::{CHUNK, SnapshotData};
use super::types::{LogId, Member, Payload, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};

/// Key of the record with the applied log id and the membership.
const APPLIED: &[u8] = b"m";

/// This node's replica of the state, in memory and on disk.
pub(crate) struct Replica {
    cluster: ClusterId,
    /// The newest cluster version that this program supports.
    known: u32,
    state: RwLock<State>,
    store: Arc<dyn StateStore>,
    /// What the state in memory has applied.
    applied: Mutex<Applied>,
    /// What the state on disk has applied.
    checkpointed: Mutex<Option<Applied>>,
    /// Held while the state on disk must not change: by a checkpoint, and by a snapshot that streams it.
    pub(super) on_disk: Arc<tokio::sync::Mutex<()>>,
    pub(super) snapshots: PathBuf,
    /// Most bytes of a snapshot in one message.
    pub(super) snapshot_chunk: AtomicUsize,
    /// Runs disk work, which must not block the async threads: that has cost leaderships.
    pub(super) work: Work,
    /// Digests that were requested.
    digests: Digests,
    /// Counts batches of applied entries, to wake those who wait for work.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Applied {
    last: Option<LogId>,
    membership: StoredMembership,
}

/// The replica cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplicaError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Store(#[from] StateError),
    #[error(
        "it is of cluster {found}, and this node's data directory of {own}; give each cluster its own --data-dir"
    )]
    OtherCluster { found: ClusterId, own: ClusterId },
}

impl Replica {
    /// Opens the last checkpoint, of this cluster, for a program that supports cluster versions up to
    /// `known`.
    pub(crate) fn open(
        store: Arc<dyn StateStore>,
        snapshots: PathBuf,
        cluster: ClusterId,
        known: u32,
        work: Work,
    ) -> Result<Arc<Self>, ReplicaError> {
        let (state, checkpointed) = load(&store, known)?;
        if let Some(applied) = &checkpointed {
            check_cluster(&applied.membership, cluster)?;
        }
        Ok(Arc::new(Self {
            cluster,
            known,
            state: RwLock::new(state),
            store,
            applied: Mutex::new(checkpointed.clone().unwrap_or_default()),
            checkpointed: Mutex::new(checkpointed),
            on_disk: Arc::default(),
            snapshots,
            snapshot_chunk: AtomicUsize::new(CHUNK),
            work,
            digests: Digests::default(),
            changes: watch::Sender::new(0),
        }))
    }

    /// Limits the size of a snapshot's messages.
    pub(crate) fn send_chunks_of(&self, bytes: usize) {
        self.snapshot_chunk.store(bytes, Ordering::Relaxed);
    }

    /// Sets whether the state's invariants are checked after commands.
    pub(crate) fn check_invariants(&self, on: bool) {
        self.state_mut().check_after_commands(on);
    }

    /// The state, for reading.
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|e| e.into_inner())
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(|e| e.into_inner())
    }

    /// Notifies when entries were applied.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Log index of the last applied entry.
    pub(crate) fn applied_index(&self) -> u64 {
        lock(&self.applied).last.map_or(0, |id| id.index)
    }

    /// The digest of the state after a log entry, kept from the first request on.
    pub(crate) fn digest_at(&self, index: u64) -> DigestAt {
        self.digests.ask(index);
        // The order matters: an entry that is applied from here on sees the request.
        let applied = self.applied_index();
        DigestAt { applied, digest: self.digests.get(index) }
    }

    /// Log index of the last checkpoint.
    pub(crate) fn checkpoint_index(&self) -> u64 {
        lock(&self.checkpointed).as_ref().and_then(|a| a.last).map_or(0, |id| id.index)
    }

    pub(super) fn membership(&self) -> StoredMembership {
        lock(&self.applied).membership.clone()
    }

    pub(super) fn last_applied(&self) -> Option<LogId> {
        lock(&self.applied).last
    }

    /// Applies an entry outside of Raft; see [`super::forced`].
    pub(super) fn apply_one(&self, log_id: LogId, payload: Payload) -> io::Result<()> {
        self.apply(log_id, payload).map(drop)
    }

    /// Writes the state as if it had applied this entry and had this membership; see [`super::forced`].
    pub(super) fn write_as(&self, last: LogId, membership: StoredMembership) -> io::Result<()> {
        let frozen = self.state_mut().freeze().map_err(|e| io::Error::other(e.to_string()))?;
        let applied = Applied { last: Some(last), membership };
        let value = postcard::to_stdvec(&applied).map_err(io::Error::other)?;
        write_checkpoint(&*self.store, frozen, vec![(APPLIED.to_vec(), value)]).map_err(io::Error::other)
    }

    /// The membership of a state on disk.
    pub(super) fn membership_in(store: &dyn StateStore) -> Result<Option<StoredMembership>, ReplicaError> {
        Ok(applied_in(store)?.map(|applied| applied.membership))
    }

    pub(super) fn store(&self) -> &Arc<dyn StateStore> {
        &self.store
    }

    pub(super) fn checkpoint_meta(&self) -> Option<SnapshotMeta> {
        let applied = lock(&self.checkpointed).clone()?;
        Some(SnapshotMeta { last_log_id: applied.last, last_membership: applied.membership })
    }

    fn apply(&self, log_id: LogId, payload: Payload) -> io::Result<Response> {
        let response = match payload {
            Payload::Blank => Response::Done,
            Payload::Normal(command) => {
                let command = command.unpack().map_err(|e| invalid(log_id, &e.to_string()))?;
                // Older programs fail to decode it; a program that only acts as one has to fail as well.
                if command.mutation.since_version() > self.known {
                    let what = format!("this program does not know the command {}", command.mutation.name());
                    return Err(invalid(log_id, &what));
                }
                let request = command.mutation.request_id();
                let mut state = self.state_mut();
                let response = state.apply(log_id.index, command);
                if let Some(request) = request {
                    tracing::debug!(%request, index = log_id.index, ?response, "applied a write");
                }
                if let Some(failure) = state.failure() {
                    return Err(io::Error::other(failure.clone()));
                }
                response
            }
            Payload::Membership(membership) => {
                let membership = StoredMembership::new(Some(log_id), membership);
                check_cluster(&membership, self.cluster).map_err(io::Error::other)?;
                lock(&self.applied).membership = membership;
                Response::Done
            }
        };
        lock(&self.applied).last = Some(log_id);
        Ok(response)
    }

    fn freeze(self: &Arc<Self>, on_disk: OwnedMutexGuard<()>) -> Checkpoint {
        let frozen = self.state_mut().freeze().map_err(|e| io::Error::other(e.to_string()));
        let applied = lock(&self.applied).clone();
        Checkpoint { replica: Arc::clone(self), pending: Some((frozen, applied, on_disk)) }
    }

    /// Replaces the state by a received one, on disk first.
    fn install(&self, path: &Path) -> io::Result<()> {
        let reader = SnapshotReader::open(path).map_err(io::Error::other)?;
        let mut entries = reader.map(|entry| entry.map_err(|e| StateError::Source(Box::new(e))));
        self.store.replace_all(&mut entries).map_err(io::Error::other)?;
        let (state, checkpointed) = load(&self.store, self.known).map_err(io::Error::other)?;
        let mut old = self.state_mut();
        *old = state.observed_like(&old);
        drop(old);
        *lock(&self.applied) = checkpointed.clone().unwrap_or_default();
        *lock(&self.checkpointed) = checkpointed;
        Ok(())
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// A membership names the cluster of its members; one of another cluster is rejected.
fn check_cluster(membership: &StoredMembership, own: ClusterId) -> Result<(), ReplicaError> {
    match membership.nodes().find(|(_, member)| member.cluster != own) {
        Some((_, member)) => Err(ReplicaError::OtherCluster { found: member.cluster, own }),
        None => Ok(()),
    }
}

fn load(store: &Arc<dyn StateStore>, known: u32) -> Result<(State, Option<Applied>), ReplicaError> {
    check_seal(&**store, APPLIED)?;
    let applied = applied_in(&**store)?;
    Ok((State::load_knowing(Arc::clone(store), known)?, applied))
}

fn applied_in(store: &dyn StateStore) -> Result<Option<Applied>, ReplicaError> {
    let Some(value) = store.get(APPLIED)? else { return Ok(None) };
    let applied = postcard::from_bytes(&value).map_err(|_| LoadError::damaged("applied log id", APPLIED))?;
    Ok(Some(applied))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

fn invalid(log_id: LogId, what: &str) -> io::Error {
    let text = format!(
        "the log entry {log_id} is no command of this version ({what}); install the newest release on all nodes"
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// openraft's handle of the replica.
pub(crate) struct Machine {
    replica: Arc<Replica>,
}

impl Machine {
    pub(crate) fn of(replica: Arc<Replica>) -> Self {
        Self { replica }
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Checkpoint;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let applied = lock(&self.replica.applied).clone();
        if planted(Bug::LearnerCounts) && applied.last.is_some() {
            let nodes = applied.membership.nodes().map(|(id, node)| (*id, node.clone()));
            let nodes: BTreeMap<MemberId, Member> = nodes.collect();
            let voters = nodes.keys().copied().collect();
            let all_vote = openraft::Membership::new(vec![voters], nodes).map_err(io::Error::other)?;
            return Ok((applied.last, StoredMembership::new(*applied.membership.log_id(), all_vote)));
        }
        Ok((applied.last, applied.membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let index = entry.log_id.index;
            let response = self.replica.apply(entry.log_id, entry.payload)?;
            if self.replica.digests.is_due(index) {
                let replica = Arc::clone(&self.replica);
                let take = move || replica.digests.take(index, || replica.state().digest());
                self.replica.work.run(take).await?;
            }
            if let Some(responder) = responder {
                responder.send(response);
            }
        }
        self.replica.tell();
        Ok(())
    }

    /// A snapshot is a checkpoint. None is started while one is in progress or the last one is being streamed
    /// to a peer; openraft asks again.
    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Checkpoint> {
        let on_disk = Arc::clone(&self.replica.on_disk).try_lock_owned().ok()?;
        Some(self.replica.freeze(on_disk))
    }

    async fn get_snapshot_builder(&mut self) -> Checkpoint {
        let on_disk = Arc::clone(&self.replica.on_disk).lock_owned().await;
        self.replica.freeze(on_disk)
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        check_cluster(&meta.last_membership, self.replica.cluster).map_err(io::Error::other)?;
        let replica = Arc::clone(&self.replica);
        let (path, remove) = snapshot.installable().await?;
        let on_disk = Arc::clone(&replica.on_disk).lock_owned().await;
        let work = replica.work.clone();
        work.run(move || {
            replica.install(&path)?;
            drop(on_disk);
            if remove { std::fs::remove_file(&path) } else { io::Result::Ok(()) }
        })
        .await??;
        self.replica.tell();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let meta = self.replica.checkpoint_meta();
        Ok(meta.map(|meta| Snapshot { meta, snapshot: SnapshotData::of(&self.replica) }))
    }
}

/// A frozen checkpoint that is being written.
pub(crate) struct Checkpoint {
    replica: Arc<Replica>,
    pending: Option<Pending>,
}

/// What a checkpoint writes, up to which entry, and the lock of the disk.
type Pending = (io::Result<Frozen>, Applied, OwnedMutexGuard<()>);

impl RaftSnapshotBuilder<TypeConfig> for Checkpoint {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let pending = self.pending.take().ok_or_else(|| io::Error::other("a checkpoint is written once"))?;
        let replica = Arc::clone(&self.replica);
        if planted(Bug::EarlyPurge) {
            let applied = pending.1.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(500)).await;
                write(replica, pending).await
            });
            let meta = SnapshotMeta { last_log_id: applied.last, last_membership: applied.membership };
            return Ok(Snapshot { meta, snapshot: SnapshotData::of(&self.replica) });
        }
        let index = pending.1.last.map_or(0, |id| id.index);
        write(replica, pending).instrument(tracing::debug_span!("checkpoint", index)).await
    }
}

/// Writes a frozen checkpoint.
async fn write(replica: Arc<Replica>, pending: Pending) -> io::Result<Snapshot> {
    let work = replica.work.clone();
    work.run(move || {
        let (frozen, applied, on_disk) = pending;
        let value = postcard::to_stdvec(&applied).map_err(io::Error::other)?;
        let own = vec![(APPLIED.to_vec(), value)];
        write_checkpoint(&*replica.store, frozen?, own).map_err(io::Error::other)?;
        let written = replica.state_mut().checkpoint_written();
        drop(written);
        *lock(&replica.checkpointed) = Some(applied.clone());
        drop(on_disk);
        let meta = SnapshotMeta { last_log_id: applied.last, last_membership: applied.membership };
        Ok(Snapshot { meta, snapshot: SnapshotData::of(&replica) })
    })
    .await?
}
