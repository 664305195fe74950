//! The dataset of one simulated storage: which draft has which name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use storage::dataset::FileKey;

use crate::model::{ClusterId, Finding, JobId, LeaseId, NodeId};

/// A file's name.
pub(super) type FileName = FileKey;

/// The newest lease granted for each job. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Grants(Arc<Mutex<Newest>>);

#[derive(Default)]
struct Newest {
    of: BTreeMap<JobId, LeaseId>,
    wrong: Option<String>,
}

impl Grants {
    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a grant.
    pub(super) fn granted(&self, job: JobId, lease: LeaseId) {
        let mut newest = self.newest();
        let of = newest.of.entry(job).or_insert(lease);
        *of = (*of).max(lease);
    }

    /// A node works on a job, believing that its lease is valid.
    pub(super) fn work(&self, node: NodeId, job: JobId, lease: LeaseId) {
        let mut newest = self.newest();
        if let Some(newer) = newest.of.get(&job).copied().filter(|newer| *newer > lease) {
            let wrong = format!("node {node} works on job {job} with lease {lease}, and {newer} was granted");
            newest.wrong.get_or_insert(wrong);
        }
    }

    /// A finding with an old lease was reported; whether the answer called it stale.
    pub(super) fn old_lease_answered(&self, node: NodeId, job: JobId, lease: LeaseId, stale: bool) {
        if !stale {
            let wrong =
                format!("node {node} reported on job {job} with the old lease {lease}, and it counted");
            self.newest().wrong.get_or_insert(wrong);
        }
    }

    /// What went wrong.
    pub(super) fn wrong(&self) -> Option<String> {
        self.newest().wrong.clone()
    }
}

/// The files of a storage, which outlive its nodes. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Files(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    drafts: BTreeSet<LeaseId>,
    published: BTreeMap<FileName, LeaseId>,
    /// Published drafts whose publication may be unknown to the cluster.
    proofs: BTreeSet<LeaseId>,
    wrong: Vec<String>,
    /// The cluster in the storage's marker.
    owner: Option<ClusterId>,
}

impl Files {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster that owns the storage.
    pub(super) fn owner(&self) -> Option<String> {
        self.content().owner.map(|owner| owner.to_string())
    }

    /// Writes or checks the storage's marker.
    pub(super) fn bind(&self, cluster: ClusterId) {
        let mut content = self.content();
        let owner = *content.owner.get_or_insert(cluster);
        if owner != cluster {
            content.wrong.push(format!("a storage of cluster {owner} came to cluster {cluster}"));
        }
    }

    /// A draft is complete and synced.
    pub(super) fn write_draft(&self, lease: LeaseId) {
        self.content().drafts.insert(lease);
    }

    /// Publishes a draft, like `Dataset::publish`.
    pub(super) fn publish(&self, name: FileName, draft: LeaseId) -> Finding {
        let mut content = self.content();
        if content.drafts.remove(&draft) {
            if let Some(newer) = content.published.get(&name).filter(|there| **there > draft).copied() {
                let wrong =
                    format!("the draft of lease {draft} replaced the newer file of lease {newer}: {name:?}");
                content.wrong.push(wrong);
            }
            content.published.insert(name, draft);
            content.proofs.insert(draft);
            return Finding::Published;
        }
        match content.proofs.contains(&draft) {
            true => Finding::Published,
            false => Finding::DraftLost,
        }
    }

    /// The cluster knows of a publication.
    pub(super) fn confirmed(&self, draft: LeaseId) {
        self.content().proofs.remove(&draft);
    }

    pub(super) fn has(&self, name: &FileName) -> bool {
        self.content().published.contains_key(name)
    }

    /// The first violation.
    pub(super) fn wrong(&self) -> Option<String> {
        self.content().wrong.first().cloned()
    }
}
