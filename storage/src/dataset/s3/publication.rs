//! Publication, fenced by the store.

use std::path::PathBuf;

use super::super::published::{Published, PublishedFiles, Version};
use super::super::{DatasetError, FileKey, Result};
use super::segments::DraftId;
use super::spool::published;
use super::{Fence, Inner, object};
use crate::net::s3::{Attributes, Body, Condition, Meta, PutOutcome};
use crate::planted::{Bug, planted};

/// Attributes of a published file.
const EPOCH: &str = "twm-epoch";
const LEASE: &str = "twm-lease";
/// How often a write is tried that finds another version than the one looked at.
const ATTEMPTS: u32 = 8;
/// Most names tried for an unreadable file.
const MAX_SET_ASIDE: u32 = 10_000;

impl Inner {
    /// Publishes a finished draft. May be repeated: what is there says which publication was the last.
    pub(super) fn publish(&self, draft: &DraftId) -> Result<()> {
        let (name, fence) = (object(&draft.key)?, self.fence(draft.lease));
        let Some(file) = self.finished_draft(draft)? else {
            let there = self.bucket.head(&name)?;
            if there.is_some_and(|there| Fence::of(&there) >= fence) || planted(Bug::LostDraftPublished) {
                return Ok(());
            }
            return Err(DatasetError::DraftLost { key: draft.key.clone(), lease: draft.lease });
        };
        let known = self.cache().take(&draft.key).map(|known| known.version);
        let mut condition = match known {
            Some(Version::ETag(etag)) => Condition::Matches(etag),
            _ => self.expected(draft),
        };
        for _ in 0..ATTEMPTS {
            let body = Body::File(file.clone());
            if let PutOutcome::Written(_) = self.bucket.put(&name, body, &fence.attributes(), &condition)? {
                return Ok(());
            }
            condition = match self.bucket.head(&name)? {
                // By us, with an answer that was lost, or by a later lease.
                Some(there) if Fence::of(&there) >= fence => return Ok(()),
                Some(there) => Condition::Matches(there.etag),
                None => Condition::Absent,
            };
        }
        Err(DatasetError::Changed { path: self.place(&name) })
    }

    /// What is probably there: the file that the draft contains, or none.
    fn expected(&self, draft: &DraftId) -> Condition {
        match self.drafts().get(draft).and_then(|own| own.appended.clone()) {
            Some(etag) => Condition::Matches(etag),
            None => Condition::Absent,
        }
    }

    /// The file of a finished draft in the spool, downloaded if another node wrote it; `None` if there is none.
    fn finished_draft(&self, draft: &DraftId) -> Result<Option<PathBuf>> {
        let path = self.spool.path(draft)?;
        let own = self.drafts().get(draft).and_then(|own| own.finished);
        if own.is_some_and(|bytes| std::fs::metadata(&path).is_ok_and(|file| file.len() == bytes)) {
            return Ok(Some(path));
        }
        let Some(segments) = self.finished_segments(draft)? else { return Ok(None) };
        let empty = self.spool.create(draft, super::Compression::None)?;
        Ok(self.download(&segments, empty)?.map(|_| path))
    }

    /// Files that are kept for the next reader.
    pub(super) fn caching(&self) -> Caching<'_> {
        Caching(self)
    }
}

impl Fence {
    /// The fence of a published file. A file without one, which a tool put there, has the lowest.
    fn of(there: &Meta) -> Self {
        let number = |name| there.attributes.get(name).and_then(|text| text.parse().ok());
        Self { epoch: number(EPOCH).unwrap_or_default(), lease: number(LEASE).unwrap_or_default() }
    }

    fn attributes(self) -> Attributes {
        [(EPOCH, self.epoch), (LEASE, self.lease)]
            .map(|(name, number)| (name.to_owned(), number.to_string()))
            .into()
    }
}

impl PublishedFiles for Inner {
    fn open(&self, key: &FileKey) -> Result<Option<Published>> {
        if let Some(cached) = self.cache().take(key) {
            return Ok(Some(cached));
        }
        let name = object(key)?;
        let Some(mut object) = self.bucket.get(&name)? else { return Ok(None) };
        let Meta { etag, bytes, .. } = object.meta().clone();
        if bytes == 0 {
            return Ok(None);
        }
        let file = self.spool.download(&mut object)?;
        Ok(Some(published(self.place(&name), file, etag)))
    }

    /// Copies the file, and writes an empty object in its place, on the condition that it is still the one that was read.
    /// An empty object counts as no file; drafts without items are not published.
    fn set_aside(&self, key: &FileKey, found: &Published) -> Result<Option<PathBuf>> {
        let Version::ETag(etag) = &found.version else { return Ok(None) };
        let name = object(key)?;
        let Some(there) = self.bucket.head(&name)?.filter(|there| there.etag == *etag) else {
            return Ok(None);
        };
        let names = (1..MAX_SET_ASIDE).map(|n| match n {
            1 => format!("{name}.unreadable"),
            n => format!("{name}.unreadable-{n}"),
        });
        for to in names {
            if self.bucket.head(&to)?.is_some() {
                continue;
            }
            if !self.bucket.copy(&name, &to)? {
                return Ok(None);
            }
            let condition = Condition::Matches(there.etag.clone());
            let empty =
                self.bucket.put(&name, Vec::new().into(), &Fence::of(&there).attributes(), &condition)?;
            if empty == PutOutcome::Refused {
                // Replaced meanwhile: the copy is of no use.
                self.bucket.delete(&to)?;
                return Ok(None);
            }
            let (path, to) = (self.place(&name), self.place(&to));
            tracing::warn!(path = %path.display(), to = %to.display(), "unreadable file set aside");
            return Ok(Some(to));
        }
        Err(DatasetError::Exists { path: self.place(&name) })
    }
}

/// Opens files and keeps them for the next reader.
pub(super) struct Caching<'a>(&'a Inner);

impl PublishedFiles for Caching<'_> {
    fn open(&self, key: &FileKey) -> Result<Option<Published>> {
        let Some(found) = self.0.open(key)? else { return Ok(None) };
        let kept = Published {
            path: found.path.clone(),
            file: found.file.try_clone().map_err(|error| super::read_failure(error, &found.path))?,
            version: found.version.clone(),
        };
        self.0.cache().keep(key, kept);
        Ok(Some(found))
    }

    fn set_aside(&self, key: &FileKey, found: &Published) -> Result<Option<PathBuf>> {
        self.0.set_aside(key, found)
    }
}
