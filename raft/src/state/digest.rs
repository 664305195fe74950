//! A checksum of what all replicas have to agree on.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use crate::model::{NodeId, SessionId};

use super::State;
use super::jobs::{JobRecord, Phase};

/// Takes text and keeps its checksum.
struct Checksum(crc32fast::Hasher);

impl fmt::Write for Checksum {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

/// Where a job can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobPlace {
    /// An account waits in a queue.
    Queued,
    /// It could run.
    Ready,
    /// A worker has it.
    Leased,
    /// Its draft waits for its final name.
    Publishing,
    /// It waits for a time.
    Delayed,
    /// There is no job of any kind.
    Nowhere,
}

impl State {
    /// Where jobs are: those that a node has, if it is one's, and all that no node has.
    pub(crate) fn job_places(&self, node: Option<NodeId>) -> BTreeSet<JobPlace> {
        let of_node = |session: &SessionId| {
            let holder = self.sessions.get(session).map(|session| session.record.node);
            node.is_none() || holder == node
        };
        let place = |record: &JobRecord| match &record.phase {
            Phase::Ready { .. } => Some(JobPlace::Ready),
            Phase::Delayed { .. } => Some(JobPlace::Delayed),
            Phase::Leased { session, .. } => of_node(session).then_some(JobPlace::Leased),
            Phase::Publishing { session, .. } => {
                session.as_ref().is_none_or(of_node).then_some(JobPlace::Publishing)
            }
        };
        let mut places: BTreeSet<JobPlace> =
            self.jobs.iter().filter_map(|(_, record)| place(record)).collect();
        if self.crawls.values().any(|crawl| !crawl.queue.is_empty()) {
            places.insert(JobPlace::Queued);
        }
        if self.jobs.len() == 0 && places.is_empty() {
            places.insert(JobPlace::Nowhere);
        }
        places
    }

    /// The same on all replicas that have applied the same entries, however often they were restarted, and whatever
    /// of the state is on disk.
    pub(crate) fn digest(&self) -> u32 {
        let mut sum = Checksum(crc32fast::Hasher::new());
        self.outbox.stored().for_each(|events| sum.0.update(events));
        // A checksum takes all that it is given.
        let _ = self.write_parts(&mut sum);
        sum.0.finalize()
    }

    fn write_parts(&self, to: &mut impl Write) -> fmt::Result {
        write!(to, "{:?}{:?}{:?}{:?}", self.head, self.requests, self.active, self.outbox())?;
        let mut writers: Vec<_> = self.writers.iter().map(|entry| format!("{entry:?}")).collect();
        writers.sort_unstable();
        write!(to, "{writers:?}")?;
        for (id, job) in self.jobs.iter() {
            write!(to, "{id:?}{job:?}")?;
        }
        write!(to, "{:?}", self.jobs.delayed)?;
        for (id, session) in &self.sessions {
            write!(to, "{id:?}{:?}{:?}{:?}", session.record, session.leased, session.adopted)?;
        }
        for (id, crawl) in &self.crawls {
            write!(to, "{id:?}{:?}{:?}", crawl.record, crawl.queue.page(0, usize::MAX))?;
        }
        self.roster.entries().try_for_each(|entry| write!(to, "{entry:?}"))
    }
}
