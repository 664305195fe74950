//! Lists of folders.

use std::collections::VecDeque;
use std::sync::Arc;

use hdfs_native::client::ListStatusIterator;

use super::folder::absent;
use super::{Hdfs, HdfsError, HdfsStatus};

/// Entries fetched at a time: what a name node sends at a time.
const BATCH: usize = 1_000;

/// The names in a folder with what they are, in the order of their bytes. Fetched as they are used: a folder may have a million.
pub struct HdfsListing {
    hdfs: Hdfs,
    folder: String,
    more: Option<Arc<ListStatusIterator>>,
    ready: VecDeque<(String, HdfsStatus)>,
}

impl HdfsListing {
    pub(super) fn begin(hdfs: &Hdfs, folder: &str) -> Result<Option<Self>, HdfsError> {
        let path = hdfs.path(folder);
        let more =
            hdfs.call("list", folder, |client| async move { Ok(client.list_status_iter(&path, false)) })?;
        let (more, ready) = (Some(Arc::new(more)), VecDeque::new());
        let mut listing = Self { hdfs: hdfs.clone(), folder: folder.to_owned(), more, ready };
        Ok(absent(listing.fetch())?.map(|()| listing))
    }

    fn fetch(&mut self) -> Result<(), HdfsError> {
        let Some(more) = self.more.clone() else { return Ok(()) };
        let fetched = self.hdfs.call("list", &self.folder, |_| async move {
            let mut entries = Vec::new();
            while entries.len() < BATCH {
                match more.next().await {
                    Some(entry) => entries.push(entry?),
                    None => return Ok((entries, false)),
                }
            }
            Ok((entries, true))
        });
        let (entries, has_more) = fetched.inspect_err(|_| self.more = None)?;
        if !has_more {
            self.more = None;
        }
        self.ready.extend(entries.iter().map(|entry| {
            let name = entry.path.rsplit('/').next().unwrap_or_default();
            (name.to_owned(), HdfsStatus::from(entry))
        }));
        Ok(())
    }
}

impl Iterator for HdfsListing {
    type Item = Result<(String, HdfsStatus), HdfsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty()
            && let Err(error) = self.fetch()
        {
            return Some(Err(error));
        }
        self.ready.pop_front().map(Ok)
    }
}
