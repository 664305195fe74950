//! A checksum of what all replicas have to agree on.

use std::fmt::{self, Write};

use crate::model::EventId;

use super::State;

/// Takes text and keeps its checksum.
struct Checksum(crc32fast::Hasher);

impl fmt::Write for Checksum {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

impl State {
    /// The same on all replicas that have applied the same entries, however often they were restarted, and whatever
    /// of the state is on disk.
    pub(crate) fn digest(&self) -> u32 {
        let mut sum = Checksum(crc32fast::Hasher::new());
        // A checksum takes all that it is given.
        let _ = self.write_parts(&mut sum);
        sum.0.finalize()
    }

    fn write_parts(&self, to: &mut impl Write) -> fmt::Result {
        write!(to, "{:?}{:?}{:?}{:?}", self.head, self.requests, self.active, self.outbox())?;
        write!(to, "{:?}", self.events_after(EventId::default(), usize::MAX).read())?;
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
