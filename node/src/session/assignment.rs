//! A job assigned to a worker.

use std::sync::Arc;

use api::model::{Finding, Job, LeaseId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{JobGauge, LeaseClock};

/// Why a worker has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The job no longer belongs to this node: drop everything, report nothing.
    Abandon,
    /// The node stops: save, and hand the job back.
    HandBack,
}

/// How a worker ended its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With the last finding: anything but [`Finding::Advanced`], [`Finding::Discovered`] and [`Finding::Published`].
    Found(Finding),
    /// The job no longer belongs to this node.
    Abandoned,
}

/// Messages from the runner to the session loop.
#[derive(Debug)]
pub(super) enum Message {
    /// An intermediate finding.
    Found(LeaseId, Finding),
    /// A worker has ended its job.
    Ended(LeaseId, Ending),
    /// A publication has ended: the draft was published or is lost.
    Published(LeaseId, Finding),
}

/// A job assigned to a worker, with the means to report and to know when to stop.
pub struct Assignment {
    /// The job.
    pub job: Job,
    pub(super) lease_clock: Arc<LeaseClock>,
    pub(super) abandon: CancellationToken,
    pub(super) hand_back: CancellationToken,
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) gauge: Arc<JobGauge>,
}

impl Assignment {
    /// Reports an intermediate finding. Waits while the loop has more than it can send.
    pub async fn report(&self, finding: Finding) {
        // The loop ends only after all its workers: sending fails only if the process stops at once.
        let _ = self.messages.send(Message::Found(self.job.lease, finding)).await;
    }

    /// Counts a page with this many new items.
    pub fn page_done(&self, items: u64) {
        self.gauge.page(items);
    }

    /// The file will lack something: one of the reasons in [`storage::dataset::provenance`].
    pub fn cut_short(&self, why: &str) {
        self.gauge.cut_short(why);
    }

    /// The walk continues that of an earlier lease.
    pub fn resumed(&self) {
        self.gauge.resumed();
    }

    /// Whether to stop, and why. Cheap: check before each write and each request.
    pub fn stop(&self) -> Option<Stop> {
        if self.abandon.is_cancelled() || !self.lease_clock.is_valid() {
            Some(Stop::Abandon)
        } else if self.hand_back.is_cancelled() {
            Some(Stop::HandBack)
        } else {
            None
        }
    }

    /// Returns when there is a reason to stop.
    pub async fn stopped(&self) -> Stop {
        tokio::select! {
            biased;
            () = self.abandon.cancelled() => Stop::Abandon,
            () = self.hand_back.cancelled() => Stop::HandBack,
        }
    }

    /// Returns when the job no longer belongs to this node.
    pub async fn abandoned(&self) {
        self.abandon.cancelled().await;
    }
}
