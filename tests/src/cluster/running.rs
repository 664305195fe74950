//! A cluster and what can befall its nodes.

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

/// A cluster of processes. Dropped, its processes are killed.
pub struct Cluster {
    // Dropped in this order: processes, then what they use.
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
    /// What a cluster is to be like.
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

    /// The flags with which `twm-ctl` shows the certificate of this name; none where the cluster has no certificates.
    pub fn tls_flags(&self, name: &str) -> Vec<String> {
        match builder::certificates(&self.folder).exists() {
            true => builder::tls_flags(&self.folder, name).into(),
            false => Vec::new(),
        }
    }

    /// All nodes, running or not.
    pub fn ids(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    /// A node.
    ///
    /// # Errors
    /// There is none of this id.
    pub fn node(&mut self, id: u64) -> anyhow::Result<&mut Node> {
        self.nodes.get_mut(&id).with_context(|| format!("there is no node {id}"))
    }

    /// Starts every node that does not run, with its old flags.
    ///
    /// # Errors
    /// One cannot be started.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        self.nodes.values_mut().filter(|node| !node.runs()).try_for_each(Node::start)
    }

    /// Waits until every node that runs is ready.
    ///
    /// # Errors
    /// One ended instead, or is not ready in time.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        for node in self.nodes.values_mut().filter(|node| node.runs()) {
            node.ready().await?;
        }
        Ok(())
    }

    /// Starts a node with its old flags and waits until it is ready.
    ///
    /// # Errors
    /// It runs, or is not ready in time.
    pub async fn restart(&mut self, id: u64) -> anyhow::Result<()> {
        let node = self.node(id)?;
        node.start()?;
        node.ready().await
    }

    /// Kills every node that runs.
    ///
    /// # Errors
    /// One does not end.
    pub async fn kill_all(&mut self) -> anyhow::Result<()> {
        for node in self.nodes.values_mut().filter(|node| node.runs()) {
            node.kill().await?;
        }
        Ok(())
    }

    /// A client of all nodes, with [`DEADLINE`] for each call.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where peers and clients reach a node, `HOST:PORT`.
    ///
    /// # Errors
    /// There is none of this id.
    pub fn address(&self, id: u64) -> anyhow::Result<&str> {
        self.peers.get(&id).map(String::as_str).with_context(|| format!("there is no node {id}"))
    }

    /// `HOST:PORT`s of all nodes, as `--endpoints` takes them.
    pub fn endpoints(&self) -> String {
        self.peers.values().cloned().collect::<Vec<_>>().join(",")
    }

    /// All nodes, as `--peers` takes them.
    pub fn peers(&self) -> String {
        let peers = self.peers.iter().map(|(id, address)| format!("{id}={address}"));
        peers.collect::<Vec<_>>().join(",")
    }

    /// The addresses that a node crawls from.
    pub fn crawl_addresses(&self, id: u64) -> Vec<IpAddr> {
        let first = builder::first_host(id);
        (first..first + self.addresses).map(|host| self.subnet.host(host).into()).collect()
    }

    /// Where test files can be put; commands run there.
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

    /// The folders that nodes write to, each once.
    pub fn outputs(&self) -> Vec<PathBuf> {
        let mut outputs: Vec<_> = self.nodes.keys().map(|&id| self.output(id)).collect();
        outputs.dedup();
        outputs
    }

    /// Writes a file for a command to read.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn file(&self, name: &str, content: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Ends a test that went well: stops the nodes that run, looks whether any ever panicked, and removes everything.
    ///
    /// # Errors
    /// A node does not end in good order, or panicked.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        // All at once: a majority has to be there for who hands back its jobs.
        let running = self.nodes.values_mut().filter(|node| node.runs());
        futures::future::try_join_all(running.map(Node::stop)).await?;
        for (id, node) in &self.nodes {
            let log = node.log().unwrap_or_default();
            let panic = log.lines().find(|line| line.contains("panicked at"));
            ensure!(panic.is_none(), "node {id} panicked: {}", panic.unwrap_or_default());
        }
        self.folder.remove()
    }
}
