//! The interface to whatever runs jobs.

use std::sync::Arc;

use api::model::{NodeId, Operation, SessionId};
use futures::FutureExt;
use futures::future::BoxFuture;
use storage::dataset::SourceName;

use super::{Assignment, Ending};

/// Runs jobs, on a runtime of its own.
pub trait JobRunner: Send + Sync + 'static {
    /// Runs one job to its end.
    fn run(self: Arc<Self>, assignment: Assignment) -> BoxFuture<'static, Ending>;

    /// The sources whose jobs it runs.
    fn sources(&self) -> Vec<SourceName>;

    /// How many jobs of an operation the rate budgets of a source allow now.
    fn capacity(&self, source: &SourceName, operation: Operation) -> usize;

    /// A session begins. The returned task runs as long as the session; it is dropped at its end.
    fn session_begins(&self, _node: NodeId, _session: SessionId) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }

    /// The session is about to be closed in good order, and no job runs any more.
    fn session_ends(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    /// The session is over, in whichever way.
    fn session_is_over(&self) {}
}

/// A session as status pages show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionView {
    /// Whether a session is open.
    pub open: bool,
    /// Workers with a job.
    pub busy: u32,
    /// Sessions opened since the start.
    pub sessions: u64,
    /// Reports answered since the start.
    pub reports: u64,
    /// Drafts that are being published.
    pub publishing: u32,
}
