//! Shares one write and one sync among records that arrive together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::env::Work;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::spool::{Line, Spool};

/// How long the first line of a group waits for others.
const LINGER: Duration = Duration::from_millis(5);

/// Writes lines in groups.
#[derive(Clone)]
pub(super) struct Groups(Arc<Inner>);

struct Inner {
    spool: Arc<Spool>,
    work: Work,
    runtime: Handle,
    next: Mutex<Group>,
}

/// The next group. As many lines as there are publications under way, and their notes.
#[derive(Default)]
struct Group {
    lines: Vec<Line>,
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
    /// Whether a task writes groups until there is none.
    is_written: bool,
}

impl Groups {
    pub(super) fn new(spool: Arc<Spool>, work: Work, runtime: Handle) -> Self {
        Self(Arc::new(Inner { spool, work, runtime, next: Mutex::default() }))
    }

    /// Adds a line that nobody waits for.
    pub(super) fn note(&self, line: Line) {
        self.push(line, None);
    }

    /// Adds a line; durable on return.
    pub(super) async fn add(&self, line: Line) -> Result<(), String> {
        let (written, done) = oneshot::channel();
        self.push(line, Some(written));
        done.await.unwrap_or_else(|_| Err("the runtime of the crawl ended".to_owned()))
    }

    fn push(&self, line: Line, waiting: Option<oneshot::Sender<Result<(), String>>>) {
        let mut next = self.0.next();
        next.lines.push(line);
        next.waiting.extend(waiting);
        if !std::mem::replace(&mut next.is_written, true) {
            self.0.runtime.spawn(self.0.clone().write());
        }
    }
}

impl Inner {
    fn next(&self) -> MutexGuard<'_, Group> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LINGER).await;
            let (lines, waiting) = {
                let mut next = self.next();
                let group = (std::mem::take(&mut next.lines), std::mem::take(&mut next.waiting));
                if group.0.is_empty() {
                    next.is_written = false;
                    return;
                }
                group
            };
            let spool = self.spool.clone();
            let written = match self.work.run(move || spool.add(&lines)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(lost) => Err(lost.to_string()),
            };
            if let (Err(error), true) = (&written, waiting.is_empty()) {
                tracing::debug!("notes of finished drafts were not kept: {error}");
            }
            for waiting in waiting {
                // Whoever gave up publishes again.
                let _ = waiting.send(written.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::FutureExt;
    use futures::future::{BoxFuture, join_all};
    use storage::dataset::FileKey;
    use storage::dataset::provenance::Record;
    use storage::env::Blocking;

    use super::*;

    /// Counts what it runs.
    struct Counting(Arc<AtomicU64>);

    impl Blocking for Counting {
        fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
            self.0.fetch_add(1, Ordering::SeqCst);
            async move { work() }.boxed()
        }
    }

    fn groups(folder: &Path, bound: u64) -> (Groups, Arc<Spool>, Arc<AtomicU64>) {
        let spool = Arc::new(Spool::open(folder.to_owned(), 1, 5, bound).unwrap());
        let writes = Arc::new(AtomicU64::new(0));
        let work = Work::over(Counting(writes.clone()));
        (Groups::new(spool.clone(), work, Handle::current()), spool, writes)
    }

    fn line(lease: u64) -> Line {
        let record = Record {
            key: FileKey::timeline(&lease.into()),
            crawl: Some(1),
            operation: 'T',
            begun: None,
            ended: None,
            published: Duration::from_secs(lease),
            items: Some(3),
            node: 1,
            lease,
            epoch: 0,
            extent: None,
        };
        Line { record, published: true }
    }

    #[tokio::test]
    async fn records_that_arrive_together_share_one_write_and_one_sync() {
        let folder = tempfile::tempdir().unwrap();
        let (groups, spool, writes) = groups(folder.path(), 1 << 30);
        for round in 1..=3 {
            let written = join_all((1..=100).map(|lease| groups.add(line(round * 1_000 + lease)))).await;
            assert!(written.iter().all(Result::is_ok), "{written:?}");
            assert_eq!((writes.load(Ordering::SeqCst), spool.records()), (round, round * 100));
        }
    }

    #[tokio::test]
    async fn a_write_that_fails_fails_for_all_who_wait_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let (groups, spool, _) = groups(folder.path(), 100);
        let written = join_all((1..=9).map(|lease| groups.add(line(lease)))).await;
        assert!(written.iter().all(Result::is_err), "{written:?}");
        assert_eq!(spool.records(), 0);
    }
}
