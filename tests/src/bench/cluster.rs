//! A cluster of processes on this machine.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use api::TrackerApi;
use api::client::Client;
use api::model::{NodeId, NodeStatus};
use storage::env::SystemEntropy;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::link::{Link, Speed};

use super::binaries;
use super::process::Process;

/// Shortest election timeout where nodes are far from each other, ms: ten round trips of 30 ms.
const FAR_ELECTION: u64 = 300;

/// How long a cluster may take to be healthy, and a call to be served.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the checkpoint of a large load may take.
const SETTLE_PATIENCE: Duration = Duration::from_secs(120);

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
    /// Links between the nodes, and where each is.
    links: BTreeMap<NodeId, (String, Link)>,
}

impl Cluster {
    /// Starts so many nodes on empty disks and waits until they are a cluster.
    pub(super) async fn start(program: Program, size: u64, disks: TempDir) -> anyhow::Result<Self> {
        Self::linked(program, size, disks, None).await
    }

    /// The same with links of this speed between the nodes. Clients reach all nodes at once.
    pub(super) async fn linked(
        program: Program,
        size: u64,
        disks: TempDir,
        speed: Option<Speed>,
    ) -> anyhow::Result<Self> {
        let peers = (1..=size).map(|id| Ok((id, free_address()?))).collect::<std::io::Result<_>>()?;
        let mut cluster = Self { program, peers, nodes: BTreeMap::new(), disks, links: BTreeMap::new() };
        if let Some(speed) = speed {
            for (&id, server) in &cluster.peers {
                let address = free_address()?;
                let link = Link::open(&address, server, speed).await?;
                cluster.links.insert(id, (address, link));
            }
        }
        for id in 1..=size {
            cluster.start_node(id)?;
        }
        cluster.healthy().await?;
        Ok(cluster)
    }

    /// Starts a node, on the disk of its last life if it had one.
    pub(super) fn start_node(&mut self, id: NodeId) -> anyhow::Result<()> {
        let reached =
            |id: &NodeId, own: &String| self.links.get(id).map_or(own.clone(), |(link, _)| link.clone());
        let peers: Vec<_> = self.peers.iter().map(|(id, own)| format!("{id}={}", reached(id, own))).collect();
        let listen = self.peers.get(&id).filter(|_| !self.links.is_empty());
        let listen = listen.into_iter().flat_map(|listen| ["--listen".to_owned(), listen.clone()]);
        let path = |what: &str| self.folder(what, id).to_string_lossy().into_owned();
        let common = [("--id", id.to_string()), ("--peers", peers.join(",")), ("--data-dir", path("data"))];
        let common = common.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).chain(listen);
        let log = self.folder("log", id);
        let process = match &self.program {
            Program::Tracker => {
                let far =
                    [("--election-timeout", FAR_ELECTION)].into_iter().filter(|_| !self.links.is_empty());
                // Fewer than the others, however many those are.
                let far = far.chain([("--voters", 3)]);
                let far = far.flat_map(|(flag, value)| [flag.to_owned(), value.to_string()]);
                let arguments = std::iter::once("tracker".to_owned()).chain(common).chain(far);
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

    /// Stops a node as an operator does (SIGTERM).
    pub(super) async fn stop_node(&mut self, id: NodeId) -> anyhow::Result<()> {
        self.nodes.remove(&id).context("the node does not run")?.stop().await
    }

    /// Empties the disk of a node that does not run.
    pub(super) fn wipe(&self, id: NodeId) -> anyhow::Result<()> {
        anyhow::ensure!(!self.nodes.contains_key(&id), "node {id} runs");
        Ok(std::fs::remove_dir_all(self.data_dir(id))?)
    }

    /// Waits until every node that runs has all on disk as a checkpoint, so that work done before does
    /// not disturb what is measured next. Nobody may write meanwhile.
    pub(super) async fn settled(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + SETTLE_PATIENCE;
        loop {
            let statuses: Vec<_> = self.statuses().await.into_iter().flatten().collect();
            let goal = statuses.iter().map(|status| status.last_log).max().unwrap_or(0);
            let behind = statuses.iter().filter(|status| status.checkpoint < goal).count();
            if behind == 0 && statuses.len() == self.nodes.len() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("after {SETTLE_PATIENCE:?} {behind} nodes have no checkpoint of log entry {goal}");
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    /// What one node says of itself, if it answers.
    pub(super) async fn status(&self, id: NodeId) -> Option<NodeStatus> {
        let address = self.peers.get(&id)?.clone();
        Client::new(vec![address], STATUS_TIMEOUT, &SystemEntropy::new()).node_status().await.ok()
    }

    /// Waits until all nodes agree on a leader and have applied what it had when they first did, and their
    /// workers, if they have any, have started. Returns the leader.
    pub(super) async fn healthy(&mut self) -> anyhow::Result<NodeId> {
        let deadline = Instant::now() + PATIENCE;
        let mut first: Option<NodeStatus> = None;
        loop {
            for process in self.nodes.values_mut() {
                process.check()?;
            }
            let statuses: Vec<_> = self.statuses().await.into_iter().flatten().collect();
            let leader = self.agreed(&statuses);
            if leader.map(|status| status.id) != first.as_ref().map(|status| status.id) {
                first = leader.cloned();
            }
            if let Some(leader) = &first {
                if statuses.iter().all(|status| status.applied >= leader.last_log) {
                    return Ok(leader.id);
                }
            }
            if Instant::now() > deadline {
                bail!("the cluster is not healthy after {PATIENCE:?}");
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    /// The leader, if all nodes have answered and name the same one.
    fn agreed<'a>(&self, statuses: &'a [NodeStatus]) -> Option<&'a NodeStatus> {
        let leader = statuses.first()?.leader;
        let crawls = matches!(self.program, Program::Node(_));
        let well = |status: &NodeStatus| status.leader == leader && (status.workers.is_some() || !crawls);
        let all = statuses.len() == self.peers.len() && statuses.iter().all(well);
        statuses.iter().find(|status| all && Some(status.id) == leader)
    }

    async fn statuses(&self) -> Vec<Option<NodeStatus>> {
        futures::future::join_all(self.peers.keys().map(|&id| self.status(id))).await
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

    /// A node's process.
    pub(super) fn process(&self, id: NodeId) -> anyhow::Result<&Process> {
        self.nodes.get(&id).with_context(|| format!("node {id} does not run"))
    }

    /// Where a node keeps its log and its state.
    pub(super) fn data_dir(&self, id: NodeId) -> PathBuf {
        self.folder("data", id)
    }

    fn folder(&self, what: &str, id: NodeId) -> PathBuf {
        self.disks.path().join(format!("{what}-{id}"))
    }
}

/// An address of this machine that nothing listens on.
pub(super) fn free_address() -> std::io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
