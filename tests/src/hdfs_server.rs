//! A real HDFS on free ports that tests can kill and restart: a name node and one datanode, from their jars.
//!
//! `ops/test` has Maven fetch the jars once. A test fails if they or Java are missing.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use storage::net::hdfs::{Hdfs, HdfsOptions, HdfsUrl};
use tempfile::TempDir;
use tokio::process::Command;

use crate::cluster::{Page, eventually};
use crate::server_process::{ServerProcess, free_port};

/// Where `ops/require` puts the jars, in the repository.
const JARS: &str = ".cache/tools/hdfs-3.5.0/lib";

/// Small and quick to start.
const JAVA_FLAGS: [&str; 3] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx192m"];
const NAME_NODE: &str = "org.apache.hadoop.hdfs.server.namenode.NameNode";
const DATA_NODE: &str = "org.apache.hadoop.hdfs.server.datanode.DataNode";

/// The ports of 127.0.0.1 that it listens on.
#[derive(Debug, Clone, Copy)]
struct Ports {
    rpc: u16,
    web: u16,
    transfer: u16,
    data_ipc: u16,
    data_web: u16,
}

/// A name node and a datanode with their data in a temporary folder. Dropping it kills both and removes the folder.
#[derive(Debug)]
pub struct HdfsServer {
    name_node: ServerProcess,
    data_node: ServerProcess,
    ports: Ports,
    folder: TempDir,
}

impl HdfsServer {
    /// Starts both.
    ///
    /// # Errors
    /// Java or the jars are missing, or one cannot be started.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts both with further properties of `hdfs-site.xml`.
    ///
    /// # Errors
    /// Java or the jars are missing, or one cannot be started.
    pub async fn start_with(properties: &[(&str, &str)]) -> anyhow::Result<Self> {
        let jars = jars()?;
        let folder = TempDir::with_prefix("twm-hdfs-").context("making a folder")?;
        let root = folder.path();
        for made in ["conf/webapps/hdfs", "conf/webapps/datanode", "name-node", "data-node"] {
            fs::create_dir_all(root.join(made)).context("making a folder")?;
        }
        let ports = Ports {
            rpc: free_port()?,
            web: free_port()?,
            transfer: free_port()?,
            data_ipc: free_port()?,
            data_web: free_port()?,
        };
        fs::write(root.join("conf/core-site.xml"), core_site(ports)).context("writing the settings")?;
        fs::write(root.join("conf/hdfs-site.xml"), hdfs_site(root, ports, properties))
            .context("writing the settings")?;
        let mut format = Command::new("java");
        format
            .args(arguments(&jars, root, NAME_NODE))
            .args(["-format", "-nonInteractive"])
            .kill_on_drop(true);
        let formatted =
            format.stdin(Stdio::null()).output().await.context("starting java; ops/test installs it")?;
        let said = String::from_utf8_lossy(&formatted.stderr);
        ensure!(formatted.status.success(), "formatting a name node: {said}");
        let process = |main, name| ServerProcess::new("java", arguments(&jars, root, main), &root.join(name));
        let (name_node, data_node) = (process(NAME_NODE, "name-node"), process(DATA_NODE, "data-node"));
        let mut server = Self { name_node, data_node, ports, folder };
        // Both at once: each takes seconds. The datanode waits for the name node.
        let (web, data_web) = (ports.web, ports.data_web);
        let both = tokio::join!(
            server.name_node.start(async || is_writable(web).await),
            server.data_node.start(async || is_registered(data_web).await)
        );
        both.0?;
        both.1?;
        Ok(server)
    }

