//! Applies the findings of a report.

use std::collections::BTreeSet;

use crate::model::{
    EventKind, Failure, FinalState, Finding, Gone, GoneReason, JobChange, JobId, LeaseId, Operation,
    Progress, SessionId, Traversal,
};
use storage::ids::UserId;

use api::wire::bounds::MAX_CURSOR;

use super::State;
use super::broken::lower;
use super::jobs::{JobRecord, Phase};

/// Longest reason that the error list keeps, bytes.
const MAX_REASON: usize = 512;

/// Most storages that may report a job's input as missing before it is made again. They are part of the job's record.
const MAX_WITHOUT_INPUT: usize = 256;

impl State {
    pub(super) fn apply_finding(&mut self, job: JobId, lease: LeaseId, session: SessionId, finding: Finding) {
        let publishing = self.publishes(job, lease);
        match finding {
            Finding::Published if publishing => self.published(job),
            Finding::DraftLost if publishing => self.draft_lost(job),
            // Once completed, a job only waits for its publication.
            _ if publishing => {}
            // A correct node does not report a publication without a completion.
            Finding::Published | Finding::DraftLost => {}
            Finding::Completed { file, items } => self.completed(job, lease, session, file, items),
            Finding::Advanced(progress) => self.advanced(job, session, Some(progress)),
            Finding::Limited { progress, after_ms } => {
                self.advanced(job, session, progress);
                self.limited(job, after_ms);
            }
            Finding::Gone(reason) => self.gone(job, reason),
            Finding::Failed { progress, reason, after_ms, retry } => {
                self.advanced(job, session, progress);
                self.failed(job, reason, after_ms, retry);
            }
            Finding::HandedBack { progress } => {
                self.advanced(job, session, progress);
                self.unlease(job);
                self.tell_job(job, || JobChange::Returned);
                self.make_ready(job, false);
            }
            Finding::InputMissing => self.input_missing(job, session),
            Finding::Discovered { admitted, discarded, progress } => {
                self.discovered(job, admitted, discarded);
                self.advanced(job, session, Some(progress));
            }
        }
    }

    fn completed(&mut self, job: JobId, lease: LeaseId, session: SessionId, file: bool, items: u64) {
        let Some(holder) = self.sessions.get_mut(session) else { return self.lost_session(session) };
        holder.record.change().completed += 1;
        let storage = holder.record.storage;
        if !file {
            self.unlease(job);
            self.complete_dependents(job);
            self.operation_done(job, items);
            return;
        }
        holder.leased.remove(&job);
        self.tell_job(job, || JobChange::Fetched { items });
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.phase = Phase::Publishing { lease, session: Some(session), adopted: false, storage, items };
    }

    fn published(&mut self, job: JobId) {
        if self.is_of_cancelled(job) {
            return self.leave_cancelled(job);
        }
        self.unlease(job);
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        let Phase::Publishing { storage, items, .. } = record.phase else {
            return self.broken("TWM-P1", format!("job {job} is published and was not to be"));
        };
        if record.later.iter().any(|op| op.input() == Some(record.current)) {
            record.holder = Some(storage);
        }
        self.operation_done(job, items);
    }

    /// The job starts over; but not forever, in case its drafts are lost each time.
    fn draft_lost(&mut self, job: JobId) {
        if self.is_of_cancelled(job) {
            return self.leave_cancelled(job);
        }
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.progress = None;
        self.failed(job, "its finished draft was lost before it was published".to_owned(), 0, true);
    }

    /// Whether the job only waits for the end of a publication that a cancellation could not stop.
    pub(super) fn is_of_cancelled(&self, job: JobId) -> bool {
        let crawl = self.jobs.get(job).and_then(|record| self.crawls.get(record.crawl));
        crawl.is_some_and(|crawl| crawl.record.cancelled)
    }

    /// The publication of a cancelled crawl's job is confirmed, or given up with its storage. The account was counted
    /// as cancelled.
    pub(super) fn leave_cancelled(&mut self, job: JobId) {
        self.unlease(job);
        let Some(record) = self.jobs.remove(job) else { return self.lost_job(job) };
        let Some(crawl) = self.crawls.get_mut(record.crawl) else { return self.lost_crawl(record.crawl) };
        if !lower(&mut crawl.open, 1) {
            self.miscounted(record.crawl, "jobs of a cancelled crawl");
        }
    }

