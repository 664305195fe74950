//! A checksum of what all replicas have to agree on.

use crate::model::StateDigest;

use super::State;
use super::checksum::Checksum;

/// Accounts of a queue whose order counts; of the others their number and their sum do.
const ORDERED: usize = 1_000;

impl State {
    /// The same on all replicas that have applied the same entries, however often they were restarted, and whatever
    /// of the state is on disk. Takes time for each job with a record and each kept event, but not for each account.
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

    /// Of the crawls that are over a replica may have the accounts on its disk alone.
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