    /// Kills the name node with `kill -9`.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill_name_node(&mut self) -> anyhow::Result<()> {
        self.name_node.kill().await
    }

    /// Starts the name node again, and waits until the datanode has found it.
    ///
    /// # Errors
    /// It is already running, or cannot be started.
    pub async fn restart_name_node(&mut self) -> anyhow::Result<()> {
        let web = self.ports.web;
        self.name_node.start(async || is_writable(web).await).await
    }

    /// Kills the datanode with `kill -9`.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill_data_node(&mut self) -> anyhow::Result<()> {
        self.data_node.kill().await
    }

    /// Starts the datanode again, and waits until it has found the name node.
    ///
    /// # Errors
    /// It is already running, or cannot be started.
    pub async fn restart_data_node(&mut self) -> anyhow::Result<()> {
        let data_web = self.ports.data_web;
        self.data_node.start(async || is_registered(data_web).await).await
    }

    /// Waits until the name node has declared the datanode dead.
    ///
    /// # Errors
    /// It has not before the deadline.
    pub async fn until_no_data_node(&self) -> anyhow::Result<()> {
        let web = self.ports.web;
        eventually("the datanode is dead", async || {
            let state = bean(web, "NameNode,name=FSNamesystemState").await;
            Ok(state.filter(|state| state["NumLiveDataNodes"] == 0).map(drop))
        })
        .await
    }

    /// Removes blocks from the datanode's disk behind its back, by their length.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn remove_blocks(&self, which: impl Fn(u64) -> bool) -> anyhow::Result<()> {
        let mut folders = vec![self.folder.path().join("data-node/blocks")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if name.starts_with("blk_")
                    && !name.ends_with(".meta")
                    && which(path.metadata()?.len())
                {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }

    /// The process of the name node, for signals.
    pub fn name_node(&self) -> &ServerProcess {
        &self.name_node
    }

    /// The process of the datanode, for signals.
    pub fn data_node(&self) -> &ServerProcess {
        &self.data_node
    }

    /// Where clients reach the name node.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.rpc)
    }

    /// Connects to a folder, with short times.
    ///
    /// # Errors
    /// The server does not let it.
    pub async fn open(&self, path: &str) -> anyhow::Result<Hdfs> {
        self.open_with(path, self.options()).await
    }

    /// Connects to a folder.
    ///
    /// # Errors
    /// The server does not let it.
    pub async fn open_with(&self, path: &str, options: HdfsOptions) -> anyhow::Result<Hdfs> {
        let url = HdfsUrl::parse(&self.url(path))?;
        Ok(tokio::task::spawn_blocking(move || Hdfs::open(&url, options)).await??)
    }

    /// The URL of a folder.
    pub fn url(&self, path: &str) -> String {
        format!("hdfs://{}/{path}", self.address())
    }

    /// Settings of a client, with short times.
    pub fn options(&self) -> HdfsOptions {
        HdfsOptions { user: None, call: Duration::from_secs(15), transfer: Duration::from_secs(15) }
    }

    /// The port of the name node's pages, which is none of clients.
    pub fn web_port(&self) -> u16 {
        self.ports.web
    }

    /// The port of the datanode for blocks, which is none of clients.
    pub fn transfer_port(&self) -> u16 {
        self.ports.transfer
    }

    /// The port of the datanode for calls, which is none of clients.
    pub fn data_ipc_port(&self) -> u16 {
        self.ports.data_ipc
    }

    /// Copies a folder into a local one with Hadoop's own tool; returns the copy.
    ///
    /// # Errors
    /// It fails.
    pub async fn download(&self, path: &str, into: &Path) -> anyhow::Result<PathBuf> {
        let to = into.join("downloaded");
        let shown = to.display().to_string();
        self.run("org.apache.hadoop.fs.FsShell", &["-get", "-ignoreCrc", &format!("/{path}"), &shown])
            .await?;
        Ok(to)
    }

    /// Runs a tool of Hadoop: its main class with arguments. Returns what it printed.
    ///
    /// # Errors
    /// It fails.
    pub async fn run(&self, main: &str, rest: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("java");
        command.args(arguments(&jars()?, self.folder.path(), main)).args(rest).kill_on_drop(true);
        let output = command.stdin(Stdio::null()).output().await.context("starting java")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{main} {rest:?}: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The folder with the jars.
fn jars() -> anyhow::Result<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let jars = repository.join(JARS);
    ensure!(jars.is_dir(), "{} is missing; ops/test fetches it", jars.display());
    Ok(jars)
}

