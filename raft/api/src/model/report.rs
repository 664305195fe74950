//! The messages about jobs between a node and the tracker.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use storage::dataset::{Account, FileKey, SourceName};
use storage::ids::UserId;

use crate::wire::bounds::{MAX_DISCOVERED, MAX_FINDINGS, at_most};

use super::job::kind_of;
use super::{
    FIRST_CLUSTER_VERSION, GoneReason, Job, JobId, LeaseId, NodeId, Operation, Progress, SessionId, StorageId,
};

/// Begins a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSession {
    /// The node.
    pub node: NodeId,
    /// Identifies this request: see [`OpenSession::incarnation`]. A repeated request with the same number opens the
    /// same session. A request with a later number ends the node's earlier session.
    pub incarnation: u64,
    /// Where the node's dataset files are stored.
    pub storage: StorageId,
    /// Workers, for status.
    pub workers: u32,
    /// Whether several nodes write there.
    pub shared: bool,
    /// Whether an operator has moved the node's files there from wherever they were.
    pub adopt: bool,
}

/// Random bits of an incarnation. The other bits count log entries: 2^44 are written in 13 years at 40,000 a second.
const RANDOM_BITS: u32 = 20;

impl OpenSession {
    /// The number of a request: the index that the node's replica had applied when the node first sent it, and a
    /// random part.
    pub fn incarnation(applied: u64, random: u64) -> u64 {
        applied << RANDOM_BITS | random & ((1 << RANDOM_BITS) - 1)
    }

    /// Whether the node sent this request before the other session was opened, which its replica would know. If so,
    /// this is a late attempt, and the node already uses the other session.
    pub fn is_older_than(&self, other: SessionId) -> bool {
        self.incarnation >> RANDOM_BITS < other.0
    }
}

/// A session that was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpened {
    /// Its id.
    pub session: SessionId,
    /// Time to live without a report, ms.
    pub ttl_ms: u64,
}

/// How many jobs a node can take now, by operation and in total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wants {
    /// Jobs in all.
    pub total: u16,
    /// Upper bound for each operation, by [`Operation::index`]: what the rate budgets allow.
    pub each: [u16; 4],
}

impl Wants {
    /// No job.
    pub const NONE: Self = Self { total: 0, each: [0; 4] };

    /// Any jobs, up to `total`.
    pub fn any(total: u16) -> Self {
        Self { total, each: [total; 4] }
    }

    /// Whether another job of this operation fits.
    pub fn takes(&self, operation: Operation) -> bool {
        self.total > 0 && self.each[operation.index()] > 0
    }

    /// Counts one granted job. Call [`Self::takes`] first.
    pub fn take(&mut self, operation: Operation) {
        self.total -= 1;
        self.each[operation.index()] -= 1;
    }
}

/// How many jobs of a source other than the default one a node can take now. [`Wants::total`] bounds them together with
/// those of the default one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceWants {
    /// The source.
    pub source: SourceName,
    /// Upper bound for each operation, by [`Operation::index`].
    pub each: [u16; 4],
}

/// A worker's finding about its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// Everything is fetched and the draft is synced. With `file`, the tracker answers when to publish it;
    /// without (nothing was fetched), the job is over.
    Completed {
        /// Whether there is a draft to publish.
        file: bool,
        /// Tweets, followers or accounts looked up.
        items: u64,
    },
    /// The draft was published.
    Published,
    /// The draft that was to be published is missing, and nothing proves that it was published. The job runs again.
    DraftLost,
    /// The job has saved this progress.
    Advanced(Progress),
    /// The rate budgets of all of the node's addresses are spent.
    Limited {
        /// Where to continue.
        progress: Option<Progress>,
        /// Not before this many ms from now.
        after_ms: u64,
    },
    /// The account cannot be crawled.
    Gone(GoneReason),
    /// The attempt failed.
    Failed {
        /// Where to continue.
        progress: Option<Progress>,
        /// The error, for the error list.
        reason: String,
        /// Not before this many ms from now.
        after_ms: u64,
        /// Whether the job should be retried.
        retry: bool,
    },
    /// The node shuts down and hands the job back.
    HandedBack {
        /// Where to continue.
        progress: Option<Progress>,
    },
    /// The job's input is not on the node's storage.
    InputMissing,
    /// An analysis looked up these accounts.
    Discovered {
        /// Accounts that the follow rule admits.
        #[serde(deserialize_with = "at_most::<{ MAX_DISCOVERED }, _, _>")]
        admitted: Vec<UserId>,
        /// The others.
        #[serde(deserialize_with = "at_most::<{ MAX_DISCOVERED }, _, _>")]
        discarded: Vec<UserId>,
        /// The progress of the analysis.
        progress: Progress,
    },
    /// The host of the account takes no request now. The job waits for the host, together with all others that do.
    /// Needs cluster version 6.
    WaitsForHost {
        /// Where to continue.
        progress: Option<Progress>,
        /// The host, as the source names it: at most [`MAX_HOST`](crate::wire::bounds::MAX_HOST) bytes.
        host: String,
        /// The host should not be asked before this many ms from now.
        after_ms: u64,
        /// Why it takes none.
        trouble: HostTrouble,
    },
}

