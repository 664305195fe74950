//! Events for a mirror: kept if the leader has one, readable from any replica.

use std::sync::Arc;

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

    /// Announces this leader's term, if there is a mirror.
    pub(super) async fn announce_term(&self) {
        let outbox = self.outbox();
        let Some(term) = self.leading_term() else { return };
        if outbox.capacity > 0 && term > outbox.term {
            self.propose_own(Mutation::Lead { node: self.inner.options.id, term }).await;
        }
    }
}
