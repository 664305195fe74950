//! Configuration of a cluster.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::{Cluster, Folder, Node, Program, Subnet};
use crate::emulator::Emulator;
#[cfg(feature = "hdfs")]
use crate::link::Speed;
#[cfg(feature = "s3")]
use crate::s3_server::S3Server;

/// Maximum number of nodes of a cluster.
const MOST_NODES: u64 = 9;
/// Addresses of a subnet that are reserved for the crawling of one node.
const HOSTS_A_NODE: u8 = 20;

/// The file with the login of a store.
const STORE_LOGIN: &str = "store-credentials";

/// Where nodes write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// All nodes write to one folder.
    Shared,
    /// Each node writes to its own folder.
    Local,
}

/// Configuration of a cluster.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    nodes: u64,
    workers: u32,
    addresses: u8,
    one_address: bool,
    output: Output,
    session_ttl: Duration,
    api_url: Option<String>,
    flags: Vec<String>,
    tls: bool,
    links: Option<Speed>,
    /// Endpoint of a store, its login, and the folder with the objects of its bucket `twm`.
    store: Option<(String, (&'static str, &'static str), PathBuf)>,
    /// URL of the output, unless it is a folder or a bucket.
    output_url: Option<String>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            nodes: 1,
            workers: 4,
            addresses: 1,
            one_address: false,
            output: Output::Shared,
            session_ttl: Duration::from_secs(3),
            api_url: None,
            flags: Vec::new(),
            tls: false,
            links: None,
            store: None,
            output_url: None,
        }
    }
}

impl Builder {
    /// Number of nodes, 1 to 9. Defaults to 1.
    pub fn nodes(mut self, nodes: u64) -> Self {
        self.nodes = nodes.clamp(1, MOST_NODES);
        self
    }

    /// Number of concurrent jobs per node. Defaults to 4.
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// Number of addresses per node to crawl from, 1 to 20. Defaults to 1.
    pub fn addresses(mut self, addresses: u8) -> Self {
        self.addresses = addresses.clamp(1, HOSTS_A_NODE);
        self
    }

    /// All nodes crawl from the one address that the system chooses, as behind a NAT.
    pub fn one_address(mut self) -> Self {
        self.one_address = true;
        self
    }

    /// Where nodes write. Defaults to one shared folder.
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Makes the bucket `twm` of a server the output, below the prefix `data`. The objects are files of the server, which
    /// [`Cluster::output`] returns.
    #[cfg(feature = "s3")]
    pub fn bucket(mut self, server: &S3Server) -> Self {
        self.store = Some((server.endpoint(), server.login(), server.objects().join("twm")));
        self
    }

    /// Makes another store the output, which the nodes need no further flags for.
    pub fn output_url(mut self, url: impl ToString) -> Self {
        self.output_url = Some(url.to_string());
        self
    }

    /// Time of silence after which a node loses its jobs. Defaults to 3 s.
    pub fn session_ttl(mut self, ttl: Duration) -> Self {
        self.session_ttl = ttl;
        self
    }

    /// Crawls this emulator.
    pub fn crawling(mut self, emulator: &Emulator) -> Self {
        self.api_url = Some(format!("{}/1.1/", emulator.url()));
        self
    }

    /// Enables TLS, with certificates for the nodes, the operator `harness` and the viewer `guest`.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Connects the nodes to each other over slow links. Clients connect directly.
    pub fn links(mut self, speed: Speed) -> Self {
        self.links = Some(speed);
        self
    }