impl Finding {
    /// The cluster version that introduced it.
    pub fn since_version(&self) -> u32 {
        match self {
            Self::WaitsForHost { .. } => 6,
            _ => FIRST_CLUSTER_VERSION,
        }
    }
}

/// Why a host takes no request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostTrouble {
    /// The node has enough requests in flight to it, or lets it rest: it has not asked it for this job.
    Busy,
    /// The node's budget for it is spent.
    Limited,
    /// It does not answer, or its gateway says that it does not.
    Away {
        /// The error of the last request.
        reason: String,
        /// The accounts of a host that is away for this many ms fail.
        gone_after_ms: u64,
    },
}

/// A node's report to the tracker. A session has at most one report in flight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The node's session.
    pub session: SessionId,
    /// Number of the report in the session, from 1. A report with a number that was applied already changes
    /// nothing and gets the same answer.
    pub sequence: u64,
    /// The findings of the workers, in order.
    #[serde(deserialize_with = "at_most::<{ MAX_FINDINGS }, _, _>")]
    pub findings: Vec<(JobId, LeaseId, Finding)>,
    /// How many jobs the node can take.
    pub wants: Wants,
}

/// A draft to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The job.
    pub job: JobId,
    /// The lease that confirms the publication.
    pub lease: LeaseId,
    /// The lease in the name of the draft.
    pub draft: LeaseId,
    /// The account.
    pub user: UserId,
    /// The operation, which determines the kind of file.
    pub operation: Operation,
    /// The source of the account.
    pub source: SourceName,
}

impl Publication {
    /// The file.
    pub fn file(&self) -> FileKey {
        let account = Account { source: self.source.clone(), user: self.user.clone() };
        FileKey { account, kind: kind_of(self.operation) }
    }
}

/// A [`Publication`] as it is encoded.
#[derive(Serialize, Deserialize)]
struct EncodedPublication<User, Source> {
    job: JobId,
    lease: LeaseId,
    draft: LeaseId,
    user: User,
    operation: SourcedOperation<Source>,
}

/// An operation on accounts of a source; of the default source as releases encoded it that know no other.
#[derive(Serialize, Deserialize)]
enum SourcedOperation<Source> {
    Timeline,
    Update,
    Followers,
    Analysis,
    TimelineOf(Source),
    UpdateOf(Source),
    FollowersOf(Source),
    AnalysisOf(Source),
}

impl Serialize for Publication {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { job, lease, draft, ref user, operation, ref source } = *self;
        let operation = match (operation, source.is_default()) {
            (Operation::Timeline, true) => SourcedOperation::Timeline,
            (Operation::Update, true) => SourcedOperation::Update,
            (Operation::Followers, true) => SourcedOperation::Followers,
            (Operation::Analysis, true) => SourcedOperation::Analysis,
            (Operation::Timeline, false) => SourcedOperation::TimelineOf(source),
            (Operation::Update, false) => SourcedOperation::UpdateOf(source),
            (Operation::Followers, false) => SourcedOperation::FollowersOf(source),
            (Operation::Analysis, false) => SourcedOperation::AnalysisOf(source),
        };
        EncodedPublication { job, lease, draft, user, operation }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Publication {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let publication = EncodedPublication::<UserId, SourceName>::deserialize(from)?;
        let EncodedPublication { job, lease, draft, user, operation } = publication;
        let (operation, source) = match operation {
            SourcedOperation::Timeline => (Operation::Timeline, SourceName::default()),
            SourcedOperation::Update => (Operation::Update, SourceName::default()),
            SourcedOperation::Followers => (Operation::Followers, SourceName::default()),
            SourcedOperation::Analysis => (Operation::Analysis, SourceName::default()),
            SourcedOperation::TimelineOf(source) => (Operation::Timeline, source),
            SourcedOperation::UpdateOf(source) => (Operation::Update, source),
            SourcedOperation::FollowersOf(source) => (Operation::Followers, source),
            SourcedOperation::AnalysisOf(source) => (Operation::Analysis, source),
        };
        Ok(Self { job, lease, draft, user, operation, source })
    }
}

/// Jobs granted by one entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Granted {
    /// The jobs.
    pub jobs: Vec<Job>,
}

/// The tracker's answer to a report.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReportAnswer {
    /// New jobs.
    pub granted: Vec<Job>,
    /// Drafts to publish: of accepted completions, and those that an ended session left behind. Repeated
    /// until confirmed by [`Finding::Published`].
    pub publish: Vec<Publication>,
    /// Leases in the report that are no longer valid. Their drafts must be discarded.
    pub stale: Vec<LeaseId>,
}
