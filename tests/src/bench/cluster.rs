//! A cluster of processes on this machine.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use raft::client::Client;
use raft::model::{NodeId, NodeStatus};
use storage::env::SystemEntropy;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::binaries;
use super::process::Process;

/// How long a cluster may take to be healthy, and a call to be served.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a node may take to say how it is.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// What the processes of a cluster run.
#[derive(Clone)]
pub(super) enum Program {
    /// Trackers alone.
    Tracker,
    /// `twm-node` with these further flags.
    Node(Vec<String>),
}

/// A cluster; its processes are killed and its disks removed when it is dropped.
pub(super) struct Cluster {
    program: Program,
    peers: BTreeMap<NodeId, String>,
    nodes: BTreeMap<NodeId, Process>,
    disks: TempDir,
}

impl Cluster {
    /// Starts so many nodes on empty disks and waits until they are a cluster.
    pub(super) async fn start(program: Program, size: u64, disks: TempDir) -> anyhow::Result<Self> {
        let peers = (1..=size).map(|id| Ok((id, free_address()?))).collect::<std::io::Result<_>>()?;
        let mut cluster = Self { program, peers, nodes: BTreeMap::new(), disks };
        for id in 1..=size {
            cluster.start_node(id)?;
        }
        cluster.healthy().await?;
        Ok(cluster)
    }

    /// Starts a node, on the disk of its last life if it had one.
    pub(super) fn start_node(&mut self, id: NodeId) -> anyhow::Result<()> {
        let peers: Vec<_> = self.peers.iter().map(|(id, address)| format!("{id}={address}")).collect();
        let path = |what: &str| self.disk().join(format!("{what}-{id}")).to_string_lossy().into_owned();
        let common = [("--id", id.to_string()), ("--peers", peers.join(",")), ("--data-dir", path("data"))];
        let common = common.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
        let log = self.disk().join(format!("log-{id}"));
        let process = match &self.program {
            Program::Tracker => {
                let arguments = std::iter::once("tracker".to_owned()).chain(common);
                Process::start(&format!("tracker {id}"), &binaries::this()?, arguments, &log)?
            }
            Program::Node(flags) => {
                let own =
                    ["--output".to_owned(), path("output"), "--http".to_owned(), "127.0.0.1:0".to_owned()];
                let arguments = common.chain(own).chain(flags.iter().cloned());
                Process::start(&format!("node {id}"), &binaries::beside_this("twm-node")?, arguments, &log)?
            }
        };
        self.nodes.insert(id, process);
        Ok(())
    }

    /// Kills a node's process at once.
    pub(super) async fn kill(&mut self, id: NodeId) -> anyhow::Result<()> {
        self.nodes.remove(&id).context("the node does not run")?.kill().await
    }

    /// Waits until all nodes agree on a leader and have applied what it had, and their workers, if they
    /// have any, have started. Returns the leader.
    pub(super) async fn healthy(&mut self) -> anyhow::Result<NodeId> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for process in self.nodes.values_mut() {
                process.check()?;
            }
            if let Some(leader) = self.agreed(&self.statuses().await) {
                return Ok(leader);
            }
            if Instant::now() > deadline {
                bail!("the cluster is not healthy after {PATIENCE:?}");
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    fn agreed(&self, statuses: &[Option<NodeStatus>]) -> Option<NodeId> {
        let statuses: Vec<&NodeStatus> = statuses.iter().map(Option::as_ref).collect::<Option<_>>()?;
        let leader = statuses.first()?.leader?;
        let goal = statuses.iter().find(|status| status.id == leader)?.last_log;
        let crawls = matches!(self.program, Program::Node(_));
        let well = |status: &NodeStatus| {
            status.leader == Some(leader) && status.applied >= goal && (status.workers.is_some() || !crawls)
        };
        statuses.into_iter().all(well).then_some(leader)
    }

    async fn statuses(&self) -> Vec<Option<NodeStatus>> {
        let asked = self.peers.values().map(async |address| {
            let client = Client::new(vec![address.clone()], STATUS_TIMEOUT, &SystemEntropy::new());
            client.node_status().await.ok()
        });
        futures::future::join_all(asked).await
    }

    /// A client that first talks to one node, then, when that fails, to the others.
    pub(super) fn client(&self, first: NodeId) -> Client {
        let before = self.peers.range(..first);
        let endpoints = self.peers.range(first..).chain(before).map(|(_, address)| address.clone());
        Client::new(endpoints.collect(), PATIENCE, &SystemEntropy::new())
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.peers.keys().copied()
    }

    pub(super) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.nodes.values()
    }

    /// CPU time of all processes so far, in seconds.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.processes().map(Process::cpu_seconds).sum()
    }

    pub(super) fn disk(&self) -> &Path {
        self.disks.path()
    }
}

fn free_address() -> std::io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
