//! What each follower has acknowledged to this leader.
//!
//! A follower that has acknowledged an entry keeps it for as long as the same leader leads. A follower that
//! contradicts this runs on a disk that went back in time, such as a restored copy, so none of its acknowledgements
//! can be trusted. The leader stops replicating to it and continues without it; openraft itself would only assert.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};

use crate::model::MemberId;

use super::types::{TypeConfig, Vote};

/// The part of an append request that matters here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    vote: Vote,
    previous: Option<u64>,
    last: Option<u64>,
}

impl Sent {
    pub(super) fn of(request: &AppendEntriesRequest<TypeConfig>) -> Self {
        let previous = request.prev_log_id.map(|id| id.index);
        let last = request.entries.last().map(|entry| entry.log_id.index).or(previous);
        Self { vote: request.vote, previous, last }
    }
}

/// A follower lost entries that it had acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "member {member} has lost entries that it acknowledged: it had up to {had} and denies {denied}. Its disk went back in \
     time, so it is cut off; stop the node, empty its data directory and replace it: `twm-ctl member replace {}`",
    member.node
)]
pub(crate) struct LostEntries {
    member: MemberId,
    had: u64,
    denied: u64,
}

/// Acknowledgements by follower.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    followers: Mutex<BTreeMap<MemberId, Follower>>,
}

#[derive(Debug)]
struct Follower {
    leader: Vote,
    upto: Option<u64>,
    lost: Option<LostEntries>,
}

impl Acknowledged {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<MemberId, Follower>> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the answer of a follower.
    ///
    /// # Errors
    /// It contradicts what the follower acknowledged before.
    pub(super) fn check(
        &self,
        member: MemberId,
        sent: &Sent,
        response: &AppendEntriesResponse<TypeConfig>,
    ) -> Result<(), LostEntries> {
        let mut followers = self.lock();
        let fresh = || Follower { leader: sent.vote, upto: None, lost: None };
        let follower = followers.entry(member).or_insert_with(fresh);
        if let Some(lost) = &follower.lost {
            return Err(lost.clone());
        }
        if follower.leader != sent.vote {
            *follower = fresh();
        }
        match response {
            AppendEntriesResponse::Success => follower.upto = follower.upto.max(sent.last),
            AppendEntriesResponse::PartialSuccess(upto) => {
                follower.upto = follower.upto.max(upto.map(|id| id.index));
            }
            AppendEntriesResponse::Conflict => {
                if let (Some(denied), Some(had)) =
                    (sent.previous, follower.upto.filter(|upto| Some(*upto) >= sent.previous))
                {
                    let lost = LostEntries { member, had, denied };
                    tracing::error!(%member, "{lost}");
                    follower.lost = Some(lost.clone());
                    return Err(lost);
                }
            }
            AppendEntriesResponse::HigherVote(_) => {}
        }
        Ok(())
    }

    /// Why a member is cut off.
    pub(crate) fn lost(&self, member: MemberId) -> Option<LostEntries> {
        self.lock().get(&member)?.lost.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: MemberId = MemberId { node: 2, disk: crate::model::DiskId(20) };

    fn sent(term: u64, previous: u64, last: u64) -> Sent {
        Sent { vote: Vote::new(term, MemberId::from(1)), previous: Some(previous), last: Some(last) }
    }

    #[test]
    fn a_follower_that_denies_what_it_acknowledged_is_cut_off_and_named() {
        let acknowledged = Acknowledged::default();
        acknowledged.check(MEMBER, &sent(1, 5, 9), &AppendEntriesResponse::Success).unwrap();
        let lost = acknowledged.check(MEMBER, &sent(1, 9, 12), &AppendEntriesResponse::Conflict).unwrap_err();
        assert!(lost.to_string().contains("twm-ctl member replace 2"), "{lost}");
        assert_eq!(acknowledged.lost(MEMBER), Some(lost.clone()));
        let again = acknowledged.check(MEMBER, &sent(1, 9, 12), &AppendEntriesResponse::Success);
        assert_eq!(again, Err(lost));
    }

    #[test]
    fn a_conflict_behind_what_was_acknowledged_or_with_another_leader_is_none_of_it() {
        let acknowledged = Acknowledged::default();
        acknowledged.check(MEMBER, &sent(1, 5, 9), &AppendEntriesResponse::Success).unwrap();
        acknowledged.check(MEMBER, &sent(1, 10, 12), &AppendEntriesResponse::Conflict).unwrap();
        acknowledged.check(MEMBER, &sent(2, 8, 12), &AppendEntriesResponse::Conflict).unwrap();
        assert_eq!(acknowledged.lost(MEMBER), None);
    }
}
