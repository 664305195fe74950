//! A cluster of processes on this machine.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use api::TrackerApi;
use api::client::Client;
use api::model::{NodeId, NodeStatus};
use api::wire::{Dial, Tcp, Tls};
use storage::env::SystemEntropy;
use storage::net::trust::{Trust, TrustFiles};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::link::{Link, Speed};

use super::binaries;
use super::process::Process;

/// Shortest election timeout on slow links, ms: more than six round trips of 30 ms.
const FAR_ELECTION: u64 = 200;

/// The name of all measured clusters, and of the operator that measures them.
pub(super) const CLUSTER: &str = "bench";
const OPERATOR: &str = "meter";

/// Timeout for a cluster to become healthy, and of a call.
const PATIENCE: Duration = Duration::from_secs(30);

/// Timeout for the checkpoint of a large load.
const SETTLE_PATIENCE: Duration = Duration::from_secs(120);

/// Timeout of a node's status call.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Poll interval.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// The program that the processes of a cluster run.
#[derive(Clone)]
pub(super) enum Program {
    /// Trackers alone.
    Tracker,
    /// `twm-node` with these additional flags.
    Node(Vec<String>),
}

/// A cluster. Dropping it kills its processes and removes its disks.
pub(super) struct Cluster {
    program: Program,
    peers: BTreeMap<NodeId, String>,
    nodes: BTreeMap<NodeId, Process>,
    disks: TempDir,
    /// Links between the nodes, with their addresses.
    links: BTreeMap<NodeId, (String, Link)>,
    /// Absent: no TLS.
    certificates: Option<Certificates>,
}

/// Certificates of the nodes and the operator.
struct Certificates {
    folder: PathBuf,
    operator: Trust,
    nodes: BTreeMap<NodeId, Trust>,
}

impl Cluster {
    /// Starts `size` nodes on empty disks and waits until they form a cluster.
    pub(super) async fn start(program: Program, size: u64, disks: TempDir) -> anyhow::Result<Self> {
        Self::linked(program, size, disks, None).await
    }

    /// Like [`Self::start`], with links of this speed between the nodes. Clients connect to the nodes
    /// directly.
    pub(super) async fn linked(
        program: Program,
        size: u64,
        disks: TempDir,
        speed: Option<Speed>,
    ) -> anyhow::Result<Self> {
        let mut cluster = Self::of(program, size, disks)?;
        if let Some(speed) = speed {
            for (&id, server) in &cluster.peers {
                let address = free_address()?;
                let link = Link::open(&address, server, speed).await?;
                cluster.links.insert(id, (address, link));
            }
        }
        cluster.form().await
    }

    /// Like [`Self::start`], with TLS: every node and every client presents a certificate.
    pub(super) async fn trusting(size: u64, disks: TempDir) -> anyhow::Result<Self> {
        let mut cluster = Self::of(Program::Tracker, size, disks)?;
        let folder = cluster.disks.path().join("certificates");
        let issue = |arguments: &[&str]| {
            let mut command = std::process::Command::new(binaries::beside_this("twm-ctl")?);
            let output = command.arg("certs").args(arguments).arg("--dir").arg(&folder).output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            anyhow::ensure!(output.status.success(), "twm-ctl certs {arguments:?}: {said}");
            anyhow::Ok(())
        };
        issue(&["init", "--cluster", CLUSTER])?;
        issue(&["issue", "--operator", OPERATOR])?;
        (1..=size).try_for_each(|id| issue(&["issue", "--node", &id.to_string()]))?;
        let load = |name: &str| Trust::load(certificate(&folder, name));
        let nodes = (1..=size).map(|id| Ok((id, load(&node_certificate(id))?)));
        let nodes = nodes.collect::<anyhow::Result<_>>()?;
        cluster.certificates =
            Some(Certificates { operator: load(&format!("operator-{OPERATOR}"))?, nodes, folder });
        cluster.form().await
    }

