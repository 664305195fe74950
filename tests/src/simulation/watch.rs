//! Checks the actions of the workers of all simulated nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::model::{JobId, LeaseId, ReportAnswer, StorageId};
use storage::dataset::FileKey;

tokio::task_local! {
    /// The job of the current worker.
    pub static JOB: (JobId, LeaseId);
}

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
