//! A host: its clock, its disks, its node.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use storage::planted::Bug;

use crate::cluster::{Folder, Node, Tmpfs, tls_flags};

use super::clock;
use super::hub::{self, Host};

/// Capacity for all data directories that a host ever has.
const DISK: u64 = 192 << 20;

/// A host.
pub(super) struct Site {
    pub(super) host: Host,
    pub(super) node: Node,
    pub(super) disk: Tmpfs,
    place: PathBuf,
    clock: PathBuf,
    /// The number of the data directory in use, and of directories created so far.
    pub(super) current: u32,
    used: u32,
    /// Whether its node is a founding member or joins.
    founder: bool,
    common: Vec<String>,
    peers: String,
    /// Length of the log that was read so far.
    read: usize,
}

/// Settings common to all nodes of a cluster.
pub(super) struct Common<'a> {
    pub(super) folder: &'a Folder,
    pub(super) peers: &'a BTreeMap<Host, String>,
    pub(super) flags: &'a [String],
    pub(super) plant: Option<Bug>,
}

impl Site {
    /// Creates a host without starting its node.
    ///
    /// # Errors
    /// Its disk cannot be mounted.
    pub(super) fn new(host: Host, output: &Path, common: &Common<'_>) -> anyhow::Result<Self> {
        let place = common.folder.path().join(format!("disk-{host}"));
        let disk = Tmpfs::mount(&place, DISK)?;
        let clock = common.folder.path().join(format!("clock-{host}"));
        clock::set(&clock, 0)?;
        let mut flags = vec![
            format!("--id={host}"),
            format!("--listen={}:8000", hub::address(host)),
            "--http=127.0.0.1:9898".to_owned(),
            format!("--ips={}", hub::crawl_addresses(host)),
            format!("--output={}", output.display()),
            "--check-invariants".to_owned(),
        ];
        flags.extend(common.flags.iter().cloned());
        flags.extend(tls_flags(common.folder, &format!("node-{host}")));
        let mut launcher = hub::on(host);
        launcher.push("env".to_owned());
        launcher.extend(clock::variables(&clock)?);
        launcher.extend(common.plant.map(|bug| format!("TWM_PLANT={bug}")));
        let log = common.folder.path().join(format!("node-{host}.log"));
        let node = Node::new(host, Vec::new(), String::new(), log).launched_by(launcher);
        let all: Vec<_> = common.peers.iter().map(|(id, address)| format!("{id}={address}")).collect();
        let mut site = Self {
            host,
            node,
            disk,
            place,
            clock,
            current: 0,
            used: 0,
            founder: common.peers.contains_key(&host),
            common: flags,
            peers: all.join(","),
            read: 0,
        };
        site.new_disk()?;
        Ok(site)
    }

    /// Switches to an empty data directory.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub(super) fn new_disk(&mut self) -> anyhow::Result<()> {
        self.used += 1;
        self.current = self.used;
        fs::create_dir_all(self.data_dir()).with_context(|| format!("a disk of host {}", self.host))
    }

    /// The data directory in use.
    pub(super) fn data_dir(&self) -> PathBuf {
        self.place.join(self.current.to_string())
    }

    /// Removes all data directories except the one in use.
    ///
    /// # Errors
    /// A directory cannot be removed.
    pub(super) fn remove_old_disks(&self) -> anyhow::Result<()> {
        let old = (1..=self.used).filter(|n| *n != self.current).map(|n| self.place.join(n.to_string()));
        old.filter(|disk| disk.exists()).try_for_each(fs::remove_dir_all).context("removing old disks")
    }

    /// Makes its node join through one of these nodes, instead of founding the cluster.
    pub(super) fn joins(&mut self, others: &[Host]) {
        self.founder = false;
        let others = others.iter().map(|host| format!("{}:8000", hub::address(*host)));
        self.peers = others.collect::<Vec<_>>().join(",");
    }

    /// Starts its node, unless it runs, with its own data directory or with this one.
    ///
    /// # Errors
    /// The node cannot be started.
    pub(super) fn start(&mut self, data_dir: Option<&Path>) -> anyhow::Result<()> {
        if self.node.runs() {
            return Ok(());
        }
        let own = self.data_dir();
        let data_dir = data_dir.unwrap_or(&own).display();
        let how = if self.founder { "peers" } else { "join" };
        let mut flags = self.common.clone();
        flags.extend([format!("--data-dir={data_dir}"), format!("--{how}={}", self.peers)]);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        self.node.start_with(&flags)
    }

    /// Sets its wall clock to `seconds` ahead of the system's.
    ///
    /// # Errors
    /// The clock file cannot be written.
    pub(super) fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        clock::set(&self.clock, seconds)
    }

    /// Log output of its node since the last call.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) fn new_words(&mut self) -> anyhow::Result<String> {
        let log = self.node.log()?;
        let new = log.get(self.read.min(log.len())..).unwrap_or_default().to_owned();
        self.read = log.len();
        Ok(new)
    }
}