    /// Counts a completed operation and continues with the next one. The job is in no queue.
    fn operation_done(&mut self, job: JobId, items: u64) {
        self.tell_job(job, || JobChange::Completed { items });
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.completed = true;
        let (crawl, operation) = (record.crawl, record.current);
        let Some(entry) = self.crawls.get_mut(crawl) else { return self.lost_crawl(crawl) };
        let counters = entry.counters().of(operation);
        counters.completed += 1;
        counters.items = counters.items.saturating_add(items);
        self.next_operation(job);
    }

    /// Nothing was fetched, so an operation that reads the file has nothing to do and is complete as well.
    fn complete_dependents(&mut self, job: JobId) {
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        let current = record.current;
        let (done, later): (Vec<_>, Vec<_>) = record.later.iter().partition(|op| op.input() == Some(current));
        record.later = later.into_iter().collect();
        let (id, user) = (record.crawl, record.user.clone());
        for operation in done {
            let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
            crawl.counters().of(operation).completed += 1;
            let change = JobChange::Completed { items: 0 };
            let kind = EventKind::Job { crawl: id, job, user: user.clone(), operation, change };
            self.outbox.push(self.head.clock, kind);
        }
    }

    fn next_operation(&mut self, job: JobId) {
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        let Some(next) = record.later.first() else {
            self.user_done(job);
            return;
        };
        record.current = next;
        record.later = record.later.without(next);
        record.failed_attempts = 0;
        record.progress = None;
        record.without_input.clear();
        self.make_ready(job, true);
    }

    /// The account has reached a final state (TWM-C1).
    fn user_done(&mut self, job: JobId) {
        let Some(state) = self.jobs.get(job).map(JobRecord::final_state) else { return self.lost_job(job) };
        self.tell_job(job, || JobChange::Ended { state });
        let Some(record) = self.jobs.remove(job) else { return self.lost_job(job) };
        let id = record.crawl;
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        if !lower(&mut crawl.open, 1) || !lower(&mut crawl.counters().users.active, 1) {
            return self.miscounted(id, "active accounts");
        }
        let users = &mut crawl.counters().users;
        match state {
            FinalState::Failed => users.failed += 1,
            FinalState::Completed => users.completed += 1,
            FinalState::Gone => users.gone += 1,
        }
        if let Err(error) = self.outcomes.record_end(id, &record) {
            return self.stop_for(error);
        }
        self.finish_if_done(id);
    }

    /// Saves the progress of a job. Progress that nobody could use is not saved (a draft on another storage
    /// than the session's, a cursor too long for a record); the job would then continue from its previous
    /// progress.
    fn advanced(&mut self, job: JobId, session: SessionId, progress: Option<Progress>) {
        let Some(progress) = progress else { return };
        let Some(here) = self.sessions.get(session).map(|s| s.record.storage) else {
            return self.lost_session(session);
        };
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        let elsewhere = progress.draft.as_ref().is_some_and(|draft| draft.storage != here);
        if elsewhere || progress.cursor.len() > MAX_CURSOR {
            return;
        }
        if record.current.input().is_some() {
            // A cursor into this storage's file is meaningless for another storage's.
            record.holder = Some(here);
        }
        let told = self.outbox.is_told().then(|| JobChange::Progressed {
            cursor: progress.cursor.clone(),
            items: progress.draft.as_ref().map(|draft| draft.items),
        });
        record.progress = Some(progress);
        if let Some(told) = told {
            self.tell_job(job, || told);
        }
    }

    fn limited(&mut self, job: JobId, after_ms: u64) {
        self.unlease(job);
        self.tell_job(job, || JobChange::Limited { after_ms });
        self.count(job, |counters| counters.limited += 1);
        self.delay(job, after_ms);
    }

    fn gone(&mut self, job: JobId, reason: GoneReason) {
        self.unlease(job);
        self.tell_job(job, || JobChange::Gone { reason });
        self.count(job, |counters| counters.gone += 1);
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        let operation = record.current;
        // One per operation, however often it was retried: a record has a maximum size.
        record.gone.retain(|gone| gone.operation != operation);
        record.gone.push(Gone { operation, reason });
        self.drop_dependents(job);
        self.next_operation(job);
    }

