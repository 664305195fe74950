//! The session's interface to the replicated tracker.

use api::TrackerApi;
use api::model::{CrawlId, CrawlSpec, JobId, LeaseId, SharedBudget};
use raft::server::Tracker;
use storage::ids::UserId;

/// The cluster version from which on crawls have sources.
const FIRST_SOURCES: u32 = 5;
/// The cluster version from which on money is counted.
const FIRST_MONEY: u32 = 6;

/// The cluster version from which on budgets belong to the cluster.
const FIRST_SHARES: u32 = 6;
/// The cluster version from which on jobs wait for hosts.
const FIRST_HOST_QUEUES: u32 = 6;

/// The job tracker as sessions and workers use it: its calls, and the knowledge of this node's replica. It is
/// [`raft::server::Tracker`] in a node; a test can use a state machine alone.
pub trait JobTracker: TrackerApi {
    /// The specification of a crawl, as this replica knows it. Local and immediate.
    fn crawl_spec(&self, crawl: CrawlId) -> Option<CrawlSpec>;

    /// Whether the analyses of a crawl that this replica knows write the profiles that they look up. Local and
    /// immediate.
    fn keeps_profiles(&self, crawl: CrawlId) -> bool;

    /// Whether the cluster, as this replica knows it, has crawls of other sources than the default one. Local and immediate.
    fn knows_sources(&self) -> bool;

    /// Whether the cluster, as this replica knows it, counts money. Local and immediate.
    fn knows_money(&self) -> bool;

    /// Whether the cluster, as this replica knows it, shares budgets. Local and immediate.
    fn knows_shares(&self) -> bool;

    /// A shared budget as this replica knows it. Local and immediate.
    fn shared_budget(&self, name: &str) -> Option<SharedBudget>;

    /// Whether jobs wait for hosts in the cluster, as this replica knows it. Local and immediate.
    fn queues_at_hosts(&self) -> bool;

    /// Index of the last entry that this replica has applied. Local and immediate.
    fn applied_index(&self) -> u64;

    /// The crawl of a job whose draft is to be published, and the draft's items; `None` if this replica does not know of such a
    /// publication. Local and immediate.
    fn unpublished(&self, job: JobId, lease: LeaseId) -> Option<(CrawlId, u64)>;

    /// Which of these accounts a crawl does not know yet, as far as this replica knows. Local and immediate.
    fn unseen(&self, crawl: CrawlId, users: Vec<UserId>) -> Vec<UserId>;
}

impl JobTracker for Tracker {
    fn crawl_spec(&self, crawl: CrawlId) -> Option<CrawlSpec> {
        Tracker::crawl_spec(self, crawl)
    }

    fn keeps_profiles(&self, crawl: CrawlId) -> bool {
        Tracker::keeps_profiles(self, crawl)
    }

    fn knows_sources(&self) -> bool {
        Tracker::cluster_version(self) >= FIRST_SOURCES
    }

    fn knows_money(&self) -> bool {
        Tracker::cluster_version(self) >= FIRST_MONEY
    }

    fn knows_shares(&self) -> bool {
        Tracker::cluster_version(self) >= FIRST_SHARES
    }

    fn shared_budget(&self, name: &str) -> Option<SharedBudget> {
        Tracker::shared_budget(self, name)
    }

    fn queues_at_hosts(&self) -> bool {
        Tracker::cluster_version(self) >= FIRST_HOST_QUEUES
    }

    fn applied_index(&self) -> u64 {
        Tracker::applied_index(self)
    }

    fn unpublished(&self, job: JobId, lease: LeaseId) -> Option<(CrawlId, u64)> {
        Tracker::unpublished(self, job, lease)
    }

    fn unseen(&self, crawl: CrawlId, users: Vec<UserId>) -> Vec<UserId> {
        Tracker::unseen(self, crawl, users)
    }
}
