//! The data types of the tracker: changes, reports, jobs, queries and their answers.
//!
//! They cross the network and the disk as postcard, whose format is positional: new enum variants go last,
//! and a changed struct needs a new wire version ([`WIRE_VERSIONS`]).

mod amount;
mod answer;
mod check;
mod command;
mod crawl;
mod cycle;
mod event;
mod ident;
mod job;
mod operation;
mod report;
mod share;
mod source;
mod sourced;
mod spend;
mod status;
mod version;
mod write;

pub use amount::{Amount, NoAmount};
pub use answer::{Answer, FailedUser, FrontierPage, Query};
pub use check::{CheckOutcome, CheckedReplica, DigestAt, ReplicaCheck, StateDigest};
pub use command::{Refusal, Response, SubmitSummary};
pub use crawl::{
    CrawlCounters, CrawlPhase, CrawlSpec, CrawlView, OperationCounters, Traversal, UserCounters,
};
pub use cycle::{CycleRule, utc};
pub use event::{CrawlChange, Event, EventId, EventKind, FinalState, JobChange, NoEventId, SessionChange};
pub use ident::{
    ClusterId, CrawlId, DiskId, JobId, LeaseId, MemberId, NoClusterId, NodeId, RequestId, SessionId,
    StorageId, UnknownCrawl,
};
pub use job::{DraftProgress, Failure, Gone, GoneReason, Job, Progress};
pub use operation::{Operation, Operations, UnknownOperation};
pub use report::{
    Finding, Granted, HostTrouble, OpenSession, Publication, Report, ReportAnswer, SessionOpened,
    SourceWants, Wants,
};
pub use share::{
    BudgetReport, ShareAnswer, ShareEvent, ShareReport, SharedBudget, SharesAnswer, Standing, WindowAge,
    WindowSeen,
};
pub use source::{Reached, SourceStatus};
pub use spend::{
    AppName, AppStatus, AppTerms, Change, CrawlMoney, Exhausted, MAX_APP_NAME, MAX_APPS, MAX_CHANGES, Mark,
    NO_CRAWL, Outcome, SpendAnswer, SpendReport, SpendStatus,
};
pub use status::{
    AddressStatus, BudgetStatus, ClusterStatus, MemberChange, MemberStatus, NodeRole, NodeStatus,
    SessionStatus, WorkerStatus,
};
pub use write::Write;

pub use version::{CLUSTER_VERSION, FIRST_CLUSTER_VERSION};

/// The oldest and the newest wire version that this program speaks. Both sides of a connection use the newest that
/// both speak.
///
/// - 5: writes with a request id, and the comparison of replicas.
/// - 6: sources by name.
/// - 7: money, budgets that belong to the cluster, and jobs that wait for a host.
pub const WIRE_VERSIONS: (u32, u32) = (4, 7);