    /// Adds flags for every node.
    pub fn flags<'a>(mut self, flags: impl IntoIterator<Item = &'a str>) -> Self {
        self.flags.extend(flags.into_iter().map(str::to_owned));
        self
    }

    /// Starts all nodes and waits until they are ready.
    ///
    /// # Errors
    /// Something cannot be created or started, or a node is not ready before the deadline.
    pub async fn start(self) -> anyhow::Result<Cluster> {
        let links = self.links;
        let mut cluster = self.prepare()?;
        if let Some(speed) = links {
            cluster.open_links(speed).await?;
        }
        cluster.start_all()?;
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Prepares everything without starting the nodes.
    ///
    /// # Errors
    /// Something cannot be created.
    pub fn prepare(self) -> anyhow::Result<Cluster> {
        let (folder, subnet) = (Folder::new()?, Subnet::claim()?);
        let peers: BTreeMap<u64, String> =
            (1..=self.nodes).map(|id| (id, format!("{}:8000", subnet.host(id as u8)))).collect();
        if self.tls {
            make_certificates(&folder, self.nodes)?;
        }
        if let Some((_, (access_key, secret_key), objects)) = &self.store {
            let login = format!(
                "[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
            );
            fs::write(folder.path().join(STORE_LOGIN), login).context("writing the login of the store")?;
            let data = objects.join("data");
            fs::create_dir_all(&data).context("making the folder of the objects")?;
            symlink(data, output(&folder, self.output, 1)).context("linking the folder of the objects")?;
        }
        let node = |id: u64| {
            let http = format!("{}:9898", subnet.host(id as u8));
            let arguments = self.arguments(id, &peers, &http, &folder, &subnet);
            (id, Node::new(id, arguments, http, folder.path().join(format!("node-{id}.log"))))
        };
        let nodes = (1..=self.nodes).map(node).collect();
        Cluster::new(folder, subnet, self.output, self.addresses, peers, nodes)
    }

    fn arguments(
        &self,
        id: u64,
        peers: &BTreeMap<u64, String>,
        http: &str,
        folder: &Folder,
        subnet: &Subnet,
    ) -> Vec<String> {
        let reached = |id: u64, address: &str| match self.links {
            Some(_) => link_address(subnet, id),
            None => address.to_owned(),
        };
        let all: Vec<_> =
            peers.iter().map(|(id, address)| format!("{id}={}", reached(*id, address))).collect();
        let first = first_host(id);
        let ips = match self.one_address {
            true => "none".to_owned(),
            false => format!("{}-{}", subnet.host(first), subnet.host(first + self.addresses - 1)),
        };
        let settings = [
            ("id", id.to_string()),
            ("peers", all.join(",")),
            ("data-dir", data_dir(folder, id).display().to_string()),
            ("http", http.to_owned()),
            ("ips", ips),
            ("workers", self.workers.to_string()),
            ("output", output(folder, self.output, id).display().to_string()),
            ("session-ttl", format!("{}ms", self.session_ttl.as_millis())),
        ];
        let settings = settings.into_iter().chain(self.api_url.clone().map(|url| ("api-url", url)));
        let mut arguments: Vec<_> = settings.map(|(key, value)| format!("--{key}={value}")).collect();
        arguments.push("--check-invariants".to_owned());
        if let Some((endpoint, ..)) = &self.store {
            arguments.retain(|argument| !argument.starts_with("--output="));
            arguments.push("--output=s3://twm/data".to_owned());
            arguments.push(format!("--s3-endpoint={endpoint}"));
            arguments.push(format!("--s3-credentials-file={}", folder.path().join(STORE_LOGIN).display()));
        } else if let Some(url) = &self.output_url {
            arguments.retain(|argument| !argument.starts_with("--output="));
            arguments.push(format!("--output={url}"));
        } else if self.output == Output::Shared {
            arguments.push("--shared-output".to_owned());
        }
        if self.links.is_some() {
            arguments.extend(peers.get(&id).map(|listen| format!("--listen={listen}")));
        }
        if self.tls {
            arguments.extend(tls_flags(folder, &format!("node-{id}")));
        }
        arguments.extend(self.flags.iter().cloned());
        arguments
    }
}

/// The address of the link to a node.
pub(super) fn link_address(subnet: &Subnet, id: u64) -> String {
    format!("{}:8000", subnet.host(240 + id as u8))
}

/// Folder of the certificates.
pub(crate) fn certificates(folder: &Folder) -> std::path::PathBuf {
    folder.path().join("certs")
}

/// The flags with which a node, or `twm-ctl`, presents the certificate of this name.
pub(crate) fn tls_flags(folder: &Folder, name: &str) -> [String; 3] {
    let file = |name: &str| certificates(folder).join(name).display().to_string();
    [
        format!("--tls-ca={}", file("ca.crt")),
        format!("--tls-cert={}", file(&format!("{name}.crt"))),
        format!("--tls-key={}", file(&format!("{name}.key"))),
    ]
}

pub(crate) fn make_certificates(folder: &Folder, nodes: u64) -> anyhow::Result<()> {
    let dir = format!("--dir={}", certificates(folder).display());
    let run = |arguments: &[&str]| {
        let output = Program::Ctl.command()?.arg("certs").args(arguments).arg(&dir).as_std_mut().output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "twm-ctl certs {arguments:?}: {said}");
        anyhow::Ok(())
    };
    run(&["init"])?;
    run(&["issue", "--operator", "harness"])?;
    run(&["issue", "--viewer", "guest"])?;
    (1..=nodes).try_for_each(|id| run(&["issue", "--node", &id.to_string()]))
}

/// The first of a node's crawl addresses.
pub(super) fn first_host(node: u64) -> u8 {
    (node as u8) * HOSTS_A_NODE
}

pub(super) fn data_dir(folder: &Folder, node: u64) -> std::path::PathBuf {
    folder.path().join(format!("data-{node}"))
}

pub(super) fn output(folder: &Folder, output: Output, node: u64) -> std::path::PathBuf {
    match output {
        Output::Shared => folder.path().join("dataset"),
        Output::Local => folder.path().join(format!("dataset-{node}")),
    }
}
