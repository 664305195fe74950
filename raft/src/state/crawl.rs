//! A crawl inside the state machine.

use serde::{Deserialize, Serialize};
use storage::ids::UserId;
use storage::state::StateStore;

use crate::model::{
    CrawlCounters, CrawlId, CrawlPhase, CrawlSpec, CrawlView, FinalState, JobId, Operation,
    OperationCounters, StorageId, SubmitSummary, Traversal, UserCounters, Wants,
};

use super::broken::{Miscount, lower};
use super::checksum::Checksum;
use super::crawl_accounts::{Accounts, Discovered};
use super::crawl_jobs::CrawlJobs;
use super::demand::Demand;
use super::hosts::HostId;
use super::job::JobRecord;
use super::keys;
use super::persist::{Changes, LoadError};
use super::saved::Saved;

/// One submission and everything that belongs to it.
pub(super) struct Crawl {
    record: Saved<CrawlRecord>,
    accounts: Accounts,
    jobs: CrawlJobs,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CrawlRecord {
    spec: CrawlSpec,
    counters: CrawlCounters,
    /// All targets are in.
    sealed: bool,
    paused: bool,
    cancelled: bool,
    /// The next chunk of targets and of seeds.
    next_chunk: [u64; 2],
    /// The results of the last chunks of targets and of seeds, returned for repeated ones.
    last_added: [SubmitSummary; 2],
    submitted_at: u64,
    ended_at: Option<u64>,
    /// Stride scheduling (Waldspurger and Weihl, 1995): the crawl with the smallest pass is served next, and
    /// each grant advances its pass by the inverse of its priority.
    pass: u64,
}

/// How far one job advances the pass of a crawl with priority 1.
pub(super) const STRIDE: u64 = 1_000_000;

/// What becomes of a chunk of targets or seeds.
pub(super) enum Chunk {
    /// It is the next one.
    Next,
    /// It was added before, with this result as far as it is remembered.
    Repeated(SubmitSummary),
    /// This one has to come first.
    Missing { expected: u64 },
}

impl Crawl {
    /// A crawl without targets.
    pub(super) fn submitted(spec: CrawlSpec, at: u64) -> Self {
        let record = CrawlRecord {
            spec,
            counters: CrawlCounters::default(),
            sealed: false,
            paused: false,
            cancelled: false,
            next_chunk: [0; 2],
            last_added: [SubmitSummary::default(); 2],
            submitted_at: at,
            ended_at: None,
            pass: 0,
        };
        Self { record: Saved::new(record), accounts: Accounts::default(), jobs: CrawlJobs::default() }
    }

    /// Loads a crawl with its accounts; jobs are added with [`Self::load_job`].
    pub(super) fn load(store: &dyn StateStore, id: CrawlId, record: &[u8]) -> Result<Self, LoadError> {
        let damaged = |_| LoadError::damaged("crawl", &keys::crawl(id));
        let record = Saved::loaded(postcard::from_bytes(record).map_err(damaged)?);
        let mut crawl = Self { record, accounts: Accounts::default(), jobs: CrawlJobs::default() };
        crawl.accounts = Accounts::load(store, id, crawl.phase().is_over())?;
        Ok(crawl)
    }

    /// Adds a job that was loaded.
    pub(super) fn load_job(&mut self, id: JobId, record: &JobRecord) {
        self.jobs.add(1);
        self.jobs.place(id, record);
    }

    /// Adds what has changed since the last checkpoint; returns new numbers of the seen-set, unsorted.
    pub(super) fn freeze(&mut self, id: CrawlId, changes: &mut Changes) -> Vec<u64> {
        if let Some(record) = self.record.take_changed() {
            changes.put_record("crawl", keys::crawl(id), record);
        }
        self.accounts.freeze(id, changes)
    }

    pub(super) fn spec(&self) -> &CrawlSpec {
        &self.record.spec
    }

