//! What stops a replica.
//!
//! The state machine has no way to report an error to whoever sent a command: every replica applies the same
//! command and must reach the same state. What cannot happen as long as the invariants hold is therefore not
//! skipped, which would hide that this replica differs from the others. It is recorded here, and the replica stops
//! before the entry counts as applied ([`State::failure`]).
//!
//! What a node, a client or an operator may send never leads here: stale, repeated, unknown and senseless commands
//! are refused or change nothing.

use std::panic::Location;

use crate::model::{CrawlId, JobId, SessionId};

use super::State;
use super::outcomes::OutcomesError;

/// Why a replica must not go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StateFailure {
    /// An invariant does not hold.
    #[error(
        "the state breaks {invariant} at log entry {index}: {what} ({place}); this replica stops, since it may differ from the others. Keep a copy of its data directory for a report. If the other nodes go on, give this node a new disk; if all stop at the same entry, install the release before the last upgrade or a newer one"
    )]
    Broken {
        /// The invariant's id, or what kind of rule it is.
        invariant: &'static str,
        /// The log entry that was applied.
        index: u64,
        /// What does not hold.
        what: String,
        /// Where in the program it was found.
        place: &'static Location<'static>,
    },
    /// The state store failed while a command was applied.
    #[error(transparent)]
    Store(#[from] OutcomesError),
    /// The cluster has a version that this program does not know.
    #[error(
        "the cluster is at version {cluster} and this program knows versions up to {known}; install the release that the other nodes run"
    )]
    TooNew {
        /// The cluster's version.
        cluster: u32,
        /// The newest version that this program knows.
        known: u32,
    },
}

impl State {
    /// The first thing that stops this replica; none while it may go on.
    pub fn failure(&self) -> Option<&StateFailure> {
        self.failure.as_ref()
    }

    /// Records that an invariant does not hold; the first record stays.
    #[track_caller]
    pub(super) fn broken(&mut self, invariant: &'static str, what: impl Into<String>) {
        let (index, place) = (self.index, Location::caller());
        self.stop_for(StateFailure::Broken { invariant, index, what: what.into(), place });
    }

    pub(super) fn stop_for(&mut self, failure: impl Into<StateFailure>) {
        self.failure.get_or_insert_with(|| failure.into());
    }

    /// A job without a record is named by a queue, a session or a report that was checked.
    #[track_caller]
    pub(super) fn lost_job(&mut self, job: JobId) {
        self.broken("TWM-C1", format!("job {job} has no record"));
    }

    /// A crawl that a job or a queue belongs to is not there.
    #[track_caller]
    pub(super) fn lost_crawl(&mut self, crawl: CrawlId) {
        self.broken("TWM-C1", format!("crawl {crawl} has no record and is still referred to"));
    }

    /// A session that was looked up before is not there.
    #[track_caller]
    pub(super) fn lost_session(&mut self, session: SessionId) {
        self.broken("TWM-S1", format!("session {session} has no record and is still referred to"));
    }

    /// A count would fall below zero.
    #[track_caller]
    pub(super) fn miscounted(&mut self, crawl: CrawlId, count: &'static str) {
        self.broken("TWM-C1", format!("crawl {crawl} counts fewer {count} than there are"));
    }
}

/// Lowers a count; false, and no change, when it would fall below zero.
pub(super) fn lower(count: &mut u64, by: u64) -> bool {
    let rest = count.checked_sub(by);
    *count = rest.unwrap_or(*count);
    rest.is_some()
}
