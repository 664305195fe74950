//! Checks the actions of the workers of all simulated nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::model::{Finding, JobId, LeaseId, NodeId, ReportAnswer, StorageId};
use storage::dataset::FileKey;

tokio::task_local! {
    /// The job of the current worker.
    pub static JOB: (JobId, LeaseId);
}

/// A node, and how many disks it had before this one.
pub type Disk = (NodeId, u32);

/// Clones share what they know.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// The newest lease of each job that any node was granted.
    newest: BTreeMap<JobId, LeaseId>,
    /// Drafts that some node was told to publish.
    to_publish: BTreeSet<LeaseId>,
    /// The published draft of each file, and its newest tweet.
    published: BTreeMap<(StorageId, FileKey), (u64, u64)>,
    /// Publications that the cluster knows of, by the disk of the node that confirmed them.
    confirmed: BTreeMap<LeaseId, Disk>,
    /// The disks of processes that run.
    running: BTreeSet<Disk>,
    wrong: Option<String>,
}

impl Watch {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a violation. Only the first one counts.
    pub fn fail(&self, what: String) {
        self.known().wrong.get_or_insert(what);
    }

    /// The first violation.
    pub fn wrong(&self) -> Option<String> {
        self.known().wrong.clone()
    }

    /// The cluster answered a report.
    pub fn answered(&self, answer: &ReportAnswer) {
        let mut known = self.known();
        for job in &answer.granted {
            let newest = known.newest.entry(job.id).or_insert(job.lease);
            *newest = (*newest).max(job.lease);
        }
        known.to_publish.extend(answer.publish.iter().map(|publication| publication.draft));
    }

    /// A process has begun, until what is returned is dropped.
    pub fn runs(&self, disk: Disk) -> Running {
        self.known().running.insert(disk);
        Running(self.clone(), disk)
    }

    /// The cluster answered a report that had these findings.
    pub fn confirmed(&self, disk: Disk, findings: &[(JobId, LeaseId, Finding)], answer: &ReportAnswer) {
        let published = findings.iter().filter(|(_, lease, finding)| {
            matches!(finding, Finding::Published) && !answer.stale.contains(lease)
        });
        self.known().confirmed.extend(published.map(|(_, lease, _)| (*lease, disk)));
    }

    /// A confirmed publication without a record (TWM-P2), unless the disk with the record is lost or nobody uses it.
    pub fn unrecorded(&self, recorded: &BTreeSet<u64>) -> Option<LeaseId> {
        let known = self.known();
        let missing =
            |(lease, disk): &(&LeaseId, &Disk)| known.running.contains(*disk) && !recorded.contains(&lease.0);
        known.confirmed.iter().find(missing).map(|(lease, _)| *lease)
    }

    /// A draft has a record of its publication.
    pub fn recorded(&self, key: &FileKey, draft: u64) {
        if !self.known().to_publish.contains(&LeaseId(draft)) {
            self.fail(format!(
                "draft {draft} of {key} is recorded as published, and the cluster never said so"
            ));
        }
    }

    /// A request is about to be sent. One for a job that was granted to another node spends budget that is not its
    /// own.
    pub fn asks(&self) {
        let Ok((job, lease)) = JOB.try_with(|job| *job) else { return };
        let newer = self.known().newest.get(&job).copied().filter(|newer| *newer > lease);
        if let Some(newer) = newer {
            self.fail(format!(
                "a worker sends a request for job {job} with lease {lease}, and {newer} was granted"
            ));
        }
    }

    /// A draft is about to be published.
    pub fn publishes(&self, key: &FileKey, draft: u64) {
        if !self.known().to_publish.contains(&LeaseId(draft)) {
            self.fail(format!("draft {draft} of {key} is published, and the cluster never said so"));
        }
    }

    /// A file was replaced; `newest` is its newest tweet.
    pub fn replaced(&self, storage: StorageId, key: &FileKey, draft: u64, newest: u64) {
        let before = self.known().published.insert((storage, key.clone()), (draft, newest));
        let Some((older_draft, older_newest)) = before else { return };
        if older_draft > draft {
            self.fail(format!("draft {draft} of {key} replaced the newer draft {older_draft}"));
        }
        if older_newest > newest {
            self.fail(format!("{key} lost tweets: its newest was {older_newest} and is {newest}"));
        }
    }
}

/// A process that runs.
pub struct Running(Watch, Disk);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.known().running.remove(&self.1);
    }
}
