//! Number of jobs per second that closed loops finish.
//!
//! Jobs are added between measurements, never during one. A short probe determines how many are needed; if
//! the clients are faster later, a measurement ends before the jobs run out.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};

use super::crew::Crew;

/// Time for the first checkpoints, before the measurement.
const WARM_UP: Duration = Duration::from_millis(700);

/// Length of the probe that determines how many jobs are needed.
const PROBE: Duration = Duration::from_millis(700);

/// Jobs for the probe.
const PROBE_JOBS: u64 = 100_000;

/// Attempts at a measurement with enough jobs.
const TRIES: u32 = 3;

/// Jobs added for each job that is expected to be finished.
const ROOM: f64 = 1.25;

/// Poll interval of the clients' progress.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// Work for clients in closed loops.
pub(super) trait Work {
    /// Adds jobs and waits until they are ready to be worked on.
    async fn put(&mut self, jobs: u64) -> anyhow::Result<()>;

    /// Starts the clients.
    async fn crew(&mut self) -> anyhow::Result<Crew>;

    /// Maximum number of jobs held by all clients together.
    fn held(&self) -> u64;

    /// Jobs for the probe; fewer than usual where adding them is slow.
    fn probe_jobs(&self) -> u64 {
        PROBE_JOBS
    }

    /// CPU time of the measured processes so far, in seconds.
    fn cpu_seconds(&self) -> anyhow::Result<f64>;

    /// Checks that exactly `finished` jobs were finished in total.
    async fn verify(&mut self, finished: u64) -> anyhow::Result<()>;
}

/// Job counts of a queue of [`Work`].
#[derive(Default)]
pub(super) struct Stock {
    put: u64,
    finished: u64,
}

/// A measured stretch.
pub(super) struct Rate {
    /// Length, in seconds.
    pub(super) seconds: f64,
    /// Jobs finished.
    pub(super) jobs: f64,
    /// CPU time of the measured processes, in seconds.
    pub(super) cpu: f64,
}

impl Rate {
    /// Jobs finished per second.
    pub(super) fn a_second(&self) -> f64 {
        self.jobs / self.seconds
    }
}

impl Stock {
    /// Measures for `window`, or for at least half of it.
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
        let missing = jobs.saturating_sub(self.left()?);
        if missing > 0 {
            work.put(missing).await?;
        }
        self.put += missing;
        Ok(())
    }

    /// Jobs that were added and not finished.
    fn left(&self) -> anyhow::Result<u64> {
        let (put, finished) = (self.put, self.finished);
        put.checked_sub(finished).with_context(|| format!("{finished} jobs were finished of {put} put in"))
    }

    /// Observes the clients for `length`, or until the jobs have almost run out.
    async fn stretch(&self, work: &impl Work, crew: &Crew, length: Duration) -> anyhow::Result<Rate> {
        let last = self.left()?.saturating_sub(2 * work.held());
        let (begin, before, cpu) = (Instant::now(), crew.done(), work.cpu_seconds()?);
        while begin.elapsed() < length && crew.done() < last && !crew.starved() {
            sleep(LOOK_PAUSE).await;
        }
        let (seconds, jobs) = (begin.elapsed().as_secs_f64(), (crew.done() - before) as f64);
        Ok(Rate { seconds, jobs, cpu: work.cpu_seconds()? - cpu })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::crew::{Turn, Turns};
    use super::*;

    /// A queue in memory. Its client takes one job per millisecond and reports `reported` for each.
    struct Counter {
        queued: Arc<AtomicU64>,
        taken: Arc<AtomicU64>,
        reported: u64,
    }

    struct Client(Arc<AtomicU64>, Arc<AtomicU64>, u64);

    impl Turns for Client {
        async fn turn(&mut self) -> anyhow::Result<Turn> {
            sleep(Duration::from_millis(1)).await;
            let take = |queued: u64| queued.checked_sub(1);
            if self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
                return Ok(Turn { done: 0, granted: false });
            }
            self.1.fetch_add(1, Ordering::Relaxed);
            Ok(Turn { done: self.2, granted: true })
        }

        async fn close(self) -> anyhow::Result<()> {
            Ok(())
        }
    }

    impl Work for Counter {
        async fn put(&mut self, jobs: u64) -> anyhow::Result<()> {
            self.queued.fetch_add(jobs, Ordering::Relaxed);
            Ok(())
        }

        async fn crew(&mut self) -> anyhow::Result<Crew> {
            let mut crew = Crew::default();
            crew.add(Client(Arc::clone(&self.queued), Arc::clone(&self.taken), self.reported));
            Ok(crew)
        }

        fn held(&self) -> u64 {
            1
        }

        fn probe_jobs(&self) -> u64 {
            100
        }

        fn cpu_seconds(&self) -> anyhow::Result<f64> {
            Ok(0.0)
        }

        async fn verify(&mut self, finished: u64) -> anyhow::Result<()> {
            let taken = self.taken.load(Ordering::Relaxed);
            anyhow::ensure!(taken == finished, "{taken} jobs were taken, not {finished}");
            Ok(())
        }
    }

    fn counter(reported: u64) -> Counter {
        Counter { queued: Arc::default(), taken: Arc::default(), reported }
    }

    #[tokio::test]
    async fn work_that_was_done_gives_a_number() {
        let rate = Stock::default().measure(&mut counter(1), Duration::from_millis(300)).await.unwrap();
        assert!(rate.jobs > 0.0 && rate.seconds >= 0.15, "{} jobs in {} s", rate.jobs, rate.seconds);
    }

    #[tokio::test]
    async fn work_that_was_not_done_gives_no_number() {
        // With 1,000, more jobs are reported than exist; with 2, only the sums differ.
        for reported in [2, 1_000] {
            let measured = Stock::default().measure(&mut counter(reported), Duration::from_millis(300)).await;
            assert!(measured.is_err(), "{reported} jobs were reported for each that was taken");
        }
    }
}
