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
            requests: self.requests.sum(),
            crawls: self.crawls.sum(),
            accounts: self.sum_of_accounts(),
            jobs: self.sum_of_jobs(),
            sessions: self.sessions.sum(),
            members: self.roster.sum(),
            events: self.outbox.sum(),
        }
    }

    /// A replica may have the accounts of ended crawls on disk only.
    fn sum_of_accounts(&self) -> u64 {
        let mut sum = Checksum::default();
        for (_, crawl) in self.crawls.active() {
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
        sum.number(self.writers.sum()).finish()
    }
}
