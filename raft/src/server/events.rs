//! Events for a mirror: kept while the leader has one, read from any replica.

use std::sync::Arc;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use crate::model::{EventId, Mutation, NodeId};
use crate::state::{KeptEvents, LiveEvents, OutboxView, Upcoming};

use super::tracker::Tracker;

impl Tracker {
    /// What happened after `id`, as far as this replica knows: about `bytes` in stored form, and at least one event
    /// if there is one.
    pub fn events_after(&self, id: EventId, bytes: usize) -> KeptEvents {
        self.inner.replica.state().events_after(id, bytes)
    }

    /// How this replica's outbox of events is.
    pub fn outbox(&self) -> OutboxView {
        self.inner.replica.state().outbox()
    }

    /// What happens, for whoever looks at this node now, and the cluster time up to which it is told, ms.
    pub fn live_events(&self) -> (Arc<LiveEvents>, u64) {
        let state = self.inner.replica.state();
        (Arc::clone(state.live_events()), state.clock())
    }

    /// Jobs that run, by operation, and the next ones, `limit` at the most, as this replica knows them.
    pub fn jobs_ahead(&self, limit: usize) -> ([u64; 4], Vec<Upcoming>) {
        let state = self.inner.replica.state();
        (state.ongoing(), state.upcoming(limit))
    }

    /// Tells when this replica has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.replica.changes()
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.inner.options.id
    }

    /// Whether this node believes to lead. Another may have been elected meanwhile.
    pub fn is_leader(&self) -> bool {
        self.leads()
    }

    /// Keeps events if this leader's settings ask for it, and tells that it leads.
    pub(super) async fn look_after_events(&self) {
        let options = &self.inner.options;
        let outbox = self.outbox();
        if outbox.capacity != options.events_kept {
            self.propose_own(Mutation::KeepEvents { bytes: options.events_kept }).await;
        } else if outbox.capacity > 0 {
            let term = self.inner.raft.metrics().borrow_watched().current_term;
            if term > outbox.term {
                self.propose_own(Mutation::Lead { node: options.id, term }).await;
            }
        }
    }
}
