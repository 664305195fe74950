//! The invariants as checks, run after every command in tests and simulation.

#![cfg(any(test, feature = "check-invariants"))]

use std::collections::{BTreeMap, BTreeSet};

use super::State;
use super::jobs::Phase;

impl State {
    /// Panics with the invariant's id when one does not hold.
    pub fn check_invariants(&self) {
        self.check_users();
        self.check_leases();
        self.check_sessions();
    }

    fn check_users(&self) {
        for (id, crawl) in &self.crawls {
            let users = crawl.record.counters.users;
            let sum =
                users.waiting + users.active + users.completed + users.gone + users.failed + users.cancelled;
            assert_eq!(users.accepted, sum, "TWM-C1: crawl {id} has an account in no state or in two");
            assert_eq!(
                users.waiting,
                crawl.queue.len(),
                "TWM-C1: crawl {id} counts other than its queue holds"
            );
            let open = self.jobs.iter().filter(|(_, r)| r.crawl == *id).count() as u64;
            assert_eq!(crawl.open, open, "TWM-C1: crawl {id} counts other jobs than there are");
            assert_eq!(users.active, open, "TWM-C1: crawl {id} has an active account without a job");
            assert!(users.accepted <= crawl.seen.len(), "TWM-C2: crawl {id} accepted an unseen account");
        }
    }

    fn check_leases(&self) {
        let mut leases = BTreeSet::new();
        let mut files = BTreeMap::new();
        let mut ready = BTreeMap::new();
        for (job, record) in self.jobs.iter() {
            match record.phase {
                Phase::Leased { lease, session } => {
                    assert!(leases.insert(lease), "TWM-L1: lease {lease} is valid for two jobs");
                    let holder = self.sessions.get(&session);
                    assert!(
                        holder.is_some_and(|s| s.leased.contains(&job)),
                        "TWM-L1: job {job} is leased to nobody"
                    );
                }
                Phase::Publishing { lease, .. } => {
                    assert!(leases.insert(lease), "TWM-L1: lease {lease} is valid for two jobs");
                }
                Phase::Delayed { until } => assert!(self.jobs.delayed.contains(&(until, job))),
                Phase::Ready { .. } => *ready.entry(record.crawl).or_insert(0u64) += 1,
            }
            if let (Some(_), Some(file)) = (record.lease(), record.file()) {
                assert_eq!(self.writers.get(&file), Some(&job), "TWM-L3: {file:?} is written by another job");
                assert!(files.insert(file.0.to_string() + &format!("{:?}", file.1), job).is_none(), "TWM-L3");
            }
        }
        assert_eq!(self.writers.len(), files.len(), "TWM-L3: a file is held that nobody writes");
        for (id, crawl) in &self.crawls {
            assert_eq!(crawl.ready.len(), ready.get(id).copied().unwrap_or(0), "crawl {id} lost a ready job");
        }
    }

    fn check_sessions(&self) {
        let nodes: BTreeSet<_> = self.sessions.values().map(|s| s.record.node).collect();
        assert_eq!(nodes.len(), self.sessions.len(), "TWM-S1: a node has two sessions");
        for session in self.sessions.values() {
            assert!(
                !self.head.absent.contains_key(&session.record.storage),
                "a storage is present and absent"
            );
        }
    }
}
