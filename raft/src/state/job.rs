//! A job: one account on its way through the operations of a crawl.

use std::collections::BTreeSet;

use api::wire::bounds::MAX_CURSOR;
use serde::{Deserialize, Serialize};
use storage::dataset::{Account, FileKey, FileKind, SourceName};
use storage::ids::UserId;

use crate::model::{
    CrawlId, Failure, FinalState, Gone, GoneReason, Job, JobId, LeaseId, Operation, Operations, Progress,
    Publication, SessionId, StorageId,
};

use super::hosts::HostId;
use super::outcomes::{ErrorRecord, GoneRecord};

/// Most storages that may report a job's input as missing before it is made again. They are part of the job's record.
const MAX_WITHOUT_INPUT: usize = 256;

/// The kind of file that an operation writes. Whether an analysis does, depends on its crawl.
fn written_by(operation: Operation, profiles: bool) -> Option<FileKind> {
    match operation {
        Operation::Timeline | Operation::Update => Some(FileKind::Timeline),
        Operation::Followers => Some(FileKind::Followers),
        Operation::Analysis => profiles.then_some(FileKind::Profiles),
    }
}

/// What is done and what is left to do for one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JobRecord {
    crawl: CrawlId,
    user: UserId,
    depth: u32,
    /// The operation that runs or waits to run.
    current: Operation,
    /// The operations after it.
    later: Operations,
    /// Failed attempts at the current operation.
    failed_attempts: u32,
    progress: Option<Progress>,
    /// The storage with the file that the current or a later operation reads.
    holder: Option<StorageId>,
    /// Storages that turned out not to have that file.
    without_input: Vec<StorageId>,
    /// How often that file was made again because no storage had it.
    inputs_made: u32,
    /// Whether an operation has completed.
    completed: bool,
    gone: Vec<Gone>,
    failures: Vec<Failure>,
    phase: Phase,
}

/// The phase of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// Could run.
    Ready { rank: Rank },
    /// Runs.
    Leased { lease: LeaseId, session: SessionId },
    /// Completed; its draft is not published yet (TWM-P1).
    Publishing {
        /// The lease that confirms the publication and names the draft.
        lease: LeaseId,
        /// The session that publishes it; absent while no session uses the storage.
        session: Option<SessionId>,
        /// Whether the session adopted it from another one.
        adopted: bool,
        storage: StorageId,
        items: u64,
    },
    /// Not before this cluster time.
    Delayed { until: u64 },
    /// Waits for a host, as the one with this number in its queue.
    AtHost { host: HostId, order: u64 },
}

/// The rank of a ready job of a crawl: jobs that were handed back first, then in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Rank {
    pub(super) late: bool,
    pub(super) order: u64,
}

/// How a job continues whose input was not on its storage.
pub(super) enum InputSearch {
    /// It runs again: where the file may be, or to make the file first.
    Continues,
    /// The file was made this often and is still missing.
    GivenUp { made: u32 },
}

/// What the job is about.
impl JobRecord {
    /// The job of a new account; `None` if there is nothing to do. It is in no queue yet.
    pub(super) fn fresh(crawl: CrawlId, user: UserId, depth: u32, operations: Operations) -> Option<Self> {
        let current = operations.first()?;
        Some(Self {
            crawl,
            user,
            depth,
            current,
            later: operations.without(current),
            failed_attempts: 0,
            progress: None,
            holder: None,
            without_input: Vec::new(),
            inputs_made: 0,
            completed: false,
            gone: Vec::new(),
            failures: Vec::new(),
            phase: Phase::Delayed { until: 0 },
        })
    }

    /// The job of a failed account that is retried, with the operations of its crawl; `None` if it failed at nothing.
    /// The operations that failed run again, and those that read what they write.
    pub(super) fn retry(crawl: CrawlId, failed: &ErrorRecord, of_crawl: Operations) -> Option<Self> {
        let operations = operations_to_retry(&failed.failures, of_crawl);
        let (completed, gone) = (failed.completed, failed.gone.clone());
        let fresh = Self::fresh(crawl, failed.user.clone(), failed.depth, operations)?;
        Some(Self { completed, gone, ..fresh })
    }

    pub(super) fn crawl(&self) -> CrawlId {
        self.crawl
    }

