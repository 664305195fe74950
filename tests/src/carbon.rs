//! A real `carbon-cache` that can be killed and restarted, and its stored points.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::cluster::ended;
use crate::server_process::{ServerProcess, free_port};

/// A `carbon-cache` with a resolution of one second, in its own folder. Dropping it kills the process and removes the
/// folder.
#[derive(Debug)]
pub struct Carbon {
    process: ServerProcess,
    port: u16,
    query: u16,
    folder: TempDir,
}

impl Carbon {
    /// Starts a `carbon-cache`.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("twm-carbon-").context("making a folder")?;
        let (port, pickle, query) = (free_port()?, free_port()?, free_port()?);
        let here = folder.path().display();
        let configuration = format!(
            "[cache]\nSTORAGE_DIR = {here}\nLOCAL_DATA_DIR = {here}/whisper\nCONF_DIR = {here}\nLOG_DIR = {here}\n\
             PID_DIR = {here}\nUSER =\nENABLE_TAGS = False\nMAX_CREATES_PER_MINUTE = inf\nMAX_UPDATES_PER_SECOND = inf\n\
             LINE_RECEIVER_INTERFACE = 127.0.0.1\nLINE_RECEIVER_PORT = {port}\n\
             PICKLE_RECEIVER_INTERFACE = 127.0.0.1\nPICKLE_RECEIVER_PORT = {pickle}\n\
             CACHE_QUERY_INTERFACE = 127.0.0.1\nCACHE_QUERY_PORT = {query}\n"
        );
        let path = folder.path().join("carbon.conf");
        fs::write(&path, configuration).context("writing a configuration")?;
        // The configuration that operators get.
        for (name, content) in [
            ("storage-schemas.conf", include_str!("../../ops/graphite/storage-schemas.conf")),
            ("storage-aggregation.conf", include_str!("../../ops/graphite/storage-aggregation.conf")),
        ] {
            fs::write(folder.path().join(name), content).context("writing a configuration")?;
        }
        let arguments =
            vec![format!("--config={}", path.display()).into(), "--nodaemon".into(), "start".into()];
        let process = ServerProcess::new("carbon-cache", arguments, folder.path());
        let mut carbon = Self { process, port, query, folder };
        carbon.restart().await?;
        Ok(carbon)
    }

    /// Starts it again, on the same port and with its stored points.
    ///
    /// # Errors
    /// It is already running, or cannot be started.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        // The PID file of a killed process prevents the next start.
        let leftover = self.folder.path().join("carbon-cache-a.pid");
        if leftover.exists() {
            fs::remove_file(leftover).context("removing what a killed carbon left")?;
        }
        let address = self.address();
        self.process.start(async || TcpStream::connect(&address).await.is_ok()).await
    }

    /// Kills it with `kill -9`.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Address of its plain-text port, `HOST:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Address that graphite-web queries for points not yet on the disk, `HOST:PORT`.
    pub fn query_address(&self) -> String {
        format!("127.0.0.1:{}", self.query)
    }

    /// Folder of the stored points.
    pub fn whisper(&self) -> PathBuf {
        self.folder.path().join("whisper")
    }

    /// The points of a label on its disk between two Unix times, in seconds.
    ///
    /// # Errors
    /// The points cannot be read.
    pub async fn points(&self, label: &str, from: u64, until: u64) -> anyhow::Result<BTreeMap<u64, f64>> {
        let file = self.whisper().join(label.replace('.', "/") + ".wsp");
        if !file.exists() {
            return Ok(BTreeMap::new());
        }
        // `--from` is exclusive.
        let bounds = [format!("--from={}", from - 1), format!("--until={until}")];
        let fetched = ended(Command::new("whisper-fetch").args(bounds).arg(file)).await?;
        let text = String::from_utf8(fetched.stdout)?;
        let point = |line: &str| {
            let (second, value) = line.split_once('\t')?;
            Some((second.parse::<u64>().ok()?, value.parse::<f64>().ok()?))
        };
        Ok(text.lines().filter_map(point).collect())
    }
}
