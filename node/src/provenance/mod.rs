//! Provenance of what this node publishes: for which crawl, when and how far each file was crawled.
//!
//! 1. When a worker has finished a draft, the session notes what is known of it.
//! 2. When the draft was published, and before the cluster is told so, a record of it is synced on the
//!    node's disk (TWM-P2). Records that arrive together share one sync.
//! 3. Records are appended to the dataset in batches: when there are many, when the oldest one has waited,
//!    when the node has nothing to do, and when it stops.
//!
//! A record is made once for each publication of this process. A process that was killed leaves its records and most of its notes to
//! the next one. A node that finishes the publication of a dead one asks its replica for the crawl, and records less.

mod groups;
mod pace;
mod spool;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::model::{JobId, LeaseId};
use storage::dataset::provenance::{BatchName, Record, encode_batch};
use storage::dataset::{Dataset, FileKey};
use storage::env::{Clock, Entropy, Work};
use storage::planted::{Bug, planted};
use tokio::runtime::Handle;

use groups::Groups;
use pace::Pace;
use spool::{Contents, Line, Spool};

use crate::session::JobTracker;

/// Most bytes of records that wait for the dataset. Beyond, publications wait.
const BOUND: u64 = 64 << 20;
/// Most publications that are remembered; a session has far fewer under way.
const REMEMBERED: usize = 16_384;
/// How long this replica may take to learn of a publication that the leader has told.
const CATCH_UP: Duration = Duration::from_secs(5);
const CATCH_UP_STEP: Duration = Duration::from_millis(20);

/// The options of a node's provenance.
pub struct ProvenanceOptions {
    /// The folder for records that wait, of this output alone.
    pub folder: PathBuf,
    /// This node.
    pub node: u64,
    /// The epoch of the output.
    pub epoch: u64,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Runs disk work.
    pub work: Work,
    /// Where it waits.
    pub runtime: Handle,
}

/// The folder for records cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot use {}, where the provenance of files waits for the dataset: {source}; make room, or give this node the right to write there",
    folder.display()
)]
pub struct ProvenanceError {
    folder: PathBuf,
    source: io::Error,
}

/// What a publication is recorded for.
#[derive(Debug, Clone)]
pub struct Publishing {
    /// The file.
    pub key: FileKey,
    /// `T`, `F`, `A` or `U`.
    pub operation: char,
    /// The job.
    pub job: JobId,
    /// The lease of the draft.
    pub lease: LeaseId,
}

/// Collects records, and appends them to the dataset. Clones share them.
#[derive(Clone)]
pub struct Provenance(Arc<Inner>);

struct Inner {
    node: u64,
    epoch: u64,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    work: Work,
    spool: Arc<Spool>,
    groups: Groups,
    pace: Mutex<Pace>,
    remembered: Mutex<BTreeMap<LeaseId, Remembered>>,
    /// Held by whoever appends.
    appending: tokio::sync::Mutex<()>,
}

/// What is known of a draft.
#[derive(Debug, Clone)]
enum Remembered {
    /// It was finished.
    Finished(Box<Record>),
    /// Its publication is recorded.
    Recorded,
}

