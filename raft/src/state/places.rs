//! Locations of jobs, for simulations.

use std::collections::BTreeSet;

use crate::model::{NodeId, SessionId};

use super::State;
use super::job::{JobRecord, Phase};

/// The location of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobPlace {
    /// An account waits in a queue.
    Queued,
    /// It could run.
    Ready,
    /// A worker has it.
    Leased,
    /// Its draft is not published yet.
    Publishing,
    /// It is delayed.
    Delayed,
    /// There is no job of any kind.
    Nowhere,
}

/// Most jobs that are described.
const DESCRIBED: usize = 8;

impl State {
    /// Some jobs and all hosts that are waited for, for the report of a simulation that does not end.
    pub(crate) fn describe_jobs(&self) -> String {
        let jobs: Vec<_> = self.jobs.iter().take(DESCRIBED).collect();
        let hosts: Vec<_> = self.hosts.iter().collect();
        format!("at {}: jobs {jobs:?}, hosts {hosts:?}", self.head.clock)
    }

    /// Where jobs are: those of a node, if one is given, and those that no node has.
    pub(crate) fn job_places(&self, node: Option<NodeId>) -> BTreeSet<JobPlace> {
        let of_node = |session: &SessionId| {
            let holder = self.sessions.get(*session).map(|session| session.node());
            node.is_none() || holder == node
        };
        let place = |record: &JobRecord| match record.phase() {
            Phase::Ready { .. } => Some(JobPlace::Ready),
            Phase::Delayed { .. } | Phase::AtHost { .. } => Some(JobPlace::Delayed),
            Phase::Leased { session, .. } => of_node(session).then_some(JobPlace::Leased),
            Phase::Publishing { session, .. } => {
                session.as_ref().is_none_or(of_node).then_some(JobPlace::Publishing)
            }
        };
        let mut places: BTreeSet<JobPlace> =
            self.jobs.iter().filter_map(|(_, record)| place(record)).collect();
        if self.crawls.values().any(|crawl| crawl.accounts().waiting() > 0) {
            places.insert(JobPlace::Queued);
        }
        if self.jobs.len() == 0 && places.is_empty() {
            places.insert(JobPlace::Nowhere);
        }
        places
    }
}
