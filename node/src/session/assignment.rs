//! A job in a worker's hands.

use std::sync::Arc;

use api::model::{Finding, Job, LeaseId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{JobGauge, LeaseClock};

/// Why a worker has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The job is not this node's any more: drop everything, report nothing.
    Abandon,
    /// The node stops: save, and give the job back.
    HandBack,
}

/// How a worker left its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With the last finding: anything but [`Finding::Advanced`], [`Finding::Discovered`] and [`Finding::Published`].
    Found(Finding),
    /// The job is not this node's any more.
    Abandoned,
}

/// What the runner tells the session loop.
#[derive(Debug)]
pub(super) enum Message {
    /// A finding on the way.
    Found(LeaseId, Finding),
    /// A worker is free again.
    Ended(LeaseId, Ending),
    /// A publication is over: the draft has its final name, or is lost.
    Published(LeaseId, Finding),
}

/// A job in a worker's hands, with what it needs to report and to know when to stop.
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
    /// Reports a finding on the way. WaitSummary while the loop has more than it can send.
    pub async fn report(&self, finding: Finding) {
        // The loop ends only after all its workers: a failed send means that the process stops at once.
        let _ = self.messages.send(Message::Found(self.job.lease, finding)).await;
    }

    /// Shows that a page came, with so many new items.
    pub fn page_done(&self, items: u64) {
        self.gauge.page(items);
    }

    /// Whether to stop, and why. Cheap: ask before each write and each request.
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

    /// Returns when the job is not this node's any more.
    pub async fn abandoned(&self) {
        self.abandon.cancelled().await;
    }
}
