//! Real Cassandra servers on free ports that tests can kill and restart.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context, ensure};
use storage::dataset::cassandra::CassandraStore;
use storage::net::cassandra::{CassandraOptions, CassandraUrl};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::server_process::{ServerProcess, free_port};

/// Where `ops/require` puts the jars, in the repository.
const INSTALLED: &str = ".cache/tools/cassandra-5.0.9/lib";

/// A request for the options of a server in version 4 of the protocol. The answer has that version with the highest bit.
const OPTIONS: [u8; 9] = [4, 0, 0, 0, 5, 0, 0, 0, 0];

/// Settings of a test's server.
#[derive(Debug, Clone)]
pub struct CassandraSettings {
    /// How it syncs its commit log: with `batch`, what was acknowledged survives `kill -9`.
    pub commitlog_sync: &'static str,
    /// Further lines of its `cassandra.yaml`.
    pub further: String,
}

impl Default for CassandraSettings {
    fn default() -> Self {
        Self { commitlog_sync: "batch", further: String::new() }
    }
}

/// Where a server is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The last number of its address 127.0.0.N.
    host: u8,
    port: u16,
    internal: u16,
}

impl Place {
    fn address(self) -> String {
        format!("127.0.0.{}", self.host)
    }
}

/// A server with its data in a temporary folder. Dropping it kills the process and removes the folder.
#[derive(Debug)]
pub struct CassandraServer {
    process: ServerProcess,
    place: Place,
    _folder: TempDir,
}

impl CassandraServer {
    /// Starts a server that wants no login.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&CassandraSettings::default()).await
    }

    /// Starts a server with other settings.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start_with(settings: &CassandraSettings) -> anyhow::Result<Self> {
        Self::start_at(Place { host: 1, port: free_port()?, internal: free_port()? }, settings).await
    }

    /// Starts servers that form one cluster, at 127.0.0.1 and the addresses behind it. They have one port.
    ///
    /// # Errors
    /// One cannot be started.
    pub async fn start_cluster(servers: u8) -> anyhow::Result<Vec<Self>> {
        let (port, internal) = (free_port()?, free_port()?);
        // There is no data yet that one would take over from another.
        let settings =
            CassandraSettings { further: "auto_bootstrap: false".to_owned(), ..CassandraSettings::default() };
        let mut started = Vec::new();
        for host in 1..=servers {
            started.push(Self::start_at(Place { host, port, internal }, &settings).await?);
        }
        Ok(started)
    }

    async fn start_at(place: Place, settings: &CassandraSettings) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("twm-cassandra-").context("making a folder")?;
        let config = folder.path().join("cassandra.yaml");
        fs::write(&config, yaml(settings, place)).context("writing a configuration")?;
        let process = ServerProcess::new("java", arguments(folder.path(), &config)?, folder.path());
        let mut server = Self { process, place, _folder: folder };
        server.restart().await?;
        Ok(server)
    }

    /// Starts it again, on its previous ports and with its data, and waits until it answers.
    ///
    /// # Errors
    /// It is already running, or cannot be started.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let place = self.place;
        self.process.start(async || reacts(place).await).await
    }

    /// Kills it with `kill -9`.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Its process, for signals.
    pub fn process(&self) -> &ServerProcess {
        &self.process
    }

    /// The port of its protocol.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// The URL of a keyspace on it.
    ///
    /// # Errors
    /// The name is none of a keyspace.
    pub fn url(&self, keyspace: &str) -> anyhow::Result<CassandraUrl> {
        Ok(CassandraUrl::parse(&format!(
            "cassandra://{}:{}/{keyspace}",
            self.place.address(),
            self.place.port
        ))?)
    }

    /// Settings of a client, with short times.
    pub fn options(&self) -> CassandraOptions {
        let (timeout, retry_for) = (Duration::from_secs(5), Duration::from_secs(15));
        CassandraOptions { timeout, retry_for, ..CassandraOptions::new() }
    }

    /// Makes a keyspace of one replica with its tables, and opens it; blocks.
    ///
    /// # Errors
    /// The server does not let it.
    pub fn create(&self, keyspace: &str) -> anyhow::Result<CassandraStore> {
        let (url, options) = (self.url(keyspace)?, self.options());
        // Not by several tests at a time: servers make tables twice then.
        static MAKING: Mutex<()> = Mutex::new(());
        let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        CassandraStore::init(&url, &options, Some(1))?;
        Ok(CassandraStore::connect(&url, &options)?)
    }
}

