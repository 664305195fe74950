//! What a session needs of the replicated tracker.

use std::time::Duration;

use api::client::ClientError;
use api::model::{
    Answer, CrawlId, CrawlSpec, LeaseId, Mutation, OpenSession, Query, Report, ReportAnswer, SessionId,
    SessionOpened, Wants,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use raft::server::Tracker;
use storage::ids::UserId;

/// The job tracker as sessions and workers use it. In a node it is [`raft::server::Tracker`]; a test can put a
/// state machine alone behind it.
pub trait JobTracker: Send + Sync + 'static {
    /// Begins a session.
    fn open_session(&self, open: OpenSession) -> BoxFuture<'_, Result<SessionOpened, ClientError>>;

    /// Reports, one report of a session at a time.
    fn report(&self, report: Report) -> BoxFuture<'_, Result<ReportAnswer, ClientError>>;

    /// Waits at most `timeout` until a report with these wants would bring something, which is also so when the
    /// session is over. `false` says that the session lives.
    fn wait_for_work(
        &self,
        session: SessionId,
        wants: Wants,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<bool, ClientError>>;

    /// Ends a session of this node in good order.
    fn end_session(&self, session: SessionId) -> BoxFuture<'_, Result<(), ClientError>>;

    /// Which of these leases name a draft that is still needed.
    fn drafts_in_use(&self, leases: Vec<LeaseId>) -> BoxFuture<'_, Result<Vec<LeaseId>, ClientError>>;

    /// What a crawl asks for, as this replica knows it. No network, no waiting.
    fn crawl_spec(&self, crawl: CrawlId) -> Option<CrawlSpec>;

    /// Which of these accounts a crawl does not know yet, as far as this replica knows. No network, no waiting.
    fn unseen(&self, crawl: CrawlId, users: Vec<UserId>) -> Vec<UserId>;
}

impl JobTracker for Tracker {
    fn open_session(&self, open: OpenSession) -> BoxFuture<'_, Result<SessionOpened, ClientError>> {
        Tracker::open_session(self, open).boxed()
    }

    fn report(&self, report: Report) -> BoxFuture<'_, Result<ReportAnswer, ClientError>> {
        Tracker::report(self, report).boxed()
    }

    fn wait_for_work(
        &self,
        session: SessionId,
        wants: Wants,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<bool, ClientError>> {
        Tracker::wait_for_work(self, session, wants, timeout).boxed()
    }

    fn end_session(&self, session: SessionId) -> BoxFuture<'_, Result<(), ClientError>> {
        let end = Mutation::EndSession { session, graceful: true };
        async move { self.mutate(end).await.map(|_done| ()) }.boxed()
    }

    fn drafts_in_use(&self, leases: Vec<LeaseId>) -> BoxFuture<'_, Result<Vec<LeaseId>, ClientError>> {
        async move {
            match self.query(Query::DraftsInUse(leases)).await? {
                Answer::DraftsInUse(used) => Ok(used),
                _ => Err(ClientError::Confused { asked: "question for drafts" }),
            }
        }
        .boxed()
    }

    fn crawl_spec(&self, crawl: CrawlId) -> Option<CrawlSpec> {
        Tracker::crawl_spec(self, crawl)
    }

    fn unseen(&self, crawl: CrawlId, users: Vec<UserId>) -> Vec<UserId> {
        Tracker::unseen(self, crawl, users)
    }
}
