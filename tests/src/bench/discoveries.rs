//! Accounts discovered by analyses: number of new ones that a cluster accepts per second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::ensure;
use api::model::{NodeId, Operation};
use storage::ids::UserId;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Settings;
use super::accounts::account;
use super::cluster::{Cluster, Program};
use super::report::Report;
use super::targets::Targets;
use super::worker::Worker;

const CLIENTS: u64 = 4;

/// Concurrent analyses of a client, each with one look-up in every report.
pub(super) const LOOKUPS: u64 = 50;

/// Accounts per look-up.
const LOOKUP: u64 = 100;

/// Time for the first checkpoints, before the measurement.
const WARM_UP: std::time::Duration = std::time::Duration::from_secs(1);

/// Accounts that a client may discover: their indexes start at a multiple of this.
const RANGE: u64 = 1 << 40;

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("clients at the leader", CLIENTS);
    report.setting("ids a report", LOOKUPS * LOOKUP);
    report.setting("of them known", "half");
    report.setting("window, s", settings.seconds);
    for &replicas in &settings.replicas {
        let mut cluster = Cluster::start(Program::Tracker, replicas, settings.disks()?).await?;
        let leader = cluster.healthy().await?;
        let mut targets = Targets::open(cluster.client(leader), Operation::Timeline, 0).await?;
        targets.add(CLIENTS * LOOKUPS).await?;
        let finders = Finders::start(&cluster, leader, 1, CLIENTS).await?;
        sleep(WARM_UP).await;
        let (begin, before, cpu) = (Instant::now(), finders.found(), cluster.cpu_seconds()?);
        sleep(settings.window()).await;
        let (seconds, found) = (begin.elapsed().as_secs_f64(), (finders.found() - before) as f64);
        let cpu = cluster.cpu_seconds()? - cpu;
        let sent = finders.end().await?;

        let counters = targets.view().await?.counters;
        ensure!(
            counters.discovered == sent && counters.users.accepted == targets.count() + sent,
            "{sent} new accounts were acknowledged; the tracker has {counters:?}"
        );
        let what = format!("{replicas} replicas: ids accepted after deduplication");
        eprintln!("  {what}: {:.0} a second", found / seconds);
        let reach = if replicas == 3 { "150,000" } else { "" };
        report.add(what, "ids/s", reach, found / seconds);
        let what = format!("{replicas} replicas: trackers' CPU");
        report.add(what, "us/accepted id", "", cpu / found * 1e6);
    }
    Ok(())
}

/// Clients that report discoveries continuously.
pub(super) struct Finders {
    shared: Arc<Shared>,
    loops: JoinSet<anyhow::Result<()>>,
}

#[derive(Default)]
struct Shared {
    found: AtomicU64,
    stop: AtomicBool,
}

impl Finders {
    /// Each client takes its analyses from the queue and starts. Clients are numbered from `first`.
    pub(super) async fn start(
        cluster: &Cluster,
        leader: NodeId,
        first: u64,
        clients: u64,
    ) -> anyhow::Result<Self> {
        let mut finders = Self { shared: Arc::default(), loops: JoinSet::new() };
        for client in first..first + clients {
            finders.add(Worker::open(cluster.client(leader), client, LOOKUPS as u32).await?, client).await?;
        }
        Ok(finders)
    }

    async fn add(&mut self, mut worker: Worker, client: u64) -> anyhow::Result<()> {
        worker.turn(LOOKUPS as u16).await?;
        ensure!(worker.held() as u64 == LOOKUPS, "only {} jobs were granted", worker.held());
        let shared = Arc::clone(&self.shared);
        let mut finder = Finder { next: client * RANGE, first: client * RANGE };
        self.loops.spawn(async move {
            while !shared.stop.load(Ordering::Relaxed) {
                let (batches, new) = finder.batches();
                worker.discover(batches).await?;
                shared.found.fetch_add(new, Ordering::Relaxed);
            }
            worker.close().await
        });
        Ok(())
    }

    /// New accounts acknowledged so far.
    pub(super) fn found(&self) -> u64 {
        self.shared.found.load(Ordering::Relaxed)
    }

    /// Stops all clients. Returns the total number of new accounts acknowledged.
    pub(super) async fn end(mut self) -> anyhow::Result<u64> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.loops.join_next().await {
            ended??;
        }
        Ok(self.found())
    }
}

/// Position of a client in its range of accounts.
struct Finder {
    first: u64,
    next: u64,
}

impl Finder {
    /// The look-ups of one report and the number of new accounts in them. Every second account was sent in an
    /// earlier report, drawn evenly from all of them; in the first report all accounts are new.
    fn batches(&mut self) -> (Vec<Vec<UserId>>, u64) {
        let known = self.next - self.first;
        let mut new = 0;
        let mut one = |at: u64| {
            if at % 2 == 0 && known > 0 {
                // A large step that shares no factor with most lengths, so that no account occurs twice in a
                // report.
                return account(self.first + (self.next + at * 7_368_787) % known);
            }
            let fresh = account(self.next + new);
            new += 1;
            fresh
        };
        let batches =
            (0..LOOKUPS).map(|lookup| (0..LOOKUP).map(|at| one(lookup * LOOKUP + at)).collect()).collect();
        self.next += new;
        (batches, new)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn half_of_the_accounts_were_sent_before() {
        let mut finder = Finder { first: RANGE, next: RANGE };
        let mut sent = BTreeSet::new();
        for report in 0..5 {
            let (batches, new) = finder.batches();
            assert!(batches.iter().all(|batch| batch.len() as u64 == LOOKUP));
            let fresh = batches.into_iter().flatten().filter(|user| sent.insert(user.clone())).count();
            assert_eq!(fresh as u64, new);
            let half = LOOKUPS * LOOKUP / 2;
            assert_eq!(new, if report == 0 { 2 * half } else { half });
        }
    }
}
