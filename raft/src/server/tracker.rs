//! The handle, start and stop.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use storage::datadir::{DataDir, DataDirError};
use storage::state::{SledStore, StateError};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use crate::consensus::{LogStore, Machine, Network, Peers, Raft, Replica, ReplicaError, SnapshotInbox};
use crate::model::{NodeId, StorageId, WorkerStatus};

use super::cluster_clock::ClusterClock;
use super::network::ResolveNames;
use super::options::TrackerOptions;
use super::sessions::Heard;
use super::{bootstrap, checkpoints, listener, sessions};

/// Proposals under way at most. Further ones wait their turn.
const MAX_PROPOSALS: usize = 1024;

/// How long a stopping leader waits for another node to lead.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause between two looks for a failure.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// A running tracker. Clones share it.
#[derive(Clone)]
pub struct Tracker {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) options: TrackerOptions,
    pub(super) raft: Raft,
    pub(super) replica: Arc<Replica>,
    pub(super) log: LogStore,
    pub(super) peers: Peers,
    pub(super) inbox: SnapshotInbox,
    pub(super) clock: ClusterClock,
    pub(super) heard: Heard,
    pub(super) proposals: Semaphore,
    /// False while this node may not vote: its disk is new and others may know of votes it gave.
    pub(super) may_vote: AtomicBool,
    pub(super) workers: RwLock<Option<WorkerStatusSource>>,
    pub(super) resolver: RwLock<Option<ResolveNames>>,
    pub(super) stopping: watch::Sender<bool>,
    pub(super) started: Duration,
    pub(super) data: DataDir,
}

pub(super) type WorkerStatusSource = Arc<dyn Fn() -> WorkerStatus + Send + Sync>;

/// The tracker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// This node is not among the peers.
    #[error("--peers does not name node {id}; give every node the same list with its own id in it")]
    NotAPeer {
        /// The node.
        id: NodeId,
    },
    /// The port cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --listen, or stop what uses it")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory is not this node's, or in use.
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
        "the Raft log in {path} cannot be opened: {source}; if the disk lost data, restore this node from its peers: move its data directory away and start it again"
    )]
    Log {
        /// The folder.
        path: PathBuf,
        /// What was found.
        source: io::Error,
    },
    /// The data directory cannot be written.
    #[error("cannot write {path}: {source}; make room, or give this node the right to write there")]
    Mark {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Raft did not start.
    #[error("Raft cannot start: {0}")]
    Raft(String),
}

impl From<ReplicaError> for StartError {
    fn from(error: ReplicaError) -> Self {
        Self::Replica(error.to_string())
    }
}

impl Tracker {
    /// Opens what is on disk, listens, and takes part in the cluster. With equal `peers` on all nodes
    /// a new cluster forms by itself, and a restarted node finds its place again.
    pub async fn start(options: TrackerOptions) -> Result<Self, StartError> {
        let id = options.id;
        let own = options.peers.get(&id).cloned().ok_or(StartError::NotAPeer { id })?;
        let address = options.listen.clone().unwrap_or(own);
        let (data, replica, log) = open(&options).await?;
        let listener = TcpListener::bind(&address).await;
        let listener = listener.map_err(|source| StartError::Listen { address: address.clone(), source })?;

        let peers = Peers::of_cluster(options.cluster.clone());
        let config = options.raft_config().validate().map_err(|e| StartError::Raft(e.to_string()))?;
        let fresh = bootstrap::is_fresh(&log, &replica).await;
        if fresh.map_err(|e| StartError::Raft(e.to_string()))? {
            bootstrap::mark_rejoining(&data)?;
        }
        let raft = Raft::new(
            id,
            Arc::new(config),
            Network::of_node(id, peers.clone()),
            log.clone(),
            Machine::of(Arc::clone(&replica)),
        );
        let raft = raft.await.map_err(|e| StartError::Raft(e.to_string()))?;
        let rejoins = bootstrap::rejoins(&data);
        raft.runtime_config().elect(!rejoins);
        let tracker = Self {
            inner: Arc::new(Inner {
                raft,
                replica,
                log,
                peers,
                inbox: SnapshotInbox::in_dir(data.snapshots()),
                clock: ClusterClock::default(),
                heard: Heard::default(),
                proposals: Semaphore::new(MAX_PROPOSALS),
                may_vote: AtomicBool::new(!rejoins),
                workers: RwLock::new(None),
                resolver: RwLock::new(None),
                stopping: watch::Sender::new(false),
                started: options.clock.monotonic(),
                data,
                options,
            }),
        };
        tokio::spawn(listener::run(tracker.clone(), listener));
        tokio::spawn(bootstrap::run(tracker.clone()));
        tokio::spawn(sessions::run(tracker.clone()));
        tokio::spawn(checkpoints::run(tracker.clone()));
        tracing::info!(node = id, %address, "tracker listens");
        Ok(tracker)
    }

    /// Gives leadership to another node if there is one, then stops.
    pub async fn stop(&self) {
        if self.leads() && self.inner.options.peers.len() > 1 {
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

    /// Resolves when the replica cannot go on, with the reason. The node has to stop then.
    pub async fn failed(&self) -> String {
        let mut metrics = self.inner.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_and_update().running_state {
                if !*self.inner.stopping.borrow() {
                    return fatal.to_string();
                }
            }
            if metrics.changed().await.is_err() {
                return "raft stopped".to_owned();
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

    /// Where this node's dataset files lie when they are its own.
    pub fn storage_id(&self) -> StorageId {
        StorageId(self.inner.data.identity().storage)
    }

    /// The file in which rate budgets are remembered.
    pub fn budgets_path(&self) -> PathBuf {
        self.inner.data.budgets()
    }

    /// The folder in which what waits for a mirror is kept.
    pub fn spool_path(&self) -> PathBuf {
        self.inner.data.root().join("spool")
    }

    /// Lets status say what the node's workers do.
    pub fn set_worker_status(&self, source: WorkerStatusSource) {
        *self.inner.workers.write().unwrap_or_else(|e| e.into_inner()) = Some(source);
    }

    /// Whether this node believes to lead.
    pub(super) fn leads(&self) -> bool {
        self.inner.raft.is_leader()
    }

    pub(super) fn monotonic(&self) -> Duration {
        self.inner.options.clock.monotonic()
    }

    /// Whether this node may help to elect a leader.
    pub(super) fn may_vote(&self) -> bool {
        self.inner.may_vote.load(Ordering::Acquire)
    }
}

/// Opens the data directory and what is in it, off the async runtime.
async fn open(options: &TrackerOptions) -> Result<(DataDir, Arc<Replica>, LogStore), StartError> {
    let options = options.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let data = DataDir::open(&options.data_dir, &options.cluster, options.id, &*options.entropy)?;
        let store = SledStore::open(&data.state())?;
        let replica = Replica::open(Arc::new(store), data.snapshots())?;
        replica.check_invariants(options.check_invariants);
        let snapshots = data.snapshots();
        std::fs::create_dir_all(&snapshots).map_err(|source| StartError::Log { path: snapshots, source })?;
        let (folder, owner) = (data.log(), StorageId(data.identity().storage).to_string());
        let log =
            if folder.exists() { LogStore::open(&folder, &owner) } else { LogStore::create(&folder, &owner) };
        let log = log.map_err(|source| StartError::Log { path: folder, source })?;
        Ok((data, replica, log))
    });
    opened.await.map_err(|e| StartError::Replica(e.to_string()))?
}
