//! A running cluster and operations on its nodes.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use api::client::Client;
use api::wire::{Dial, Tcp, Tls};
use storage::env::SystemEntropy;
use storage::net::trust::{Trust, TrustFiles};

use crate::link::{Link, Speed};

use super::{Builder, DEADLINE, Folder, Node, Output, Subnet, builder};

/// A cluster of processes. Dropping it kills its processes.
pub struct Cluster {
    // Dropped in this order: processes before the resources that they use.
    nodes: BTreeMap<u64, Node>,
    links: Vec<Link>,
    client: Client,
    subnet: Subnet,
    folder: Folder,
    output: Output,
    addresses: u8,
    peers: BTreeMap<u64, String>,
}

impl Cluster {
    /// Settings of a cluster to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn new(
        folder: Folder,
        subnet: Subnet,
        output: Output,
        addresses: u8,
        peers: BTreeMap<u64, String>,
        nodes: BTreeMap<u64, Node>,
    ) -> anyhow::Result<Self> {
        let certificates = builder::certificates(&folder);
        let dial: Arc<dyn Dial> = match certificates.exists() {
            true => {
                let file = |name: &str| certificates.join(name);
                let (cert, key) = (file("operator-harness.crt"), file("operator-harness.key"));
                Arc::new(Tls(Trust::load(TrustFiles { ca: file("ca.crt"), cert, key })?))
            }
            false => Arc::new(Tcp),
        };
        let endpoints = peers.values().cloned().collect();
        let client = Client::dialling(dial, endpoints, DEADLINE, &SystemEntropy::new());
        Ok(Self { nodes, links: Vec::new(), client, subnet, folder, output, addresses, peers })
    }

    /// Opens a link to each node.
    pub(super) async fn open_links(&mut self, speed: Speed) -> anyhow::Result<()> {
        for (&id, server) in &self.peers {
            let listen = builder::link_address(&self.subnet, id);
            self.links.push(Link::open(&listen, server, speed).await?);
        }
        Ok(())
    }

    /// The flags that give `twm-ctl` the certificate `name`; none if the cluster has no certificates.
    pub fn tls_flags(&self, name: &str) -> Vec<String> {
        match builder::certificates(&self.folder).exists() {
            true => builder::tls_flags(&self.folder, name).into(),
            false => Vec::new(),
        }
    }

    /// The ids of all nodes, running or not.
    pub fn ids(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    /// A node.
    ///
    /// # Errors
    /// There is no node with this id.
    pub fn node(&mut self, id: u64) -> anyhow::Result<&mut Node> {
        self.nodes.get_mut(&id).with_context(|| format!("there is no node {id}"))
    }

    /// Starts every node that is not running, with its previous flags.
    ///
    /// # Errors
    /// A node cannot be started.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        self.nodes.values_mut().filter(|node| !node.runs()).try_for_each(Node::start)
    }

    /// Waits until every running node is ready.
    ///
    /// # Errors
    /// A node exited, or is not ready before the deadline.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        for node in self.nodes.values_mut().filter(|node| node.runs()) {
            node.ready().await?;
        }
        Ok(())
    }

    /// Starts a node with its previous flags and waits until it is ready.
    ///
    /// # Errors
    /// The node is already running, or is not ready before the deadline.
    pub async fn restart(&mut self, id: u64) -> anyhow::Result<()> {
        let node = self.node(id)?;
        node.start()?;
        node.ready().await
    }

    /// Kills every running node.
    ///
    /// # Errors
    /// A node does not exit before the deadline.
    pub async fn kill_all(&mut self) -> anyhow::Result<()> {
        for node in self.nodes.values_mut().filter(|node| node.runs()) {
            node.kill().await?;
        }
        Ok(())
    }

    /// Stops every running node in good order, all at once: a node that returns its jobs needs a majority.
    ///
    /// # Errors
    /// A node does not stop, or ends with a failure.
    pub async fn stop_all(&mut self) -> anyhow::Result<()> {
        let running = self.nodes.values_mut().filter(|node| node.runs());
        futures::future::try_join_all(running.map(Node::stop)).await?;
        Ok(())
    }

    /// A client of all nodes, with [`DEADLINE`] as the timeout of each call.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Address of a node for peers and clients, `HOST:PORT`.
    ///
    /// # Errors
    /// There is no node with this id.
    pub fn address(&self, id: u64) -> anyhow::Result<&str> {
        self.peers.get(&id).map(String::as_str).with_context(|| format!("there is no node {id}"))
    }

    /// `HOST:PORT`s of all nodes, in the format of `--endpoints`.
    pub fn endpoints(&self) -> String {
        self.peers.values().cloned().collect::<Vec<_>>().join(",")
    }

    /// All nodes, in the format of `--peers`.
    pub fn peers(&self) -> String {
        let peers = self.peers.iter().map(|(id, address)| format!("{id}={address}"));
        peers.collect::<Vec<_>>().join(",")
    }

    /// The addresses that a node crawls from.
    pub fn crawl_addresses(&self, id: u64) -> Vec<IpAddr> {
        let first = builder::first_host(id);
        (first..first + self.addresses).map(|host| self.subnet.host(host).into()).collect()
    }

    /// Folder for test files, and the working folder of commands.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A node's data folder.
    pub fn data_dir(&self, id: u64) -> PathBuf {
        builder::data_dir(&self.folder, id)
    }

    /// The folder that a node writes to.
    pub fn output(&self, id: u64) -> PathBuf {
        builder::output(&self.folder, self.output, id)
    }

    /// The folders that nodes write to, without duplicates.
    pub fn outputs(&self) -> Vec<PathBuf> {
        let mut outputs: Vec<_> = self.nodes.keys().map(|&id| self.output(id)).collect();
        outputs.dedup();
        outputs
    }

    /// Writes a file for a command to read.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn file(&self, name: &str, content: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Ends a successful test: stops the running nodes, checks the logs for panics, and removes everything.
    ///
    /// # Errors
    /// A node does not shut down cleanly, or panicked.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        self.stop_all().await?;
        for (id, node) in &self.nodes {
            let log = node.log().unwrap_or_default();
            let panic = log.lines().find(|line| line.contains("panicked at"));
            ensure!(panic.is_none(), "node {id} panicked: {}", panic.unwrap_or_default());
        }
        self.folder.remove()
    }
}