    pub(super) fn users(&self) -> UserCounters {
        self.record.counters.users
    }

    /// Number of accounts in the frontier, in memory or not.
    pub(super) fn frontier_len(&self) -> u64 {
        self.record.counters.frontier
    }

    pub(super) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    pub(super) fn jobs(&self) -> &CrawlJobs {
        &self.jobs
    }

    pub(super) fn phase(&self) -> CrawlPhase {
        let record = &self.record;
        if record.cancelled {
            CrawlPhase::Cancelled
        } else if record.ended_at.is_some() {
            CrawlPhase::Finished
        } else if record.paused {
            CrawlPhase::Paused
        } else if record.sealed {
            CrawlPhase::Running
        } else {
            CrawlPhase::Loading
        }
    }

    /// When it ended, cluster time in ms, if it is over and none of its jobs waits for a publication.
    pub(super) fn ended_at(&self) -> Option<u64> {
        self.record.ended_at.filter(|_| self.has_ended())
    }

    /// Whether it is over and none of its jobs waits for a publication.
    pub(super) fn has_ended(&self) -> bool {
        self.phase().is_over() && self.jobs.counts().open == 0
    }

    /// The crawl as clients see it.
    pub(super) fn view(&self, id: CrawlId, now: u64) -> CrawlView {
        let (record, jobs) = (&self.record, self.jobs.counts());
        CrawlView {
            id,
            spec: record.spec.clone(),
            phase: self.phase(),
            counters: record.counters,
            queued: self.accounts.waiting(),
            ready: jobs.ready,
            leased: jobs.leased,
            delayed: jobs.delayed,
            chunks: record.next_chunk,
            submitted_at: record.submitted_at,
            ended_at: record.ended_at,
            now,
        }
    }

    /// Adds what all replicas have to agree on, except for the accounts.
    pub(super) fn add_to(&self, sum: &mut Checksum) {
        sum.record(&*self.record);
        self.jobs.add_to(sum);
    }
}

/// Operators.
impl Crawl {
    /// What becomes of this chunk.
    pub(super) fn expects(&self, chunk: u64, seeds: bool) -> Chunk {
        let kind = usize::from(seeds);
        match self.record.next_chunk[kind] {
            expected if chunk > expected => Chunk::Missing { expected },
            expected if chunk == expected => Chunk::Next,
            expected if chunk + 1 == expected => Chunk::Repeated(self.record.last_added[kind]),
            _ => Chunk::Repeated(SubmitSummary::default()),
        }
    }

    /// Whether it takes targets.
    pub(super) fn takes_targets(&self) -> bool {
        !self.record.sealed && !self.phase().is_over()
    }

    /// Adds the next chunk of targets or seeds.
    pub(super) fn add_chunk(&mut self, users: Vec<UserId>, seeds: bool) -> SubmitSummary {
        let summary = self.accounts.submit(users, seeds);
        let kind = usize::from(seeds);
        let record = self.record.change();
        record.next_chunk[kind] += 1;
        record.last_added[kind] = summary;
        if !seeds {
            let users = &mut record.counters.users;
            users.accepted += summary.accepted;
            users.waiting += summary.accepted;
            users.duplicates += summary.duplicates;
        }
        summary
    }

    /// Whether it was cancelled, or has ended before all targets were in.
    pub(super) fn is_closed(&self) -> bool {
        self.record.cancelled || (self.record.ended_at.is_some() && !self.record.sealed)
    }

    /// All targets are in. Like the next two, returns whether this changes anything.
    pub(super) fn seal(&mut self) -> bool {
        !std::mem::replace(&mut self.record.change().sealed, true)
    }

    pub(super) fn pause(&mut self) -> bool {
        !std::mem::replace(&mut self.record.change().paused, true)
    }

    pub(super) fn resume(&mut self) -> bool {
        std::mem::replace(&mut self.record.change().paused, false)
    }