    pub(super) fn user(&self) -> &UserId {
        &self.user
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    /// The operation that runs or waits to run.
    pub(super) fn operation(&self) -> Operation {
        self.current
    }

    /// The number of the attempt at the current operation, from 1.
    pub(super) fn attempt(&self) -> u32 {
        self.failed_attempts + 1
    }

    /// Whether an attempt at the current operation has failed.
    pub(super) fn has_failed_attempts(&self) -> bool {
        self.failed_attempts > 0
    }

    /// Where the current operation continues; absent for a first attempt.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.progress.as_ref().map(|progress| progress.cursor.as_str())
    }

    /// The file that the current operation writes; `profiles`: whether the crawl's analyses write files.
    pub(super) fn file(&self, source: &SourceName, profiles: bool) -> Option<FileKey> {
        let account = || Account { source: source.clone(), user: self.user.clone() };
        written_by(self.current, profiles).map(|kind| FileKey { account: account(), kind })
    }

    /// The only storage on which the job can run as it is, if any.
    pub(super) fn pin(&self) -> Option<StorageId> {
        let draft = self.progress.as_ref().and_then(|p| p.draft.as_ref()).map(|d| d.storage);
        draft.or_else(|| self.current.input().and(self.holder))
    }

    /// The leases that name a draft which the job still needs.
    pub(super) fn drafts(&self) -> impl Iterator<Item = LeaseId> {
        let of_progress = self.progress.as_ref().and_then(|p| p.draft.as_ref()).map(|d| d.lease);
        self.lease().into_iter().chain(of_progress)
    }
}

/// Where the job is.
impl JobRecord {
    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The lease of a job that runs or waits for its publication.
    pub(super) fn lease(&self) -> Option<LeaseId> {
        match self.phase {
            Phase::Leased { lease, .. } | Phase::Publishing { lease, .. } => Some(lease),
            Phase::Ready { .. } | Phase::Delayed { .. } | Phase::AtHost { .. } => None,
        }
    }

    /// The session that has that lease.
    pub(super) fn session(&self) -> Option<SessionId> {
        match self.phase {
            Phase::Leased { session, .. } => Some(session),
            Phase::Publishing { session, .. } => session,
            Phase::Ready { .. } | Phase::Delayed { .. } | Phase::AtHost { .. } => None,
        }
    }

    /// Whether it waits for the confirmation of its publication.
    pub(super) fn is_publishing(&self) -> bool {
        matches!(self.phase, Phase::Publishing { .. })
    }

    /// Whether its unpublished draft is on this storage and belongs to no session.
    pub(super) fn is_left_on(&self, on: StorageId) -> bool {
        matches!(self.phase, Phase::Publishing { session: None, storage, .. } if storage == on)
    }

    /// The storage without which a job that no node has cannot continue as it is.
    pub(super) fn waits_for(&self) -> Option<StorageId> {
        match self.phase {
            Phase::Publishing { storage, .. } => Some(storage),
            Phase::Ready { .. } | Phase::Delayed { .. } | Phase::AtHost { .. } => self.pin(),
            Phase::Leased { .. } => None,
        }
    }

    /// The job as a worker receives it; `None` unless it is leased.
    pub(super) fn granted(&self, id: JobId, source: &SourceName) -> Option<Job> {
        let Phase::Leased { lease, .. } = self.phase else { return None };
        Some(Job {
            id,
            lease,
            crawl: self.crawl,
            user: self.user.clone(),
            operation: self.current,
            depth: self.depth,
            attempt: self.attempt(),
            progress: self.progress.clone(),
            source: source.clone(),
        })
    }

    /// What a session has to publish; `None` unless the job waits for that.
    pub(super) fn publication(&self, job: JobId, source: &SourceName) -> Option<Publication> {
        let Phase::Publishing { lease, .. } = self.phase else { return None };
        let (user, operation, source) = (self.user.clone(), self.current, source.clone());
        Some(Publication { job, lease, draft: lease, user, operation, source })
    }

    /// The items of a draft that waits for its publication under this lease.
    pub(super) fn unpublished_items(&self, of: LeaseId) -> Option<u64> {
        match self.phase {
            Phase::Publishing { lease, items, .. } if lease == of => Some(items),
            _ => None,
        }
    }

