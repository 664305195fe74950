//! Which job a node gets next.

use crate::model::{CrawlId, JobId, LeaseId, SessionId, StorageId, Wants};

use super::State;
use super::jobs::{JobRecord, Phase, Rank};

/// How long a job waits when another crawl's job writes the same file, cluster time in ms.
const WRITER_WAIT: u64 = 250;

impl State {
    /// Grants up to `wants` jobs to a session. Crawls take turns by stride; within a crawl, jobs
    /// that were begun go before fresh accounts.
    pub(super) fn grant(&mut self, index: u64, session: SessionId, mut wants: Wants) -> Vec<JobId> {
        let Some(holder) = self.sessions.get(&session) else { return Vec::new() };
        let storage = holder.record.storage;
        if self.head.drained.contains(&holder.record.node) {
            return Vec::new();
        }
        let mut granted = Vec::new();
        while granted.len() < LeaseId::SLOTS {
            let Some(crawl) = self.next_crawl(storage, &wants) else { break };
            let lease = LeaseId::at(index, granted.len());
            let Some(job) = self.take_job(crawl, storage, &wants) else { continue };
            self.lease(job, lease, session);
            if let Some(crawl) = self.crawls.get_mut(&crawl) {
                self.head.pass = crawl.charge(self.head.pass);
            }
            if let Some(record) = self.jobs.get(job) {
                wants.take(record.current);
            }
            granted.push(job);
        }
        granted
    }

    /// The crawl whose turn it is, of those that have a job for this storage and these wants.
    fn next_crawl(&self, storage: StorageId, wants: &Wants) -> Option<CrawlId> {
        let able = self
            .active
            .iter()
            .filter(|id| self.crawls.get(id).is_some_and(|c| c.could_grant(storage, wants)));
        able.copied().min_by_key(|id| (self.crawls.get(id).map(|c| c.record.pass), *id))
    }

    /// Takes the crawl's next job off its queue. None when that one had to be put aside.
    fn take_job(&mut self, id: CrawlId, storage: StorageId, wants: &Wants) -> Option<JobId> {
        let crawl = self.crawls.get_mut(&id)?;
        let job = match crawl.ready.first(storage, wants) {
            Some(job) => {
                self.unqueue(job);
                job
            }
            None => {
                let (user, depth) = crawl.queue.pop_front()?;
                crawl.open += 1;
                let users = &mut crawl.counters().users;
                users.waiting -= 1;
                users.active += 1;
                let operations = crawl.record.spec.operations;
                let record = JobRecord::fresh(id, user, depth, operations)?;
                self.head.last_job += 1;
                let job = JobId(self.head.last_job);
                self.jobs.insert(job, record);
                job
            }
        };
        let file = self.jobs.get(job)?.file();
        match file {
            Some(file) if self.writers.contains_key(&file) => {
                self.delay(job, WRITER_WAIT);
                None
            }
            Some(file) => {
                self.writers.insert(file, job);
                Some(job)
            }
            None => Some(job),
        }
    }

    fn lease(&mut self, job: JobId, lease: LeaseId, session: SessionId) {
        let Some(record) = self.jobs.get_mut(job) else { return };
        record.phase = Phase::Leased { lease, session };
        let crawl = record.crawl;
        if let Some(holder) = self.sessions.get_mut(&session) {
            holder.leased.insert(job);
        }
        if let Some(crawl) = self.crawls.get_mut(&crawl) {
            crawl.leased += 1;
        }
    }

    /// Puts a job that is in no queue among its crawl's ready ones; `late` ones after those that were
    /// given back.
    pub(super) fn make_ready(&mut self, job: JobId, late: bool) {
        let rank = Rank { late, order: self.next_order() };
        let Some(record) = self.jobs.get_mut(job) else { return };
        record.phase = Phase::Ready { rank };
        let (pin, operation) = (record.pin(), record.current);
        if let Some(crawl) = self.crawls.get_mut(&record.crawl) {
            crawl.ready.insert(pin, operation, rank, job);
        }
    }

    /// Lets a job that is in no queue wait.
    pub(super) fn delay(&mut self, job: JobId, by_ms: u64) {
        let until = self.head.clock.saturating_add(by_ms);
        let Some(record) = self.jobs.get_mut(job) else { return };
        record.phase = Phase::Delayed { until };
        if let Some(crawl) = self.crawls.get_mut(&record.crawl) {
            crawl.delayed += 1;
        }
        self.jobs.delayed.insert((until, job));
    }

    /// Ends a lease or a publication: the file is free for others. The phase is stale until the job is
    /// put elsewhere.
    pub(super) fn unlease(&mut self, job: JobId) {
        let Some(record) = self.jobs.get(job) else { return };
        if record.lease().is_none() {
            return;
        }
        if let Some(file) = record.file() {
            self.writers.remove(&file);
        }
        if let Some(session) = record.session().and_then(|s| self.sessions.get_mut(&s)) {
            session.leased.remove(&job);
            session.adopted.remove(&job);
        }
        if let Some(crawl) = self.crawls.get_mut(&record.crawl) {
            crawl.leased -= 1;
        }
    }

    /// Takes a ready or delayed job out of its queue; its phase is stale until it is put elsewhere.
    pub(super) fn unqueue(&mut self, job: JobId) {
        let Some(record) = self.jobs.get(job) else { return };
        let Some(crawl) = self.crawls.get_mut(&record.crawl) else { return };
        match record.phase {
            Phase::Ready { rank } => crawl.ready.remove(record.pin(), record.current, rank),
            Phase::Delayed { until } => {
                crawl.delayed -= 1;
                self.jobs.delayed.remove(&(until, job));
            }
            Phase::Leased { .. } | Phase::Publishing { .. } => {}
        }
    }
}
