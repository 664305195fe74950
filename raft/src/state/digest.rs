//! A checksum of what all replicas have to agree on.

use crate::model::StateDigest;

use super::State;
use super::checksum::Checksum;

impl State {
    /// Equal on all replicas that have applied the same entries, regardless of restarts and of how much of the state
    /// is on disk. Takes time proportional to the jobs with a record and the kept events, but not to the accounts, except
    /// for those of a reopened crawl that are on disk only.
    pub fn digest(&self) -> StateDigest {
        StateDigest {
            cluster: self.sum_of_cluster(),
            requests: self.requests.sum(),
            crawls: self.crawls.sum(),
            accounts: self.sum_of_accounts(),
            jobs: self.sum_of_jobs(),
            sessions: self.sessions.sum(),
            members: self.roster.sum(),
            events: self.outbox.sum(),
        }
    }

    fn sum_of_cluster(&self) -> u64 {
        let mut sum = Checksum::default();
        sum.record(&self.head);
        // A program that does not know of it must come to the same sum before the version that begins it.
        if let Some(first) = self.profiles.first() {
            sum.record(&first);
        }
        // As above.
        if let Some(money) = self.spend.sum() {
            sum.number(money);
        }
        self.shares.add_to(&mut sum);
        sum.finish()
    }

    /// Not for crawls that are over: a replica may have their accounts on disk only.
    fn sum_of_accounts(&self) -> u64 {
        let mut sum = Checksum::default();
        for (id, crawl) in self.crawls.active() {
            crawl.accounts().add_to(&**self.outcomes.store(), id, &mut sum);
        }
        sum.finish()
    }

    fn sum_of_jobs(&self) -> u64 {
        let mut sum = Checksum::default();
        for (id, job) in self.jobs.iter() {
            sum.record(&id).record(job);
        }
        sum.record(self.jobs.delayed());
        self.hosts.add_to(&mut sum);
        sum.number(self.writers.sum()).finish()
    }
}
