//! What stops a replica.
//!
//! The state machine cannot report an error to the author of a command: every replica applies the same command and
//! must reach the same state. Therefore a condition that the invariants rule out is not skipped, which would hide
//! that this replica differs from the others. It is recorded here, and the replica stops before the entry counts as
//! applied ([`State::failure`]).
//!
//! No input of a node, a client or an operator leads here: stale, repeated, unknown and invalid commands are refused
//! or change nothing.

use std::panic::Location;

use crate::model::{CrawlId, JobId, SessionId};

use super::State;
use super::outcomes::OutcomesError;

/// Why a replica must stop.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StateFailure {
    /// An invariant is violated.
    #[error(
        "the state breaks {invariant} at log entry {index}: {what} ({place}); this replica stops, since it may differ from the others. Keep a copy of its data directory for a report. If the other nodes continue, give this node a new disk; if all stop at the same entry, install the release before the last upgrade or a newer one"
    )]
    Broken {
        /// The invariant's id, or the kind of rule.
        invariant: &'static str,
        /// The log entry that was applied.
        index: u64,
        /// The violation.
        what: String,
        /// Where in the program it was detected.
        place: &'static Location<'static>,
    },
    /// The state store failed while a command was applied.
    #[error(transparent)]
    Store(#[from] OutcomesError),
    /// The cluster has a version that this program does not support.
    #[error(
        "the cluster is at version {cluster} and this program knows versions up to {known}; install the release that the other nodes run"
    )]
    TooNew {
        /// The cluster's version.
        cluster: u32,
        /// The newest version that this program supports.
        known: u32,
    },
}

impl State {
    /// The first failure of this replica, if any.
    pub fn failure(&self) -> Option<&StateFailure> {
        self.failure.as_ref()
    }

    /// Records a violated invariant; only the first one is kept.
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

    /// The crawl of a job or a queue does not exist.
    #[track_caller]
    pub(super) fn lost_crawl(&mut self, crawl: CrawlId) {
        self.broken("TWM-C1", format!("crawl {crawl} has no record and is still referred to"));
    }

    /// A session that was looked up before no longer exists.
    #[track_caller]
    pub(super) fn lost_session(&mut self, session: SessionId) {
        self.broken("TWM-S1", format!("session {session} has no record and is still referred to"));
    }

    /// A count of a crawl would fall below zero.
    #[track_caller]
    pub(super) fn miscounted(&mut self, crawl: CrawlId, Miscount(what): Miscount) {
        self.broken("TWM-C1", format!("crawl {crawl} counts fewer {what} than there are"));
    }
}

/// A count would fall below zero: what it counts.
pub(super) struct Miscount(&'static str);

/// Lowers a count.
///
/// # Errors
/// It would fall below zero; it is unchanged.
pub(super) fn lower(count: &mut u64, by: u64, what: &'static str) -> Result<(), Miscount> {
    *count = count.checked_sub(by).ok_or(Miscount(what))?;
    Ok(())
}
