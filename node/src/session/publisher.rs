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
use super::{Backoff, SessionOptions};

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
        options: &SessionOptions,
        messages: mpsc::Sender<Message>,
    ) -> Self {
        let (entropy, runtime) = (options.entropy.clone(), options.job_runtime.clone());
        let work = options.work.clone();
        Self { dataset, entropy, runtime, work, messages, hook: None, under_way: HashMap::new() }
    }

    /// Announces publications to a hook.
    pub(super) fn set_hook(&mut self, hook: Arc<dyn PublicationHook>) {
        self.hook = Some(hook);
    }

    /// Starts a publication, unless it is in progress.
    pub(super) fn start(&mut self, publication: Publication) {
        let key = publication.file();
        let Publication { job, lease, draft, .. } = publication;
        if self.under_way.contains_key(&lease) {
            return;
        }
        self.under_way.insert(lease, UnderWay { job, key: key.clone(), draft, done: false });
        let (dataset, entropy) = (self.dataset.clone(), self.entropy.clone());
        let (work, messages, hook) = (self.work.clone(), self.messages.clone(), self.hook.clone());
        self.runtime.spawn(async move {
            let finding = publish(dataset, hook, work, &*entropy, key, draft).await;
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
        self.under_way.remove(&lease);
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

/// Publishes until it succeeds or the draft turns out to be lost; returns the corresponding finding.
async fn publish(
    dataset: Arc<dyn Dataset>,
    hook: Option<Arc<dyn PublicationHook>>,
    work: Work,
    entropy: &dyn Entropy,
    key: FileKey,
    draft: LeaseId,
) -> Finding {
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    loop {
        let (dataset, hook, key) = (dataset.clone(), hook.clone(), key.clone());
        let named = key.to_string();
        let published = work.run(move || publish_once(&*dataset, hook.as_deref(), &key, draft)).await;
        let what = match published {
            Ok(Ok(())) => return Finding::Published,
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
