//! Compares all replicas at one log entry.
//!
//! The leader chooses an entry that is not in the log yet, asks every member to keep its digest after that entry, and
//! writes entries until the log reaches it. A member that had already applied the entry when it was asked no longer
//! knows its digest; the leader then starts over with an entry further ahead.

use std::time::Duration;

use futures::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::ReadPolicy;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::model::{CheckOutcome, CheckedReplica, DigestAt, MemberId, Mutation, ReplicaCheck};
use crate::wire::{ApiError, ApiReply, ApiRequest, NodeRequest};

use super::calls::{NotDone, stopping};
use super::tracker::Tracker;

/// Timeout of a check, below the ten seconds that a client waits.
const WITHIN: Duration = Duration::from_secs(6);

/// Timeout of a member's answer.
const ASK_TIMEOUT: Duration = Duration::from_millis(1_500);

/// How far ahead the first chosen entry is; after each attempt that was too late it is [`FARTHER`] further.
const AHEAD: u64 = 64;

const FARTHER: u64 = 8;

/// Entries proposed at once.
const AT_ONCE: u64 = 64;

/// Pause between two polls.
const PAUSE: Duration = Duration::from_millis(20);

/// Held by a check: one at a time.
#[derive(Default)]
pub(super) struct CheckLock(tokio::sync::Mutex<()>);

impl Tracker {
    pub(super) async fn check_replicas(&self) -> Result<ReplicaCheck, NotDone> {
        self.confirm_leadership(ReadPolicy::ReadIndex).await?;
        let Ok(_one_at_a_time) = self.inner.checking.0.try_lock() else {
            return Err(stopping("another check of the replicas is under way"));
        };
        let deadline = Instant::now() + WITHIN;
        let (membership, _) = self.membership();
        let members: Vec<MemberId> = membership.nodes().map(|(member, _)| *member).collect();
        let mut ahead = AHEAD;
        loop {
            let index = self.last_index() + ahead;
            let asked = members.iter().map(|member| self.digest_of(*member, index));
            let asked = join_all(asked).await;
            if asked.iter().flatten().any(|at| at.digest.is_none() && at.applied >= index) {
                if Instant::now() >= deadline {
                    return Err(stopping("the log grows faster than the members can be asked"));
                }
                ahead = ahead.saturating_mul(FARTHER);
                continue;
            }
            let written = timeout_at(deadline, self.write_up_to(index)).await;
            written.map_err(|_| stopping("the log did not get to the entry in time"))??;
            let outcomes = members.iter().zip(asked).map(|(member, asked)| async move {
                let outcome = match asked {
                    Ok(_) => self.outcome(*member, index, deadline).await,
                    Err(error) => CheckOutcome::Silent(error.to_string()),
                };
                CheckedReplica { member: *member, outcome }
            });
            return Ok(ReplicaCheck { index, replicas: join_all(outcomes).await });
        }
    }

    fn last_index(&self) -> u64 {
        let last = self.inner.raft.metrics().borrow_watched().last_log_index;
        last.unwrap_or(0).max(self.inner.replica.applied_index())
    }

    /// Asks a member for its digest, which it keeps from then on.
    async fn digest_of(&self, member: MemberId, index: u64) -> Result<DigestAt, ApiError> {
        if member == self.member() {
            return Ok(self.inner.replica.digest_at(index));
        }
        let request =
            ApiRequest::Node { node: self.inner.options.id, request: NodeRequest::Digest { index } };
        match timeout(ASK_TIMEOUT, self.call_node(member, request, 0, ASK_TIMEOUT)).await {
            Ok(Ok(ApiReply::Digest(at))) => Ok(at),
            Ok(Ok(_)) => Err(ApiError::Unavailable("it answers another call".to_owned())),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ApiError::Unavailable(format!("no answer within {ASK_TIMEOUT:?}"))),
        }
    }

    /// Writes entries until this replica has applied the one with the index.
    async fn write_up_to(&self, index: u64) -> Result<(), NotDone> {
        while self.inner.replica.applied_index() < index {
            let missing = index.saturating_sub(self.last_index()).min(AT_ONCE);
            let written = join_all((0..missing).map(|_| self.propose(Mutation::Tick))).await;
            written.into_iter().try_for_each(|written| written.map(drop))?;
            if missing == 0 {
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// The digest of a member that was asked in time, once it has applied the entry.
    async fn outcome(&self, member: MemberId, index: u64, deadline: Instant) -> CheckOutcome {
        loop {
            let at = match self.digest_of(member, index).await {
                Ok(DigestAt { digest: Some(digest), .. }) => return CheckOutcome::Digest(digest),
                Ok(at) => at,
                Err(error) => return CheckOutcome::Silent(error.to_string()),
            };
            // A member that has just applied the entry may not have its digest yet.
            if Instant::now() >= deadline {
                return CheckOutcome::NotThere { applied: at.applied };
            }
            sleep(PAUSE).await;
        }
    }
}
