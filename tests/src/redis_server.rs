//! Real `redis-server`s and `redis-sentinel`s on free ports that tests can kill and restart.

use std::ffi::OsString;
use std::fs;

use anyhow::Context;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use crate::server_process::{ServerProcess, free_port};

/// A `redis-server` that syncs every write, in a temporary folder. Dropping it kills the process and removes the
/// folder.
#[derive(Debug)]
pub struct RedisServer {
    process: ServerProcess,
    port: u16,
    password: Option<String>,
    _folder: TempDir,
}

impl RedisServer {
    /// Starts a server.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(None, &[]).await
    }

    /// Starts a server that requires a password.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn with_password(password: &str) -> anyhow::Result<Self> {
        Self::start_with(Some(password), &[]).await
    }

    /// Starts a replica of this server, which has the same password and may become master.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn replica(&self) -> anyhow::Result<Self> {
        let port = self.port.to_string();
        Self::start_with(self.password.as_deref(), &["--replicaof", "127.0.0.1", &port]).await
    }

    /// Starts a server with further arguments, named as in its configuration file.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start_with(password: Option<&str>, further: &[&str]) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("twm-redis-").context("making a folder")?;
        let port = free_port()?;
        let mut arguments: Vec<OsString> = ["--bind", "127.0.0.1", "--appendonly", "yes", "--save", ""]
            .into_iter()
            .chain([
                "--appendfsync",
                "always",
                "--repl-diskless-sync-delay",
                "0",
                "--enable-debug-command",
                "yes",
            ])
            .map(OsString::from)
            .collect();
        arguments.extend(["--port".into(), port.to_string().into(), "--dir".into(), folder.path().into()]);
        if let Some(password) = password {
            arguments.extend(["--requirepass", password, "--masterauth", password].map(OsString::from));
        }
        arguments.extend(further.iter().map(OsString::from));
        let process = ServerProcess::new("redis-server", arguments, folder.path());
        let password = password.map(str::to_owned);
        let mut server = Self { process, port, password, _folder: folder };
        server.restart().await?;
        Ok(server)
    }

    /// Starts it again, on its previous port and with its data, and waits until it answers.
    ///
    /// # Errors
    /// It is already running, or cannot be started.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let url = self.driver_url();
        self.process.start(async || pings(&url).await).await
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

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL, with the password.
    pub fn url(&self) -> String {
        self.driver_url()
    }

    /// A new connection for the test.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn connection(&self) -> anyhow::Result<MultiplexedConnection> {
        let client = redis::Client::open(self.driver_url())?;
        Ok(client.get_multiplexed_async_connection().await?)
    }

    fn driver_url(&self) -> String {
        let password = self.password.as_deref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}/", self.port)
    }
}

/// A `redis-sentinel` with a quorum of one.
#[derive(Debug)]
pub struct RedisSentinel {
    process: ServerProcess,
    port: u16,
    _folder: TempDir,
}

impl RedisSentinel {
    /// Starts a sentinel that monitors a master under this name and fails over after half a second without a
    /// response.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn watching(master: &RedisServer, name: &str) -> anyhow::Result<Self> {
        Self::watching_at(master, master.port, name, &[]).await
    }

    /// The same for a master at another port, with further lines of configuration.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn watching_at(
        master: &RedisServer,
        master_port: u16,
        name: &str,
        further: &[String],
    ) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("twm-sentinel-").context("making a folder")?;
        let port = free_port()?;
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("port {port}"),
            format!("dir {}", folder.path().display()),
            format!("sentinel monitor {name} 127.0.0.1 {master_port} 1"),
            format!("sentinel down-after-milliseconds {name} 500"),
            format!("sentinel failover-timeout {name} 2000"),
        ];
        if let Some(password) = &master.password {
            lines.push(format!("sentinel auth-pass {name} {password}"));
        }
        lines.extend_from_slice(further);
        let configuration = folder.path().join("sentinel.conf");
        fs::write(&configuration, lines.join("\n") + "\n").context("writing a configuration")?;
        let arguments = vec![configuration.into_os_string()];
        let mut process = ServerProcess::new("redis-sentinel", arguments, folder.path());
        let url = format!("redis://127.0.0.1:{port}/");
        process.start(async || pings(&url).await).await?;
        Ok(Self { process, port, _folder: folder })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Number of replicas of the master that the sentinel has discovered: only those can be promoted.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn replicas(&self, name: &str) -> anyhow::Result<usize> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let replicas: Vec<redis::Value> =
            redis::cmd("SENTINEL").arg("REPLICAS").arg(name).query_async(&mut connection).await?;
        Ok(replicas.len())
    }

    /// Kills it with `kill -9`.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }
}

async fn pings(url: &str) -> bool {
    let Ok(client) = redis::Client::open(url) else { return false };
    let Ok(mut connection) = client.get_multiplexed_async_connection().await else { return false };
    redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
}