    pub(super) fn make_ready(&mut self, rank: Rank) {
        self.phase = Phase::Ready { rank };
    }

    pub(super) fn delay_until(&mut self, until: u64) {
        self.phase = Phase::Delayed { until };
    }

    pub(super) fn wait_for_host(&mut self, host: HostId, order: u64) {
        self.phase = Phase::AtHost { host, order };
    }

    pub(super) fn lease_to(&mut self, session: SessionId, lease: LeaseId) {
        self.phase = Phase::Leased { lease, session };
    }

    /// The session that had the lease has a finished draft with this many items on this storage (TWM-P1).
    pub(super) fn wait_for_publication(
        &mut self,
        lease: LeaseId,
        session: SessionId,
        storage: StorageId,
        items: u64,
    ) {
        self.phase = Phase::Publishing { lease, session: Some(session), adopted: false, storage, items };
    }

    /// Assigns an unpublished draft to a session of its storage, or to none while there is no such session.
    pub(super) fn hand_publication_to(&mut self, heir: Option<SessionId>) {
        if let Phase::Publishing { session, adopted, .. } = &mut self.phase {
            *session = heir;
            *adopted = heir.is_some();
        }
    }
}

/// What is done, and what is left to do.
impl JobRecord {
    /// Saves progress that is reported from a storage, unless nobody could use it (a draft on another storage, a
    /// cursor too long for a record): the job would then continue from its previous progress. Returns whether it was
    /// saved.
    pub(super) fn advance(&mut self, progress: Progress, here: StorageId) -> bool {
        let elsewhere = progress.draft.as_ref().is_some_and(|draft| draft.storage != here);
        if elsewhere || progress.cursor.len() > MAX_CURSOR {
            return false;
        }
        if self.current.input().is_some() {
            // A cursor into this storage's file is meaningless for another storage's.
            self.holder = Some(here);
        }
        self.progress = Some(progress);
        true
    }

    /// Starts the current operation over.
    pub(super) fn drop_progress(&mut self) {
        self.progress = None;
    }

    /// The draft has its name. Returns the number of its items; `None` if nothing was to be published.
    pub(super) fn published(&mut self) -> Option<u64> {
        let Phase::Publishing { storage, items, .. } = self.phase else { return None };
        if self.later.iter().any(|op| op.input() == Some(self.current)) {
            self.holder = Some(storage);
        }
        Some(items)
    }

    /// The current operation is complete.
    pub(super) fn complete(&mut self) {
        self.completed = true;
    }

    /// Nothing was fetched, so an operation that reads the file has nothing to do and is complete as well. Returns
    /// these operations.
    pub(super) fn complete_dependents(&mut self) -> Vec<Operation> {
        let (done, later): (Vec<_>, Vec<_>) =
            self.later.iter().partition(|op| op.input() == Some(self.current));
        self.later = later.into_iter().collect();
        done
    }

    /// Operations that read what the current one did not write cannot run.
    fn drop_dependents(&mut self) {
        self.later = self.later.iter().filter(|op| op.input() != Some(self.current)).collect();
    }

    /// Proceeds to the next operation; returns false and changes nothing if none is left.
    pub(super) fn begin_next(&mut self) -> bool {
        let Some(next) = self.later.first() else { return false };
        self.current = next;
        self.later = self.later.without(next);
        self.failed_attempts = 0;
        self.progress = None;
        self.without_input.clear();
        true
    }

    /// Counts a failed attempt at the current operation; returns how many there are now.
    pub(super) fn count_failed_attempt(&mut self) -> u32 {
        self.failed_attempts += 1;
        self.failed_attempts
    }

    /// The current operation is given up, because there is nothing to fetch. One reason is kept per operation, however
    /// often it was retried: a record has a maximum size.
    pub(super) fn record_gone(&mut self, reason: GoneReason) {
        let operation = self.current;
        self.gone.retain(|gone| gone.operation != operation);
        self.gone.push(Gone { operation, reason });
        self.drop_dependents();
    }

    /// The current operation is given up after its last attempt. One failure is kept per operation.
    pub(super) fn record_failure(&mut self, reason: String) {
        let (operation, attempts) = (self.current, self.failed_attempts);
        self.failures.retain(|failure| failure.operation != operation);
        self.failures.push(Failure { operation, reason, attempts });
        self.drop_dependents();
    }

