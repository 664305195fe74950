//! Redis with one primary and two replicas on this machine.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::super::Settings;
use super::super::cluster::free_address;
use super::super::crew::{Crew, Turn, Turns};
use super::super::process::Process;
use super::super::rate::Work;

/// Description of the setup, for the table.
pub(super) const METHOD: &str = "a primary and 2 replicas, appendfsync always, WAIT 1: synced at the primary and in \
    one replica's memory before each answer, no election; one pipeline LREMs the jobs that are done and LMOVEs the next";

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Timeout of WAIT, ms.
const WAIT: &str = "10000";

/// Jobs per RPUSH.
const FILL: u64 = 1_000;

/// The servers; the first is the primary.
pub(super) struct Redis {
    servers: Vec<Process>,
    primary: String,
    version: String,
    clients: u64,
    jobs: u16,
    put: u64,
    _disks: TempDir,
}

impl Redis {
    pub(super) async fn start(settings: &Settings, clients: u64, jobs: u16) -> anyhow::Result<Self> {
        let disks = settings.disks()?;
        let primary = free_address()?;
        let (_, primary_port) = primary.split_once(':').context("an address has a port")?;
        let mut servers = Vec::new();
        for at in 0..3 {
            let address = if at == 0 { primary.clone() } else { free_address()? };
            let (_, port) = address.split_once(':').context("an address has a port")?;
            let dir = disks.path().join(format!("server-{at}"));
            std::fs::create_dir(&dir)?;
            let dir = dir.to_string_lossy();
            let mut arguments = [
                ["--bind", "127.0.0.1"],
                ["--port", port],
                ["--dir", &dir],
                ["--appendonly", "yes"],
                ["--appendfsync", "always"],
                ["--save", ""],
            ]
            .concat();
            if at > 0 {
                arguments.extend(["--replicaof", "127.0.0.1", primary_port]);
            }
            let log = disks.path().join(format!("log-{at}"));
            servers.push(Process::start(&format!("redis {at}"), Path::new("redis-server"), arguments, &log)?);
        }
        let version = replicated(&mut servers, &primary).await?;
        Ok(Self { servers, primary, version, clients, jobs, put: 0, _disks: disks })
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }
}

/// Waits until both replicas are online. Returns the version.
async fn replicated(servers: &mut [Process], primary: &str) -> anyhow::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for server in &mut *servers {
            server.check()?;
        }
        if let Ok(mut connection) = Connection::open(primary).await {
            connection.push(&["INFO"]);
            if let [Reply::Text(info)] = connection.send(1).await?.as_slice() {
                if info.matches("state=online").count() == 2 {
                    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
                    return Ok(version.unwrap_or("of unknown version").trim().to_owned());
                }
            }
        }
        if Instant::now() > deadline {
            bail!("the replicas do not follow after {PATIENCE:?}");
        }
        sleep(LOOK_PAUSE).await;
    }
}

impl Work for Redis {
    async fn put(&mut self, jobs: u64) -> anyhow::Result<()> {
        let mut connection = Connection::open(&self.primary).await?;
        let end = self.put + jobs;
        while self.put < end {
            let next = end.min(self.put + FILL);
            let names: Vec<String> = (self.put..next).map(|job| format!("{job:012}")).collect();
            let words: Vec<&str> =
                ["RPUSH", "queue"].into_iter().chain(names.iter().map(String::as_str)).collect();
            connection.push(&words);
            connection.push(&["WAIT", "2", WAIT]);
            ensure!(connection.send(2).await?[1].number()? == 2, "the replicas do not follow");
            self.put = next;
        }
        Ok(())
    }

    async fn crew(&mut self) -> anyhow::Result<Crew> {
        let mut crew = Crew::default();
        for client in 0..self.clients {
            let connection = Connection::open(&self.primary).await?;
            let leased = format!("leased-{client}");
            crew.add(Client { connection, leased, jobs: self.jobs.into(), held: Vec::new() });
        }
        Ok(crew)
    }

