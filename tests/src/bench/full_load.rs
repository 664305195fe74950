//! A cluster at full load for as long as needed: closed loops at all nodes, and a submission that keeps the
//! queue filled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::model::{CrawlId, Operation};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::cluster::Cluster;
use super::crew::{Crew, Dismissed, Jobs, Turn, Turns};
use super::pauses::Pauses;
use super::targets::{CHUNK, Targets};
use super::worker::Worker;

/// Minimum number of waiting jobs.
const WAITING: u64 = 400_000;

/// Pause of the submission while enough jobs wait.
const FEED_PAUSE: Duration = Duration::from_millis(5);

/// Running clients of one crawl.
pub(super) struct FullLoad {
    crawl: CrawlId,
    crew: Arc<Crew>,
    stop: Arc<AtomicBool>,
    feeding: JoinHandle<anyhow::Result<Targets>>,
}

/// Result of the load.
pub(super) struct Ended {
    pub(super) dismissed: Dismissed,
    pub(super) targets: Targets,
}

impl FullLoad {
    /// Starts `clients` clients with `jobs` jobs per report; every `failing`-th job fails.
    pub(super) async fn start(
        cluster: &Cluster,
        clients: u64,
        jobs: u16,
        failing: Option<u64>,
    ) -> anyhow::Result<Self> {
        Self::begin(cluster, clients, jobs, failing, None).await
    }

    /// Like [`Self::start`] without failures, at `rate` jobs per second in total.
    pub(super) async fn paced(cluster: &Cluster, clients: u64, jobs: u16, rate: f64) -> anyhow::Result<Self> {
        let turn = Duration::from_secs_f64(clients as f64 * f64::from(jobs) / rate);
        Self::begin(cluster, clients, jobs, None, Some(turn)).await
    }

    async fn begin(
        cluster: &Cluster,
        clients: u64,
        jobs: u16,
        failing: Option<u64>,
        turn: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let mut targets = Targets::open(cluster.client(1), Operation::Timeline, 0).await?;
        targets.add(WAITING + CHUNK).await?;
        let mut crew = Crew::default();
        let doors: Vec<_> = cluster.ids().collect();
        for (client, &door) in (1..=clients).zip(doors.iter().cycle()) {
            let mut worker = Worker::open(cluster.client(door), client, jobs.into()).await?;
            if let Some(every) = failing {
                worker = worker.failing_every(every);
            }
            crew.add(Paced { jobs: Jobs { worker, each: jobs }, turn, next: Instant::now() });
        }
        let (crew, stop) = (Arc::new(crew), Arc::new(AtomicBool::new(false)));
        let crawl = targets.crawl();
        let feeding = tokio::spawn(feed(targets, Arc::clone(&crew), Arc::clone(&stop)));
        Ok(Self { crawl, crew, stop, feeding })
    }

    /// Jobs finished so far.
    pub(super) fn done(&self) -> u64 {
        self.crew.done()
    }

    /// The crawl whose jobs are worked on.
    pub(super) fn crawl(&self) -> CrawlId {
        self.crawl
    }

    /// The pauses between grants.
    pub(super) fn pauses(&self) -> &Pauses {
        self.crew.pauses()
    }

    /// Stops the submission, then the clients.
    pub(super) async fn end(self) -> anyhow::Result<Ended> {
        self.stop.store(true, Ordering::Relaxed);
        let targets = self.feeding.await??;
        let crew = Arc::into_inner(self.crew).ok_or_else(|| anyhow::anyhow!("the clients are still used"))?;
        Ok(Ended { dismissed: crew.dismiss().await, targets })
    }
}

async fn feed(mut targets: Targets, crew: Arc<Crew>, stop: Arc<AtomicBool>) -> anyhow::Result<Targets> {
    while !stop.load(Ordering::Relaxed) {
        if targets.count().saturating_sub(crew.done()) < WAITING {
            targets.add(CHUNK).await?;
        } else {
            sleep(FEED_PAUSE).await;
        }
    }
    Ok(targets)
}

/// A client that starts at most one turn per `turn`.
struct Paced {
    jobs: Jobs,
    turn: Option<Duration>,
    next: Instant,
}

impl Turns for Paced {
    async fn turn(&mut self) -> anyhow::Result<Turn> {
        if let Some(turn) = self.turn {
            sleep_until(self.next).await;
            // Missed turns are not made up for.
            self.next = (self.next + turn).max(Instant::now());
        }
        self.jobs.turn().await
    }

    async fn close(self) -> anyhow::Result<()> {
        self.jobs.close().await
    }
}
