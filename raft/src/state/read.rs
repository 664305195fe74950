//! Reading the state.

use std::collections::BTreeSet;
use std::sync::Arc;

use storage::ids::UserId;

use crate::model::{
    CrawlId, CrawlSpec, CrawlView, EventId, FailedUser, Failure, FrontierPage, Gone, JobId, LeaseId, NodeId,
    Operation, SessionId, SessionStatus, StorageId,
};

use super::State;
use super::crawl::Crawl;
use super::crawl_accounts::Accounts;
use super::demand::Demand;
use super::keys;
use super::outcomes::{ErrorRecord, GoneRecord, OutcomesError};
use super::queue::stored_page;
use super::session::Session;
use super::{KeptEvents, LiveEvents, OutboxView};

/// Most records in one page of an answer, so that it always fits into a frame.
const MAX_PAGE: usize = 1000;
/// Interval of ticks while records of deleted crawls remain, ms.
const REMOVAL_MS: u64 = 1000;
/// Most accounts in one page of a frontier.
const MAX_FRONTIER_PAGE: usize = 10_000;

impl State {
    /// Whether a report with this demand would be granted something. Also false for a session that is over:
    /// its node learns that from its next report.
    pub fn has_work(&self, session: SessionId, demand: &Demand) -> bool {
        let Some(session) = self.sessions.get(session) else { return true };
        if !session.adopted().is_empty() {
            return true;
        }
        let drained = self.head.drained.contains(&session.node());
        !drained && self.has_job(session.storage(), demand)
    }

    fn has_job(&self, storage: StorageId, demand: &Demand) -> bool {
        let grants = |(id, crawl): (CrawlId, &Crawl)| {
            !self.spend.is_at_limit(id) && crawl.could_grant(storage, demand)
        };
        self.crawls.active().any(grants)
    }

    /// Cluster time at which a [`Mutation::Tick`](crate::model::Mutation::Tick) would change something.
    pub fn next_due(&self, storage_grace_ms: u64) -> Option<u64> {
        let delayed = self.jobs.delayed().first().map(|&(until, _)| until);
        // Checkpoints remove the records of deleted crawls, and there is none without a command.
        let removal = self.has_records_to_remove().then(|| self.head.clock.saturating_add(REMOVAL_MS));
        delayed
            .into_iter()
            .chain(self.hosts.next_due())
            .chain(self.next_absence_end(storage_grace_ms))
            .chain(removal)
            .min()
    }

    /// The live sessions.
    pub fn session_ids(&self) -> BTreeSet<SessionId> {
        self.sessions.iter().map(|(id, _)| id).collect()
    }

