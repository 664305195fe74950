//! Chooses a node's next job.

use std::collections::BTreeSet;

use storage::planted::{Bug, planted};

use crate::model::{CrawlId, JobChange, JobId, LeaseId, Operation, SessionId, StorageId, Wants};

use super::State;
use super::demand::Demand;
use super::job::{JobRecord, Phase, Rank};

/// How long a job waits while another crawl's job writes the same file, cluster time in ms.
const WRITER_WAIT: u64 = 250;

/// Most accounts that one report parks at their hosts: the next one goes on.
const MOST_PARKED: usize = 4_000;

/// What a crawl offers to a node.
enum Next {
    Job(JobId, Operation),
    /// The next job had to wait, since its file is being written; there may be another one.
    PutAside,
    /// The next account waits for its host; there may be another one.
    Parked,
    Nothing,
}

impl State {
    /// Grants the jobs that a session demands. Crawls take turns by stride; within a crawl, started jobs
    /// precede fresh accounts.
    pub(super) fn grant(&mut self, index: u64, session: SessionId, mut demand: Demand) -> Vec<JobId> {
        let Some(holder) = self.sessions.get(session) else {
            self.lost_session(session);
            return Vec::new();
        };
        let storage = holder.storage();
        if self.head.drained.contains(&holder.node()) {
            return Vec::new();
        }
        let mut turns = self.turns(storage, &demand);
        let mut granted = Vec::new();
        let mut parked = 0;
        while granted.len() < LeaseId::SLOTS && parked < MOST_PARKED {
            let Some((pass, crawl)) = turns.pop_first() else { break };
            let source = self.source_of(crawl).clone();
            match self.take_job(crawl, storage, &demand.of(&source)) {
                Next::Nothing => {}
                Next::PutAside => {
                    turns.insert((pass, crawl));
                }
                Next::Parked => {
                    parked += 1;
                    turns.insert((pass, crawl));
                }
                Next::Job(job, operation) => {
                    self.lease(job, LeaseId::at(index, granted.len()), session);
                    demand.take(&source, operation);
                    granted.push(job);
                    turns.extend(self.charge(crawl).map(|pass| (pass, crawl)));
                }
            }
        }
        granted
    }

    /// The crawls that may have a job for this storage and this demand, by pass. No other crawl can get one
    /// while jobs are granted.
    fn turns(&self, storage: StorageId, demand: &Demand) -> BTreeSet<(u64, CrawlId)> {
        let able = self
            .crawls
            .active()
            .filter(|(id, _)| !self.spend.is_at_limit(*id))
            .filter_map(|(id, crawl)| crawl.could_grant(storage, demand).then_some((crawl.pass(), id)));
        able.collect()
    }

    /// Counts one job granted to a crawl; returns its next turn.
    fn charge(&mut self, id: CrawlId) -> Option<u64> {
        let crawl = self.crawls.get_mut(id)?;
        self.head.pass = crawl.charge(self.head.pass);
        Some(crawl.pass())
    }

    /// Takes the crawl's next job off its queue.
    fn take_job(&mut self, id: CrawlId, storage: StorageId, wants: &Wants) -> Next {
        let Some(crawl) = self.crawls.get(id) else {
            self.lost_crawl(id);
            return Next::Nothing;
        };
        let begins = crawl.could_begin(wants);
        let job = match crawl.jobs().first_ready(storage, wants) {
            Some(job) => {
                self.unqueue(job);
                job
            }
            None if begins && self.park_first(id) => return Next::Parked,
            None if begins => match self.begin_account(id) {
                Some(job) => job,
                None => {
                    self.broken("TWM-C1", format!("crawl {id} has a queue and no account to begin with"));
                    return Next::Nothing;
                }
            },
            None => return Next::Nothing,
        };
        let Some(record) = self.jobs.get(job) else {
            self.lost_job(job);
            return Next::Nothing;
        };
        let operation = record.operation();
        if let Some(file) = self.file_of(record) {
            if self.writers.writer(&file).is_some() {
                self.delay(job, WRITER_WAIT);
                return Next::PutAside;
            }
            self.writers.reserve(file, job);
        }
        Next::Job(job, operation)
    }

    /// Creates a job for the account at the head of a crawl's queue.
    fn begin_account(&mut self, id: CrawlId) -> Option<JobId> {
        let crawl = self.crawls.get_mut(id)?;
        let record = match crawl.begin_account(id) {
            Ok(record) => record?,
            Err(miscount) => {
                self.miscounted(id, miscount);
                return None;
            }
        };
        Some(self.insert_job(record))
    }

    /// Gives a record to a job, which is in no queue yet.
    pub(super) fn insert_job(&mut self, record: JobRecord) -> JobId {
        self.head.last_job += 1;
        let job = JobId(self.head.last_job);
        self.jobs.insert(job, record);
        job
    }

    fn lease(&mut self, job: JobId, lease: LeaseId, session: SessionId) {
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.lease_to(session, lease);
        let (id, attempt) = (record.crawl(), record.attempt());
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        crawl.place(job, record);
        let Some(holder) = self.sessions.get_mut(session) else { return self.lost_session(session) };
        holder.lease(job);
        let node = holder.node();
        self.emit_job(job, || JobChange::Granted { node, lease, attempt });
    }

    /// Adds a job that is in no queue to its crawl's ready jobs; `late` ones behind those that were handed
    /// back.
    pub(super) fn make_ready(&mut self, job: JobId, late: bool) {
        let rank = Rank { late, order: self.next_order() };
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.make_ready(rank);
        let id = record.crawl();
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        crawl.place(job, record);
    }

    /// Delays a job that is in no queue.
    pub(super) fn delay(&mut self, job: JobId, by_ms: u64) {
        let until = self.head.clock.saturating_add(by_ms);
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.delay_until(until);
        let id = record.crawl();
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        crawl.place(job, record);
        self.jobs.enqueue_delayed(until, job);
    }

    /// Ends a lease or a publication, which frees the file. The phase is stale until the job is put
    /// elsewhere.
    pub(super) fn unlease(&mut self, job: JobId) {
        let Some(record) = self.jobs.get(job) else { return self.lost_job(job) };
        if record.lease().is_none() {
            return;
        }
        if let Some(file) = self.file_of(record).filter(|_| !planted(Bug::FileNotFreed)) {
            self.writers.release(&file);
        }
        if let Some(session) = record.session().and_then(|s| self.sessions.get_mut(s)) {
            session.release(job);
        }
        let id = record.crawl();
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        if !crawl.displace(record) {
            self.broken("TWM-C1", format!("job {job} is not leased as its record says"));
        }
    }

    /// Takes a ready or delayed job out of its queue; its phase is stale until it is put elsewhere.
    pub(super) fn unqueue(&mut self, job: JobId) {
        let Some(record) = self.jobs.get(job) else { return self.lost_job(job) };
        if record.lease().is_some() {
            return;
        }
        let id = record.crawl();
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        let mut was_there = crawl.displace(record);
        match *record.phase() {
            Phase::Delayed { until } => was_there &= self.jobs.dequeue_delayed(until, job),
            Phase::AtHost { host, order } => was_there &= self.hosts.dequeue(host, id, order),
            _ => {}
        }
        if !was_there {
            self.broken("TWM-C1", format!("job {job} is not in the queue that its record names"));
        }
    }
}
