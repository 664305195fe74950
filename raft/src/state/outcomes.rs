//! Records that are rarely read and can be numerous: failed and gone accounts. They are in the state store;
//! only changes since the last finished checkpoint are in memory.

mod page;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use storage::ids::UserId;
use storage::state::{MAX_VALUE_BYTES, StateStore};

use crate::model::{CrawlId, Failure, Gone};

use super::job::JobRecord;
use super::keys;
use super::persist::LoadError;
pub(super) use page::Page;

type Overlay = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The store with an overlay of changes.
pub(super) struct AccountOutcomes {
    store: Arc<dyn StateStore>,
    /// Changes that a checkpoint in progress writes.
    frozen: Arc<Overlay>,
    /// Changes since.
    changed: Overlay,
}

/// The state store failed while a command was applied.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the state store cannot be read or holds a damaged record: {0}; restore this node from its peers: stop it, move its data directory away, start it again"
)]
pub struct OutcomesError(String);

impl From<LoadError> for OutcomesError {
    fn from(error: LoadError) -> Self {
        Self(error.to_string())
    }
}

/// A failed account, as it is stored: a plain value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ErrorRecord {
    pub(super) user: UserId,
    pub(super) depth: u32,
    pub(super) failures: Vec<Failure>,
    pub(super) completed: bool,
    pub(super) gone: Vec<Gone>,
}

/// A gone account, as it is stored: a plain value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GoneRecord {
    pub(super) user: UserId,
    pub(super) depth: u32,
    pub(super) gone: Vec<Gone>,
}

impl AccountOutcomes {
    pub(super) fn over(store: Arc<dyn StateStore>) -> Self {
        Self { store, frozen: Arc::default(), changed: Overlay::new() }
    }

    pub(super) fn store(&self) -> &Arc<dyn StateStore> {
        &self.store
    }

    /// Drops the changes of a range whose records are to leave the store.
    pub(super) fn forget(&mut self, (start, end): (Vec<u8>, Vec<u8>)) {
        let keys: Vec<_> = self.changed.range(start..end).map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| drop(self.changed.remove(key)));
    }

    /// Records how an account ended, where that is more than a counter.
    pub(super) fn record_end(&mut self, crawl: CrawlId, job: JobRecord) -> Result<(), OutcomesError> {
        let (failed, gone) = job.outcome();
        if let Some(record) = failed {
            self.put(keys::account(keys::ERROR, crawl, &record.user), &record)?;
        }
        if let Some(record) = gone {
            self.put(keys::account(keys::GONE, crawl, &record.user), &record)?;
        }
        Ok(())
    }

    /// Removes failed accounts from the error list: one, or the first `limit`.
    pub(super) fn take_errors(
        &mut self,
        crawl: CrawlId,
        user: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, ErrorRecord)>, OutcomesError> {
        let found: Page<ErrorRecord> = match user {
            Some(user) => self.page_of(keys::ERROR, crawl, None, Some(user), 1),
            None => self.page_of(keys::ERROR, crawl, None, None, limit),
        };
        let found = found.read()?;
        for record in &found {
            self.changed.insert(keys::account(keys::ERROR, crawl, &record.user), None);
        }
        Ok(found.into_iter().map(|record| (record.user.clone(), record)).collect())
    }

    pub(super) fn errors(&self, crawl: CrawlId, after: Option<&UserId>, limit: usize) -> Page<ErrorRecord> {
        self.page_of(keys::ERROR, crawl, after, None, limit)
    }

    pub(super) fn gone(&self, crawl: CrawlId, after: Option<&UserId>, limit: usize) -> Page<GoneRecord> {
        self.page_of(keys::GONE, crawl, after, None, limit)
    }

    /// Records of a crawl in order: those after an account, or only one account's.
    fn page_of<R>(
        &self,
        tag: u8,
        crawl: CrawlId,
        after: Option<&UserId>,
        only: Option<&UserId>,
        limit: usize,
    ) -> Page<R> {
        let (mut start, mut end) = keys::of_crawl(tag, crawl);
        if let Some(after) = after {
            start = keys::account(tag, crawl, after);
            start.push(0);
        }
        if let Some(only) = only {
            start = keys::account(tag, crawl, only);
            end = start.clone();
            end.push(0);
        }
        Page::new(Arc::clone(&self.store), Arc::clone(&self.frozen), &self.changed, start..end, limit)
    }

    fn put<R: Serialize>(&mut self, key: Vec<u8>, record: &R) -> Result<(), OutcomesError> {
        let value = postcard::to_stdvec(record).map_err(|e| OutcomesError(e.to_string()))?;
        if value.len() > MAX_VALUE_BYTES {
            let (key, bytes) = (keys::text(&key), value.len());
            return Err(OutcomesError(format!("the record {key} of an account's end has {bytes} bytes")));
        }
        self.changed.insert(key, Some(value));
        Ok(())
    }

    /// Hands the changes to a checkpoint. They stay readable until [`Self::written`].
    pub(super) fn freeze(&mut self) -> Arc<Overlay> {
        debug_assert!(self.frozen.is_empty(), "one checkpoint at a time");
        self.frozen = Arc::new(std::mem::take(&mut self.changed));
        Arc::clone(&self.frozen)
    }

    /// The checkpoint is on disk. Returns what it held.
    pub(super) fn written(&mut self) -> Arc<Overlay> {
        std::mem::take(&mut self.frozen)
    }
}

#[cfg(test)]
mod tests {
    use storage::state::MemoryStore;

    use super::*;

    #[test]
    fn a_record_is_as_large_as_a_value_of_the_store_and_no_larger() {
        let mut outcomes = AccountOutcomes::over(Arc::new(MemoryStore::new()));
        // A text is preceded by its length, of three bytes here.
        let largest = "x".repeat(MAX_VALUE_BYTES - 3);
        assert!(outcomes.put(vec![1], &largest).is_ok());
        let error = outcomes.put(vec![2], &format!("{largest}x")).unwrap_err().to_string();
        assert!(error.contains("02") && error.contains(&(MAX_VALUE_BYTES + 1).to_string()), "{error}");
    }
}
