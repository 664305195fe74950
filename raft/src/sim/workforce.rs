//! External workers, in place of the model workers.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use storage::env::{Clock, SeededEntropy};
use storage::ids::UserId;

use crate::model::{CrawlView, FailedUser, Failure, Gone, NodeId, StorageId};
use crate::server::Tracker;

/// The workers of a simulation's nodes.
pub trait Workforce: Debug + Send + Sync + 'static {
    /// Works for one process, in its runtime, as long as it lives.
    fn work(&self, post: Post) -> BoxFuture<'static, ()>;

    /// The first violation, if any.
    fn wrong(&self) -> Option<String>;

    /// What is still missing at the end, other than crawls; `newest_event` is the number of the newest event.
    fn lacks(&self, newest_event: u64) -> Option<String>;

    /// Checks the results once all crawls are over.
    ///
    /// # Errors
    /// What is wrong with them.
    fn check(&self, crawls: &[EndedCrawl]) -> Result<(), String>;
}

/// A process to work for.
pub struct Post {
    /// Its node.
    pub node: NodeId,
    /// How many disks the node had before this one.
    pub disk: u32,
    /// The storage of its dataset.
    pub storage: StorageId,
    /// Whether other nodes share it.
    pub shared: bool,
    /// Its tracker.
    pub tracker: Tracker,
    /// Its clocks, which drift and jump.
    pub clock: Arc<dyn Clock>,
    /// Randomness of its own.
    pub dice: SeededEntropy,
    /// The world's time, which no clock of a process shows.
    pub world: WorldClock,
}

/// The world's time. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct WorldClock(Arc<AtomicU64>);

impl WorldClock {
    /// The time since the world began.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, now: Duration) {
        self.0.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A crawl that is over.
#[derive(Debug)]
pub struct EndedCrawl {
    /// As operators see it.
    pub view: CrawlView,
    /// Discovered accounts that were not crawled.
    pub frontier: Vec<UserId>,
    /// Accounts with a failed operation.
    pub errors: Vec<FailedUser<Failure>>,
    /// Accounts that were gone.
    pub gone: Vec<FailedUser<Gone>>,
    /// Targets that were acknowledged.
    pub targets: BTreeSet<UserId>,
    /// Targets that were sent, including acknowledged ones.
    pub sent: BTreeSet<UserId>,
}
