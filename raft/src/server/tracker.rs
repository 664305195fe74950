//! The handle of the tracker: start and stop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use storage::datadir::{DataDir, DataDirError, Identity, Stage};
use storage::env::WorkLost;
use storage::planted::{Bug, planted};
use storage::state::StateError;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::consensus::{
    LogStore, Machine, Member, Network, Peers, Raft, Replica, ReplicaError, SnapshotInbox,
};
use crate::model::{ClusterId, MemberId, NodeId, StorageId};

use crate::wire::Formation;

use super::calls::Proposals;
use super::check::CheckLock;
use super::cluster_clock::ClusterClock;
use super::members::MembershipLocks;
use super::opening::Opened;
use super::options::TrackerOptions;
use super::raft_contact::RaftContact;
use super::sessions::SessionHeartbeats;
use super::source_services::NodeSources;
use super::status::AboutProcess;
use super::term::OpenedTerm;
use super::told_peers::ToldPeers;
use super::{checkpoints, listener, members, opening, sessions};

/// How long a stopping leader waits for another node to lead.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause between two checks for a failure.
const FAILURE_PAUSE: Duration = Duration::from_millis(500);

/// Why a tracker has to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The cluster replaced this disk or removed the node: the text says which, and what to do.
    Retired(String),
    /// The replica or its log is broken.
    Broken(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Ended::Retired(why) | Ended::Broken(why)) = self;
        f.write_str(why)
    }
}

/// A running tracker. Clones share it.
#[derive(Clone)]
pub struct Tracker {
    pub(super) inner: Arc<Inner>,
}

/// The stores and services that all parts of the tracker use, and the parts. A part's fields are private to the file
/// that defines it.
pub(super) struct Inner {
    pub(super) options: TrackerOptions,
    pub(super) raft: Raft,
    pub(super) replica: Arc<Replica>,
    pub(super) log: LogStore,
    pub(super) peers: Peers,
    pub(super) inbox: SnapshotInbox,

    pub(super) clock: ClusterClock,
    pub(super) heartbeats: SessionHeartbeats,
    pub(super) opened_term: OpenedTerm,
    pub(super) contact: RaftContact,
    pub(super) proposals: Proposals,
    pub(super) membership: MembershipLocks,
    pub(super) checking: CheckLock,
    pub(super) about_process: AboutProcess,
    pub(super) sources: NodeSources,
    pub(super) told_peers: ToldPeers,
    stopping: watch::Sender<bool>,
    data: DataDir,
}

/// The tracker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address to listen on is unknown.
    #[error(
        "--peers does not name node {id}; give every node the same list with its own id in it, or start a node that \
         joins a cluster with --join HOST:PORT and --listen HOST:PORT"
    )]
    NotAPeer {
        /// The node.
        id: NodeId,
    },
    /// The cluster refuses this node.
    #[error("{0}")]
    Refused(String),
    /// All nodes are empty, but the output is not.
    #[error(
        "the data directories of all nodes are empty, but this node's output belongs to cluster {owner}: their volumes \
         may not be mounted. Mount them; or, if that cluster is gone for good, start with --adopt-output to form a new one"
    )]
    WouldForm {
        /// The cluster.
        owner: String,
    },
    /// The port cannot be opened.
    #[error("cannot listen on {address}: {source}; choose another with --listen, or stop what uses it")]
    Listen {
        /// The address.
        address: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The data directory belongs to another node, or is in use.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The state cannot be opened.
    #[error(transparent)]
    State(#[from] StateError),
    /// The state cannot be read.
    #[error("{0}")]
    Replica(String),
    /// The log cannot be opened.
    #[error(
        "the Raft log in {path} cannot be opened: {source}; if the disk lost data, replace it: move the data directory away, run `twm-ctl member replace` for this node and start it again"
    )]
    Log {
        /// The folder.
        path: PathBuf,
        /// What was found.
        source: io::Error,
    },
    /// Raft did not start.
    #[error("Raft cannot start: {0}")]
    Raft(String),
    /// The log and the state belong to one data directory, and one of them lacks what the other builds on.
    #[error(
        "the Raft log and the state in {} do not fit together ({why}): the disk lost data of one of them; move the data directory away, run `twm-ctl member replace` for this node and start it again",
        path.display()
    )]
    Unfit {
        /// The data directory.
        path: PathBuf,
        /// What Raft says.
        why: String,
    },
}

impl From<WorkLost> for StartError {
    fn from(lost: WorkLost) -> Self {
        Self::Replica(lost.to_string())
    }
}

