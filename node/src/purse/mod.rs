//! The node's money: what its session holds of the budgets of apps and crawls.
//!
//! A request to a network that charges takes its worst case from the purse before it is sent, and says afterwards what
//! it has cost. The purse reports to the ledger in the replicated state ([`raft::state::spend`], which defines the
//! protocol), and takes more when workers wait for it.
//!
//! A purse belongs to one session. What it held is lost with the session, and is never spent by the next one. A purse
//! deliberately knows nothing of networks: neither prices nor how an app is chosen.

mod held;
mod report;
mod spending;
#[cfg(test)]
mod tests;
mod waits;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::model::{AppName, AppTerms, CrawlId, SessionId};
use storage::env::Clock;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use held::{Held, Waiter};
pub use spending::Spending;
use waits::Waits;

/// How long a worker waits for the ledger before it hands its job back.
const PATIENCE: Duration = Duration::from_secs(2);
/// A job that is handed back for want of money waits for at least this long.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// A `Date` further ahead of the local clock is dropped, s: it would begin a billing cycle too early.
const FURTHEST_DATE: u64 = 86_400;

/// An app and a crawl.
type Key = (AppName, CrawlId);

/// Why a request cannot be paid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoMoney {
    /// What is used up, or what keeps the node from spending.
    pub what: String,
    /// When it is worth to ask again.
    pub after: Duration,
}

/// A request that is to be paid; amounts in millionths of the currency.
#[derive(Debug, Clone, Copy)]
pub struct Bid<'a> {
    /// The app to spend by.
    pub app: &'a str,
    /// The crawl to spend for.
    pub crawl: CrawlId,
    /// The worst case of the usual request.
    pub usual: u64,
    /// The worst case of the smallest one.
    pub least: u64,
}

/// What a node's session holds.
pub struct Purse {
    inner: Mutex<Inner>,
    /// There is something to report.
    due: Notify,
    /// Counts answers of the ledger.
    answers: watch::Sender<u64>,
    apps: Vec<(AppName, AppTerms)>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Inner {
    /// Absent between sessions, and when the last one gives everything back.
    session: Option<SessionId>,
    /// Number of the last report.
    sequence: u64,
    held: BTreeMap<Key, Held>,
    /// The latest dates of the network.
    dates: BTreeMap<AppName, u64>,
    waits: Waits,
    /// Why nothing can be spent.
    trouble: Option<String>,
    next_waiter: u64,
}

impl Purse {
    /// The purse of a node whose settings name these apps.
    pub fn new(apps: Vec<(AppName, AppTerms)>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (inner, due, answers) = (Mutex::default(), Notify::new(), watch::Sender::new(0));
        Arc::new(Self { inner, due, answers, apps, clock })
    }

    /// Whether the settings name any app.
    pub fn is_needed(&self) -> bool {
        !self.apps.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wall(&self) -> u64 {
        self.clock.wall().as_secs()
    }

    /// Takes the worst case of a request. `fit` chooses a size that costs at most an amount, and returns it with its worst
    /// case; it is used when less than the usual request is left.
    ///
    /// # Errors
    /// Nothing that `fit` takes can be had now.
    pub async fn take<Size>(
        self: &Arc<Self>,
        bid: Bid<'_>,
        usual: Size,
        fit: impl Fn(u64) -> Option<(Size, u64)>,
    ) -> Result<(Spending, Size), NoMoney>
    where
        Size: Copy,
    {
        let key: Key = (bid.app.into(), bid.crawl);
        let deadline = Instant::now() + PATIENCE;
        let mut answers = self.answers.subscribe();
        let mut waiting: Option<Waiting<'_>> = None;
        loop {
            answers.mark_unchanged();
            {
                let mut inner = self.lock();
                let session = inner.can_spend()?;
                let held = inner.held.entry(key.clone()).or_default();
                if let Some((taken, worst, size)) = held.take(bid.usual, usual, &fit) {
                    held.used = self.clock.monotonic();
                    let sent_by = self.clock.wall();
                    return Ok((Spending::new(self.clone(), session, key, (taken, worst), sent_by), size));
                }
                if let Some(refused) = inner.waits.refused(&key, &*self.clock) {
                    return Err(refused);
                }
                if waiting.is_none() {
                    inner.next_waiter += 1;
                    let (id, waiter) = (inner.next_waiter, Waiter { least: bid.least, usual: bid.usual });
                    inner.held.entry(key.clone()).or_default().waiters.insert(id, waiter);
                    waiting = Some(Waiting { purse: self, key: key.clone(), id });
                }
            }
            self.due.notify_one();
            match tokio::time::timeout_at(deadline, answers.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => {
                    let what = "the cluster has not answered a request for money".to_owned();
                    return Err(NoMoney { what, after: SHORTEST_WAIT });
                }
            }
        }
    }

    /// A `Date` of an answer to a request by this app, Unix seconds. One far ahead of the local clock is dropped.
    pub fn see(&self, app: &str, date: u64) {
        if date > self.wall().saturating_add(FURTHEST_DATE) {
            tracing::warn!(app, date, "dropped a Date that is more than a day ahead of the local clock");
            return;
        }
        let mut inner = self.lock();
        match inner.dates.get_mut(app) {
            Some(latest) => *latest = date.max(*latest),
            None => {
                inner.dates.insert(app.into(), date);
            }
        }
    }

    /// Whether the app's cycle should be over by the local clock, so that the network has to be asked for its date. Once
    /// in a while only.
    pub fn is_date_due(&self, app: &str) -> bool {
        self.lock().waits.is_date_due(app, &*self.clock)
    }

    /// The network said its date: the app may have a new cycle.
    pub fn ask_again(&self, app: &str) {
        self.lock().waits.ask_again(app);
    }

    /// How many jobs may start that would spend by one of these apps, of `usual`: none while all of them wait for their
    /// next cycle, and one at a time to see whether it has begun.
    pub fn room<'a>(&self, mut apps: impl Iterator<Item = &'a str>, usual: usize) -> usize {
        let inner = self.lock();
        let mut room = 0;
        let any = apps.any(|app| {
            let of_app = inner.waits.room(app, usual, &*self.clock);
            room = room.max(of_app);
            room == usual
        });
        if any { usual } else { room }
    }

    /// Why nothing can be spent, if something is wrong.
    pub fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// Whether the app was refused last.
    pub fn waits(&self, app: &str) -> bool {
        self.lock().waits.waits(app)
    }

    fn end_of_request(&self, session: SessionId, key: &Key, end: impl FnOnce(&mut Held)) {
        let mut inner = self.lock();
        // What an earlier session held is lost already.
        if inner.session_of_requests() != Some(session) {
            return;
        }
        if let Some(held) = inner.held.get_mut(key) {
            end(held);
        }
    }
}

impl Inner {
    /// The session by which money can be spent.
    fn can_spend(&self) -> Result<SessionId, NoMoney> {
        let what = match (&self.trouble, self.session) {
            (None, Some(session)) if !self.waits.closing => return Ok(session),
            (Some(trouble), _) => trouble.clone(),
            _ => "the node has no session".to_owned(),
        };
        Err(NoMoney { what, after: SHORTEST_WAIT * 5 })
    }

    fn session_of_requests(&self) -> Option<SessionId> {
        self.session
    }
}

/// A worker's place among those that wait; it leaves when this is dropped.
struct Waiting<'a> {
    purse: &'a Purse,
    key: Key,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(held) = self.purse.lock().held.get_mut(&self.key) {
            held.waiters.remove(&self.id);
        }
    }
}
