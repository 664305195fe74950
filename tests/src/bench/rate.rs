//! How many jobs a second closed loops get done.
//!
//! Jobs are put in between the measured stretches, never in one. How many are needed is found out by a
//! short stretch first; should the clients be faster later on, a stretch ends before the jobs do.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

use super::crew::Crew;

/// Before anything is counted, the first checkpoints have been written.
const WARM_UP: Duration = Duration::from_millis(700);

/// Length of the stretch that finds out how many jobs are needed.
const PROBE: Duration = Duration::from_millis(700);

/// Jobs for that stretch.
const PROBE_JOBS: u64 = 100_000;

/// Stretches that are tried until one had enough jobs.
const TRIES: u32 = 3;

/// Jobs put in for each one that is expected to be done.
const ROOM: f64 = 1.25;

/// Time between two looks at how far the clients are.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// Work to be done by clients in closed loops.
pub(super) trait Work {
    /// Puts in further jobs and waits until nothing is left to do for them but the work itself.
    async fn put(&mut self, jobs: u64) -> anyhow::Result<()>;

    /// Lets the clients begin.
    async fn crew(&mut self) -> anyhow::Result<Crew>;

    /// Jobs that all clients together may hold.
    fn held(&self) -> u64;

    /// Jobs for the first stretch; fewer than usual where putting them in is slow.
    fn probe_jobs(&self) -> u64 {
        PROBE_JOBS
    }

    /// CPU time of the measured processes so far, in seconds.
    fn cpu_seconds(&self) -> anyhow::Result<f64>;

    /// Makes sure that so many jobs were finished in all, and no others.
    async fn verify(&mut self, finished: u64) -> anyhow::Result<()>;
}

/// What is known of a queue of [`Work`].
#[derive(Default)]
pub(super) struct Stock {
    put: u64,
    finished: u64,
}

/// A measured stretch.
pub(super) struct Rate {
    /// Its length, in seconds.
    pub(super) seconds: f64,
    /// Jobs finished in it.
    pub(super) jobs: f64,
    /// CPU time of the measured processes in it, in seconds.
    pub(super) cpu: f64,
}

impl Rate {
    /// Jobs finished a second.
    pub(super) fn a_second(&self) -> f64 {
        self.jobs / self.seconds
    }
}

impl Stock {
    /// Measures a stretch of this length, or one at least half as long.
    pub(super) async fn measure(&mut self, work: &mut impl Work, window: Duration) -> anyhow::Result<Rate> {
        self.fill(work, work.probe_jobs() + 2 * work.held()).await?;
        let crew = work.crew().await?;
        let mut expected = self.stretch(work, &crew, PROBE).await?.a_second();
        self.finished += crew.dismiss().await.without_errors()?;
        for _ in 0..TRIES {
            let jobs = expected * (WARM_UP + window).as_secs_f64() * ROOM;
            self.fill(work, jobs as u64 + 2 * work.held()).await?;
            let crew = work.crew().await?;
            self.stretch(work, &crew, WARM_UP).await?;
            let rate = self.stretch(work, &crew, window).await?;
            let ended = crew.dismiss().await;
            let whole = !ended.starved && rate.seconds >= window.as_secs_f64() / 2.0;
            self.finished += ended.without_errors()?;
            work.verify(self.finished).await?;
            if whole {
                return Ok(rate);
            }
            expected = expected.max(rate.a_second()) * ROOM;
        }
        bail!("the jobs ran out early {TRIES} times: how fast the clients are changes too much")
    }

    async fn fill(&mut self, work: &mut impl Work, jobs: u64) -> anyhow::Result<()> {
        let missing = jobs.saturating_sub(self.put - self.finished);
        if missing > 0 {
            work.put(missing).await?;
        }
        self.put += missing;
        Ok(())
    }

    /// Watches clients for so long, or until hardly more jobs are left than they may hold.
    async fn stretch(&self, work: &impl Work, crew: &Crew, length: Duration) -> anyhow::Result<Rate> {
        let last = (self.put - self.finished).saturating_sub(2 * work.held());
        let (begin, before, cpu) = (Instant::now(), crew.done(), work.cpu_seconds()?);
        while begin.elapsed() < length && crew.done() < last && !crew.starved() {
            sleep(LOOK_PAUSE).await;
        }
        let (seconds, jobs) = (begin.elapsed().as_secs_f64(), (crew.done() - before) as f64);
        Ok(Rate { seconds, jobs, cpu: work.cpu_seconds()? - cpu })
    }
}