impl From<ReplicaError> for StartError {
    fn from(error: ReplicaError) -> Self {
        Self::Replica(error.to_string())
    }
}

impl Tracker {
    /// Listens, becomes a member of the cluster if this node is not one yet, opens what is on disk and takes part.
    ///
    /// Waits until the cluster is formed or has admitted this node; what it waits for is logged and reported to those
    /// who ask. The future may be dropped at any time.
    ///
    /// # Errors
    /// What keeps this node from being a member.
    pub async fn start(options: TrackerOptions) -> Result<Self, StartError> {
        let id = options.id;
        let address = options.listen.as_ref().or(options.peers.get(&id)).cloned();
        let address = address.ok_or(StartError::NotAPeer { id })?;
        let found = opening::look(&options).await?;
        let bound = options.ports.listen(&address).await;
        let bound = bound.map_err(|source| StartError::Listen { address: address.clone(), source })?;
        let Opened { data, formation } = opening::open(&options, found, &*bound).await?;
        let (data, replica, log) = open_stores(data, &options).await?;

        let (cluster, own) = (opening::cluster_of(&data), opening::member_of(&data));
        let peers = Peers::of(cluster, own, options.dial.clone());
        let config = options.raft_config().validate().map_err(|e| StartError::Raft(e.to_string()))?;
        let (network, machine) = (Network::over(peers.clone()), Machine::of(Arc::clone(&replica)));
        let raft = Raft::new(own, Arc::new(config), network, log.clone(), machine);
        let unfit = |why: String| StartError::Unfit { path: options.data_dir.clone(), why };
        let raft = raft.await.map_err(|error| unfit(error.to_string()))?;
        let data = match &formation {
            Some(formation) => initialize(&raft, &options, formation, data).await?,
            None => data,
        };
        let tracker = Self {
            inner: Arc::new(Inner {
                raft,
                replica,
                log,
                peers,
                inbox: SnapshotInbox::in_dir(data.snapshots(), options.work.clone()),
                clock: ClusterClock::default(),
                heartbeats: SessionHeartbeats::default(),
                opened_term: OpenedTerm::default(),
                contact: RaftContact::default(),
                proposals: Proposals::new(&*options.entropy),
                membership: MembershipLocks::default(),
                checking: CheckLock::default(),
                about_process: AboutProcess::started_at(options.clock.monotonic()),
                sources: NodeSources::default(),
                told_peers: ToldPeers::default(),
                stopping: watch::Sender::new(false),
                data,
                options,
            }),
        };
        tracker.learn_addresses();
        tokio::spawn(listener::run(tracker.clone(), bound));
        if let Some(formation) = formation {
            tokio::spawn(opening::announce(tracker.clone(), formation));
        }
        tokio::spawn(members::run(tracker.clone()));
        tokio::spawn(sessions::run(tracker.clone()));
        tokio::spawn(checkpoints::run(tracker.clone()));
        tracing::info!(%cluster, member = %own, %address, "tracker listens");
        Ok(tracker)
    }