fn arguments(jars: &Path, root: &Path, main: &str) -> Vec<OsString> {
    let mut path = root.join("conf").into_os_string();
    path.push(":");
    path.push(jars.join("*"));
    let flags = JAVA_FLAGS.map(OsString::from).into_iter();
    flags.chain(["-cp".into(), path, main.into()]).collect()
}

fn core_site(ports: Ports) -> String {
    site(&[("fs.defaultFS".to_owned(), format!("hdfs://127.0.0.1:{}", ports.rpc))])
}

fn hdfs_site(root: &Path, ports: Ports, further: &[(&str, &str)]) -> String {
    let at = |port: u16| format!("127.0.0.1:{port}");
    let folder = |name: &str| format!("file://{}", root.join(name).display());
    let mut all: Vec<(String, String)> = [
        ("dfs.namenode.name.dir", folder("name-node/names")),
        ("dfs.datanode.data.dir", folder("data-node/blocks")),
        ("dfs.namenode.rpc-address", at(ports.rpc)),
        ("dfs.namenode.http-address", at(ports.web)),
        ("dfs.datanode.address", at(ports.transfer)),
        ("dfs.datanode.ipc.address", at(ports.data_ipc)),
        ("dfs.datanode.http.address", at(ports.data_web)),
        ("dfs.datanode.hostname", "127.0.0.1".to_owned()),
        ("dfs.replication", "1".to_owned()),
        ("dfs.permissions.enabled", "false".to_owned()),
        // Quicker than the defaults of 3 s, 5 minutes and 30 s.
        ("dfs.heartbeat.interval", "1".to_owned()),
        ("dfs.namenode.heartbeat.recheck-interval", "1000".to_owned()),
        ("dfs.namenode.safemode.extension", "0".to_owned()),
        ("dfs.client.block.write.replace-datanode-on-failure.policy", "NEVER".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for (name, value) in further {
        all.retain(|(known, _)| known != name);
        all.push(((*name).to_owned(), (*value).to_owned()));
    }
    site(&all)
}

fn site(properties: &[(String, String)]) -> String {
    let property = |(name, value): &(String, String)| {
        format!("<property><name>{name}</name><value>{value}</value></property>\n")
    };
    format!("<configuration>\n{}</configuration>\n", properties.iter().map(property).collect::<String>())
}

/// Whether the name node takes files: it has a datanode and is not in safe mode.
async fn is_writable(web: u16) -> bool {
    let Some(state) = bean(web, "NameNode,name=FSNamesystemState").await else { return false };
    let Some(info) = bean(web, "NameNode,name=NameNodeInfo").await else { return false };
    state["NumLiveDataNodes"] == 1 && info["Safemode"] == ""
}

/// Whether the datanode is known to the name node that runs now.
async fn is_registered(web: u16) -> bool {
    let Some(info) = bean(web, "DataNode,name=DataNodeInfo").await else { return false };
    let actors: Option<Value> =
        info["BPServiceActorInfo"].as_str().and_then(|text| serde_json::from_str(text).ok());
    let Some(Value::Array(actors)) = actors else { return false };
    !actors.is_empty() && actors.iter().all(|actor| actor["ActorState"] == "RUNNING")
}

async fn bean(port: u16, name: &str) -> Option<Value> {
    let page =
        Page::get(&format!("127.0.0.1:{port}"), &format!("/jmx?qry=Hadoop:service={name}")).await.ok()?;
    let all: Value = serde_json::from_str(&page.body).ok()?;
    all["beans"].get(0).cloned()
}
