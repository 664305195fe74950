//! Drafts that are uploaded at their save points.

use std::sync::Arc;

use super::super::followers_draft::{Completed, FileFollowersDraft};
use super::super::profiles_draft::FileProfilesDraft;
use super::super::published::PublishedFiles;
use super::super::spool::DraftId;
use super::super::timeline_draft::FileTimelineDraft;
use super::super::{Appended, Finished, FollowersDraft, ProfilesDraft, Result, SavePoint, TimelineDraft};
use super::Inner;
use super::segments::Part;
use crate::ids::{PostId, UserId};

/// Uploads a draft.
struct Uploads {
    inner: Arc<Inner>,
    draft: DraftId,
    /// Bytes uploaded.
    uploaded: u64,
}

impl Uploads {
    fn save(&mut self, saved: SavePoint) -> Result<SavePoint> {
        let part = Part { from: self.uploaded, to: saved.token, end: false, rewritten: false };
        self.inner.upload(&self.draft, &self.inner.spool.path(&self.draft)?, part)?;
        self.uploaded = saved.token;
        Ok(saved)
    }

    /// The published file is about to be appended.
    fn appends(&self) {
        let Self { inner, draft, .. } = self;
        let appended = inner.cache().version(&draft.key);
        inner.drafts().entry(draft.clone()).or_default().appended = appended;
    }

    fn finish(self, finished: Finished, rewritten: bool) -> Result<Finished> {
        let path = self.inner.spool.path(&self.draft)?;
        if finished.items > 0 {
            // The last byte again, if all were uploaded: a segment has to say that they are all.
            let from = if rewritten { 0 } else { self.uploaded.min(finished.bytes - 1) };
            let part = Part { from, to: finished.bytes, end: true, rewritten };
            self.inner.upload(&self.draft, &path, part)?;
            self.inner.drafts().entry(self.draft).or_default().finished = Some(finished.bytes);
        }
        Ok(finished)
    }
}

/// A timeline.
pub(super) struct RemoteTimeline {
    uploads: Uploads,
    file: FileTimelineDraft,
}

impl RemoteTimeline {
    pub(super) fn new(inner: Arc<Inner>, draft: DraftId, file: FileTimelineDraft) -> Self {
        Self { uploads: Uploads { inner, draft, uploaded: 0 }, file }
    }
}

impl TimelineDraft for RemoteTimeline {
    fn push(&mut self, id: &PostId, json: &str) -> Result<bool> {
        self.file.push(id, json)
    }

    fn append_existing(&mut self) -> Result<Appended> {
        self.uploads.appends();
        self.file.append_existing()
    }

    fn save_point(&mut self) -> Result<SavePoint> {
        let saved = self.file.save_point()?;
        self.uploads.save(saved)
    }

    fn items(&self) -> u64 {
        self.file.items()
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let finished = Box::new(self.file).finish()?;
        self.uploads.finish(finished, false)
    }
}

/// A follower list.
pub(super) struct RemoteFollowers {
    uploads: Uploads,
    file: FileFollowersDraft,
}

impl RemoteFollowers {
    pub(super) fn new(inner: Arc<Inner>, draft: DraftId, file: FileFollowersDraft) -> Self {
        Self { uploads: Uploads { inner, draft, uploaded: 0 }, file }
    }
}

impl FollowersDraft for RemoteFollowers {
    fn push(&mut self, follower: &UserId) -> Result<bool> {
        self.file.push(follower)
    }

    fn save_point(&mut self) -> Result<SavePoint> {
        let saved = self.file.save_point()?;
        self.uploads.save(saved)
    }

    fn items(&self) -> u64 {
        self.file.items()
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let Completed { finished, rewritten, .. } = self.file.complete()?;
        self.uploads.finish(finished, rewritten)
    }
}

/// Profiles.
pub(super) struct RemoteProfiles {
    uploads: Uploads,
    file: FileProfilesDraft,
}

impl RemoteProfiles {
    pub(super) fn new(inner: Arc<Inner>, draft: DraftId, file: FileProfilesDraft) -> Self {
        Self { uploads: Uploads { inner, draft, uploaded: 0 }, file }
    }
}

impl ProfilesDraft for RemoteProfiles {
    fn push(&mut self, line: &str) -> Result<()> {
        self.file.push(line)
    }

    fn append_existing(&mut self) -> Result<Appended> {
        let inner = &self.uploads.inner;
        // Opened once for its version, and kept for the draft.
        if PublishedFiles::open(&inner.caching(), &self.uploads.draft.key)?.is_none() {
            return Ok(Appended::default());
        }
        self.uploads.appends();
        self.file.append_existing()
    }

    fn save_point(&mut self) -> Result<SavePoint> {
        let saved = self.file.save_point()?;
        self.uploads.save(saved)
    }

    fn items(&self) -> u64 {
        self.file.items()
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let finished = Box::new(self.file).finish()?;
        self.uploads.finish(finished, false)
    }
}
