//! Jobs: units of work for one worker.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use storage::dataset::{Account, FileKey, FileKind, SourceName};
use storage::ids::UserId;

use super::sourced::Sourced;
use super::{CrawlId, JobId, LeaseId, Operation, StorageId};

/// A job as it is granted to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The id of the job for its whole life.
    pub id: JobId,
    /// The fencing token of this grant.
    pub lease: LeaseId,
    /// The crawl it belongs to.
    pub crawl: CrawlId,
    /// The account.
    pub user: UserId,
    /// What to do.
    pub operation: Operation,
    /// Steps from a target of the submission: 0 for a target, 1 for a follower found by its analysis.
    pub depth: u32,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Where to continue; absent for a first attempt.
    pub progress: Option<Progress>,
    /// The source of the account: that of the crawl.
    pub source: SourceName,
}

impl Job {
    /// The account in the dataset.
    pub fn account(&self) -> Account {
        Account { source: self.source.clone(), user: self.user.clone() }
    }

    /// The file that it writes.
    pub fn file(&self) -> FileKey {
        FileKey { account: self.account(), kind: kind_of(self.operation) }
    }
}

/// The kind of file that an operation writes.
pub(super) fn kind_of(operation: Operation) -> FileKind {
    match operation {
        Operation::Timeline | Operation::Update => FileKind::Timeline,
        Operation::Followers => FileKind::Followers,
        Operation::Analysis => FileKind::Profiles,
    }
}

/// A [`Job`] as it is encoded.
#[derive(Serialize, Deserialize)]
struct EncodedJob<User, Rest> {
    id: JobId,
    lease: LeaseId,
    crawl: CrawlId,
    user: User,
    operation: Operation,
    depth: u32,
    attempt: u32,
    progress: Rest,
}

impl Serialize for Job {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { id, lease, crawl, operation, depth, attempt, .. } = *self;
        let (user, progress) = (&self.user, Sourced::new(self.progress.as_ref(), &self.source));
        EncodedJob { id, lease, crawl, user, operation, depth, attempt, progress }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Job {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let job = EncodedJob::<UserId, Sourced<Progress>>::deserialize(from)?;
        let EncodedJob { id, lease, crawl, user, operation, depth, attempt, progress } = job;
        let (progress, source) = progress.parts();
        Ok(Self { id, lease, crawl, user, operation, depth, attempt, progress, source })
    }
}

/// The progress of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The source's cursor of the next page; for an analysis the number of followers done.
    pub cursor: String,
    /// What is on disk already; absent for an analysis.
    pub draft: Option<DraftProgress>,
}

/// The synced part of a draft file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftProgress {
    /// The lease in the name of the draft.
    pub lease: LeaseId,
    /// Where it lies.
    pub storage: StorageId,
    /// Where the draft can be resumed, opaque to all but the dataset's backend (`SavePoint::token`).
    pub token: u64,
    /// Tweets or followers in it.
    pub items: u64,
    /// Identifies the published file at the time when the draft was begun (`Dataset::stamp`). If another file has
    /// been published since, the draft must not replace it.
    pub based_on: u64,
}

/// Why an account cannot be crawled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GoneReason {
    /// The account shows its posts to its followers only.
    Protected,
    /// There is no such account.
    NotFound,
    /// The network has suspended the account.
    Suspended,
    /// The account was deleted. This and the next ones need cluster version 5.
    Deleted,
    /// Its owner has deactivated the account.
    Deactivated,
    /// A moderator has taken the account down.
    TakenDown,
    /// The account blocks whoever asks.
    Blocked,
    /// The account does not show its followers.
    HiddenFollowers,
    /// The account asks not to be shown to those who are not logged in.
    LoginRequired,
    /// Its host has not been reachable for a long time, or is no server of this network.
    HostGone,
}

impl GoneReason {
    /// The name used in tables and counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::NotFound => "not found",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
            Self::Deactivated => "deactivated",
            Self::TakenDown => "taken down",
            Self::Blocked => "blocked",
            Self::HiddenFollowers => "followers hidden",
            Self::LoginRequired => "login required",
            Self::HostGone => "host gone",
        }
    }
}

/// One operation that found its account gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The operation.
    pub operation: Operation,
    /// Why.
    pub reason: GoneReason,
}

/// One operation that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The operation.
    pub operation: Operation,
    /// The error of the last attempt.
    pub reason: String,
    /// Number of attempts.
    pub attempts: u32,
}
