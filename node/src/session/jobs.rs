//! The running jobs of a session.

use std::collections::HashMap;

use api::model::{JobId, LeaseId, Operation, SessionId, Wants};
use tokio_util::sync::CancellationToken;

use super::JobRunner;

/// A job that some worker has.
pub(super) struct RunningJob {
    pub(super) job: JobId,
    pub(super) operation: Operation,
    pub(super) session: SessionId,
    pub(super) abandon: CancellationToken,
}

/// All running jobs, including those of ended sessions until their workers stop.
#[derive(Default)]
pub(super) struct RunningJobs {
    by_lease: HashMap<LeaseId, RunningJob>,
    busy: [u16; 4],
}

impl RunningJobs {
    /// `false` if a worker has that lease already.
    pub(super) fn add(&mut self, lease: LeaseId, job: RunningJob) -> bool {
        if self.by_lease.contains_key(&lease) {
            return false;
        }
        self.busy[job.operation.index()] += 1;
        self.by_lease.insert(lease, job);
        true
    }

    pub(super) fn remove(&mut self, lease: LeaseId) -> Option<RunningJob> {
        let job = self.by_lease.remove(&lease)?;
        self.busy[job.operation.index()] -= 1;
        Some(job)
    }

    /// The job, if its findings still count in this session.
    pub(super) fn valid(&self, lease: LeaseId, session: SessionId) -> Option<&RunningJob> {
        self.by_lease.get(&lease).filter(|job| job.session == session && !job.abandon.is_cancelled())
    }

    /// Tells the worker to drop its job.
    pub(super) fn abandon(&self, lease: LeaseId) {
        if let Some(job) = self.by_lease.get(&lease) {
            job.abandon.cancel();
        }
    }

    pub(super) fn abandon_all(&self) {
        self.by_lease.values().for_each(|job| job.abandon.cancel());
    }

    pub(super) fn len(&self) -> usize {
        self.by_lease.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_lease.is_empty()
    }

    pub(super) fn load(&self, workers: u32) -> Load {
        let idle = (workers as usize).saturating_sub(self.by_lease.len());
        Load { idle: u16::try_from(idle).unwrap_or(u16::MAX), busy: self.busy }
    }
}

/// The workload of the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) idle: u16,
    pub(super) busy: [u16; 4],
}

impl Load {
    /// How many jobs of each operation could be run by a worker within a budget. Each running job is assumed to need
    /// one more request.
    pub(super) fn wants(&self, runner: &dyn JobRunner) -> Wants {
        if self.idle == 0 {
            return Wants::NONE;
        }
        let busy = |operation: Operation| self.busy[operation.index()];
        let each = Operation::ALL.map(|operation| {
            let rivals = match operation {
                Operation::Timeline | Operation::Update => {
                    busy(Operation::Timeline) + busy(Operation::Update)
                }
                Operation::Followers | Operation::Analysis => busy(operation),
            };
            let room = runner.capacity(operation).saturating_sub(usize::from(rivals));
            u16::try_from(room).unwrap_or(u16::MAX).min(self.idle)
        });
        let total = each.iter().map(|&n| u32::from(n)).sum::<u32>().min(u32::from(self.idle));
        Wants { total: total as u16, each }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(followers: u16) -> [u16; 4] {
        Operation::ALL.map(|operation| if operation == Operation::Followers { followers } else { 0 })
    }

    #[test]
    fn the_load_is_that_of_the_jobs_that_run_and_of_no_others() {
        let mut jobs = RunningJobs::default();
        for lease in [1, 2, 3] {
            let abandon = CancellationToken::new();
            let job = RunningJob {
                job: JobId(lease + 10),
                operation: Operation::Followers,
                session: SessionId(1),
                abandon,
            };
            assert!(jobs.add(LeaseId(lease), job));
        }
        assert_eq!(jobs.load(4), Load { idle: 1, busy: busy(3) });
        assert_eq!(jobs.remove(LeaseId(2)).map(|job| job.job), Some(JobId(12)));
        assert!(jobs.remove(LeaseId(2)).is_none());
        assert_eq!(jobs.load(4), Load { idle: 2, busy: busy(2) });
    }
}
