//! Records fetched profiles and published timelines for the mirror.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use api::model::Operation;
use futures::FutureExt;
use futures::future::BoxFuture;
use storage::dataset::{Account, Dataset, DatasetError, FileKey, FileKind, Result, SourceName};
use storage::ids::PostId;

use super::spool::{Item, Spool};
use crate::crawl::FetchHook;
use crate::session::PublicationHook;
use crate::source::Profile;

/// What was recorded and is not sent yet.
pub(super) struct Tap {
    pub(super) spool: Spool,
    /// Items fetched since the last pulse, by [`Operation::index`].
    fetched: [AtomicU64; 4],
    /// Timelines that are being published: until they are, their files are the old ones.
    publishing: Mutex<BTreeMap<Account, usize>>,
}

impl Tap {
    pub(super) fn new(spool: Spool) -> Self {
        Self { spool, fetched: Default::default(), publishing: Mutex::default() }
    }

    fn count(&self, operation: Operation, items: usize) {
        self.fetched[operation.index()].fetch_add(items as u64, Ordering::Relaxed);
    }

    /// Takes and resets a counter.
    pub(super) fn take_fetched(&self, operation: Operation) -> u64 {
        self.fetched[operation.index()].swap(0, Ordering::Relaxed)
    }

    pub(super) fn is_publishing(&self, account: &Account) -> bool {
        self.publishing().contains_key(account)
    }

    /// Keeps profiles, each as the network sent it, until they are sent.
    async fn keep(self: &Arc<Self>, source: &SourceName, profiles: &[Profile]) {
        if profiles.is_empty() {
            return;
        }
        let texts = profiles.iter().map(|profile| (profile.id.clone(), profile.raw.get().to_owned()));
        let (tap, item) = (self.clone(), Item::profiles(source, texts.collect()));
        if let Err(broken) = tokio::task::spawn_blocking(move || tap.spool.add(&item)).await {
            tracing::warn!("profiles are not mirrored: {broken}");
        }
    }

    fn publishing(&self) -> std::sync::MutexGuard<'_, BTreeMap<Account, usize>> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts what is fetched, and mirrors profiles.
pub(super) struct FetchTap(pub(super) Arc<Tap>);

impl FetchHook for FetchTap {
    fn fetched(&self, operation: Operation, items: usize) {
        self.0.count(operation, items);
    }

    fn profiles<'a>(&'a self, source: &'a SourceName, profiles: &'a [Profile]) -> BoxFuture<'a, ()> {
        self.0.keep(source, profiles).boxed()
    }
}

/// Mirrors published timelines.
pub(super) struct TimelineTap {
    pub(super) dataset: Arc<dyn Dataset>,
    pub(super) tap: Arc<Tap>,
}

impl TimelineTap {
    fn newest(&self, account: &Account) -> Result<Option<PostId>> {
        match self.dataset.newest_post(account) {
            Err(error @ DatasetError::SetAside { .. }) => {
                tracing::warn!(user = %account.user, "{error}");
                Ok(None)
            }
            other => other,
        }
    }
}

impl PublicationHook for TimelineTap {
    /// Recorded before the file has its name: a crash in between then costs a read of an old file, while the reverse order
    /// would lose the tweets.
    fn before(&self, key: &FileKey) -> Result<()> {
        if key.kind != FileKind::Timeline {
            return Ok(());
        }
        let since = self.newest(&key.account)?;
        *self.tap.publishing().entry(key.account.clone()).or_default() += 1;
        self.tap.spool.add(&Item::timeline(key.account.clone(), since));
        Ok(())
    }

    fn after(&self, key: &FileKey) {
        let mut publishing = self.tap.publishing();
        let is_timeline = key.kind == FileKind::Timeline;
        if let Some(count) = publishing.get_mut(&key.account).filter(|_| is_timeline) {
            *count -= 1;
            if *count == 0 {
                publishing.remove(&key.account);
            }
        }
    }
}