impl Provenance {
    /// Opens the folder, with what an earlier process left in it.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(options: ProvenanceOptions) -> Result<Self, ProvenanceError> {
        let ProvenanceOptions { folder, node, epoch, clock, entropy, work, runtime } = options;
        let opened = Spool::open(folder.clone(), node, entropy.next_u64(), BOUND).and_then(|spool| {
            let remembered = remembered(&spool)?;
            Ok((Arc::new(spool), remembered))
        });
        let (spool, remembered) = opened.map_err(|source| ProvenanceError { folder, source })?;
        let groups = Groups::new(spool.clone(), work.clone(), runtime);
        let (pace, appending) = (Mutex::default(), tokio::sync::Mutex::default());
        let remembered = Mutex::new(remembered);
        let inner = Inner { node, epoch, clock, entropy, work, spool, groups, pace, remembered, appending };
        Ok(Self(Arc::new(inner)))
    }

    /// Notes what is known of a finished draft. [`Record::published`], its node and its epoch do not matter yet.
    pub(crate) fn finished(&self, record: Record) {
        let record = Record { node: self.0.node, epoch: self.0.epoch, ..record };
        let mut remembered = self.0.remembered();
        remembered.insert(LeaseId(record.lease), Remembered::Finished(Box::new(record.clone())));
        while remembered.len() > REMEMBERED {
            remembered.pop_first();
        }
        drop(remembered);
        self.0.groups.note(Line { record, published: false });
    }

    /// Records that a draft was published. Durable on return.
    ///
    /// # Errors
    /// The record cannot be written: the publication must not be confirmed.
    pub(crate) async fn published(
        &self,
        publishing: &Publishing,
        tracker: &dyn JobTracker,
    ) -> Result<(), String> {
        let lease = publishing.lease;
        if planted(Bug::Unrecorded) && lease.0 % 5 == 0 {
            return Ok(());
        }
        let known = self.0.remembered().get(&lease).cloned();
        let record = match known {
            Some(Remembered::Recorded) => return Ok(()),
            Some(Remembered::Finished(record)) => *record,
            None => self.0.of_another_process(publishing, tracker).await,
        };
        let record = Record { published: self.0.clock.wall(), ..record };
        self.0.groups.add(Line { record, published: true }).await?;
        self.0.pace().added(self.0.clock.monotonic());
        self.0.remembered().insert(lease, Remembered::Recorded);
        Ok(())
    }

    /// The cluster does not ask for this publication any more.
    pub(crate) fn settled(&self, lease: LeaseId) {
        self.0.remembered().remove(&lease);
    }

    /// Whether records should be appended now. `idle`: the node has nothing to do.
    pub(crate) fn is_due(&self, idle: bool) -> bool {
        let (waits, full) = (self.0.spool.records() > 0, self.0.spool.has_sealed());
        self.0.pace().is_due(self.0.clock.monotonic(), idle, waits, full)
    }

    /// Appends everything that waits to the dataset. What cannot be appended stays for the next time.
    pub(crate) async fn append(&self, dataset: Arc<dyn Dataset>) {
        let _alone = self.0.appending.lock().await;
        self.0.spool.seal();
        for name in self.0.spool.sealed() {
            let (spool, dataset, batch) = (self.0.spool.clone(), dataset.clone(), name.clone());
            let appended = self.0.work.run(move || append_batch(&spool, &*dataset, &batch)).await;
            let failure = match appended {
                Ok(Ok(())) => continue,
                Ok(Err(what)) => what,
                Err(lost) => lost.to_string(),
            };
            let wait = self.0.pace().failed(self.0.clock.monotonic(), &*self.0.entropy);
            tracing::warn!(
                batch = %name, retry_in = ?wait, folder = %self.0.spool.folder().display(),
                "provenance waits on this node's disk: {failure}"
            );
            return;
        }
        self.0.pace().appended(self.0.clock.monotonic());
    }

    /// Number of records that wait for the dataset.
    pub fn waiting(&self) -> u64 {
        self.0.spool.records()
    }
}

impl Inner {
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self) -> MutexGuard<'_, BTreeMap<LeaseId, Remembered>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the cluster knows of a draft that another process has finished.
    async fn of_another_process(&self, publishing: &Publishing, tracker: &dyn JobTracker) -> Record {
        let catch_up = async {
            loop {
                match tracker.unpublished(publishing.job, publishing.lease) {
                    Some(known) => return known,
                    None => tokio::time::sleep(CATCH_UP_STEP).await,
                }
            }
        };
        let known = tokio::time::timeout(CATCH_UP, catch_up).await.ok();
        Record {
            key: publishing.key.clone(),
            crawl: known.map(|(crawl, _)| crawl.0),
            operation: publishing.operation,
            begun: None,
            ended: None,
            published: Duration::ZERO,
            items: known.map(|(_, items)| items),
            node: self.node,
            lease: publishing.lease.0,
            epoch: self.epoch,
            extent: None,
        }
    }
}

/// What an earlier process noted and recorded.
fn remembered(spool: &Spool) -> io::Result<BTreeMap<LeaseId, Remembered>> {
    let mut remembered = BTreeMap::new();
    for name in spool.sealed() {
        let Contents { notes, records, .. } = spool.read(&name)?;
        for note in notes {
            remembered.entry(LeaseId(note.lease)).or_insert_with(|| Remembered::Finished(Box::new(note)));
        }
        for record in records {
            remembered.insert(LeaseId(record.lease), Remembered::Recorded);
        }
        while remembered.len() > REMEMBERED {
            remembered.pop_first();
        }
    }
    Ok(remembered)
}

/// Appends the records of a file, and removes it. Repeated, it writes the same batch again.
fn append_batch(spool: &Spool, dataset: &dyn Dataset, name: &BatchName) -> Result<(), String> {
    let Contents { records, damaged, .. } = spool.read(name).map_err(|error| error.to_string())?;
    if damaged > 0 {
        tracing::warn!(batch = %name, damaged, "lines of a file of provenance are damaged, as a power cut may leave them");
    }
    if !records.is_empty() {
        let lines: Vec<String> = records.iter().map(Record::to_line).collect();
        let batch = encode_batch(lines.iter().map(String::as_str));
        dataset.append_provenance(name, &batch).map_err(|error| error.to_string())?;
    }
    spool.remove(name).map_err(|error| error.to_string())
}
