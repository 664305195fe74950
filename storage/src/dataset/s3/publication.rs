//! Publication, fenced by the store.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::super::cache::path_of;
use super::super::published::{Fence, Published, PublishedFiles, Version};
use super::super::spool::DraftId;
use super::super::{Compression, DatasetError, FileKey, Result};
use super::Inner;
use crate::durable::Naming;
use crate::net::s3::{Attributes, Body, Condition, Meta, PutOutcome};
use crate::planted::{Bug, planted};

/// Attributes of a published file.
const STORAGE: &str = "twm-storage";
const EPOCH: &str = "twm-epoch";
const LEASE: &str = "twm-lease";
/// How often a write is tried that finds another version than the one looked at.
const ATTEMPTS: u32 = 8;
/// Most names tried for an unreadable file.
const MAX_SET_ASIDE: u32 = 10_000;

impl Inner {
    /// Publishes a finished draft. May be repeated: what is there says which publication was the last.
    pub(super) fn publish(&self, draft: &DraftId) -> Result<()> {
        let (name, fence) = (draft.key.stored_name()?, self.fence(draft.lease));
        let lost = || DatasetError::DraftLost { key: draft.key.clone(), lease: draft.lease };
        let Some(file) = self.finished_draft(draft)? else {
            let there = self.bucket.head(&name)?;
            let is_published = there.is_some_and(|there| Fence::of(&there).includes(&fence));
            return if is_published || planted(Bug::LostDraftPublished) { Ok(()) } else { Err(lost()) };
        };
        let appended = self.drafts().get(draft).and_then(|own| own.appended.clone());
        let known = self.cache().take(&draft.key).map(|known| known.version).or(appended.clone());
        let mut condition = match known {
            // What is known may be later than the draft: then the store says what is there now.
            Some(Version::Object { etag, fence: known }) if self.is_replaceable(&known, &fence) => {
                Condition::Matches(etag)
            }
            _ => Condition::Absent,
        };
        for _ in 0..ATTEMPTS {
            let body = Body::File(file.clone());
            if let PutOutcome::Written(_) = self.bucket.put(&name, body, &fence.attributes(), &condition)? {
                return Ok(());
            }
            let Some(there) = self.bucket.head(&name)? else {
                condition = Condition::Absent;
                continue;
            };
            let found = Fence::of(&there);
            if found.includes(&fence) {
                // By us, with an answer that was lost; or the cluster has granted a later lease since, so it knows of ours.
                if found != fence {
                    tracing::info!(object = name, ?found, "not published again: a later file is there");
                }
                return Ok(());
            }
            if let Some(Version::Object { etag, .. }) = &appended {
                // The draft contains another version than the one that an operator has put there meanwhile.
                if *etag != there.etag && there.bytes > 0 {
                    return Err(lost());
                }
            }
            if found.storage != fence.storage {
                // Copied from elsewhere, or of an owner before; unless it is this process that is no owner any more.
                self.read_owner()?;
            }
            condition = Condition::Matches(there.etag);
        }
        Err(DatasetError::Changed { path: self.place(&name) })
    }

    /// Whether a version that was read earlier may be replaced without another look.
    fn is_replaceable(&self, known: &Fence, by: &Fence) -> bool {
        known.storage == by.storage && !known.includes(by)
    }

    /// The file of a finished draft in the spool, downloaded if another node wrote it; `None` if there is none.
    fn finished_draft(&self, draft: &DraftId) -> Result<Option<PathBuf>> {
        let path = self.spool.path(draft)?;
        let own = self.drafts().get(draft).and_then(|own| own.finished);
        if own.is_some_and(|bytes| fs::metadata(&path).is_ok_and(|file| file.len() == bytes)) {
            return Ok(Some(path));
        }
        let Some(segments) = self.finished_segments(draft)? else { return Ok(None) };
        let empty = self.spool.create(draft, Compression::None)?;
        Ok(self.download(&segments, empty)?.map(|_| path))
    }

    /// Files that are kept for the next reader.
    pub(super) fn caching(&self) -> Caching<'_> {
        Caching(self)
    }
}

impl Fence {
    /// The fence of a published file. A file without one, which a tool put there, has that of no storage.
    fn of(there: &Meta) -> Self {
        let text = |name| there.attributes.get(name).map(String::as_str).unwrap_or_default();
        let number = |name| text(name).parse().unwrap_or_default();
        let storage = u64::from_str_radix(text(STORAGE), 16).unwrap_or_default();
        Self { storage, epoch: number(EPOCH), lease: number(LEASE) }
    }

    fn attributes(self) -> Attributes {
        let Self { storage, epoch, lease } = self;
        [(STORAGE, format!("{storage:016x}")), (EPOCH, epoch.to_string()), (LEASE, lease.to_string())]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }
}

impl PublishedFiles for Inner {
    fn open(&self, key: &FileKey) -> Result<Option<Published>> {
        if let Some(cached) = self.cache().take(key) {
            return Ok(Some(cached));
        }
        let name = key.stored_name()?;
        let Some(mut object) = self.bucket.get(&name)? else { return Ok(None) };
        let meta = object.meta().clone();
        if meta.bytes == 0 {
            return Ok(None);
        }
        let (mut file, path) = self.spool.unnamed()?;
        io::copy(&mut object, &mut file).map_err(|error| DatasetError::of_copy(error, &path))?;
        let fence = Fence::of(&meta);
        let version = Version::Object { etag: meta.etag, fence };
        Ok(Some(Published { path: self.place(&name), file, version }))
    }

    /// Writes what was read under another name, and an empty object in its place, on the condition that it is still the one
    /// that was read. An empty object counts as no file; drafts without items are not published.
    fn set_aside(&self, key: &FileKey, found: &Published) -> Result<Option<PathBuf>> {
        let Version::Object { etag, fence } = &found.version else { return Ok(None) };
        let name = key.stored_name()?;
        if self.bucket.head(&name)?.is_none_or(|there| there.etag != *etag) {
            return Ok(None);
        }
        let names = (1..MAX_SET_ASIDE).map(|n| match n {
            1 => format!("{name}.unreadable"),
            n => format!("{name}.unreadable-{n}"),
        });
        for to in names {
            if self.bucket.head(&to)?.is_some() {
                continue;
            }
            let body = Body::File(path_of(&found.file));
            // Refused, if another process has taken the name.
            if self.bucket.put(&to, body, &Attributes::new(), &Condition::Absent)? == PutOutcome::Refused {
                continue;
            }
            let condition = Condition::Matches(etag.clone());
            let empty = self.bucket.put(&name, Vec::new().into(), &fence.attributes(), &condition)?;
            if empty == PutOutcome::Refused && self.bucket.head(&name)?.is_some_and(|there| there.bytes > 0) {
                // Replaced meanwhile. The copy stays: it may be the only one of what was read.
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
        // With a position of its own: both may be read at a time.
        let file = File::open(path_of(&found.file)).naming("open", &found.path)?;
        let kept = Published { path: found.path.clone(), file, version: found.version.clone() };
        self.0.cache().keep(key, kept);
        Ok(Some(found))
    }

    fn set_aside(&self, key: &FileKey, found: &Published) -> Result<Option<PathBuf>> {
        self.0.set_aside(key, found)
    }
}