    fn held(&self) -> u64 {
        self.clients * u64::from(self.jobs)
    }

    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.servers.iter().map(Process::cpu_seconds).sum()
    }

    async fn verify(&mut self, finished: u64) -> anyhow::Result<()> {
        let mut connection = Connection::open(&self.primary).await?;
        connection.push(&["LLEN", "queue"]);
        // Redis deletes empty lists, so only the queue may be left.
        connection.push(&["DBSIZE"]);
        let replies = connection.send(2).await?;
        let (queued, keys) = (replies[0].number()?, replies[1].number()?);
        let left = self.put - finished;
        ensure!(queued == left as i64, "{left} jobs should be left; Redis has {queued} queued");
        ensure!(keys == i64::from(left > 0), "Redis has {keys} keys: jobs are still leased");
        Ok(())
    }
}

struct Client {
    connection: Connection,
    /// The list of the client's jobs.
    leased: String,
    jobs: usize,
    held: Vec<String>,
}

impl Turns for Client {
    /// Jobs are finished in the order of the list, so LREM finds each one at once.
    async fn turn(&mut self) -> anyhow::Result<Turn> {
        let held = std::mem::take(&mut self.held);
        for job in &held {
            self.connection.push(&["LREM", &self.leased, "1", job]);
        }
        for _ in 0..self.jobs {
            self.connection.push(&["LMOVE", "queue", &self.leased, "LEFT", "RIGHT"]);
        }
        self.connection.push(&["WAIT", "1", WAIT]);
        let mut replies = self.connection.send(held.len() + self.jobs + 1).await?;
        let replicas = replies.pop().context("no reply")?.number()?;
        ensure!(replicas >= 1, "no replica has the jobs");
        let granted = replies.split_off(held.len());
        for removed in replies {
            ensure!(removed.number()? == 1, "a job was not where it should be");
        }
        self.held = granted.into_iter().filter_map(Reply::text).collect();
        Ok(Turn { done: held.len() as u64, granted: self.held.len() == self.jobs })
    }

    async fn close(mut self) -> anyhow::Result<()> {
        for _ in &self.held {
            self.connection.push(&["LMOVE", &self.leased, "queue", "RIGHT", "LEFT"]);
        }
        self.connection.send(self.held.len()).await?;
        Ok(())
    }
}

/// A connection that pipelines commands and reads the replies in order.
struct Connection {
    stream: BufReader<TcpStream>,
    out: Vec<u8>,
}

/// A reply of one of the kinds that are used here.
enum Reply {
    Nothing,
    Number(i64),
    Text(String),
}

impl Reply {
    fn number(&self) -> anyhow::Result<i64> {
        match self {
            Self::Number(number) => Ok(*number),
            _ => bail!("Redis did not answer with a number"),
        }
    }

    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Connection {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), out: Vec::new() })
    }

    /// Adds a command to the next batch.
    fn push(&mut self, words: &[&str]) {
        // Writing to memory cannot fail.
        let _ = write!(self.out, "*{}\r\n", words.len());
        for word in words {
            let _ = write!(self.out, "${}\r\n{word}\r\n", word.len());
        }
    }

    /// Sends all commands and reads their replies.
    async fn send(&mut self, replies: usize) -> anyhow::Result<Vec<Reply>> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        let mut all = Vec::with_capacity(replies);
        for _ in 0..replies {
            all.push(self.reply().await?);
        }
        Ok(all)
    }

    async fn reply(&mut self) -> anyhow::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let (kind, rest) = line.trim_end().split_at_checked(1).context("Redis closed the connection")?;
        match kind {
            "+" => Ok(Reply::Text(rest.to_owned())),
            ":" => Ok(Reply::Number(rest.parse()?)),
            "$" if rest == "-1" => Ok(Reply::Nothing),
            "$" => {
                let mut text = vec![0; rest.parse::<usize>()? + 2];
                self.stream.read_exact(&mut text).await?;
                text.truncate(text.len() - 2);
                Ok(Reply::Text(String::from_utf8(text)?))
            }
            _ => bail!("Redis answered {line:?}"),
        }
    }
}
