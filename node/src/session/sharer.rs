//! Reports on shared budgets as long as a session lives.

use std::sync::Arc;
use std::time::Duration;

use api::client::{ApiError, ClientError};
use api::model::{NodeId, SessionId, ShareReport, SharesAnswer};
use storage::env::{Backoff, Clock, Entropy};
use tokio::time::{sleep, timeout};

use super::JobTracker;
use crate::budget::{Ledger, Pending, SharedBudgets};

/// How often this replica is looked at while somebody waits.
const LOOK: Duration = Duration::from_millis(10);
/// How often shares are looked at otherwise: they end, and what is not used goes back.
const IDLE_LOOK: Duration = Duration::from_millis(250);
/// Pauses between attempts of a report.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// How often it is looked whether the cluster shares budgets yet.
const VERSION_LOOK: Duration = Duration::from_millis(100);
/// How long budgets that may be shared wait for the cluster to share them. After that it has members of an older release,
/// and each node keeps its own.
const VERSION_PATIENCE: Duration = Duration::from_secs(15);
/// How long one attempt of a report may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reports on a node's shared budgets.
#[derive(Clone)]
pub struct Sharer {
    ledger: Ledger,
    node: NodeId,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Sharer {
    /// For the budgets of this ledger. Until the first session is open, shared budgets wait. `nat` names the outside
    /// address that this node's addresses share.
    pub fn new(
        ledger: Ledger,
        nat: Option<String>,
        node: NodeId,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        ledger.shared(|shared| shared.begin(nat));
        Self { ledger, node, clock, entropy }
    }

    /// The session is over: what it held is counted by the state and may not be sent.
    pub fn drop_session(&self) {
        self.ledger.shared(SharedBudgets::drop_session);
    }

    /// Reports for a session until that is over. Cancel it when the session ends, and call
    /// [`drop_session`](Self::drop_session).
    pub async fn serve(self, tracker: Arc<dyn JobTracker>, session: SessionId) {
        // The session's number is the index of its entry. Before the replica has applied it, it may not know what the
        // cluster does.
        while tracker.applied_index() < session.0 {
            sleep(LOOK).await;
        }
        let begun = self.clock.monotonic();
        while !tracker.knows_shares() {
            // A new cluster's version rises within seconds. Until it has, nodes that begin to send would each count alone.
            if self.clock.monotonic() >= begun + VERSION_PATIENCE {
                self.ledger.shared(|shared| shared.decide(false));
            }
            sleep(VERSION_LOOK).await;
        }
        let wake = self.ledger.shared(|shared| {
            shared.begin_session(session);
            shared.decide(true);
            shared.wake.clone()
        });
        let mut sequence = 0;
        loop {
            let now = self.clock.monotonic();
            let wanted = self.ledger.shared(|shared| shared.wanted(now));
            let waits = !wanted.is_empty();
            let views = wanted.into_iter().map(|(id, name)| (id, tracker.shared_budget(&name))).collect();
            let pending = self.ledger.shared(|shared| {
                shared.look(views);
                shared.due(session, now)
            });
            if let Some(pending) = pending {
                sequence += 1;
                let sent = self.clock.monotonic();
                let Some(answer) = self.send(&*tracker, session, sequence, &pending).await else { return };
                self.ledger.shared(|shared| shared.answered(session, &pending, sent, &answer));
                continue;
            }
            tokio::select! {
                () = wake.notified() => {}
                () = sleep(if waits { LOOK } else { IDLE_LOOK }) => {}
            }
        }
    }

    /// Sends a report until it is answered; `None` if the session is over.
    async fn send(
        &self,
        tracker: &dyn JobTracker,
        session: SessionId,
        sequence: u64,
        pending: &Pending,
    ) -> Option<SharesAnswer> {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        loop {
            let budgets = pending.encode(self.clock.monotonic());
            let report = ShareReport { session, sequence, budgets };
            match timeout(PATIENCE, tracker.share(self.node, report)).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error @ ClientError::Api(ApiError::Refused(_) | ApiError::BadRequest(_)))) => {
                    tracing::warn!(%session, "this node's shares of budgets are given up: {error}");
                    self.drop_session();
                    return None;
                }
                Ok(Err(error)) => tracing::debug!("repeating a report on shared budgets: {error}"),
                Err(_) => tracing::debug!("repeating a report on shared budgets: no answer in time"),
            }
            sleep(backoff.next(&*self.entropy)).await;
        }
    }
}