    /// Cancels the crawl. `publishing` jobs wait for their publication; the others are in no queue any more.
    pub(super) fn cancel(&mut self, at: u64, publishing: u64) {
        self.accounts.clear_waiting();
        self.jobs.keep_only_publishing(publishing);
        let record = self.record.change();
        record.cancelled = true;
        record.ended_at = Some(at);
        let users = &mut record.counters.users;
        users.cancelled += users.waiting + users.active;
        users.waiting = 0;
        users.active = 0;
    }

    /// Ends the crawl if nothing is left to do; returns whether that was so.
    pub(super) fn finish_if_done(&mut self, at: u64) -> bool {
        let is_done = self.record.sealed && self.jobs.counts().open == 0 && self.accounts.waiting() == 0;
        let finishes = is_done && !self.phase().is_over();
        if finishes {
            self.record.change().ended_at = Some(at);
        }
        finishes
    }

    /// This many failed accounts have jobs again, which reopens a crawl that has ended.
    pub(super) fn reopen(&mut self, retried: u64) -> Result<(), Miscount> {
        self.jobs.add(retried);
        let record = self.record.change();
        lower(&mut record.counters.users.failed, retried, "failed accounts")?;
        record.counters.users.active += retried;
        record.ended_at = None;
        Ok(())
    }
}

/// Scheduling.
impl Crawl {
    /// Whether a node with this storage would be granted a job.
    pub(super) fn could_grant(&self, storage: StorageId, demand: &Demand) -> bool {
        let wants = demand.of(&self.record.spec.source);
        self.grants() && (self.jobs.first_ready(storage, &wants).is_some() || self.could_begin(&wants))
    }

    /// Whether nodes are granted its jobs.
    pub(super) fn grants(&self) -> bool {
        matches!(self.phase(), CrawlPhase::Running | CrawlPhase::Loading)
    }

    /// Whether a fresh account could begin.
    pub(super) fn could_begin(&self, wants: &Wants) -> bool {
        self.accounts.has_queued() && self.first_operation().is_some_and(|op| wants.takes(op))
    }

    /// The first operation of a fresh account.
    pub(super) fn first_operation(&self) -> Option<Operation> {
        self.record.spec.operations.first()
    }

    /// The job of the account at the head of the queue, which gets a record.
    pub(super) fn begin_account(&mut self, id: CrawlId) -> Result<Option<JobRecord>, Miscount> {
        let first = self.accounts.pop_waiting();
        self.begin(id, first)
    }

    /// The job of the first account that waits for a host, which gets a record.
    pub(super) fn begin_parked(&mut self, id: CrawlId, host: HostId) -> Result<Option<JobRecord>, Miscount> {
        let first = self.accounts.pop_parked(host);
        self.begin(id, first)
    }

    /// The account at the head of the queue waits for its host from now on.
    pub(super) fn park_first(&mut self, host: HostId) {
        self.accounts.park_first(host);
    }

    fn begin(&mut self, id: CrawlId, account: Option<(UserId, u32)>) -> Result<Option<JobRecord>, Miscount> {
        let Some((user, depth)) = account else { return Ok(None) };
        let Some(job) = JobRecord::fresh(id, user, depth, self.record.spec.operations) else {
            return Ok(None);
        };
        self.jobs.add(1);
        let users = &mut self.record.change().counters.users;
        lower(&mut users.waiting, 1, "waiting accounts")?;
        users.active += 1;
        Ok(Some(job))
    }

    /// Puts a job where the phase of its record says that it is.
    pub(super) fn place(&mut self, id: JobId, record: &JobRecord) {
        self.jobs.place(id, record);
    }

    /// Takes a job from where its record says that it is; returns whether it was there.
    #[must_use]
    pub(super) fn displace(&mut self, record: &JobRecord) -> bool {
        self.jobs.displace(record)
    }

