//! The interface to whatever runs jobs.

use std::sync::Arc;

use api::model::Operation;
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
