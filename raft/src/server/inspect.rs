//! What simulations and tests look at in a running tracker.

use std::collections::BTreeSet;

use openraft::async_runtime::watch::WatchReceiver;

use crate::model::{EventId, NodeId, StateDigest};
use crate::state::JobPlace;

use super::tracker::Tracker;

impl Tracker {
    /// Index of the last applied entry, and the digest of the state after it.
    pub(crate) fn digest(&self) -> (u64, StateDigest) {
        let state = self.inner.replica.state();
        (self.inner.replica.applied_index(), state.digest())
    }

    /// What this replica holds beyond its bounds although all crawls are over. Once a checkpoint includes them,
    /// nothing of them stays in memory; the log keeps its configured entries and those since the last checkpoint or
    /// two.
    pub(crate) fn excess(&self) -> Option<String> {
        let (sizes, outbox) = (self.sizes(), self.outbox());
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let purged = metrics.purged.map_or(0, |id| id.index);
        let log = metrics.last_log_index.unwrap_or(0).saturating_sub(purged);
        let most = self.inner.options.log_kept + 2_000;
        // Events leave the outbox in blocks.
        let events = outbox.capacity + 40_000;
        let held = [
            (sizes.jobs as u64, 0, "jobs"),
            (sizes.queue_bytes as u64, 0, "bytes of queues and frontiers"),
            (sizes.seen_ids, 0, "accounts of seen-sets in memory"),
            (outbox.bytes, events, "bytes of events"),
            (log, most, "entries of the log"),
        ];
        let over = held.into_iter().find(|(held, most, _)| held > most);
        over.map(|(held, most, what)| format!("it holds {held} {what}, of at most {most}"))
    }

    /// Some jobs, and the hosts that they wait for.
    pub(crate) fn describe_jobs(&self) -> String {
        self.inner.replica.state().describe_jobs()
    }

    /// Where jobs are, of one node or of all.
    pub(crate) fn job_places(&self, node: Option<NodeId>) -> BTreeSet<JobPlace> {
        self.inner.replica.state().job_places(node)
    }

    /// A gap in the numbers of the events that wait for a mirror.
    pub(crate) fn event_gap(&self) -> Option<String> {
        let kept = self.inner.replica.state().events_after(EventId::default(), usize::MAX);
        let events = kept.read();
        let mut pairs = events.windows(2).map(|pair| (pair[0].number, pair[1].number));
        let gap = pairs.find(|(one, next)| one + 1 != *next);
        gap.map(|(one, next)| format!("event {next} follows event {one}"))
    }
}