    /// This storage does not have the file that the current operation reads. The next of these storages is tried, or
    /// the file is made again; but not forever, in case it is missing each time.
    pub(super) fn input_missing(
        &mut self,
        here: StorageId,
        present: BTreeSet<StorageId>,
        max_attempts: u32,
    ) -> InputSearch {
        if self.current.input().is_none() {
            return InputSearch::Continues;
        }
        self.without_input.push(here);
        self.progress = None;
        let next = present.into_iter().find(|s| !self.without_input.contains(s));
        if let Some(next) = next.filter(|_| self.without_input.len() < MAX_WITHOUT_INPUT) {
            self.holder = Some(next);
        } else if self.inputs_made < max_attempts {
            self.inputs_made += 1;
            self.make_input_first();
        } else {
            self.failed_attempts += 1;
            return InputSearch::GivenUp { made: self.inputs_made };
        }
        InputSearch::Continues
    }

    /// Drops what the job has on a storage that is given up. If its input was there, it is made again.
    pub(super) fn forget_storage(&mut self, storage: StorageId) {
        let draft = self.progress.as_ref().and_then(|p| p.draft.as_ref());
        if draft.is_some_and(|d| d.storage == storage) {
            self.progress = None;
        }
        if self.holder == Some(storage) {
            self.holder = None;
            if self.current.input().is_some() {
                self.make_input_first();
            }
        }
    }

    /// Makes the input of the current operation, because no reachable storage has it. An update then has
    /// nothing left to do: a whole timeline is up to date.
    fn make_input_first(&mut self) {
        let Some(input) = self.current.input() else { return };
        if self.current == Operation::Analysis {
            self.later = self.later.with(Operation::Analysis);
        }
        self.current = input;
        self.failed_attempts = 0;
        self.progress = None;
        self.holder = None;
        self.without_input.clear();
    }

    /// The final state of the account once nothing is left to do.
    pub(super) fn final_state(&self) -> FinalState {
        if !self.failures.is_empty() {
            FinalState::Failed
        } else if self.completed || self.gone.is_empty() {
            FinalState::Completed
        } else {
            FinalState::Gone
        }
    }

    /// What the lists of failed and of gone accounts keep of the account.
    pub(super) fn outcome(self) -> (Option<ErrorRecord>, Option<GoneRecord>) {
        let Self { user, depth, completed, gone, failures, .. } = self;
        let is_gone = !gone.is_empty();
        let listed = is_gone.then(|| GoneRecord { user: user.clone(), depth, gone: gone.clone() });
        let failed = (!failures.is_empty()).then_some(ErrorRecord { user, depth, failures, completed, gone });
        (failed, listed)
    }
}

/// The operations that run again when a failed account is retried.
fn operations_to_retry(failures: &[Failure], of_crawl: Operations) -> Operations {
    let failed: Operations = failures.iter().map(|f| f.operation).collect();
    let dependents =
        Operation::ALL.into_iter().filter(|op| op.input().is_some_and(|input| failed.contains(input)));
    dependents.filter(|op| of_crawl.contains(*op)).fold(failed, Operations::with)
}

#[cfg(test)]
impl JobRecord {
    /// A record of the largest size, and an account with the longest id.
    pub(super) fn largest() -> Self {
        let most = u64::MAX;
        let user: UserId = "x".repeat(storage::ids::MAX_TEXT_ID).parse().unwrap();
        let draft = crate::model::DraftProgress {
            lease: LeaseId(most),
            storage: StorageId(most),
            token: most,
            items: most,
            based_on: most,
        };
        let failure = Failure { operation: Operation::Update, reason: "r".repeat(512), attempts: u32::MAX };
        Self {
            failed_attempts: 0,
            progress: Some(Progress { cursor: "c".repeat(4_096), draft: Some(draft) }),
            holder: Some(StorageId(most)),
            without_input: vec![StorageId(most); MAX_WITHOUT_INPUT],
            gone: vec![Gone { operation: Operation::Update, reason: GoneReason::Protected }; 4],
            failures: vec![failure; 4],
            phase: Phase::Ready { rank: Rank { late: true, order: most } },
            ..Self::fresh(CrawlId(most), user, u32::MAX, "TFA".parse().unwrap()).unwrap()
        }
    }
}
