//! The start of a leader's term.

use std::sync::atomic::{AtomicU64, Ordering};

use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::ReadPolicy;
use tokio::time::timeout;

use crate::model::Mutation;

use super::calls::{NotDone, stopping};
use super::sessions::PROPOSE_TIMEOUT;
use super::tracker::Tracker;

/// The last term that this node has opened as its leader.
#[derive(Default)]
pub(super) struct OpenedTerm(AtomicU64);

impl OpenedTerm {
    fn is(&self, term: u64) -> bool {
        self.0.load(Ordering::Relaxed) == term
    }
}

impl Tracker {
    /// Whether this node believes that it leads.
    pub(super) fn leads(&self) -> bool {
        self.leading_term().is_some()
    }

    /// The term in which this node believes that it leads.
    pub(super) fn leading_term(&self) -> Option<u64> {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.state.is_leader().then_some(metrics.current_term)
    }

    /// Whether this node leads and has opened its term.
    pub(super) fn has_opened_term(&self) -> bool {
        self.leading_term().is_some_and(|term| self.inner.opened_term.is(term))
    }

    /// Refuses a write of a client or a worker before the term is open. The caller repeats it.
    pub(super) fn need_opened_term(&self) -> Result<(), NotDone> {
        match self.leading_term() {
            None => Err(NotDone::NotLeader),
            Some(term) if self.inner.opened_term.is(term) => Ok(()),
            Some(_) => Err(stopping("the new leader has not opened its term yet")),
        }
    }

    /// Applies this leader's settings to the state before the first write of its term, so that a cluster with a
    /// mirror records events from its first write on. If that fails, the next wakeup tries again.
    pub(super) async fn open_term(&self) {
        let Some(term) = self.leading_term().filter(|term| !self.inner.opened_term.is(*term)) else { return };
        // Settings of earlier leaders may be in entries that are not applied yet.
        let confirmed = timeout(PROPOSE_TIMEOUT, self.confirm_leadership(ReadPolicy::ReadIndex)).await;
        let Ok(Ok(())) = confirmed else { return };
        let bytes = self.inner.options.events_kept;
        if self.outbox().capacity == bytes || self.propose_own(Mutation::KeepEvents { bytes }).await {
            self.inner.opened_term.0.store(term, Ordering::Relaxed);
        }
    }
}
