//! Which crawls keep the profiles that their analyses look up.
//!
//! A program of an older release runs analyses that write nothing and reserve nothing. Therefore a crawl that was created
//! before the cluster's version rose never writes profiles, whoever runs its jobs.

use storage::dataset::{FileKey, SourceName};
use storage::state::StateStore;

use crate::model::CrawlId;

use super::State;
use super::job::JobRecord;
use super::keys;
use super::persist::{Changes, LoadError};

/// The cluster version that begins it.
pub(super) const FIRST_VERSION: u32 = 4;

/// The first crawl whose analyses write files; absent in an older cluster.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Profiles {
    first: Option<CrawlId>,
    dirty: bool,
}

impl Profiles {
    pub(super) fn load(store: &dyn StateStore) -> Result<Self, LoadError> {
        let Some(value) = store.get(keys::PROFILES)? else { return Ok(Self::default()) };
        let first =
            postcard::from_bytes(&value).map_err(|_| LoadError::damaged("first crawl", keys::PROFILES))?;
        Ok(Self { first: Some(first), dirty: false })
    }

    pub(super) fn freeze(&mut self, changes: &mut Changes) {
        if let Some(first) = self.first.filter(|_| std::mem::take(&mut self.dirty)) {
            changes.put_record("first crawl", keys::PROFILES.to_vec(), &first);
        }
    }

    /// Crawls after this one keep profiles.
    pub(super) fn begin_after(&mut self, last: CrawlId) {
        *self = Self { first: Some(CrawlId(last.0 + 1)), dirty: true };
    }

    pub(super) fn first(&self) -> Option<CrawlId> {
        self.first
    }

    pub(super) fn are_kept_by(&self, crawl: CrawlId) -> bool {
        self.first.is_some_and(|first| crawl >= first)
    }
}

impl State {
    /// Whether the analyses of a crawl write the profiles that they look up.
    pub fn keeps_profiles(&self, crawl: CrawlId) -> bool {
        self.profiles.are_kept_by(crawl)
    }

    /// The file that the current operation of a job writes.
    pub(super) fn file_of(&self, record: &JobRecord) -> Option<FileKey> {
        record.file(self.source_of(record.crawl()), self.profiles.are_kept_by(record.crawl()))
    }

    /// The source of a crawl's accounts.
    pub(super) fn source_of(&self, crawl: CrawlId) -> &SourceName {
        const DEFAULT: &SourceName = &SourceName::DEFAULT;
        self.crawls.get(crawl).map_or(DEFAULT, |crawl| &crawl.spec().source)
    }
}
