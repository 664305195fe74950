//! Records that are read rarely and can be many: failed and gone accounts. They live in the state
//! store; only what changed since the last finished checkpoint is in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage::ids::UserId;
use storage::state::StateStore;

use crate::model::{CrawlId, Failure, Gone};

use super::jobs::JobRecord;
use super::keys;

type Overlay = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The store under an overlay of changes.
pub(super) struct Cold {
    store: Arc<dyn StateStore>,
    /// Changes that a running checkpoint writes.
    frozen: Arc<Overlay>,
    /// Changes since.
    changed: Overlay,
    /// The first failure of the store. The replica stops on it: going on with a state that differs
    /// from the others' would be worse.
    failure: Option<ColdError>,
}

/// The state store failed while a command was applied.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the state store cannot be read or holds a damaged record: {0}; restore this node from its peers: stop it, move its data directory away, start it again"
)]
pub struct ColdError(String);

/// A failed account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ErrorRecord {
    pub(super) user: UserId,
    pub(super) depth: u32,
    pub(super) failures: Vec<Failure>,
    pub(super) completed: bool,
    pub(super) gone: Vec<Gone>,
}

/// A gone account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GoneRecord {
    pub(super) user: UserId,
    pub(super) depth: u32,
    pub(super) gone: Vec<Gone>,
}

impl Cold {
    pub(super) fn over(store: Arc<dyn StateStore>) -> Self {
        Self { store, frozen: Arc::default(), changed: Overlay::new(), failure: None }
    }

    pub(super) fn failure(&self) -> Option<&ColdError> {
        self.failure.as_ref()
    }

    /// Records how an account ended, where that is more than a number.
    pub(super) fn record_end(&mut self, crawl: CrawlId, job: &JobRecord) {
        let JobRecord { user, depth, completed, gone, failures, .. } = job.clone();
        if !failures.is_empty() {
            let key = keys::account(keys::ERROR, crawl, &user);
            let record = ErrorRecord { user: user.clone(), depth, failures, completed, gone: gone.clone() };
            self.put(key, &record);
        }
        if !gone.is_empty() {
            let key = keys::account(keys::GONE, crawl, &user);
            self.put(key, &GoneRecord { user, depth, gone });
        }
    }

    /// Removes failed accounts from the error list: one, or the first `limit`.
    pub(super) fn take_errors(
        &mut self,
        crawl: CrawlId,
        user: Option<&UserId>,
        limit: usize,
    ) -> Vec<(UserId, ErrorRecord)> {
        let found = match user {
            Some(user) => self.page_of::<ErrorRecord>(keys::ERROR, crawl, None, Some(user), 1),
            None => self.page_of::<ErrorRecord>(keys::ERROR, crawl, None, None, limit),
        };
        let found = found.unwrap_or_else(|error| {
            self.failure.get_or_insert(error);
            Vec::new()
        });
        for record in &found {
            self.changed.insert(keys::account(keys::ERROR, crawl, &record.user), None);
        }
        found.into_iter().map(|record| (record.user.clone(), record)).collect()
    }

    pub(super) fn errors(
        &self,
        crawl: CrawlId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ErrorRecord>, ColdError> {
        self.page_of(keys::ERROR, crawl, after, None, limit)
    }

    pub(super) fn gone(
        &self,
        crawl: CrawlId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<GoneRecord>, ColdError> {
        self.page_of(keys::GONE, crawl, after, None, limit)
    }

    /// Records of a crawl in order: those after an account, or only one account's.
    fn page_of<R: DeserializeOwned>(
        &self,
        tag: u8,
        crawl: CrawlId,
        after: Option<&UserId>,
        only: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<R>, ColdError> {
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
        let mut page = Vec::new();
        for value in self.merged(&start, &end) {
            if page.len() == limit {
                break;
            }
            page.push(postcard::from_bytes(&value?).map_err(|e| ColdError(e.to_string()))?);
        }
        Ok(page)
    }

    /// Values of a key range: the overlays over the store, in the order of keys.
    fn merged<'a>(
        &'a self,
        start: &[u8],
        end: &[u8],
    ) -> impl Iterator<Item = Result<Vec<u8>, ColdError>> + use<'a> {
        let range = start.to_vec()..end.to_vec();
        let mut overlay: Overlay =
            self.frozen.range(range.clone()).map(|(k, v)| (k.clone(), v.clone())).collect();
        overlay.extend(self.changed.range(range).map(|(k, v)| (k.clone(), v.clone())));
        let mut overlay = overlay.into_iter().peekable();
        let mut stored = self.store.scan(start, Some(end)).peekable();
        std::iter::from_fn(move || {
            loop {
                let from_overlay = match (overlay.peek(), stored.peek()) {
                    (Some((key, _)), Some(Ok((other, _)))) => {
                        let same = key == other;
                        let first = key <= other;
                        if same {
                            stored.next();
                        }
                        first
                    }
                    (Some(_), None) => true,
                    (_, Some(_)) => false,
                    (None, None) => return None,
                };
                if from_overlay {
                    if let Some((_, Some(value))) = overlay.next() {
                        return Some(Ok(value));
                    }
                } else {
                    let next = stored.next()?;
                    return Some(next.map(|(_, value)| value).map_err(|e| ColdError(e.to_string())));
                }
            }
        })
    }

    fn put<R: Serialize>(&mut self, key: Vec<u8>, record: &R) {
        match postcard::to_stdvec(record) {
            Ok(value) => {
                self.changed.insert(key, Some(value));
            }
            Err(error) => {
                self.failure.get_or_insert(ColdError(error.to_string()));
            }
        }
    }

    /// Hands the changes to a checkpoint. They stay readable until [`Self::written`].
    pub(super) fn freeze(&mut self) -> Arc<Overlay> {
        debug_assert!(self.frozen.is_empty(), "one checkpoint at a time");
        self.frozen = Arc::new(std::mem::take(&mut self.changed));
        Arc::clone(&self.frozen)
    }

    /// The checkpoint is on disk. Answers what it held.
    pub(super) fn written(&mut self) -> Arc<Overlay> {
        std::mem::take(&mut self.frozen)
    }
}