    /// The live sessions as operators see them; the leader adds the time since the last report.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.sessions.iter().map(|(id, session)| session.status(id)).collect()
    }

    /// Whether an operator has drained the node.
    pub fn is_drained(&self, node: NodeId) -> bool {
        self.head.drained.contains(&node)
    }

    /// All crawls, oldest first.
    pub fn crawls(&self) -> Vec<CrawlView> {
        self.crawls.iter().map(|(id, crawl)| crawl.view(id, self.head.clock)).collect()
    }

    /// One crawl.
    pub fn crawl(&self, id: CrawlId) -> Option<CrawlView> {
        self.crawls.get(id).map(|crawl| crawl.view(id, self.head.clock))
    }

    /// The specification of a crawl.
    pub fn crawl_spec(&self, id: CrawlId) -> Option<&CrawlSpec> {
        self.crawls.get(id).map(Crawl::spec)
    }

    /// Which of these accounts the crawl does not know yet, in their order. Some of them may be known to the
    /// leader by now; the state machine decides.
    pub fn unseen(&self, crawl: CrawlId, users: Vec<UserId>) -> Vec<UserId> {
        match self.crawls.get(crawl) {
            Some(crawl) => crawl.accounts().unseen(users),
            None => users,
        }
    }

    /// A page of a crawl's error list.
    pub fn errors(
        &self,
        crawl: CrawlId,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<FailedUser<Failure>>, OutcomesError> {
        self.errors_reader(crawl, after, limit)()
    }

    /// A reader for a page of a crawl's error list. The store is on disk, so the state must not be held
    /// meanwhile.
    pub fn errors_reader(
        &self,
        crawl: CrawlId,
        after: Option<&UserId>,
        limit: u32,
    ) -> impl FnOnce() -> Result<Vec<FailedUser<Failure>>, OutcomesError> + Send + use<> {
        let page = self.outcomes.errors(crawl, after, (limit as usize).min(MAX_PAGE));
        let listed = |r: ErrorRecord| FailedUser { user: r.user, depth: r.depth, why: r.failures };
        move || Ok(page.read()?.into_iter().map(listed).collect())
    }

    /// A page of a crawl's gone accounts.
    pub fn gone_users(
        &self,
        crawl: CrawlId,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<FailedUser<Gone>>, OutcomesError> {
        self.gone_reader(crawl, after, limit)()
    }

    /// A reader for a page of a crawl's gone accounts, like [`Self::errors_reader`].
    pub fn gone_reader(
        &self,
        crawl: CrawlId,
        after: Option<&UserId>,
        limit: u32,
    ) -> impl FnOnce() -> Result<Vec<FailedUser<Gone>>, OutcomesError> + Send + use<> {
        let page = self.outcomes.gone(crawl, after, (limit as usize).min(MAX_PAGE));
        let listed = |r: GoneRecord| FailedUser { user: r.user, depth: r.depth, why: r.gone };
        move || Ok(page.read()?.into_iter().map(listed).collect())
    }

    /// A page of a crawl's frontier.
    pub fn frontier(&self, crawl: CrawlId, from: u64) -> Result<FrontierPage, OutcomesError> {
        self.frontier_reader(crawl, from)()
    }

    /// A reader for a page of a crawl's frontier, like [`Self::errors_reader`]: that of an ended crawl is in the
    /// store.
    pub fn frontier_reader(
        &self,
        id: CrawlId,
        from: u64,
    ) -> impl FnOnce() -> Result<FrontierPage, OutcomesError> + Send + use<> {
        let store = Arc::clone(self.outcomes.store());
        let crawl = self.crawls.get(id);
        let total = crawl.map_or(0, Crawl::frontier_len);
        let in_memory = crawl.map(|crawl| crawl.accounts().frontier_page(from, MAX_FRONTIER_PAGE));
        move || {
            let users = match in_memory {
                Some(Some(page)) => page,
                Some(None) => {
                    stored_page(&*store, keys::of_crawl(keys::FRONTIER, id), from, MAX_FRONTIER_PAGE)?
                }
                None => Vec::new(),
            };
            let next = from.saturating_add(users.len() as u64);
            Ok(FrontierPage { next: (!users.is_empty() && next < total).then_some(next), users })
        }
    }

    /// Which of these leases name a draft that a job still needs.
    pub fn drafts_in_use(&self, leases: &[LeaseId]) -> Vec<LeaseId> {
        let mut used = BTreeSet::new();
        for (_, record) in self.jobs.iter() {
            used.extend(record.drafts());
        }
        leases.iter().copied().filter(|lease| used.contains(lease)).collect()
    }

    /// The crawl of a job whose draft of a lease is not published yet, and the draft's items.
    pub fn unpublished(&self, job: JobId, lease: LeaseId) -> Option<(CrawlId, u64)> {
        let record = self.jobs.get(job)?;
        Some((record.crawl(), record.unpublished_items(lease)?))
    }

    /// Number of jobs with a record, resident bytes of all queues and of all seen-sets.
    pub fn sizes(&self) -> Sizes {
        let accounts = || self.crawls.values().map(Crawl::accounts);
        let (hosts, hosts_away) = self.awaited_hosts();
        Sizes {
            hosts,
            hosts_away,
            jobs: self.jobs.len(),
            queue_bytes: accounts().map(Accounts::queue_bytes).sum(),
            seen_ids: accounts().map(Accounts::seen).sum(),
            seen_bytes: accounts().map(Accounts::seen_bytes).sum(),
        }
    }

    /// Events after `id`, oldest first: about `bytes` in stored form, and at least one if there is any.
    pub fn events_after(&self, id: EventId, bytes: usize) -> KeptEvents {
        self.outbox.after(id, bytes)
    }

    /// The state of the outbox.
    pub fn outbox(&self) -> OutboxView {
        self.outbox.view()
    }

    /// Live events of this replica.
    pub fn live_events(&self) -> &Arc<LiveEvents> {
        self.outbox.live()
    }

    /// Number of running jobs by [`Operation::index`].
    pub fn ongoing(&self) -> [u64; 4] {
        let mut ongoing = [0; 4];
        let leased = self.sessions.values().flat_map(Session::leased);
        for record in leased.filter_map(|&job| self.jobs.get(job)) {
            ongoing[record.operation().index()] += 1;
        }
        ongoing
    }

    /// The next jobs of the crawls that are not over, crawl by crawl, at most `limit`.
    pub fn upcoming(&self, limit: usize) -> Vec<Upcoming> {
        let mut upcoming = Vec::new();
        for (_, crawl) in self.crawls.active() {
            let begun = crawl.jobs().ready().filter_map(|job| self.jobs.get(job));
            let begun = begun.map(|record| Upcoming {
                operation: record.operation(),
                user: record.user().clone(),
                cursor: record.cursor().map(str::to_owned),
            });
            upcoming.extend(begun.take(limit - upcoming.len()));
            let Some(operation) = crawl.first_operation() else { continue };
            let fresh = crawl.accounts().first_waiting(limit - upcoming.len()).into_iter();
            upcoming.extend(fresh.map(|user| Upcoming { operation, user, cursor: None }));
            if upcoming.len() >= limit {
                break;
            }
        }
        upcoming
    }
}

/// A job that waits to run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upcoming {
    /// Its operation.
    pub operation: Operation,
    /// The account.
    pub user: UserId,
    /// Where it continues; absent for a first attempt.
    pub cursor: Option<String>,
}

/// The size of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Jobs with a record of their own.
    pub jobs: usize,
    /// Resident bytes of waiting accounts.
    pub queue_bytes: usize,
    /// Accounts in all seen-sets.
    pub seen_ids: u64,
    /// Resident bytes of all seen-sets.
    pub seen_bytes: usize,
    /// Hosts for which jobs wait, or did a while ago.
    pub hosts: u64,
    /// Those of them that are away.
    pub hosts_away: u64,
}