    /// The crawl's place among the others: the smallest pass is served next.
    pub(super) fn pass(&self) -> u64 {
        self.record.pass
    }

    /// Counts one job granted while the scheduler is at `pass`, and returns the scheduler's new pass.
    ///
    /// A crawl that had nothing to grant for a while has fallen behind. It continues at the pass of the
    /// others, without credit for the time in between, or it would now keep them from their share (TWM-F1).
    /// Start-time fair queueing (Goyal, Vin and Cheng, 1996) does the same.
    pub(super) fn charge(&mut self, pass: u64) -> u64 {
        let stride = STRIDE / u64::from(self.record.spec.priority.max(1));
        let start = self.record.pass.max(pass);
        self.record.change().pass = start + stride;
        start
    }
}

/// Findings.
impl Crawl {
    /// Counts what happened in an operation.
    pub(super) fn count(&mut self, operation: Operation, change: impl FnOnce(&mut OperationCounters)) {
        change(self.record.change().counters.of(operation));
    }

    /// Adds accounts that were discovered at this depth. They must be [in memory](Self::take_out).
    pub(super) fn discover(
        &mut self,
        admitted: Vec<UserId>,
        discarded: Vec<UserId>,
        depth: u32,
    ) -> Discovered {
        let spec = &self.record.spec;
        let within = spec.depth.is_none_or(|limit| depth <= limit);
        let traversal = if within { spec.traversal } else { Traversal::Default };
        let new = self.accounts.discover(admitted, discarded, depth, traversal);
        let counters = &mut self.record.change().counters;
        counters.discovered += new.admitted + new.discarded;
        counters.admitted += new.admitted;
        if traversal == Traversal::Default {
            counters.frontier += new.admitted;
        } else {
            counters.users.accepted += new.admitted;
            counters.users.waiting += new.admitted;
        }
        new
    }

    /// An account has reached a final state (TWM-C1), and its job has lost its record.
    pub(super) fn end_account(&mut self, state: FinalState) -> Result<(), Miscount> {
        self.jobs.drop_one()?;
        let users = &mut self.record.change().counters.users;
        lower(&mut users.active, 1, "active accounts")?;
        match state {
            FinalState::Failed => users.failed += 1,
            FinalState::Completed => users.completed += 1,
            FinalState::Gone => users.gone += 1,
        }
        Ok(())
    }

    /// The publication of a cancelled crawl's job is over. The account was counted as cancelled.
    pub(super) fn drop_publication(&mut self) -> Result<(), Miscount> {
        self.jobs.drop_one()
    }
}

/// Retention.
impl Crawl {
    /// Removes the accounts of an ended crawl from memory, if a checkpoint has all of them; returns them, because
    /// dropping them can take a while.
    pub(super) fn put_away(&mut self) -> Option<impl Send + use<>> {
        if self.has_ended() { self.accounts.put_away() } else { None }
    }

    /// Loads what was put away, if anything.
    pub(super) fn take_out(&mut self, store: &dyn StateStore, id: CrawlId) -> Result<(), LoadError> {
        self.accounts.take_out(store, id)
    }
}

#[cfg(test)]
impl Crawl {
    /// Whether the record is that of another replica's crawl.
    pub(super) fn has_record_of(&self, other: &Self) -> bool {
        *self.record == *other.record
    }

    /// The counters of accounts, to damage them.
    pub(super) fn users_mut(&mut self) -> &mut UserCounters {
        &mut self.record.change().counters.users
    }

    /// The accounts, to damage them.
    pub(super) fn accounts_mut(&mut self) -> &mut Accounts {
        &mut self.accounts
    }

    /// The jobs, to damage them.
    pub(super) fn jobs_mut(&mut self) -> &mut CrawlJobs {
        &mut self.jobs
    }

    /// Overtakes all other crawls.
    pub(super) fn jump_ahead(&mut self) {
        self.record.change().pass = u64::MAX;
    }
}
