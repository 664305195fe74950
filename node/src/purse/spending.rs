//! The money of one request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::model::SessionId;
use raft::state::spend::Taken;

use super::{Key, Purse};
use crate::rate::{Delivery, RateInfo};

/// A process that was stopped for longer than this between taking an amount and sending its request gives the amount up:
/// it would be billed in a later cycle.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The worst case of one request, taken from the purse. Dropped before [`send`](Self::send) it goes back; dropped after
/// it, it counts as spent, because nobody knows.
#[must_use = "a request has to say what it has cost"]
pub struct Spending {
    purse: Arc<Purse>,
    session: SessionId,
    key: Key,
    taken: Taken,
    worst: u64,
    /// The local clock when it was taken.
    at: Duration,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Taken,
    Sent,
    Settled,
}

impl fmt::Debug for Spending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spending").field("key", &self.key).field("worst", &self.worst).finish_non_exhaustive()
    }
}

impl Spending {
    pub(super) fn new(
        purse: Arc<Purse>,
        session: SessionId,
        key: Key,
        (taken, worst): (Taken, u64),
        at: Duration,
    ) -> Self {
        Self { purse, session, key, taken, worst, at, stage: Stage::Taken }
    }

    /// The request is sent now; `false`: it must not be, since this process was stopped meanwhile, or its session is over.
    #[must_use]
    pub fn send(&mut self) -> bool {
        let now = self.purse.clock.wall();
        // A clock that was set back says nothing about how long it took.
        let paused = now.checked_sub(self.at).is_none_or(|paused| paused > LONGEST_PAUSE);
        let live = self.purse.lock().session_of_requests() == Some(self.session);
        if paused || !live {
            return false;
        }
        self.stage = Stage::Sent;
        true
    }

    /// Settles with an answer.
    pub fn settle(mut self, rate: &RateInfo, cost: u64) {
        let (taken, worst) = (self.taken, self.worst);
        if let Some(date) = rate.date {
            self.purse.see(&self.key.0, date);
        }
        self.stage = Stage::Settled;
        self.purse.end_of_request(self.session, &self.key, |held| match rate.delivery {
            Delivery::NotSent => held.share.not_sent(taken),
            Delivery::Unanswered => held.share.unanswered(taken),
            Delivery::Answered(_) => held.share.answered(taken, cost),
        });
        if cost > worst && matches!(rate.delivery, Delivery::Answered(_)) {
            tracing::error!(app = &*self.key.0, cost, worst, "an answer cost more than was thought possible");
        }
    }
}

impl Drop for Spending {
    fn drop(&mut self) {
        let taken = self.taken;
        match self.stage {
            Stage::Settled => {}
            Stage::Taken => {
                self.purse.end_of_request(self.session, &self.key, |held| held.share.not_sent(taken));
            }
            Stage::Sent => {
                self.purse.end_of_request(self.session, &self.key, |held| held.share.unanswered(taken));
            }
        }
    }
}
