//! Job lifecycles: granted, completed, both on a majority's disks before the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use raft::model::{Mutation, NodeId, Operation};
use storage::env::{Entropy, SeededEntropy};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Settings;
use super::cluster::{Cluster, Program};
use super::report::Report;
use super::targets::{CHUNK, submit, view};
use super::worker::Worker;

/// Jobs that a report completes and asks for.
const JOBS: u16 = 256;

/// Before anything is counted, the first checkpoints have been written.
const WARM_UP: Duration = Duration::from_secs(1);

/// Targets for each second: more than one replica can do in it, and more than a cluster can.
const TARGETS_PER_SECOND: [u64; 2] = [1_500_000, 600_000];

/// Where the clients connect.
#[derive(Clone, Copy, PartialEq)]
enum Entrance {
    /// At the leader.
    Leader,
    /// At all nodes in turn, as the workers of the nodes do: two of three reports are forwarded.
    Spread,
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("jobs a report", JOBS);
    report.setting("window, s", settings.seconds);
    report.setting("targets a chunk", CHUNK);
    for &replicas in &settings.replicas {
        let mut cluster = Cluster::start(Program::Tracker, replicas, settings.disks()?).await?;
        for &clients in &settings.clients {
            for entrance in [Entrance::Leader, Entrance::Spread] {
                if entrance == Entrance::Leader || (replicas > 1 && clients > 1) {
                    phase(settings, &mut cluster, clients, entrance, report).await?;
                }
            }
        }
    }
    Ok(())
}

async fn phase(
    settings: &Settings,
    cluster: &mut Cluster,
    clients: u64,
    entrance: Entrance,
    report: &mut Report,
) -> anyhow::Result<()> {
    let leader = cluster.healthy().await?;
    let operator = cluster.client(leader);
    let size = cluster.ids().count();
    let a_second = TARGETS_PER_SECOND[usize::from(size > 1)];
    let total = (settings.seconds + WARM_UP.as_secs()) * a_second;
    let entropy = SeededEntropy::new(clients);
    let begin = Instant::now();
    let crawl = submit(&operator, Operation::Timeline, (0..total).map(|_| entropy.next_u64() >> 3)).await?;
    let submitted = total as f64 / begin.elapsed().as_secs_f64();

    let mut crew = Crew::default();
    let doors: Vec<NodeId> = match entrance {
        Entrance::Leader => vec![leader],
        Entrance::Spread => cluster.ids().collect(),
    };
    for (client, &door) in (1..=clients).zip(doors.iter().cycle()) {
        crew.add(Worker::open(cluster.client(door), client, JOBS.into()).await?);
    }
    sleep(WARM_UP).await;
    let (begin, done_before, cpu_before) = (Instant::now(), crew.done(), cluster.cpu_seconds()?);
    sleep(settings.window()).await;
    let (took, done) = (begin.elapsed().as_secs_f64(), (crew.done() - done_before) as f64);
    let cpu = cluster.cpu_seconds()? - cpu_before;
    let all_done = crew.dismiss().await?;
    let known = view(&operator, crawl).await?.counters.users.completed;
    ensure!(known == all_done, "{all_done} completions were acknowledged and the tracker has {known}");
    operator.mutate(Mutation::CancelCrawl { crawl }).await?;

    let at = if entrance == Entrance::Leader { "at the leader" } else { "spread" };
    let what = format!("{size} replicas, {clients} clients {at}");
    let reach = if size == 3 && clients > 1 { "100,000" } else { "" };
    report.add(&what, "jobs/s", reach, done / took);
    report.add(format!("{what}: trackers' CPU"), "s/1,000 jobs", "", cpu / done * 1e3);
    report.add(format!("{size} replicas: targets submitted by one client"), "ids/s", "", submitted);
    Ok(())
}

/// Workers in closed loops.
#[derive(Default)]
struct Crew {
    shared: Arc<Shared>,
    loops: JoinSet<anyhow::Result<()>>,
}

#[derive(Default)]
struct Shared {
    done: AtomicU64,
    stop: AtomicBool,
}

impl Crew {
    fn add(&mut self, mut worker: Worker) {
        let shared = Arc::clone(&self.shared);
        self.loops.spawn(async move {
            while !shared.stop.load(Ordering::Relaxed) {
                let completed = worker.turn(JOBS).await?;
                shared.done.fetch_add(completed as u64, Ordering::Relaxed);
                ensure!(worker.held() > 0, "the targets ran out before the time did");
            }
            worker.close().await
        });
    }

    fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Ends all loops; an error when one had ended before.
    /// Returns the jobs completed in all.
    async fn dismiss(mut self) -> anyhow::Result<u64> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.loops.join_next().await {
            ended??;
        }
        Ok(self.done())
    }
}
