//! The leader's supervision of sessions and delays.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use storage::planted::{Bug, planted};
use tokio::time::timeout;

use crate::model::{MemberId, Mutation, SessionId};

use super::tracker::Tracker;
use super::wakeups::Wakeups;

/// Interval of the leader's polls, and thus the largest delay at the end of a session or a wait.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Timeout of one proposal.
pub(super) const PROPOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// While something waits for cluster time, the clock is written to the log at least this often, so that a new
/// leader continues from about the same time.
const CLOCK_INTERVAL: u64 = 5_000;

/// How often the leader checks whether the cluster's version can rise.
const VERSION_INTERVAL: Duration = Duration::from_secs(1);

/// How long a member may take to report its newest version. The supervision of sessions waits meanwhile.
const VERSION_TIMEOUT: Duration = Duration::from_millis(200);

/// When each session was last heard of, by this node's monotonic clock. Known only to the leader.
#[derive(Default)]
pub(super) struct SessionHeartbeats {
    inner: Mutex<TermHeartbeats>,
}

#[derive(Default)]
struct TermHeartbeats {
    term: u64,
    at: BTreeMap<SessionId, Duration>,
}

impl SessionHeartbeats {
    /// Records a sign of life.
    pub(super) fn note(&self, session: SessionId, at: Duration) {
        let mut heartbeats = self.lock();
        let entry = heartbeats.at.entry(session).or_insert(at);
        *entry = (*entry).max(at);
    }

    /// Time since the last sign of life.
    pub(super) fn silence(&self, session: SessionId, now: Duration) -> Duration {
        self.lock().at.get(&session).map_or(Duration::ZERO, |at| now.saturating_sub(*at))
    }

    /// Sessions that have been silent for their time to live. A new leader first gives every session a full
    /// new term.
    fn silent(
        &self,
        term: u64,
        live: impl Iterator<Item = SessionId>,
        now: Duration,
        ttl: Duration,
    ) -> Vec<SessionId> {
        let mut heartbeats = self.lock();
        if heartbeats.term != term {
            *heartbeats = TermHeartbeats { term, at: BTreeMap::new() };
        }
        let at: BTreeMap<_, _> =
            live.map(|id| (id, heartbeats.at.get(&id).copied().unwrap_or(now))).collect();
        heartbeats.at = at;
        heartbeats.at.iter().filter(|(_, at)| now.saturating_sub(**at) > ttl).map(|(id, _)| *id).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, TermHeartbeats> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Ends silent sessions and advances cluster time while this node leads.
pub(super) async fn run(tracker: Tracker) {
    let mut wakeups = Wakeups::of(&tracker, LOOK_INTERVAL);
    let mut next_version_look = Duration::ZERO;
    while wakeups.next(&tracker).await {
        tracker.open_term().await;
        if tracker.has_opened_term() {
            tracker.look_after_sessions().await;
            tracker.look_after_time().await;
            tracker.announce_term().await;
            tracker.look_after_ended().await;
            if next_version_look <= tracker.monotonic() {
                next_version_look = tracker.monotonic() + VERSION_INTERVAL;
                tracker.look_after_version().await;
            }
        }
    }
}

impl Tracker {
    async fn look_after_sessions(&self) {
        let ttl = Duration::from_millis(self.inner.options.limits.session_ttl_ms.into());
        let term = self.inner.raft.metrics().borrow_watched().current_term;
        let live = self.inner.replica.state().session_ids();
        let silent = self.inner.heartbeats.silent(term, live.into_iter(), self.session_time(), ttl);
        for session in silent {
            if self.propose_own(Mutation::EndSession { session, graceful: false }).await {
                tracing::warn!(%session, "session was silent for its time to live; its jobs go to others");
            }
        }
    }

    async fn look_after_time(&self) {
        let grace = self.inner.options.limits.storage_grace_ms;
        let (due, applied) = {
            let state = self.inner.replica.state();
            (state.next_due(grace.into()), state.clock())
        };
        let Some(due) = due else { return };
        let now = self.inner.clock.now(self.monotonic(), applied);
        if due <= now || applied + CLOCK_INTERVAL <= now {
            self.propose_own(Mutation::Tick).await;
        }
    }

    /// Deletes a crawl that ended long enough ago, one per poll, so that its records leave the store gradually.
    async fn look_after_ended(&self) {
        let Some(kept) = self.inner.options.keep_ended else { return };
        let crawl = {
            let state = self.inner.replica.state();
            let now = self.inner.clock.now(self.monotonic(), state.clock());
            let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
            state
                .kept_long_enough(kept, now)
                .filter(|&crawl| state.version() >= Mutation::DeleteCrawl { crawl }.since_version())
        };
        let Some(crawl) = crawl else { return };
        if self.propose_own(Mutation::DeleteCrawl { crawl }).await {
            tracing::info!(%crawl, ?kept, "the crawl ended longer ago than crawls are kept and was deleted");
        }
    }

    /// Raises the cluster's version by one when all members support the next one. A member that is down holds it
    /// back, because it may come back with an older program.
    async fn look_after_version(&self) {
        let next = self.inner.replica.state().version() + 1;
        if next > self.inner.options.cluster_version {
            return;
        }
        let own = self.member();
        let (membership, _) = self.membership();
        let members: Vec<MemberId> = membership.nodes().map(|(id, _)| *id).filter(|id| *id != own).collect();
        let asked = members.into_iter().map(|id| self.status_of(id, VERSION_TIMEOUT));
        let answers = futures::future::join_all(asked).await;
        let all_know =
            answers.iter().all(|status| status.as_ref().is_some_and(|s| s.cluster_version >= next));
        if (all_know || planted(Bug::RaiseEarly))
            && self.propose_own(Mutation::RaiseVersion { to: next }).await
        {
            tracing::info!(version = next, "the cluster's version has risen: all members know it");
        }
    }

    /// Proposes once and returns whether that was applied; otherwise the next poll tries again.
    pub(super) async fn propose_own(&self, mutation: Mutation) -> bool {
        let proposed = timeout(PROPOSE_TIMEOUT, self.propose(mutation)).await;
        matches!(proposed, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_leader_gives_every_session_a_full_term() {
        let heartbeats = SessionHeartbeats::default();
        let (ttl, at) = (Duration::from_secs(3), Duration::from_secs);
        let live = || [SessionId(1), SessionId(2)].into_iter();
        assert!(heartbeats.silent(7, live(), at(100), ttl).is_empty());
        heartbeats.note(SessionId(1), at(102));
        assert_eq!(heartbeats.silent(7, live(), at(104), ttl), vec![SessionId(2)]);
        assert!(heartbeats.silent(8, live(), at(104), ttl).is_empty());
        assert_eq!(heartbeats.silent(8, live(), at(108), ttl), vec![SessionId(1), SessionId(2)]);
    }
}
