//! Waiting for work without writing to the log, so that an idle cluster stays idle.

use std::time::Duration;

use openraft::raft::ReadPolicy;
use tokio::time::{Instant, timeout_at};

use crate::model::SessionId;
use crate::state::Demand;

use super::calls::NotDone;
use super::tracker::Tracker;

impl Tracker {
    /// Waits as the leader. The call renews the session, so this node must be sure that it still led when it
    /// answers.
    pub(super) async fn wait_as_leader(
        &self,
        session: SessionId,
        demand: &Demand,
        timeout_ms: u32,
    ) -> Result<bool, NotDone> {
        let received = self.session_time();
        let longest = self.inner.options.limits.session_ttl_ms / 2;
        let deadline = Instant::now() + Duration::from_millis(timeout_ms.min(longest).into());
        let mut changes = self.inner.replica.changes();
        let found = loop {
            // Marked as seen before the check, so that no change in between is missed.
            changes.borrow_and_update();
            if self.inner.replica.state().has_work(session, demand) {
                break true;
            }
            match timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => break false,
            }
        };
        if self.confirm_leadership(ReadPolicy::LeaseRead).await.is_err() {
            self.confirm_leadership(ReadPolicy::ReadIndex).await?;
        }
        self.inner.heartbeats.note(session, received);
        Ok(found)
    }
}
