//! The deterministic state machine.
//!
//! [`State::apply`] is a function of the state and the command alone: no clock, no randomness, no
//! I/O that could differ between replicas, no hash order. Everything in memory can be rebuilt from
//! the records that [`State::freeze`] gives to a checkpoint, so a replica that restarts from a
//! checkpoint and replays the log behaves exactly like one that never stopped.
//!
//! # Parts
//!
//! [`State`] applies commands by calling its parts. A part owns its fields, and its methods name the changes: a
//! crawl has accounts, and jobs by their place; a job and a session have one record each. The tables find them. Plain
//! values, whose fields are their meaning, are the state's own scalars and the stored outcomes of accounts.
//!
//! # Invariants
//!
//! - **TWM-C1** Every accepted account of a crawl is waiting, active, or in exactly one final state.
//! - **TWM-C2** An account enters a crawl once: the seen-set has the last word.
//! - **TWM-L1** A job has at most one valid lease, and a later lease is larger.
//! - **TWM-L2** A finding with any other lease changes nothing.
//! - **TWM-L3** At most one job writes a given file at a time, across all crawls.
//! - **TWM-P1** A completed draft stays in the state as unpublished until its publication is confirmed.
//! - **TWM-S1** A node has at most one session.
//! - **TWM-S2** A repeated report changes nothing and gets the same answer.
//! - **TWM-B1** Only live sessions hold shares of a budget, and a probe is a request that its session holds.
//! - **TWM-F1** Crawls that can be served share the grants by their priorities, whatever each was granted
//!   or had to go without before.
//! - **TWM-H1** A job waits in the queue of one host at most, and a host lets out no more jobs at once than its window
//!   allows.
//! - **TWM-M1** Events are numbered without a gap, the same on every replica; what leaves the outbox before it was
//!   passed on is counted.
//! - **TWM-X1** What sessions hold of an app, with what was spent and lost in a billing cycle, is at most its limit.
//! - **TWM-X2** The same for a crawl's limit over its whole life.
//! - **TWM-T1** Cluster time never goes back and never depends on a wall clock.

mod apply;
mod broken;
mod checksum;
mod crawl;
mod crawl_accounts;
mod crawl_jobs;
mod crawl_table;
mod demand;
mod digest;
mod findings;
mod grant;
mod host_table;
mod hosts;
mod invariants;
mod job;
mod jobs;
mod keys;
mod live_events;
mod money;
mod outbox;
mod outcomes;
mod persist;
#[cfg(debug_assertions)]
mod places;
mod profiles;
mod queue;
mod read;
mod reports;
mod requests;
mod retention;
mod roster;
mod saved;
mod seal;
mod seen;
mod seen_runs;
mod session;
mod session_table;
mod sessions;
mod shared_budgets;
pub mod shares;
pub mod spend;
#[cfg(test)]
mod tests;
mod waits;
mod writers;

#[cfg(debug_assertions)]
pub use places::JobPlace;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{CrawlChange, CrawlId, EventKind, JobChange, JobId, Limits, NodeId, StorageId};

pub use broken::StateFailure;
pub use demand::Demand;
pub use invariants::Violation;
pub use live_events::LiveEvents;
pub use outbox::{KeptEvents, OutboxView};
pub use outcomes::OutcomesError;
pub use persist::{Frozen, LoadError, write_checkpoint};
pub use read::{Sizes, Upcoming};
pub use roster::{Departed, Roster, RosterEntry};
pub use seal::check_seal;
pub use waits::{AwaitedHost, Delays, PinnedJobs, WaitSummary};

use crawl_table::CrawlTable;
use host_table::HostTable;
use invariants::Checks;
use jobs::JobTable;
use outbox::Outbox;
use outcomes::AccountOutcomes;
use profiles::Profiles;
use requests::Requests;
use retention::Deleted;
use session_table::SessionTable;
use shares::Shares;
use spend::Spend;
use writers::FileWriters;

/// Everything that the cluster agrees on.
pub struct State {
    /// The newest cluster version that this program supports.
    known: u32,
    head: Head,
    requests: Requests,
    crawls: CrawlTable,
    jobs: JobTable,
    sessions: SessionTable,
    writers: FileWriters,
    profiles: Profiles,
    spend: Spend,
    /// Budgets that several nodes share.
    shares: Shares,
    hosts: HostTable,
    outcomes: AccountOutcomes,
    deleted: Deleted,
    /// Who may become a member, and who may no longer.
    roster: Roster,
    /// Events for a mirror.
    outbox: Outbox,
    /// Settings of the command that is being applied.
    limits: Limits,
    /// Log index of that command.
    index: u64,
    /// What stops this replica.
    failure: Option<StateFailure>,
    checks: Checks,
}

/// Most drained nodes. The set is part of one record.
const MAX_DRAINED: usize = 256;

/// Most absent storages that are waited for. Beyond this, the one that has been absent longest is given up.
const MAX_ABSENT: usize = 1024;

/// Most nodes whose storage is remembered.
const MAX_STORAGES: usize = 1024;

/// The state's scalars.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Head {
    /// The cluster's version: it alone decides what [`State::apply`] does, never the program.
    version: u32,
    /// Cluster time, ms.
    clock: u64,
    /// The id of the newest crawl.
    last_crawl: u64,
    /// The id of the newest job with a record.
    last_job: u64,
    /// Last rank given to a job in a ready queue.
    last_order: u64,
    /// The scheduler's pass: that of the last crawl served.
    pass: u64,
    /// Nodes that are granted no jobs, at most [`MAX_DRAINED`].
    drained: BTreeSet<NodeId>,
    /// Storages without a session, by the cluster time at which the last one ended; at most [`MAX_ABSENT`].
    absent: BTreeMap<StorageId, u64>,
    /// The storage of each node that has had a session; at most [`MAX_STORAGES`].
    storages: BTreeMap<NodeId, StorageId>,
}

impl State {
    /// Cluster time, ms.
    pub fn clock(&self) -> u64 {
        self.head.clock
    }

    /// The cluster's version.
    pub fn version(&self) -> u32 {
        self.head.version
    }

    /// The storage of each node that has had a session.
    pub fn storages(&self) -> &BTreeMap<NodeId, StorageId> {
        &self.head.storages
    }

    /// Who may become a member, and who may no longer.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Whether some session uses this storage.
    fn is_present(&self, storage: StorageId) -> bool {
        self.sessions.values().any(|s| s.storage() == storage)
    }

    /// Emits an event of a crawl.
    fn emit_crawl(&mut self, crawl: CrawlId, change: CrawlChange) {
        self.outbox.push(self.head.clock, EventKind::Crawl { crawl, change });
    }

    /// Emits an event of a job's current operation.
    fn emit_job(&mut self, job: JobId, change: impl FnOnce() -> JobChange) {
        if !self.outbox.is_observed() {
            return;
        }
        let Some(record) = self.jobs.get(job) else { return self.lost_job(job) };
        let (crawl, user, operation) = (record.crawl(), record.user().clone(), record.operation());
        let kind = EventKind::Job { crawl, job, user, operation, change: change() };
        self.outbox.push(self.head.clock, kind);
    }

    fn next_order(&mut self) -> u64 {
        self.head.last_order += 1;
        self.head.last_order
    }
}
