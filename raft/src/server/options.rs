//! Options of a tracker.

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

/// Settings and environment of a [`Tracker`](super::Tracker).
#[derive(Clone)]
pub struct TrackerOptions {
    /// This node.
    pub id: NodeId,
    /// The cluster's name. Nodes with another name are refused.
    pub cluster: String,
    /// The nodes that form the cluster, by id, `HOST:PORT`, including this one. Once the cluster exists, its
    /// membership counts, and these are only compared with it. Empty for a node that joins a cluster.
    pub peers: BTreeMap<NodeId, String>,
    /// `HOST:PORT` of members of the cluster that this node joins.
    pub join: Vec<String>,
    /// How many of the first nodes vote: 3 or 5. Absent: three of up to four nodes, otherwise five.
    pub voters: Option<usize>,
    /// The cluster that owns this node's output, for messages. A node whose output has an owner never forms a
    /// cluster.
    pub output_owner: Option<String>,
    /// Connects to other nodes.
    pub dial: Arc<dyn Dial>,
    /// Listens for other nodes.
    pub ports: Arc<dyn Listen>,
    /// Runs blocking work.
    pub work: Work,
    /// Where the log and the state are stored.
    pub disks: Disks,
    /// The certificates required of callers; absent: none, and everybody is an operator.
    pub trust: Option<Trust>,
    /// The address to listen on, `HOST:PORT`; absent: this node's address in `peers`.
    pub listen: Option<String>,
    /// The folder with the log and the state, used by this node only.
    pub data_dir: PathBuf,
    /// Settings that every replica applies.
    pub limits: Limits,
    /// Shortest and longest election timeout. A dead leader is replaced after about the longest one plus a
    /// random one between the two.
    pub election_timeout: (Duration, Duration),
    /// Entries kept in the log behind the last checkpoint for followers that lag. A follower that lags
    /// further gets a snapshot.
    pub log_kept: u64,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// How long an ended crawl is kept while this node leads, in cluster time; absent: until an operator deletes it.
    pub keep_ended: Option<Duration>,
    /// The newest cluster version that this node supports: [`CLUSTER_VERSION`], except in simulations of upgrades.
    pub cluster_version: u32,
    /// Whether the state machine's invariants are checked after commands; a violation stops this node.
    pub check_invariants: bool,
    /// Most bytes of a snapshot in one message.
    pub snapshot_chunk: usize,
    /// Most bytes of events kept for a mirror; 0 without a mirror.
    pub events_kept: u64,
    /// Version of the program, for status.
    pub version: String,
    /// Checks the follow rules of new crawls; absent: they are not checked.
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

    /// How many of this many first nodes vote.
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
            // A follower stands for election after the longest timeout plus a random one, so that four
            // heartbeats fit before.
            heartbeat_interval: (millis(self.election_timeout.0) / 2).max(1),
            enable_pre_vote: Some(true),
            // A restarted leader may lag behind what it acknowledged; an election finds that out.
            enable_leader_restore: Some(false),
            // A replaced disk is another member. A follower that lost what it acknowledged is cut off: see
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

#[cfg(test)]
mod tests {
    use storage::env::{SeededEntropy, SystemClock};

    use super::*;

    #[test]
    fn rafts_settings_keep_the_promise_and_its_times_follow_those_of_the_tracker() {
        let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SeededEntropy::new(1)));
        let mut options =
            TrackerOptions::new(1, "main".to_owned(), BTreeMap::new(), PathBuf::new(), clock, entropy);
        options.election_timeout = (Duration::from_millis(800), Duration::from_millis(1_600));
        options.log_kept = 5_000;
        let config = options.raft_config();
        assert_eq!(config.cluster_name, "main");
        // Half of the shortest timeout: one lost heartbeat begins no election.
        let times = (config.election_timeout_min, config.election_timeout_max, config.heartbeat_interval);
        assert_eq!(times, (800, 1_600, 400));
        // A node that was cut off disturbs nobody, a restarted leader proves what it has, and a log that lost entries
        // is not continued.
        assert_eq!((config.enable_pre_vote, config.enable_leader_restore), (Some(true), Some(false)));
        assert_eq!(config.allow_log_reversion, Some(false));
        // Checkpoints and snapshots are made by the replica.
        assert!(matches!(config.snapshot_policy, openraft::SnapshotPolicy::Never));
        // A follower gets a snapshot only if it lags behind more than the log keeps.
        assert_eq!((config.max_in_snapshot_log_to_keep, config.replication_lag_threshold), (5_000, 10_000));
        options.log_kept = 60;
        assert_eq!(options.raft_config().replication_lag_threshold, 2_000);
        assert!(config.validate().is_ok());
    }
}
