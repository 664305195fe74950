//! The state machine alone as a tracker: one replica, every command applied at once.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use api::client::{ApiError, ClientError};
use api::model::{
    Command, CrawlId, CrawlPhase, CrawlSpec, CrawlView, FailedUser, Failure, Gone, LeaseId, Limits, Mutation,
    OpenSession, Operations, Report, ReportAnswer, RequestId, Response, SessionId, SessionOpened, Traversal,
    Wants,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use node::session::JobTracker;
use raft::state::State;
use storage::env::{Clock, SystemClock};
use storage::ids::UserId;
use storage::state::MemoryStore;

use super::rig::eventually;

pub struct LocalTracker {
    state: Mutex<State>,
    index: AtomicU64,
    clock: SystemClock,
    limits: Limits,
    /// While set, no call is answered: as if there were no leader.
    pub silent: AtomicBool,
}

impl LocalTracker {
    pub fn new(limits: Limits) -> Arc<Self> {
        let state = Mutex::new(State::load(Arc::new(MemoryStore::default())).unwrap());
        let (index, clock, silent) = (AtomicU64::new(0), SystemClock::new(), AtomicBool::new(false));
        Arc::new(Self { state, index, clock, limits, silent })
    }

    pub fn apply(&self, mutation: Mutation) -> Response {
        let mut state = self.state.lock().unwrap();
        let index = self.index.fetch_add(1, Ordering::SeqCst) + 1;
        let now = self.clock.monotonic().as_millis() as u64;
        state.apply(index, Command { now, limits: self.limits, mutation })
    }

    async fn answer(&self, mutation: Mutation) -> Result<Response, ClientError> {
        while self.silent.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        match self.apply(mutation) {
            Response::Refused(refusal) => Err(ClientError::Api(ApiError::Refused(refusal))),
            response => Ok(response),
        }
    }

    pub fn submit(&self, operations: &str, users: &[u64]) -> CrawlId {
        self.submit_with(operations, users, Traversal::Default, None)
    }

    pub fn submit_with(
        &self,
        operations: &str,
        users: &[u64],
        traversal: Traversal,
        follow: Option<&str>,
    ) -> CrawlId {
        let operations: Operations = operations.parse().unwrap();
        let follow = follow.map(str::to_owned);
        let spec = CrawlSpec {
            name: String::new(),
            operations,
            traversal,
            depth: None,
            follow,
            priority: 1,
            fingerprint: None,
        };
        let request = RequestId { client: 1, sequence: self.index.load(Ordering::SeqCst) };
        let Response::CrawlCreated(crawl) = self.apply(Mutation::CreateCrawl { request, spec }) else {
            panic!("the crawl is refused")
        };
        let users = users.iter().copied().map(UserId::from).collect();
        self.apply(Mutation::AddTargets { crawl, chunk: 0, users, seeds: false });
        self.apply(Mutation::SealCrawl { crawl });
        crawl
    }

    pub fn crawl(&self, crawl: CrawlId) -> CrawlView {
        self.state.lock().unwrap().crawl(crawl).unwrap()
    }

    pub async fn finished(&self, crawl: CrawlId) -> CrawlView {
        eventually("the crawl to be finished", || self.crawl(crawl).phase == CrawlPhase::Finished).await;
        self.crawl(crawl)
    }

    pub fn errors(&self, crawl: CrawlId) -> Vec<FailedUser<Failure>> {
        self.state.lock().unwrap().errors(crawl, None, 100).unwrap()
    }

    pub fn gone(&self, crawl: CrawlId) -> Vec<FailedUser<Gone>> {
        self.state.lock().unwrap().gone_users(crawl, None, 100).unwrap()
    }

    pub fn frontier(&self, crawl: CrawlId) -> Vec<UserId> {
        self.state.lock().unwrap().frontier(crawl, 0).unwrap().users
    }

    pub fn end_sessions(&self, graceful: bool) {
        let sessions = self.state.lock().unwrap().session_ids();
        for session in sessions {
            self.apply(Mutation::EndSession { session, graceful });
        }
    }

    pub fn sessions(&self) -> usize {
        self.state.lock().unwrap().session_ids().len()
    }

    /// Lets what was delayed become due.
    fn tick(&self) {
        let due = self.state.lock().unwrap().next_due(self.limits.storage_grace_ms.into());
        if due.is_some_and(|due| due <= self.clock.monotonic().as_millis() as u64) {
            self.apply(Mutation::Tick);
        }
    }
}

impl JobTracker for LocalTracker {
    fn open_session(&self, open: OpenSession) -> BoxFuture<'_, Result<SessionOpened, ClientError>> {
        async move {
            match self.answer(Mutation::OpenSession(open)).await? {
                Response::SessionOpened(opened) => Ok(opened),
                other => panic!("{other:?}"),
            }
        }
        .boxed()
    }

    fn report(&self, report: Report) -> BoxFuture<'_, Result<ReportAnswer, ClientError>> {
        async move {
            match self.answer(Mutation::Report(report)).await? {
                Response::Report(answer) => Ok(answer),
                other => panic!("{other:?}"),
            }
        }
        .boxed()
    }

    fn wait_for_work(
        &self,
        session: SessionId,
        wants: Wants,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<bool, ClientError>> {
        async move {
            let end = self.clock.monotonic() + timeout;
            loop {
                self.tick();
                let silent = self.silent.load(Ordering::SeqCst);
                if !silent && self.state.lock().unwrap().has_work(session, &wants) {
                    return Ok(true);
                }
                if !silent && self.clock.monotonic() >= end {
                    return Ok(false);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        .boxed()
    }

    fn end_session(&self, session: SessionId) -> BoxFuture<'_, Result<(), ClientError>> {
        async move { self.answer(Mutation::EndSession { session, graceful: true }).await.map(|_| ()) }.boxed()
    }

    fn drafts_in_use(&self, leases: Vec<LeaseId>) -> BoxFuture<'_, Result<Vec<LeaseId>, ClientError>> {
        async move { Ok(self.state.lock().unwrap().drafts_in_use(&leases)) }.boxed()
    }

    fn crawl_spec(&self, crawl: CrawlId) -> Option<CrawlSpec> {
        self.state.lock().unwrap().crawl_spec(crawl).cloned()
    }

    fn unseen(&self, crawl: CrawlId, users: Vec<UserId>) -> Vec<UserId> {
        self.state.lock().unwrap().unseen(crawl, users)
    }
}
