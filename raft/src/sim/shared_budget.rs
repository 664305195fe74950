//! A server that counts the requests of all nodes together, and nodes that share its budget.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::TrackerApi;
use api::client::{ApiError, ClientError};
use storage::env::{Entropy, SeededEntropy};
use tokio::time::{Instant, sleep};

use crate::model::{NodeId, SessionId, ShareReport};
use crate::server::Tracker;
use crate::state::shares::{Outcome, Share};

use super::workforce::WorldClock;

const BUDGET: &str = "token";
/// Requests in a window, and its length.
const LIMIT: u64 = 12;
const WINDOW: Duration = Duration::from_secs(3);
/// The cluster version from which on budgets are shared.
const FIRST_SHARES: u32 = 6;
/// Without a hint of its replica, a node that wants requests asks this often.
const ASK_EVERY: u64 = 400;
/// Pause after a report that failed.
const AGAIN: Duration = Duration::from_millis(100);

/// The server. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Server {
    counted: Arc<Mutex<Counted>>,
    clock: WorldClock,
    healed: Arc<AtomicBool>,
}

#[derive(Default)]
struct Counted {
    ends: Duration,
    requests: u64,
    wrong: Option<String>,
}

/// What an answer tells.
struct Told {
    remaining: u64,
    /// The end of the window in whole seconds, and the server's clock.
    reset: u64,
    date: u64,
}

impl Server {
    /// A server by the world's time.
    pub(super) fn by(clock: WorldClock) -> Self {
        Self { clock, ..Self::default() }
    }

    /// All faults end, those of hosts too.
    pub(super) fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    /// A request arrives.
    fn count(&self, node: NodeId) -> Told {
        let now = self.clock.now();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= counted.ends {
            (counted.ends, counted.requests) = (now + WINDOW, 0);
        }
        counted.requests += 1;
        if counted.requests > LIMIT {
            let wrong = format!("node {node} sent request {} of {LIMIT} in a window", counted.requests);
            counted.wrong.get_or_insert(wrong);
        }
        let remaining = LIMIT.saturating_sub(counted.requests);
        Told { remaining, reset: counted.ends.as_secs(), date: now.as_secs() }
    }

    /// What went wrong.
    pub(super) fn wrong(&self) -> Option<String> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).wrong.clone()
    }
}

/// A node's requests in one session.
pub(super) struct Sender {
    pub(super) node: NodeId,
    pub(super) tracker: Tracker,
    pub(super) server: Server,
    pub(super) dice: SeededEntropy,
    pub(super) session: SessionId,
}

impl Sender {
    fn below(&self, bound: u64) -> u64 {
        self.dice.next_u64() % bound
    }

    /// Sends what its share allows until a report is refused. That its session is over it learns by that alone.
    pub(super) async fn run(self) {
        let (begun, mut share, mut sequence, mut asked) = (Instant::now(), Share::new(), 0, 0);
        let now = || u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        while self.tracker.cluster_version() < FIRST_SHARES {
            sleep(AGAIN).await;
        }
        loop {
            sleep(Duration::from_millis(10 + self.below(60))).await;
            if share.ready(now()) > 0 {
                self.send(&mut share, &now).await;
                continue;
            }
            let open = self.tracker.shared_budget(BUDGET).is_some_and(|budget| budget.open);
            let wants = open || now() >= asked + ASK_EVERY;
            if !wants && !share.is_urgent(now()) {
                continue;
            }
            asked = now();
            sequence += 1;
            let news = share.take_news(asked);
            let answer = loop {
                let budgets = vec![news.report(BUDGET, u32::from(wants) * 3, now())];
                let report = ShareReport { session: self.session, sequence, budgets };
                match self.tracker.share(self.node, report).await {
                    Ok(answer) => break answer,
                    Err(ClientError::Api(ApiError::Refused(_))) => return,
                    Err(_) => sleep(AGAIN).await,
                }
            };
            if let Some(answer) = answer.budgets.first() {
                share.answered(asked, answer);
            }
        }
    }

    /// Sends one request. A process that is frozen sends it when it wakes.
    async fn send(&self, share: &mut Share, now: &impl Fn() -> u64) {
        let taken = share.take();
        sleep(Duration::from_millis(self.below(30))).await;
        if self.below(15) == 0 {
            return share.settle(taken, Outcome::NotSent);
        }
        let told = (self.below(15) > 0).then(|| self.server.count(self.node));
        sleep(Duration::from_millis(self.below(60))).await;
        let Some(Told { remaining, reset, date }) = told.filter(|_| self.below(15) > 0) else {
            return share.settle(taken, Outcome::Lost);
        };
        share.settle(taken, Outcome::Answered(Some(reset)));
        let ends = now() + reset.saturating_sub(date) * 1_000 + 1_000 + 100;
        share.seen(taken, remaining, Some(LIMIT), ends, Some(reset));
    }
}