/// A server that tests running at the same time share, each with a keyspace of its own: its start takes seconds.
#[derive(Debug)]
pub struct SharedCassandra {
    server: CassandraServer,
    /// Not dropped within another one: only tests without one share a server.
    _runtime: Runtime,
    keyspaces: AtomicU32,
}

impl SharedCassandra {
    /// The server that runs, or a new one. It ends with the last test that has it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn get() -> anyhow::Result<Arc<Self>> {
        static RUNNING: Mutex<Weak<SharedCassandra>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = running.upgrade() {
            return Ok(shared);
        }
        let runtime = Runtime::new().context("making a runtime")?;
        let server = runtime.block_on(CassandraServer::start())?;
        let shared = Arc::new(Self { server, _runtime: runtime, keyspaces: AtomicU32::new(0) });
        *running = Arc::downgrade(&shared);
        Ok(shared)
    }

    /// The server.
    pub fn server(&self) -> &CassandraServer {
        &self.server
    }

    /// The name of a keyspace that no other test has.
    pub fn free_keyspace(&self) -> String {
        format!("twm_{}", self.keyspaces.fetch_add(1, Ordering::Relaxed))
    }
}

fn yaml(settings: &CassandraSettings, place: Place) -> String {
    let (address, Place { port, internal, .. }) = (place.address(), place);
    let CassandraSettings { commitlog_sync, further } = settings;
    let period = if *commitlog_sync == "periodic" { "commitlog_sync_period: 10s\n" } else { "" };
    format!(
        "cluster_name: twm\n\
         num_tokens: 1\n\
         partitioner: org.apache.cassandra.dht.Murmur3Partitioner\n\
         endpoint_snitch: SimpleSnitch\n\
         listen_address: {address}\n\
         rpc_address: {address}\n\
         storage_port: {internal}\n\
         native_transport_port: {port}\n\
         commitlog_sync: {commitlog_sync}\n{period}\
         commitlog_disk_access_mode: legacy\n\
         seed_provider:\n\
         - class_name: org.apache.cassandra.locator.SimpleSeedProvider\n  \
           parameters:\n  - seeds: \"127.0.0.1:{internal}\"\n{further}\n"
    )
}

fn arguments(folder: &Path, config: &Path) -> anyhow::Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = [
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xmx512m",
        "-Xss512k",
        "-Dcassandra-foreground=yes",
        "-Dcassandra.ring_delay_ms=100",
        "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        "-Dcassandra.superuser_setup_delay_ms=0",
        "--add-opens=java.base/java.io=ALL-UNNAMED",
        "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
        "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    ]
    .map(OsString::from)
    .into();
    arguments.push(format!("-Dcassandra.storagedir={}", folder.join("data").display()).into());
    arguments.push(format!("-Dcassandra.config=file://{}", config.display()).into());
    arguments.push("-cp".into());
    arguments.push(jars()?.join("*").into());
    arguments.push("org.apache.cassandra.service.CassandraDaemon".into());
    Ok(arguments)
}

fn jars() -> anyhow::Result<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let jars = repository.join(INSTALLED);
    ensure!(jars.is_dir(), "{} is missing; run ops/test, which fetches Cassandra into it", jars.display());
    Ok(jars)
}

/// Whether it speaks its protocol, or, with TLS, reacts to a request without it.
async fn reacts(place: Place) -> bool {
    let address = (place.address(), place.port);
    let Ok(mut stream) = TcpStream::connect((address.0.as_str(), address.1)).await else { return false };
    let asked = async {
        stream.write_all(&OPTIONS).await?;
        stream.read(&mut [0; 16]).await
    };
    timeout(Duration::from_secs(1), asked).await.is_ok()
}
