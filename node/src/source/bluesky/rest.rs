//! The posts of a repository as pages.

use std::fmt;

use super::ids::post_id;
use super::repository::{Record, Records, RepositoryError};
use crate::source::{MorePosts, TimelinePage};

/// Most posts and bytes of a page.
const PAGE: (usize, usize) = (1000, 1 << 20);

/// The posts of a repository, newest first, down to but without a saved one.
pub(super) struct RepositoryPosts {
    records: Records,
    collections: Vec<String>,
    did: String,
    since: Option<String>,
    ended: bool,
}

impl fmt::Debug for RepositoryPosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepositoryPosts").field("did", &self.did).finish_non_exhaustive()
    }
}

impl RepositoryPosts {
    pub(super) fn new(
        records: Records,
        collections: Vec<String>,
        did: String,
        since: Option<String>,
    ) -> Self {
        Self { records, collections, did, since, ended: false }
    }

    fn add(&mut self, record: Record, page: &mut TimelinePage) {
        let Record { collection, key, cid, value } = record;
        let collection = &self.collections[collection];
        let (Some(id), Some(value)) = (post_id(&key, collection), value) else {
            page.unusable += 1;
            return;
        };
        if self.since.as_ref().is_some_and(|since| id.to_string() <= *since) {
            self.ended = true;
            return;
        }
        // None of these has a character that JSON escapes.
        let did = &self.did;
        page.push(id, &format!(r#"{{"uri":"at://{did}/{collection}/{key}","cid":"{cid}","value":{value}}}"#));
    }

    /// The next page; `None` at the end.
    pub(super) fn page(&mut self) -> Result<Option<TimelinePage>, RepositoryError> {
        let mut page = TimelinePage::default();
        while !self.ended && page.items().len() < PAGE.0 && page.bytes() < PAGE.1 && page.unusable < PAGE.0 {
            match self.records.next()? {
                Some(record) => self.add(record, &mut page),
                None => self.ended = true,
            }
        }
        let nothing = page.items().is_empty() && page.unusable == 0;
        Ok((!nothing).then_some(page))
    }
}

impl MorePosts for RepositoryPosts {
    fn next_page(&mut self) -> Result<Option<TimelinePage>, String> {
        self.page().map_err(|error| error.to_string())
    }
}
