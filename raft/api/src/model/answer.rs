//! Queries and their answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storage::ids::UserId;

use crate::wire::bounds::{MAX_LEASES, at_most};

use super::{ClusterStatus, CrawlId, CrawlView, Failure, Gone, LeaseId, NodeId, SpendStatus, StorageId};

/// A query. The leader answers it from a state that includes every write acknowledged before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// The whole cluster.
    Status,
    /// All crawls, oldest first.
    Crawls,
    /// One crawl.
    Crawl(CrawlId),
    /// The error list of a crawl, by account.
    Errors {
        /// The crawl.
        crawl: CrawlId,
        /// Only accounts after this one.
        after: Option<UserId>,
        /// At most this many; the tracker returns 1,000 at most.
        limit: u32,
    },
    /// Accounts that were gone, by account, with the reasons.
    Gone {
        /// The crawl.
        crawl: CrawlId,
        /// Only accounts after this one.
        after: Option<UserId>,
        /// At most this many; the tracker returns 1,000 at most.
        limit: u32,
    },
    /// Accounts in the frontier, in order of discovery.
    Frontier {
        /// The crawl.
        crawl: CrawlId,
        /// The `next` of the page before; 0 for the first.
        from: u64,
    },
    /// Which of these leases name a draft that is still needed.
    DraftsInUse(#[serde(deserialize_with = "at_most::<{ MAX_LEASES }, _, _>")] Vec<LeaseId>),
    /// The storage of each node.
    Storages,
    /// Money: what apps and crawls have spent, hold and may spend.
    Spend,
}

/// The answer to the [`Query`] of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The whole cluster.
    Status(Box<ClusterStatus>),
    /// All crawls.
    Crawls(Vec<CrawlView>),
    /// One crawl, if it exists.
    Crawl(Option<Box<CrawlView>>),
    /// Part of the error list.
    Errors(Vec<FailedUser<Failure>>),
    /// Part of the gone accounts.
    Gone(Vec<FailedUser<Gone>>),
    /// Part of the frontier.
    Frontier(FrontierPage),
    /// The storage of each node that had a session.
    Storages(BTreeMap<NodeId, StorageId>),
    /// Those in use.
    DraftsInUse(Vec<LeaseId>),
    /// All money.
    Spend(Box<SpendStatus>),
}

/// An account and why its operations ended as they did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedUser<Why> {
    /// The account.
    pub user: UserId,
    /// Distance from a target, in steps.
    pub depth: u32,
    /// By operation.
    pub why: Vec<Why>,
}

/// A page of a frontier.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FrontierPage {
    /// The accounts.
    pub users: Vec<UserId>,
    /// Where the next page begins; absent at the end.
    pub next: Option<u64>,
}