    fn failed(&mut self, job: JobId, mut reason: String, after_ms: u64, retry: bool) {
        storage::text::truncate(&mut reason, MAX_REASON);
        self.unlease(job);
        let max_attempts = self.limits.max_attempts;
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.failed_attempts += 1;
        if retry && record.failed_attempts < max_attempts {
            self.tell_job(job, || JobChange::Retried { reason, after_ms });
            self.count(job, |counters| counters.retried += 1);
            self.delay(job, after_ms);
        } else {
            self.failed_for_good(job, reason);
        }
    }

    fn failed_for_good(&mut self, job: JobId, reason: String) {
        let cursor = self.jobs.get(job).and_then(|r| r.progress.as_ref()).map(|p| p.cursor.clone());
        self.tell_job(job, || JobChange::Failed { reason: reason.clone(), cursor });
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        let (operation, attempts) = (record.current, record.failed_attempts);
        record.failures.retain(|failure| failure.operation != operation);
        record.failures.push(Failure { operation, reason, attempts });
        self.count(job, |counters| counters.failed += 1);
        self.drop_dependents(job);
        self.next_operation(job);
    }

    /// Operations that read what the current one did not write cannot run.
    fn drop_dependents(&mut self, job: JobId) {
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        let current = record.current;
        record.later = record.later.iter().filter(|op| op.input() != Some(current)).collect();
    }

    fn count(&mut self, job: JobId, change: impl FnOnce(&mut crate::model::OperationCounters)) {
        let Some(record) = self.jobs.get(job) else { return self.lost_job(job) };
        let (operation, id) = (record.current, record.crawl);
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        change(crawl.counters().of(operation));
    }

    /// Tries the next storage that may have the file, or makes the file again; but not forever, in case it is
    /// missing each time.
    fn input_missing(&mut self, job: JobId, session: SessionId) {
        self.unlease(job);
        let Some(here) = self.sessions.get(session).map(|s| s.record.storage) else {
            return self.lost_session(session);
        };
        let present: BTreeSet<_> = self.sessions.values().map(|s| s.record.storage).collect();
        let max_attempts = self.limits.max_attempts;
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        if record.current.input().is_some() {
            record.without_input.push(here);
            record.progress = None;
            let next = present.into_iter().find(|s| !record.without_input.contains(s));
            if let Some(next) = next.filter(|_| record.without_input.len() < MAX_WITHOUT_INPUT) {
                record.holder = Some(next);
            } else if record.inputs_made < max_attempts {
                record.inputs_made += 1;
                record.make_input_first();
            } else {
                record.failed_attempts += 1;
                let made = record.inputs_made;
                self.failed_for_good(
                    job,
                    format!("the file that it reads is on no storage, though made {made} times"),
                );
                return;
            }
        }
        self.tell_job(job, || JobChange::Returned);
        self.make_ready(job, false);
    }

    fn discovered(&mut self, job: JobId, admitted: Vec<UserId>, discarded: Vec<UserId>) {
        let Some(record) = self.jobs.get(job) else { return self.lost_job(job) };
        let (id, depth) = (record.crawl, record.depth.saturating_add(1));
        if !self.take_out(id) {
            return;
        }
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        let discarded = crawl.seen.insert(discarded).len() as u64;
        let admitted = crawl.seen.insert(admitted);
        let spec = &crawl.record.spec;
        let within = spec.depth.is_none_or(|limit| depth <= limit);
        let traversal = if within { spec.traversal } else { Traversal::Default };
        let count = admitted.len() as u64;
        match traversal {
            Traversal::Default => admitted.iter().for_each(|user| crawl.frontier.push_back(user, depth)),
            Traversal::Bfs => admitted.iter().for_each(|user| crawl.queue.push_back(user, depth)),
            Traversal::Dfs => crawl.queue.push_front(&admitted, depth),
        }
        let counters = crawl.counters();
        counters.discovered += count + discarded;
        counters.admitted += count;
        if traversal == Traversal::Default {
            counters.frontier += count;
        } else {
            counters.users.accepted += count;
            counters.users.waiting += count;
        }
        self.tell_job(job, || JobChange::Discovered { admitted: count, discarded });
    }
}

/// The operations that run again when a failed account is retried.
pub(super) fn operations_to_retry(
    failures: &[Failure],
    of_crawl: crate::model::Operations,
) -> crate::model::Operations {
    let failed: crate::model::Operations = failures.iter().map(|f| f.operation).collect();
    let dependents =
        Operation::ALL.into_iter().filter(|op| op.input().is_some_and(|input| failed.contains(input)));
    dependents.filter(|op| of_crawl.contains(*op)).fold(failed, crate::model::Operations::with)
}
