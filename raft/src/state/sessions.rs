//! Sessions: each is one incarnation of a node (TWM-S1).

use storage::planted::{Bug, planted};

use crate::model::{
    EventKind, JobChange, JobId, NodeId, OpenSession, Refusal, Response, SessionChange, SessionId,
    SessionOpened, StorageId,
};

use super::job::{JobRecord, Phase};
use super::session::Session;
use super::{MAX_ABSENT, MAX_STORAGES, State};

impl State {
    pub(super) fn open_session(&mut self, index: u64, open: OpenSession) -> Response {
        let ttl_ms = u64::from(self.limits.session_ttl_ms);
        let is_late = |other: SessionId| open.is_older_than(other);
        let OpenSession { node, incarnation, storage, workers, shared, adopt } = open;
        if let Some((session, _)) = self.sessions.iter().find(|(_, s)| s.is_of(node, incarnation)) {
            return Response::SessionOpened(SessionOpened { session, ttl_ms });
        }
        let current = self.sessions.of_node(node).map(|(id, _)| id);
        if let Some(session) = current.filter(|id| self.head.version >= 3 && is_late(*id)) {
            return Response::Refused(Refusal::SessionNewer { node, session });
        }
        if let Err(refusal) = self.check_storage(node, storage, shared, adopt) {
            return Response::Refused(refusal);
        }
        if let Some(session) = current {
            // The node itself says that its earlier session is over, so nothing on its disk is given up.
            self.end_session(session, true);
        }
        if let Some(before) = self.head.storages.insert(node, storage).filter(|before| *before != storage) {
            // What is only on the old storage does not come back: an operator said so.
            if !self.is_present(before) {
                self.give_up_storages(vec![before]);
            }
        }
        let id = SessionId(index);
        self.head.absent.remove(&storage);
        self.sessions.open(id, Session::opened(node, incarnation, storage, workers));
        self.adopt_publications(storage);
        let change = SessionChange::Opened;
        self.outbox.push(self.head.clock, EventKind::Session { node, session: id, change });
        Response::SessionOpened(SessionOpened { session: id, ttl_ms })
    }

    /// Whether a node may write to a storage: only to its own, and alone unless it is shared.
    fn check_storage(
        &self,
        node: NodeId,
        found: StorageId,
        shared: bool,
        adopt: bool,
    ) -> Result<(), Refusal> {
        match self.head.storages.get(&node) {
            Some(&known) if known != found && !adopt => {
                return Err(Refusal::OtherStorage { node, known, found });
            }
            None if self.head.storages.len() >= MAX_STORAGES => {
                return Err(Refusal::TooManyStorages { most: MAX_STORAGES as u32 });
            }
            _ => {}
        }
        let other = self.sessions.values().find(|s| s.storage() == found && s.node() != node);
        match other {
            Some(other) if !shared => Err(Refusal::StorageInUse { storage: found, node: other.node() }),
            _ => Ok(()),
        }
    }

    /// Ends a session: its jobs go back to the head of their queues, its unpublished drafts to another
    /// session of the same storage.
    pub(super) fn end_session(&mut self, id: SessionId, graceful: bool) -> Response {
        let Some(session) = self.sessions.end(id) else {
            return Response::Refused(Refusal::SessionOver(id));
        };
        self.spend.end_session(id);
        // What it held may have been sent, however it ended.
        self.shares.end_session(id);
        let (node, change) = (session.node(), SessionChange::Ended { graceful });
        self.outbox.push(self.head.clock, EventKind::Session { node, session: id, change });
        let storage = session.storage();
        let mut absent_too_many = false;
        if !self.is_present(storage) {
            self.head.absent.insert(storage, self.head.clock);
            absent_too_many = self.head.absent.len() > MAX_ABSENT;
        }
        let give_up = !graceful && !self.is_present(storage);
        for &job in session.leased() {
            self.unlease(job);
            self.emit_job(job, || JobChange::Returned);
            if give_up {
                self.forget_storage(job, storage);
            }
            if !planted(Bug::LostSessionKeepsJobs) || graceful {
                self.make_ready(job, false);
            }
        }
        let publishes = |r: &JobRecord| r.is_publishing() && r.session() == Some(id);
        let orphans: Vec<JobId> = self.jobs.iter().filter(|(_, r)| publishes(r)).map(|(j, _)| j).collect();
        for job in orphans {
            let Some(record) = self.jobs.get_mut(job) else {
                self.lost_job(job);
                continue;
            };
            record.hand_publication_to(None);
        }
        self.adopt_publications(storage);
        if absent_too_many {
            let longest = self.head.absent.iter().min_by_key(|&(&storage, &since)| (since, storage));
            let longest = longest.map(|(&storage, _)| storage);
            self.give_up_storages(longest.into_iter().collect());
        }
        Response::Done
    }

    /// Assigns the unpublished drafts of a storage that belong to no session to one of the storage's
    /// sessions.
    fn adopt_publications(&mut self, storage: StorageId) {
        let Some(heir) = self.sessions.of_storage(storage) else { return };
        let left: Vec<JobId> =
            self.jobs.iter().filter(|(_, r)| r.is_left_on(storage)).map(|(j, _)| j).collect();
        for job in left {
            let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
            record.hand_publication_to(Some(heir));
            let Some(session) = self.sessions.get_mut(heir) else { return self.lost_session(heir) };
            session.adopt(job);
        }
    }

    /// Drops what a job has on a storage that is given up.
    fn forget_storage(&mut self, job: JobId, storage: StorageId) {
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.forget_storage(storage);
    }

    /// Gives up storages that have been without a session for too long.
    pub(super) fn give_up_absent_storages(&mut self) {
        let grace = u64::from(self.limits.storage_grace_ms);
        let clock = self.head.clock;
        let over: Vec<StorageId> =
            self.head.absent.iter().filter(|&(_, &since)| since + grace <= clock).map(|(&s, _)| s).collect();
        if !over.is_empty() {
            self.give_up_storages(over);
        }
    }

    /// Gives up these storages.
    fn give_up_storages(&mut self, over: Vec<StorageId>) {
        let clock = self.head.clock;
        let waiting: Vec<(JobId, StorageId)> = self
            .jobs
            .iter()
            .filter_map(|(id, r)| Some((id, r.waits_for()?)))
            .filter(|(_, storage)| over.contains(storage))
            .collect();
        for (job, storage) in waiting {
            if self.is_of_cancelled(job) {
                self.leave_cancelled(job);
                continue;
            }
            if let Some(Phase::AtHost { .. }) = self.jobs.get(job).map(JobRecord::phase) {
                self.forget_storage(job, storage);
                continue;
            }
            let delayed_until = match self.jobs.get(job).map(JobRecord::phase) {
                Some(Phase::Delayed { until }) => Some(*until),
                _ => None,
            };
            self.unqueue(job);
            self.unlease(job);
            self.forget_storage(job, storage);
            match delayed_until {
                Some(until) => self.delay(job, until.saturating_sub(clock)),
                None => self.make_ready(job, false),
            }
        }
        // Nothing waits for these storages any more; a node that comes back starts without jobs.
        for storage in over {
            self.head.absent.remove(&storage);
        }
    }

    /// Cluster time at which [`Self::give_up_absent_storages`] has something to do.
    pub(super) fn next_absence_end(&self, grace_ms: u64) -> Option<u64> {
        self.head.absent.values().min().map(|since| since + grace_ms)
    }
}
