//! The state machine as a tracker: one replica, every command applied at once.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use storage::dataset::SourceName;

use api::client::{ApiError, ClientError};
use api::model::{
    Answer, CrawlId, CrawlPhase, CrawlSpec, CrawlView, FailedUser, Failure, Gone, JobId, LeaseId, Query,
    RequestId, Response, SessionId, SharedBudget, Traversal,
};
use api::wire::{ApiReply, ApiRequest, NodeRequest};
use api::{Called, TrackerApi};
use futures::FutureExt;
use node::session::JobTracker;
use raft::command::{Command, Limits, Mutation};
use raft::state::shares::Moment;
use raft::state::{Demand, State};
use storage::env::{Clock, SystemClock};
use storage::ids::UserId;
use storage::state::MemoryStore;

use super::rig::eventually;

pub struct LocalTracker {
    state: Mutex<State>,
    index: AtomicU64,
    clock: SystemClock,
    limits: Limits,
    /// While set, no call is answered, as if there were no leader.
    pub silent: AtomicBool,
}

fn spec(operations: &str) -> CrawlSpec {
    CrawlSpec {
        name: String::new(),
        operations: operations.parse().unwrap(),
        traversal: Traversal::Default,
        depth: None,
        follow: None,
        priority: 1,
        fingerprint: None,
        source: SourceName::default(),
        spend_limit: None,
    }
}

impl LocalTracker {
    pub fn new(limits: Limits) -> Arc<Self> {
        let state = Mutex::new(State::load(Arc::new(MemoryStore::default())).unwrap());
        let (index, clock, silent) = (AtomicU64::new(0), SystemClock::new(), AtomicBool::new(false));
        let tracker = Arc::new(Self { state, index, clock, limits, silent });
        for to in 2..=api::model::CLUSTER_VERSION {
            assert_eq!(tracker.apply(Mutation::RaiseVersion { to }), Response::Done);
        }
        tracker
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
        let follow = follow.map(str::to_owned);
        self.submit_spec(CrawlSpec { traversal, follow, ..spec(operations) }, users)
    }

    /// A crawl of the other source, which is the same API.
    pub fn submit_other(&self, operations: &str, users: &[u64]) -> CrawlId {
        self.submit_from("other", operations, users)
    }

    pub fn submit_from(&self, source: &str, operations: &str, users: &[u64]) -> CrawlId {
        self.submit_spec(CrawlSpec { source: source.parse().unwrap(), ..spec(operations) }, users)
    }

    fn submit_spec(&self, spec: CrawlSpec, users: &[u64]) -> CrawlId {
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

    async fn node_call(&self, request: NodeRequest) -> Result<ApiReply, ClientError> {
        let mutation = match request {
            NodeRequest::OpenSession(open) => Mutation::OpenSession(open),
            NodeRequest::Report(report) => Mutation::Report(report),
            NodeRequest::ReportOf { report, others } => Mutation::ReportOf { report, others },
            NodeRequest::EndSession { session } => Mutation::EndSession { session, graceful: true },
            NodeRequest::WaitForWork { session, wants, timeout_ms } => {
                return Ok(ApiReply::Work(self.wait(session, &wants.into(), timeout_ms).await));
            }
            NodeRequest::WaitForWorkOf { session, wants, others, timeout_ms } => {
                let demand = Demand::new(wants, others);
                return Ok(ApiReply::Work(self.wait(session, &demand, timeout_ms).await));
            }
            NodeRequest::Spend { session, report } => Mutation::Spend { session, report },
            NodeRequest::EventsPassed { through } => Mutation::EventsPassed { through },
            NodeRequest::Shares(report) => {
                let at = self.clock.monotonic().as_millis() as u64;
                Mutation::Shares { report, moment: Moment { term: 1, process: 1, at } }
            }
            NodeRequest::Digest { .. } => panic!("no worker asks for a digest"),
        };
        self.answer(mutation).await.map(ApiReply::Mutated)
    }

    async fn wait(&self, session: SessionId, demand: &Demand, timeout_ms: u32) -> bool {
        let end = self.clock.monotonic() + Duration::from_millis(timeout_ms.into());
        loop {
            self.tick();
            let silent = self.silent.load(Ordering::SeqCst);
            if !silent && self.state.lock().unwrap().has_work(session, demand) {
                return true;
            }
            if !silent && self.clock.monotonic() >= end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Makes delayed jobs due.
    fn tick(&self) {
        let due = self.state.lock().unwrap().next_due(self.limits.storage_grace_ms.into());
        if due.is_some_and(|due| due <= self.clock.monotonic().as_millis() as u64) {
            self.apply(Mutation::Tick);
        }
    }
}

impl TrackerApi for LocalTracker {
    fn request_id(&self) -> RequestId {
        panic!("no node writes")
    }

    fn call(&self, request: ApiRequest) -> Called<'_, ApiReply> {
        async move {
            match request {
                ApiRequest::Node { request, .. } => self.node_call(request).await,
                ApiRequest::Query(Query::DraftsInUse(leases)) => {
                    let used = self.state.lock().unwrap().drafts_in_use(&leases);
                    Ok(ApiReply::Answer(Box::new(Answer::DraftsInUse(used))))
                }
                other => panic!("no node asks {other:?}"),
            }
        }
        .boxed()
    }
}

impl JobTracker for LocalTracker {
    fn crawl_spec(&self, crawl: CrawlId) -> Option<CrawlSpec> {
        self.state.lock().unwrap().crawl_spec(crawl).cloned()
    }

    fn keeps_profiles(&self, crawl: CrawlId) -> bool {
        self.state.lock().unwrap().keeps_profiles(crawl)
    }

    fn knows_sources(&self) -> bool {
        self.state.lock().unwrap().version() >= 5
    }

    fn knows_money(&self) -> bool {
        self.state.lock().unwrap().version() >= 6
    }

    fn knows_shares(&self) -> bool {
        self.state.lock().unwrap().version() >= 6
    }

    fn shared_budget(&self, name: &str) -> Option<SharedBudget> {
        self.state.lock().unwrap().shared_budget(name)
    }

    fn queues_at_hosts(&self) -> bool {
        self.state.lock().unwrap().version() >= 6
    }

    fn applied_index(&self) -> u64 {
        self.index.load(Ordering::SeqCst)
    }

    fn unpublished(&self, job: JobId, lease: LeaseId) -> Option<(CrawlId, u64)> {
        self.state.lock().unwrap().unpublished(job, lease)
    }

    fn unseen(&self, crawl: CrawlId, users: Vec<UserId>) -> Vec<UserId> {
        self.state.lock().unwrap().unseen(crawl, users)
    }
}