    /// Transfers the leadership to another node if possible, then stops.
    pub async fn stop(&self) {
        if self.leads() && self.membership().0.voter_ids().count() > 1 {
            let transfer = tokio::time::timeout(TRANSFER_TIMEOUT, self.give_leadership(None)).await;
            if let Err(_) | Ok(Err(_)) = transfer {
                tracing::warn!("no other node took the leadership over; an election will follow");
            }
        }
        self.inner.stopping.send_replace(true);
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(%error, "raft did not stop cleanly");
        }
    }

    /// Resolves with the reason when the replica can no longer continue. The node has to stop then.
    pub async fn failed(&self) -> Ended {
        let mut metrics = self.inner.raft.metrics();
        let mut retired = self.inner.peers.retired();
        loop {
            if let Some(why) = &*retired.borrow_and_update() {
                return Ended::Retired(why.clone());
            }
            if let Err(fatal) = &metrics.borrow_and_update().running_state {
                if !*self.inner.stopping.borrow() {
                    return Ended::Broken(fatal.to_string());
                }
            }
            let changed = tokio::select! {
                biased;
                changed = metrics.changed() => changed.is_ok(),
                // The sender lives as long as this handle.
                told = retired.changed() => told.is_ok(),
            };
            if !changed {
                return Ended::Broken("raft stopped".to_owned());
            }
            // They change with every turn of Raft's loop, some hundred times a second in an idle cluster.
            sleep(FAILURE_PAUSE).await;
        }
    }

    /// Resolves when the tracker stops.
    pub(super) async fn stopped(&self) {
        let mut stopping = self.inner.stopping.subscribe();
        // The sender lives as long as this handle.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// The cluster.
    pub fn cluster_id(&self) -> ClusterId {
        opening::cluster_of(&self.inner.data)
    }

    /// This node and its disk, as Raft knows them.
    pub fn member(&self) -> MemberId {
        self.inner.peers.own()
    }

    /// Seconds until this node's certificate expires, negative if it has; absent without TLS.
    pub fn certificate_ends_in(&self) -> Option<i64> {
        let options = &self.inner.options;
        let until = options.trust.as_ref()?.own().not_after;
        Some(until.saturating_sub(i64::try_from(options.clock.wall().as_secs()).unwrap_or(i64::MAX)))
    }

    /// The file that stores rate budgets.
    pub fn budgets_path(&self) -> PathBuf {
        self.inner.data.budgets()
    }

    /// The folder that stores what waits for a mirror.
    pub fn spool_path(&self) -> PathBuf {
        self.inner.data.root().join("spool")
    }

    /// The folder that stores the provenance that waits for an output: the output's storage, and how often it was taken over.
    pub fn provenance_path(&self, storage: StorageId, epoch: u64) -> PathBuf {
        self.inner.data.root().join("provenance").join(format!("{:016x}-{epoch}", storage.0))
    }

    /// The cluster's version, as this replica knows it.
    pub fn cluster_version(&self) -> u32 {
        self.inner.replica.state().version()
    }

    /// Index of the last entry that this replica has applied.
    pub fn applied_index(&self) -> u64 {
        self.inner.replica.applied_index()
    }

    pub(super) fn monotonic(&self) -> Duration {
        self.inner.options.clock.monotonic()
    }

    /// The clock by which sessions are silent.
    pub(super) fn session_time(&self) -> Duration {
        if planted(Bug::WallClockSessions) {
            return self.inner.options.clock.wall();
        }
        self.monotonic()
    }
}

/// Opens the stores in the data directory, off the async runtime.
async fn open_stores(
    data: DataDir,
    options: &TrackerOptions,
) -> Result<(DataDir, Arc<Replica>, LogStore), StartError> {
    let (check_invariants, snapshot_chunk) = (options.check_invariants, options.snapshot_chunk);
    let known = options.cluster_version;
    let (disks, work) = (options.disks.clone(), options.work.clone());
    let opened = options.work.run(move || {
        let owner = log_owner(data.identity());
        let log = match data.identity().stage {
            Stage::Member => disks.logs.open(&data.log(), &owner),
            Stage::Forming => disks.logs.create(&data.log(), &owner),
        };
        let log = log.map_err(|source| StartError::Log { path: data.log(), source })?;
        let store = (disks.states)(&data.state())?;
        let replica = Replica::open(store, data.snapshots(), opening::cluster_of(&data), known, work);
        let replica =
            replica.map_err(|error| StartError::Replica(format!("{}: {error}", data.state().display())))?;
        replica.check_invariants(check_invariants);
        replica.send_chunks_of(snapshot_chunk);
        let folder = data.snapshots();
        std::fs::create_dir_all(&folder).map_err(|source| StartError::Log { path: folder, source })?;
        Ok((data, replica, log))
    });
    opened.await?
}

/// The owner of a data directory's log.
pub(super) fn log_owner(identity: &Identity) -> String {
    format!("cluster {:032x} node {} disk {:016x}", identity.cluster, identity.node, identity.disk)
}

/// Writes the first entry of a new cluster, its membership. From then on the data directory is a member's.
async fn initialize(
    raft: &Raft,
    options: &TrackerOptions,
    formation: &Formation,
    mut data: DataDir,
) -> Result<DataDir, StartError> {
    let address = |node: NodeId| options.peers.get(&node).cloned().unwrap_or_default();
    let member = |(&node, &disk)| {
        (MemberId { node, disk }, Member { address: address(node), cluster: formation.cluster })
    };
    let members: BTreeMap<MemberId, Member> = formation.disks.iter().map(member).collect();
    match raft.initialize(members).await {
        // An earlier attempt was interrupted between the two.
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
        Err(error) => return Err(StartError::Raft(error.to_string())),
    }
    let written = options.work.run(move || {
        let member = Identity { stage: Stage::Member, ..data.identity().clone() };
        data.set_identity(member).map(|()| data)
    });
    Ok(written.await??)
}
