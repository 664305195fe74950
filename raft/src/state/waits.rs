//! What a crawl's jobs wait for.

use crate::model::{CrawlId, StorageId};

use super::State;
use super::host_table::{HostRecord, Trouble};
use super::job::Phase;

/// Most delayed jobs examined for one answer, because the state is locked meanwhile.
const MOST_LOOKED_AT: usize = 10_000;

/// Most hosts in one answer.
pub const MOST_HOSTS: usize = 20;

/// What a crawl's jobs wait for, as far as this replica knows. Times are cluster time, ms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WaitSummary {
    /// Jobs that wait for a rate budget.
    pub limited: Delays,
    /// Jobs that wait for their next attempt after a failed one.
    pub retries: Delays,
    /// Jobs that could run, by the only storage with the files they need.
    pub pinned: Vec<PinnedJobs>,
    /// The hosts for which most accounts wait, at most `MOST_HOSTS`, and the number of all.
    pub hosts: (Vec<AwaitedHost>, u64),
    /// Jobs and fresh accounts that wait for any host.
    pub at_hosts: u64,
    /// Whether more jobs are delayed than were examined: those that wait longest were left out.
    pub partial: bool,
}

/// A host for which jobs wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedHost {
    /// Its name.
    pub name: String,
    /// How many jobs and fresh accounts of the crawl wait for it.
    pub accounts: u64,
    /// Since when it takes no requests, or fewer than there are.
    pub since: u64,
    /// When it is asked again.
    pub until: u64,
    /// Why it is away; absent if it answers and its budget is spent, or enough requests are in flight.
    pub away: Option<String>,
    /// Whether its accounts fail.
    pub gone: bool,
}

/// Some delayed jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delays {
    /// How many.
    pub jobs: u64,
    /// When the first of them may run; 0 without any.
    pub first_at: u64,
    /// When the last of them may run; 0 without any.
    pub last_at: u64,
}

impl Delays {
    /// Adds a job; jobs come in the order of their times.
    fn add(&mut self, at: u64) {
        if self.jobs == 0 {
            self.first_at = at;
        }
        self.jobs += 1;
        self.last_at = at;
    }
}

/// Jobs that can run on one storage only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedJobs {
    /// The storage of their files.
    pub storage: StorageId,
    /// How many.
    pub jobs: u64,
    /// Since when no session uses the storage; absent while one does.
    pub absent_since: Option<u64>,
}

impl State {
    /// What a crawl's jobs wait for; empty for an unknown crawl.
    pub fn waits(&self, id: CrawlId) -> WaitSummary {
        let Some(crawl) = self.crawls.get(id) else { return WaitSummary::default() };
        let mut waits =
            WaitSummary { partial: self.jobs.delayed().len() > MOST_LOOKED_AT, ..WaitSummary::default() };
        for &(at, job) in self.jobs.delayed().iter().take(MOST_LOOKED_AT) {
            let Some(record) = self.jobs.get(job).filter(|record| record.crawl() == id) else { continue };
            debug_assert!(
                matches!(record.phase(), Phase::Delayed { .. }),
                "a delayed job is in phase delayed"
            );
            let delays = if record.has_failed_attempts() { &mut waits.retries } else { &mut waits.limited };
            delays.add(at);
        }
        let pinned = crawl.jobs().pinned().map(|(storage, jobs)| PinnedJobs {
            storage,
            jobs,
            absent_since: self.head.absent.get(&storage).copied(),
        });
        waits.pinned = pinned.collect();
        let mut hosts: Vec<AwaitedHost> = self
            .hosts
            .iter()
            .filter_map(|(host, record)| {
                let accounts = self.hosts.waiting_of(host, id) + crawl.accounts().parked(host);
                let (away, gone) = match &record.trouble {
                    Trouble::None | Trouble::Limited => (None, false),
                    Trouble::Away { reason, .. } => (Some(reason.clone()), false),
                    Trouble::Gone { reason, .. } => (Some(reason.clone()), true),
                };
                let (name, since, until) = (record.name.clone(), record.since, record.until);
                (accounts > 0).then_some(AwaitedHost { name, accounts, since, until, away, gone })
            })
            .collect();
        hosts.sort_by(|a, b| b.accounts.cmp(&a.accounts).then_with(|| a.name.cmp(&b.name)));
        waits.at_hosts = hosts.iter().map(|host| host.accounts).sum();
        let all = hosts.len() as u64;
        hosts.truncate(MOST_HOSTS);
        waits.hosts = (hosts, all);
        waits
    }

    /// Numbers of hosts for which jobs wait: all, and those that are away or gone.
    pub fn awaited_hosts(&self) -> (u64, u64) {
        let away =
            |record: &HostRecord| matches!(record.trouble, Trouble::Away { .. } | Trouble::Gone { .. });
        let numbers = self.hosts.iter().map(|(_, record)| u64::from(away(record)));
        numbers.fold((0, 0), |(all, away), one| (all + 1, away + one))
    }
}
