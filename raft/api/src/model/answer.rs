//! Reading: queries and their answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storage::ids::UserId;

use crate::wire::bounds::{MAX_LEASES, at_most};

use super::{ClusterStatus, CrawlId, CrawlView, Failure, Gone, LeaseId, NodeId, StorageId};

/// What can be asked of the tracker. Answered by the leader, on the state after every write that
/// was acknowledged before.
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
        /// Those after this account.
        after: Option<UserId>,
        /// At most this many; the tracker gives 1,000 at the most.
        limit: u32,
    },
    /// Accounts that were gone, by account, with the reasons.
    Gone {
        /// The crawl.
        crawl: CrawlId,
        /// Those after this account.
        after: Option<UserId>,
        /// At most this many; the tracker gives 1,000 at the most.
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
    /// Where the nodes' files are.
    Storages,
}

/// The answer to a [`Query`], by the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The whole cluster.
    Status(Box<ClusterStatus>),
    /// All crawls.
    Crawls(Vec<CrawlView>),
    /// One crawl, if there is one.
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
}

/// An account and why its operations ended as they did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedUser<Why> {
    /// The account.
    pub user: UserId,
    /// Steps from a target.
    pub depth: u32,
    /// By operation.
    pub why: Vec<Why>,
}

/// Some accounts of a frontier.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FrontierPage {
    /// The accounts.
    pub users: Vec<UserId>,
    /// Where the next page begins; absent at the end.
    pub next: Option<u64>,
}
