//! Publishes drafts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::model::{Finding, JobId, LeaseId, Publication};
use storage::dataset::{Dataset, DatasetError, FileKey};
use storage::env::{Entropy, Work};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::assignment::Message;
use super::{Backoff, JobTracker, SessionOptions};
use crate::provenance::{Provenance, Publishing};

/// First and longest pause after a failed rename.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Observes publications.
pub trait PublicationHook: Send + Sync + 'static {
    /// A draft is about to be published; blocks. An error postpones the publication.
    ///
    /// # Errors
    /// Those of reading the file that is published now.
    fn before(&self, key: &FileKey) -> Result<(), DatasetError>;

    /// The attempt that [`before`](Self::before) announced has ended, successfully or not.
    fn after(&self, key: &FileKey);
}

/// Publishes drafts, each once at a time, however often it is asked to (TWM-P1). A publication is given up only if
/// the draft is lost: the cluster has accepted the completion and relies on the file.
pub(super) struct Publisher {
    dataset: Arc<dyn Dataset>,
    tracker: Arc<dyn JobTracker>,
    provenance: Provenance,
    entropy: Arc<dyn Entropy>,
    runtime: Handle,
    work: Work,
    messages: mpsc::Sender<Message>,
    hook: Option<Arc<dyn PublicationHook>>,
    under_way: HashMap<LeaseId, UnderWay>,
}

struct UnderWay {
    job: JobId,
    key: FileKey,
    draft: LeaseId,
    /// The file is published but the cluster does not know yet.
    done: bool,
}

impl Publisher {
    pub(super) fn new(
        dataset: Arc<dyn Dataset>,
        tracker: Arc<dyn JobTracker>,
        options: &SessionOptions,
        messages: mpsc::Sender<Message>,
    ) -> Self {
        let (entropy, runtime) = (options.entropy.clone(), options.job_runtime.clone());
        let (work, provenance) = (options.work.clone(), options.provenance.clone());
        let (hook, under_way) = (None, HashMap::new());
        Self { dataset, tracker, provenance, entropy, runtime, work, messages, hook, under_way }
    }

    /// Announces publications to a hook.
    pub(super) fn set_hook(&mut self, hook: Arc<dyn PublicationHook>) {
        self.hook = Some(hook);
    }

    /// Starts a publication, unless it is in progress.
    pub(super) fn start(&mut self, publication: Publication) {
        let key = publication.file();
        let Publication { job, lease, draft, operation, .. } = publication;
        if self.under_way.contains_key(&lease) {
            return;
        }
        self.under_way.insert(lease, UnderWay { job, key: key.clone(), draft, done: false });
        let task = PublicationTask {
            dataset: self.dataset.clone(),
            tracker: self.tracker.clone(),
            provenance: self.provenance.clone(),
            hook: self.hook.clone(),
            work: self.work.clone(),
            publishing: Publishing { key, operation: operation.letter(), job, lease: draft },
        };
        let (entropy, messages) = (self.entropy.clone(), self.messages.clone());
        self.runtime.spawn(async move {
            let finding = task.run(&*entropy).await;
            // The loop ends before its publications only when the process stops at once.
            let _ = messages.send(Message::Published(lease, finding)).await;
        });
    }

    /// A publication has ended; returns the job to report it for.
    pub(super) fn done(&mut self, lease: LeaseId) -> Option<JobId> {
        let publication = self.under_way.get_mut(&lease)?;
        publication.done = true;
        Some(publication.job)
    }

    /// The cluster knows, so the proof of publication is no longer needed.
    pub(super) fn confirmed(&mut self, lease: LeaseId) {
        let Some(UnderWay { key, draft, done: true, .. }) = self.under_way.remove(&lease) else { return };
        self.provenance.settled(draft);
        let dataset = self.dataset.clone();
        self.work.start(move || {
            if let Err(error) = dataset.discard(&key, draft.0) {
                // The cleanup removes it later.
                tracing::debug!(%key, "cannot remove the proof of a publication: {error}");
            }
        });
    }

    /// The cluster assigned the publication to another session.
    pub(super) fn stale(&mut self, lease: LeaseId) {
        if let Some(UnderWay { draft, .. }) = self.under_way.remove(&lease) {
            self.provenance.settled(draft);
        }
    }

    /// The session is over: publications that were done but not confirmed are repeated by the storage's next session.
    pub(super) fn forget_done(&mut self) {
        self.under_way.retain(|_, publication| !publication.done);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }
}

/// A publication under way.
struct PublicationTask {
    dataset: Arc<dyn Dataset>,
    tracker: Arc<dyn JobTracker>,
    provenance: Provenance,
    hook: Option<Arc<dyn PublicationHook>>,
    work: Work,
    publishing: Publishing,
}

impl PublicationTask {
    /// Publishes until it succeeds and is recorded (TWM-P2), or the draft turns out to be lost; returns the corresponding
    /// finding.
    async fn run(self, entropy: &dyn Entropy) -> Finding {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let Publishing { key, lease, .. } = &self.publishing;
        loop {
            let (dataset, hook, key, draft) = (self.dataset.clone(), self.hook.clone(), key.clone(), *lease);
            let named = key.to_string();
            let published =
                self.work.run(move || publish_once(&*dataset, hook.as_deref(), &key, draft)).await;
            let what = match published {
                Ok(Ok(())) => match self.provenance.published(&self.publishing, &*self.tracker).await {
                    Ok(()) => return Finding::Published,
                    Err(what) => format!("its provenance cannot be written: {what}"),
                },
                Ok(Err(error @ DatasetError::DraftLost { .. })) => {
                    tracing::error!(file = %named, "{error}; its job runs again");
                    return Finding::DraftLost;
                }
                Ok(Err(error)) => error.to_string(),
                Err(lost) => lost.to_string(),
            };
            let wait = backoff.next(entropy);
            tracing::error!(file = %named, retry_in = ?wait, "cannot publish a finished draft: {what}");
            tokio::time::sleep(wait).await;
        }
    }
}

fn publish_once(
    dataset: &dyn Dataset,
    hook: Option<&dyn PublicationHook>,
    key: &FileKey,
    draft: LeaseId,
) -> Result<(), DatasetError> {
    let Some(hook) = hook else { return dataset.publish(key, draft.0) };
    hook.before(key)?;
    let published = dataset.publish(key, draft.0);
    hook.after(key);
    published
}
