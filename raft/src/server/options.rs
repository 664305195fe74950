//! What a tracker needs to know.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use storage::env::{Clock, Entropy, Work};
use storage::net::trust::Trust;

use crate::model::{CLUSTER_VERSION, Limits, NodeId};
use crate::wire::{Dial, Tcp};

use super::disks::Disks;
use super::listening::{Listen, TcpPorts};
use super::source_services::CheckFollowRule;

/// Settings and surroundings of a [`Tracker`](super::Tracker).
#[derive(Clone)]
pub struct TrackerOptions {
    /// This node.
    pub id: NodeId,
    /// The cluster's name. Nodes of another name are refused.
    pub cluster: String,
    /// The nodes that form the cluster, by id, `HOST:PORT`; this one among them. Once there is a cluster its own membership
    /// counts, and these are only compared with it. Empty for a node that joins a cluster.
    pub peers: BTreeMap<NodeId, String>,
    /// `HOST:PORT` of members of the cluster that this node joins.
    pub join: Vec<String>,
    /// How many of the first nodes vote: 3 or 5. Absent: three of up to four nodes, else five.
    pub voters: Option<usize>,
    /// The cluster to which this node's output belongs already, for people. A node that has one never forms a cluster.
    pub output_owner: Option<String>,
    /// How other nodes are reached.
    pub dial: Arc<dyn Dial>,
    /// Where this node is reached.
    pub ports: Arc<dyn Listen>,
    /// Where work is done that blocks.
    pub work: Work,
    /// Where the log and the state are kept.
    pub disks: Disks,
    /// What others have to show who connect here; absent: nothing, and everybody is an operator.
    pub trust: Option<Trust>,
    /// Where to listen, `HOST:PORT`; absent: at this node's address in `peers`.
    pub listen: Option<String>,
    /// The folder with the log and the state. One node's alone.
    pub data_dir: PathBuf,
    /// Times that every replica applies.
    pub limits: Limits,
    /// Shortest and longest election timeout. A dead leader is replaced after about the longest and
    /// a random one between the two.
    pub election_timeout: (Duration, Duration),
    /// Entries that stay in the log behind the last checkpoint, for followers that lag. One that lags
    /// further gets a snapshot.
    pub log_kept: u64,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// How long an ended crawl is kept while this node leads, in cluster time; absent: until an operator deletes it.
    pub keep_ended: Option<Duration>,
    /// The newest version of the cluster that this node carries out: [`CLUSTER_VERSION`], except in simulations of upgrades.
    pub cluster_version: u32,
    /// Whether the state machine's invariants are checked after commands; a violation stops this node.
    pub check_invariants: bool,
    /// Bytes of a snapshot that one message carries at most.
    pub snapshot_chunk: usize,
    /// Most bytes of events kept for a mirror, and the part of them that is kept behind it; 0 when there is none.
    pub events_kept: u64,
    /// Version of the program, for status.
    pub version: String,
    /// Checks the follow rules of new crawls; absent: they are taken as they are.
    pub check_follow_rule: Option<CheckFollowRule>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl TrackerOptions {
    /// Options with the default times.
    pub fn new(
        id: NodeId,
        cluster: String,
        peers: BTreeMap<NodeId, String>,
        data_dir: PathBuf,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            id,
            cluster,
            peers,
            join: Vec::new(),
            voters: None,
            output_owner: None,
            dial: Arc::new(Tcp),
            ports: Arc::new(TcpPorts),
            work: Work::default(),
            disks: Disks::default(),
            trust: None,
            listen: None,
            data_dir,
            limits: Limits::default(),
            election_timeout: (Duration::from_millis(120), Duration::from_millis(180)),
            log_kept: 5_000,
            checkpoint_interval: Duration::from_secs(1),
            keep_ended: None,
            cluster_version: CLUSTER_VERSION,
            check_invariants: false,
            snapshot_chunk: 1 << 20,
            events_kept: 0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            check_follow_rule: None,
            clock,
            entropy,
        }
    }

    /// How many of so many first nodes vote.
    pub(super) fn voters_of(&self, nodes: usize) -> usize {
        nodes.min(self.voters.unwrap_or(if nodes < 5 { 3 } else { 5 }))
    }

    /// openraft's configuration.
    pub(super) fn raft_config(&self) -> openraft::Config {
        let millis = |d: Duration| d.as_millis() as u64;
        openraft::Config {
            cluster_name: self.cluster.clone(),
            election_timeout_min: millis(self.election_timeout.0),
            election_timeout_max: millis(self.election_timeout.1),
            // A follower stands for election after the longest and a random timeout, so that it hears the
            // leader four times before.
            heartbeat_interval: (millis(self.election_timeout.0) / 2).max(1),
            enable_pre_vote: Some(true),
            // A restarted leader may lag behind what it acknowledged; an election finds that out.
            enable_leader_restore: Some(false),
            // A replaced disk is another member. One that lost what it acknowledged is cut off: see
            // `consensus::acknowledged`.
            allow_log_reversion: Some(false),
            snapshot_policy: openraft::SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.log_kept,
            purge_batch_size: 256,
            replication_lag_threshold: self.log_kept.max(1_000) * 2,
            install_snapshot_timeout: 600_000,
            max_payload_entries: 1024,
            ..openraft::Config::default()
        }
    }
}