    fn of(program: Program, size: u64, disks: TempDir) -> anyhow::Result<Self> {
        let peers = (1..=size).map(|id| Ok((id, free_address()?))).collect::<std::io::Result<_>>()?;
        let (nodes, links) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { program, peers, nodes, disks, links, certificates: None })
    }

    async fn form(mut self) -> anyhow::Result<Self> {
        let ids: Vec<_> = self.ids().collect();
        ids.into_iter().try_for_each(|id| self.start_node(id))?;
        self.healthy().await?;
        Ok(self)
    }

    /// Starts a node, on its previous disk if it had one.
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
            Program::Tracker => self.start_tracker(id, common)?,
            Program::Node(flags) => {
                let elsewhere = flags.iter().any(|flag| flag.starts_with("--output="));
                let output = (!elsewhere).then(|| format!("--output={}", path("output")));
                let own = output.into_iter().chain(["--http=127.0.0.1:0".to_owned()]);
                let arguments = common.chain(own).chain(flags.iter().cloned());
                Process::start(&format!("node {id}"), &binaries::beside_this("twm-node")?, arguments, &log)?
            }
        };
        self.nodes.insert(id, process);
        Ok(())
    }

    fn start_tracker(&self, id: NodeId, common: impl Iterator<Item = String>) -> anyhow::Result<Process> {
        let far = [("--election-timeout", FAR_ELECTION)].into_iter().filter(|_| !self.links.is_empty());
        // Three voters, also with more than four nodes.
        let far = far.chain([("--voters", 3)]);
        let far = far.flat_map(|(flag, value)| [flag.to_owned(), value.to_string()]);
        let folder = self.certificates.iter().map(|certificates| certificates.folder.display().to_string());
        let trust = folder.flat_map(|folder| ["--certificates".to_owned(), folder]);
        let arguments = std::iter::once("tracker".to_owned()).chain(common).chain(far).chain(trust);
        Process::start(&format!("tracker {id}"), &binaries::this()?, arguments, &self.folder("log", id))
    }

    /// Starts a tracker that joins with an empty disk, at its own address.
    pub(super) fn join_tracker(&mut self, id: NodeId, address: &str) -> anyhow::Result<()> {
        let members = self.peers.values().cloned().collect::<Vec<_>>().join(",");
        let data = self.data_dir(id).display().to_string();
        let flags = [("--id", id.to_string()), ("--join", members), ("--data-dir", data)];
        let flags = flags.into_iter().chain([("--listen", address.to_owned())]);
        let process = self.start_tracker(id, flags.flat_map(|(flag, value)| [flag.to_owned(), value]))?;
        self.nodes.insert(id, process);
        self.peers.insert(id, address.to_owned());
        Ok(())
    }

    /// Removes a node that has left, and kills its process.
    pub(super) async fn forget(&mut self, id: NodeId) -> anyhow::Result<()> {
        self.peers.remove(&id);
        match self.nodes.remove(&id) {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Sets a new address for a node.
    pub(super) fn move_to(&mut self, id: NodeId, address: String) {
        self.peers.insert(id, address);
    }

    /// Kills a node's process (SIGKILL).
    pub(super) async fn kill(&mut self, id: NodeId) -> anyhow::Result<()> {
        self.nodes.remove(&id).context("the node does not run")?.kill().await
    }

    /// Stops a node as an operator would (SIGTERM).
    pub(super) async fn stop_node(&mut self, id: NodeId) -> anyhow::Result<()> {
        self.nodes.remove(&id).context("the node does not run")?.stop().await
    }

    /// Deletes the disk of a stopped node.
    pub(super) fn wipe(&self, id: NodeId) -> anyhow::Result<()> {
        anyhow::ensure!(!self.nodes.contains_key(&id), "node {id} runs");
        Ok(std::fs::remove_dir_all(self.data_dir(id))?)
    }

    /// Waits until every running node has a checkpoint of its whole log, so that earlier work does not
    /// disturb the next measurement. There must be no writes meanwhile.
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

    /// The status of one node, if it answers.
    pub(super) async fn status(&self, id: NodeId) -> Option<NodeStatus> {
        let address = self.peers.get(&id)?.clone();
        let dial = self.dial(None);
        let client = Client::dialling(dial, vec![address], STATUS_TIMEOUT, &SystemEntropy::new());
        client.node_status().await.ok()
    }

    /// Waits until all nodes agree on a leader, have applied the log that the leader had when they first
    /// agreed, and have started their workers, if any. Returns the leader.
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

    /// The leader, if all nodes have answered and report the same one.
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

    /// An operator's client that tries node `first` first and falls back to the others.
    pub(super) fn client(&self, first: NodeId) -> Client {
        self.client_as(None, first)
    }

    /// The same for a node's client.
    pub(super) fn client_of(&self, node: NodeId, first: NodeId) -> Client {
        self.client_as(Some(node), first)
    }

    fn client_as(&self, node: Option<NodeId>, first: NodeId) -> Client {
        let before = self.peers.range(..first);
        let endpoints = self.peers.range(first..).chain(before).map(|(_, address)| address.clone());
        Client::dialling(self.dial(node), endpoints.collect(), PATIENCE, &SystemEntropy::new())
    }

    /// The transport of a node or an operator.
    fn dial(&self, node: Option<NodeId>) -> Arc<dyn Dial> {
        let Some(Certificates { operator, nodes, .. }) = &self.certificates else { return Arc::new(Tcp) };
        Arc::new(Tls(node.and_then(|node| nodes.get(&node)).unwrap_or(operator).clone()))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.peers.keys().copied()
    }

    pub(super) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.nodes.values()
    }

    /// Total CPU time of all processes so far, in seconds.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.processes().map(Process::cpu_seconds).sum()
    }

    /// A node's process.
    pub(super) fn process(&self, id: NodeId) -> anyhow::Result<&Process> {
        self.nodes.get(&id).with_context(|| format!("node {id} does not run"))
    }

    /// Folder of a node's log and state.
    pub(super) fn data_dir(&self, id: NodeId) -> PathBuf {
        self.folder("data", id)
    }

    pub(super) fn folder(&self, what: &str, id: NodeId) -> PathBuf {
        self.disks.path().join(format!("{what}-{id}"))
    }
}

/// The name of a node's certificate.
pub(super) fn node_certificate(id: NodeId) -> String {
    format!("node-{id}")
}

/// The files of the certificate with this name.
pub(super) fn certificate(folder: &Path, name: &str) -> TrustFiles {
    let file = |name: String| folder.join(name);
    TrustFiles {
        ca: file("ca.crt".to_owned()),
        cert: file(format!("{name}.crt")),
        key: file(format!("{name}.key")),
    }
}

/// A free address on this machine.
pub(super) fn free_address() -> std::io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
