//! Applies the findings of a report.

use std::collections::BTreeSet;

use crate::model::{
    CrawlPhase, EventKind, Finding, GoneReason, JobChange, JobId, LeaseId, OperationCounters, Progress,
    SessionId,
};
use storage::ids::UserId;

use super::State;
use super::crawl_accounts::Discovered;
use super::job::{InputSearch, JobRecord};
use super::session::Session;

/// Longest reason that the error list keeps, bytes.
const MAX_REASON: usize = 512;

impl State {
    pub(super) fn apply_finding(&mut self, job: JobId, lease: LeaseId, session: SessionId, finding: Finding) {
        let publishing = self.publishes(job, lease);
        if !publishing {
            self.host_answered(job, &finding);
        }
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
                self.emit_job(job, || JobChange::Returned);
                self.make_ready(job, false);
            }
            Finding::InputMissing => self.input_missing(job, session),
            Finding::Discovered { admitted, discarded, progress } => {
                self.discovered(job, admitted, discarded);
                self.advanced(job, session, Some(progress));
            }
            Finding::WaitsForHost { progress, host, after_ms, trouble } => {
                self.advanced(job, session, progress);
                self.waits_for_host(job, host, after_ms, trouble);
            }
        }
    }

    fn completed(&mut self, job: JobId, lease: LeaseId, session: SessionId, file: bool, items: u64) {
        let Some(holder) = self.sessions.get_mut(session) else { return self.lost_session(session) };
        holder.count_completed();
        let storage = holder.storage();
        if !file {
            self.unlease(job);
            self.complete_dependents(job);
            self.operation_done(job, items);
            return;
        }
        holder.wait_for_publication(job);
        self.emit_job(job, || JobChange::Fetched { items });
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.wait_for_publication(lease, session, storage, items);
    }

    fn published(&mut self, job: JobId) {
        if self.is_of_cancelled(job) {
            return self.leave_cancelled(job);
        }
        self.unlease(job);
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        let Some(items) = record.published() else {
            return self.broken("TWM-P1", format!("job {job} is published and was not to be"));
        };
        self.operation_done(job, items);
    }

    /// The job starts over; but not forever, in case its drafts are lost each time.
    fn draft_lost(&mut self, job: JobId) {
        if self.is_of_cancelled(job) {
            return self.leave_cancelled(job);
        }
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.drop_progress();
        self.failed(job, "its finished draft was lost before it was published".to_owned(), 0, true);
    }

    /// Whether the job only waits for the end of a publication that a cancellation could not stop.
    pub(super) fn is_of_cancelled(&self, job: JobId) -> bool {
        let crawl = self.jobs.get(job).and_then(|record| self.crawls.get(record.crawl()));
        crawl.is_some_and(|crawl| crawl.phase() == CrawlPhase::Cancelled)
    }

    /// The publication of a cancelled crawl's job is confirmed, or given up with its storage. The account was counted
    /// as cancelled.
    pub(super) fn leave_cancelled(&mut self, job: JobId) {
        self.unlease(job);
        let Some(record) = self.jobs.remove(job) else { return self.lost_job(job) };
        let id = record.crawl();
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        if let Err(miscount) = crawl.drop_publication() {
            self.miscounted(id, miscount);
        }
    }

    /// Counts a completed operation and continues with the next one. The job is in no queue.
    fn operation_done(&mut self, job: JobId, items: u64) {
        self.emit_job(job, || JobChange::Completed { items });
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.complete();
        self.count(job, |counters| {
            counters.completed += 1;
            counters.items = counters.items.saturating_add(items);
        });
        self.next_operation(job);
    }

    /// Nothing was fetched, so an operation that reads the file has nothing to do and is complete as well.
    fn complete_dependents(&mut self, job: JobId) {
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        let done = record.complete_dependents();
        let (id, user) = (record.crawl(), record.user().clone());
        for operation in done {
            let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
            crawl.count(operation, |counters| counters.completed += 1);
            let change = JobChange::Completed { items: 0 };
            let kind = EventKind::Job { crawl: id, job, user: user.clone(), operation, change };
            self.outbox.push(self.head.clock, kind);
        }
    }

    fn next_operation(&mut self, job: JobId) {
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        match record.begin_next() {
            true => self.make_ready(job, true),
            false => self.user_done(job),
        }
    }

    /// Fails the operation that a job in no queue would do next, and all that follow, with the same reason.
    pub(super) fn fail_all(&mut self, job: JobId, reason: &str) {
        loop {
            let cursor = self.jobs.get(job).and_then(JobRecord::cursor).map(str::to_owned);
            self.emit_job(job, || JobChange::Failed { reason: reason.to_owned(), cursor });
            self.count(job, |counters| counters.failed += 1);
            let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
            record.record_failure(reason.to_owned());
            if !record.begin_next() {
                return self.user_done(job);
            }
        }
    }

    /// The account has reached a final state (TWM-C1).
    fn user_done(&mut self, job: JobId) {
        let Some(state) = self.jobs.get(job).map(JobRecord::final_state) else { return self.lost_job(job) };
        self.emit_job(job, || JobChange::Ended { state });
        self.hosts.forget(job);
        let Some(record) = self.jobs.remove(job) else { return self.lost_job(job) };
        let id = record.crawl();
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        if let Err(miscount) = crawl.end_account(state) {
            return self.miscounted(id, miscount);
        }
        if let Err(error) = self.outcomes.record_end(id, record) {
            return self.stop_for(error);
        }
        self.finish_if_done(id);
    }

    /// Saves the progress of a job, if it can be used.
    fn advanced(&mut self, job: JobId, session: SessionId, progress: Option<Progress>) {
        let Some(progress) = progress else { return };
        let Some(here) = self.sessions.get(session).map(Session::storage) else {
            return self.lost_session(session);
        };
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        let told = self.outbox.is_observed().then(|| JobChange::Progressed {
            cursor: progress.cursor.clone(),
            items: progress.draft.as_ref().map(|draft| draft.items),
        });
        if !record.advance(progress, here) {
            return;
        }
        if let Some(told) = told {
            self.emit_job(job, || told);
        }
    }

    pub(super) fn limited(&mut self, job: JobId, after_ms: u64) {
        self.unlease(job);
        self.emit_job(job, || JobChange::Limited { after_ms });
        self.count(job, |counters| counters.limited += 1);
        self.delay(job, after_ms);
    }

    fn gone(&mut self, job: JobId, reason: GoneReason) {
        self.unlease(job);
        self.emit_job(job, || JobChange::Gone { reason });
        self.count(job, |counters| counters.gone += 1);
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.record_gone(reason);
        self.next_operation(job);
    }

    pub(super) fn failed(&mut self, job: JobId, mut reason: String, after_ms: u64, retry: bool) {
        storage::text::truncate(&mut reason, MAX_REASON);
        self.unlease(job);
        let max_attempts = self.limits.max_attempts;
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        if record.count_failed_attempt() < max_attempts && retry {
            self.emit_job(job, || JobChange::Retried { reason, after_ms });
            self.count(job, |counters| counters.retried += 1);
            self.delay(job, after_ms);
        } else {
            self.failed_for_good(job, reason);
        }
    }

    fn failed_for_good(&mut self, job: JobId, reason: String) {
        let cursor = self.jobs.get(job).and_then(JobRecord::cursor).map(str::to_owned);
        self.emit_job(job, || JobChange::Failed { reason: reason.clone(), cursor });
        self.count(job, |counters| counters.failed += 1);
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.record_failure(reason);
        self.next_operation(job);
    }

    pub(super) fn count(&mut self, job: JobId, change: impl FnOnce(&mut OperationCounters)) {
        let Some(record) = self.jobs.get(job) else { return self.lost_job(job) };
        let (operation, id) = (record.operation(), record.crawl());
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        crawl.count(operation, change);
    }

    /// The job continues where its input may be, or makes it again.
    fn input_missing(&mut self, job: JobId, session: SessionId) {
        self.unlease(job);
        let Some(here) = self.sessions.get(session).map(Session::storage) else {
            return self.lost_session(session);
        };
        let present: BTreeSet<_> = self.sessions.values().map(Session::storage).collect();
        let max_attempts = self.limits.max_attempts;
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        if let InputSearch::GivenUp { made } = record.input_missing(here, present, max_attempts) {
            let reason = format!("the file that it reads is on no storage, though made {made} times");
            return self.failed_for_good(job, reason);
        }
        self.emit_job(job, || JobChange::Returned);
        self.make_ready(job, false);
    }

    fn discovered(&mut self, job: JobId, admitted: Vec<UserId>, discarded: Vec<UserId>) {
        let Some(record) = self.jobs.get(job) else { return self.lost_job(job) };
        let (id, depth) = (record.crawl(), record.depth().saturating_add(1));
        if !self.take_out(id) {
            return;
        }
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        let Discovered { admitted, discarded } = crawl.discover(admitted, discarded, depth);
        self.emit_job(job, || JobChange::Discovered { admitted, discarded });
    }
}
