//! Events for a mirror: kept if the leader has one, readable from any replica.

use std::sync::Arc;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use crate::model::{EventId, Mutation, NodeId};
use crate::state::{KeptEvents, LiveEvents, OutboxView, Upcoming};

use super::tracker::Tracker;

impl Tracker {
    /// Events after `id` that this replica knows, about `bytes` of them in stored form, and at least one if there is
    /// any.
    pub fn events_after(&self, id: EventId, bytes: usize) -> KeptEvents {
        self.inner.replica.state().events_after(id, bytes)
    }

    /// The state of this replica's outbox.
    pub fn outbox(&self) -> OutboxView {
        self.inner.replica.state().outbox()
    }

    /// Live events for observers of this node, and the cluster time that they cover, ms.
    pub fn live_events(&self) -> (Arc<LiveEvents>, u64) {
        let state = self.inner.replica.state();
        (Arc::clone(state.live_events()), state.clock())
    }

    /// Running jobs by operation, and the next ones, at most `limit`, as this replica knows them.
    pub fn jobs_ahead(&self, limit: usize) -> ([u64; 4], Vec<Upcoming>) {
        let state = self.inner.replica.state();
        (state.ongoing(), state.upcoming(limit))
    }

    /// Notifies when this replica has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.replica.changes()
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.inner.options.id
    }

    /// Whether this node believes that it leads. Another leader may have been elected meanwhile.
    pub fn is_leader(&self) -> bool {
        self.leads()
    }

    /// Applies this leader's setting for kept events, and announces its term.
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
