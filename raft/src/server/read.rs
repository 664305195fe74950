//! Reading this replica.

use storage::ids::UserId;

use crate::model::{Answer, CrawlId, CrawlSpec, CrawlView, JobId, LeaseId, Query, SharedBudget, SpendStatus};
use crate::state::{OutcomesError, Sizes, WaitSummary};
use crate::wire::ApiError;

use super::tracker::Tracker;

impl Tracker {
    /// The specification of a crawl that this replica knows.
    pub fn crawl_spec(&self, crawl: CrawlId) -> Option<CrawlSpec> {
        self.inner.replica.state().crawl_spec(crawl).cloned()
    }

    /// Whether the analyses of a crawl write the profiles that they look up, as far as this replica knows.
    pub fn keeps_profiles(&self, crawl: CrawlId) -> bool {
        self.inner.replica.state().keeps_profiles(crawl)
    }

    /// Which of these accounts the crawl does not know yet, as far as this replica can tell.
    pub fn unseen(&self, crawl: CrawlId, users: Vec<UserId>) -> Vec<UserId> {
        self.inner.replica.state().unseen(crawl, users)
    }

    /// The crawl of a job whose draft is to be published, and the draft's items, as far as this replica knows.
    pub fn unpublished(&self, job: JobId, lease: LeaseId) -> Option<(CrawlId, u64)> {
        self.inner.replica.state().unpublished(job, lease)
    }

    /// A shared budget, as far as this replica knows.
    pub fn shared_budget(&self, name: &str) -> Option<SharedBudget> {
        self.inner.replica.state().shared_budget(name)
    }

    /// All crawls as this replica knows them.
    pub fn crawls(&self) -> Vec<CrawlView> {
        self.inner.replica.state().crawls()
    }

    /// All money, as this replica knows it.
    pub fn money(&self) -> SpendStatus {
        self.inner.replica.state().money()
    }

    /// What a crawl's jobs wait for, as far as this replica knows.
    pub fn waits(&self, crawl: CrawlId) -> WaitSummary {
        self.inner.replica.state().waits(crawl)
    }

    /// Cluster time by this leader's clock, given the time of the last command, since time passes between commands.
    pub(super) fn cluster_time(&self, applied: u64) -> u64 {
        self.inner.clock.now(self.monotonic(), applied)
    }

    /// Sets the time at which crawls were read.
    pub(super) fn at_present(&self, crawls: Vec<CrawlView>) -> Vec<CrawlView> {
        crawls.into_iter().map(|crawl| self.of_now(crawl)).collect()
    }

    fn of_now(&self, crawl: CrawlView) -> CrawlView {
        CrawlView { now: self.cluster_time(crawl.now), ..crawl }
    }

    /// The size of this replica's state.
    pub fn sizes(&self) -> Sizes {
        self.inner.replica.state().sizes()
    }

    /// Bytes of the Raft log on disk.
    pub fn log_bytes(&self) -> u64 {
        self.inner.log.size_on_disk()
    }

    /// Answers from the state. Leadership must have been confirmed.
    pub(super) async fn answer(&self, query: &Query) -> Result<Answer, ApiError> {
        if *query == Query::Status {
            return Ok(Answer::Status(Box::new(self.cluster_status().await)));
        }
        if !reads_the_store(query) {
            return Ok(self.answer_from_memory(query));
        }
        let (tracker, query) = (self.clone(), query.clone());
        let read = self.inner.options.work.run(move || tracker.read_replica(&query));
        let answer = read.await.map_err(|e| ApiError::Unavailable(e.to_string()))?;
        answer.map_err(|e| ApiError::Unavailable(e.to_string()))
    }

    fn answer_from_memory(&self, query: &Query) -> Answer {
        let state = self.inner.replica.state();
        match query {
            Query::Crawl(id) => Answer::Crawl(state.crawl(*id).map(|crawl| Box::new(self.of_now(crawl)))),
            Query::DraftsInUse(leases) => Answer::DraftsInUse(state.drafts_in_use(leases)),
            Query::Storages => Answer::Storages(state.storages().clone()),
            Query::Spend => Answer::Spend(Box::new(state.money())),
            Query::Crawls
            | Query::Status
            | Query::Errors { .. }
            | Query::Gone { .. }
            | Query::Frontier { .. } => Answer::Crawls(self.at_present(state.crawls())),
        }
    }

    /// Answers from this replica, whatever the leader knows. The lock of the state is released before the store is
    /// read from disk, so that commands do not wait.
    pub(crate) fn read_replica(&self, query: &Query) -> Result<Answer, OutcomesError> {
        match query {
            Query::Errors { crawl, after, limit } => {
                let read = self.inner.replica.state().errors_reader(*crawl, after.as_ref(), *limit);
                read().map(Answer::Errors)
            }
            Query::Gone { crawl, after, limit } => {
                let read = self.inner.replica.state().gone_reader(*crawl, after.as_ref(), *limit);
                read().map(Answer::Gone)
            }
            Query::Frontier { crawl, from } => {
                let read = self.inner.replica.state().frontier_reader(*crawl, *from);
                read().map(Answer::Frontier)
            }
            other => Ok(self.answer_from_memory(other)),
        }
    }
}

fn reads_the_store(query: &Query) -> bool {
    matches!(query, Query::Errors { .. } | Query::Gone { .. } | Query::Frontier { .. })
}
