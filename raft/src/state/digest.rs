//! A checksum of what all replicas have to agree on.

use crate::model::StateDigest;

use super::State;
use super::checksum::Checksum;

/// The order of this many accounts at the head of a queue is covered; the others are covered by their number
/// and sum.
const ORDERED: usize = 1_000;

impl State {
    /// Equal on all replicas that have applied the same entries, regardless of restarts and of how much of the state
    /// is on disk. Takes time proportional to the jobs with a record and the kept events, but not to the accounts.
    pub fn digest(&self) -> StateDigest {
        StateDigest {
            cluster: Checksum::default().record(&self.head).finish(),
            requests: Checksum::default().record(&self.requests).finish(),
            crawls: self.sum_of_crawls(),
            accounts: self.sum_of_accounts(),
            jobs: self.sum_of_jobs(),
            sessions: self.sum_of_sessions(),
            members: self.roster.sum(),
            events: self.outbox.sum(),
        }
    }

    fn sum_of_crawls(&self) -> u64 {
        let mut sum = Checksum::default();
        for (id, crawl) in &self.crawls {
            sum.record(id)
                .record(&crawl.record)
                .number(crawl.open)
                .number(crawl.leased)
                .number(crawl.delayed);
        }
        sum.record(&self.active).finish()
    }

    /// A replica may have the accounts of ended crawls on disk only.
    fn sum_of_accounts(&self) -> u64 {
        let mut sum = Checksum::default();
        let open = self.active.iter().filter_map(|id| self.crawls.get(id));
        for crawl in open {
            sum.number(crawl.seen.sum()).number(crawl.seen.len());
            for queue in [&crawl.queue, &crawl.frontier] {
                sum.number(queue.sum()).number(queue.len()).record(&queue.page(0, ORDERED));
            }
        }
        sum.finish()
    }

    fn sum_of_jobs(&self) -> u64 {
        let mut sum = Checksum::default();
        for (id, job) in self.jobs.iter() {
            sum.record(&id).record(job);
        }
        sum.record(&self.jobs.delayed);
        // They have no order.
        let writers = self.writers.iter().map(|((user, kind), job)| {
            Checksum::default().record(user).number(*kind as u64).record(job).finish()
        });
        sum.number(writers.fold(0, u64::wrapping_add)).finish()
    }

    fn sum_of_sessions(&self) -> u64 {
        let mut sum = Checksum::default();
        for (id, session) in &self.sessions {
            sum.record(id).record(&session.record).record(&session.leased).record(&session.adopted);
        }
        sum.finish()
    }
}
