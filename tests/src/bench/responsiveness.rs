//! Latency of operator calls, and pauses in grants, while a cluster runs at full load.

use std::time::Duration;

use anyhow::{bail, ensure};
use api::TrackerApi;
use api::client::Client;
use api::model::{Answer, CrawlId, CrawlPhase, Operation, Query, Write};
use tokio::time::{Instant, sleep};

use super::Settings;
use super::cluster::{Cluster, Program};
use super::discoveries::{Finders, LOOKUPS};
use super::full_load::FullLoad;
use super::report::{Report, percentile};
use super::targets::{Targets, view};

const REPLICAS: u64 = 3;
const CLIENTS: u64 = 4;
const JOBS: u16 = 64;

/// One of this many jobs fails and is added to the error list.
const FAILING_EVERY: u64 = 20;

/// Failed accounts requested at once, the maximum of the tracker.
const PAGE: u32 = 1_000;

/// Observation time, long enough for runs of the seen-set to be merged: eight checkpoints make a merge.
const WATCH: Duration = Duration::from_secs(12);

/// Pause between two rounds of calls.
const ROUND_PAUSE: Duration = Duration::from_millis(50);

/// Durations of all calls of one kind, in ms.
struct Calls {
    name: &'static str,
    times: Vec<f64>,
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("replicas", REPLICAS);
    report.setting("clients, spread", CLIENTS);
    report.setting("jobs a report", JOBS);
    report.setting("failing jobs, one of", FAILING_EVERY);
    report.setting("watched, s", WATCH.as_secs());
    let mut cluster = Cluster::start(Program::Tracker, REPLICAS, settings.disks()?).await?;
    let leader = cluster.healthy().await?;
    // The jobs that the second crawl discovers are worked on as well.
    let mut other = Targets::open(cluster.client(leader), Operation::Timeline, 1 << 50).await?;
    other.add(LOOKUPS).await?;
    let finders = Finders::start(&cluster, leader, CLIENTS + 1, 1).await?;
    let load = FullLoad::start(&cluster, CLIENTS, JOBS, Some(FAILING_EVERY)).await?;

    let operator = cluster.client(leader);
    let mut calls = ["status", "errors list", "crawl pause", "crawl resume"]
        .map(|name| Calls { name, times: Vec::new() });
    load.pauses().take();
    let (begin, before) = (Instant::now(), [load.done(), finders.found()]);
    while begin.elapsed() < WATCH {
        round(&operator, load.crawl(), other.crawl(), &mut calls).await?;
        sleep(ROUND_PAUSE).await;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let rates = [load.done() - before[0], finders.found() - before[1]].map(|count| count as f64 / seconds);
    let longest = load.pauses().take();

    let found = finders.end().await?;
    let ended = load.end().await?;
    let done = ended.dismissed.all_well()?;
    let views = [ended.targets.view().await?.counters, other.view().await?.counters];
    let finished: u64 = views.iter().map(|view| view.users.completed + view.users.failed).sum();
    ensure!(finished == done, "{done} jobs were finished; the tracker has {views:?}");
    let failed = views[0].users.failed.min(PAGE.into());
    let listed = error_list(&operator, ended.targets.crawl()).await?;
    ensure!(listed > 0 && listed == failed, "{failed} failed accounts should be listed, not {listed}");
    ensure!(views[1].discovered == found, "{found} accounts were discovered; the tracker has {views:?}");
    for Calls { name, times } in &calls {
        report.add(format!("{name}, median"), "ms", "< 100", percentile(times, 0.5));
        report.add(format!("{name}, worst"), "ms", "< 100", percentile(times, 1.0));
    }
    let pause = longest.to_any.as_secs_f64() * 1e3;
    report.add("longest pause in grants", "ms", "< 50", pause);
    report.add("longest wait of one client", "ms", "", longest.to_one.as_secs_f64() * 1e3);
    report.add("load: jobs", "jobs/s", "", rates[0]);
    report.add("load: ids discovered", "ids/s", "", rates[1]);
    Ok(())
}

/// One call of each kind.
async fn round(
    operator: &Client,
    worked_on: CrawlId,
    other: CrawlId,
    calls: &mut [Calls; 4],
) -> anyhow::Result<()> {
    let [status, errors, pause, resume] = calls;
    match status.timed(operator.query(Query::Status)).await? {
        Answer::Status(seen) => {
            ensure!(seen.crawls.iter().any(|crawl| crawl.id == worked_on), "the crawl is missing")
        }
        answer => bail!("asked for the status, got {answer:?}"),
    }
    errors.timed(error_list(operator, worked_on)).await?;
    pause.timed(operator.write(Write::PauseCrawl { crawl: other })).await?;
    let phase = view(operator, other).await?.phase;
    ensure!(phase == CrawlPhase::Paused, "the crawl is {} after its pause", phase.name());
    resume.timed(operator.write(Write::ResumeCrawl { crawl: other })).await?;
    Ok(())
}

/// Queries the first page of a crawl's error list. Returns its length.
async fn error_list(operator: &Client, crawl: CrawlId) -> anyhow::Result<u64> {
    match operator.query(Query::Errors { crawl, after: None, limit: PAGE }).await? {
        Answer::Errors(listed) => Ok(listed.len() as u64),
        answer => bail!("asked for the error list, got {answer:?}"),
    }
}

impl Calls {
    async fn timed<T, E: Into<anyhow::Error>>(
        &mut self,
        call: impl Future<Output = Result<T, E>>,
    ) -> anyhow::Result<T> {
        let begin = Instant::now();
        let answer = call.await.map_err(Into::into)?;
        self.times.push(begin.elapsed().as_secs_f64() * 1e3);
        Ok(answer)
    }
}
